"""Action chunks whose tokens stand at noise levels of their own, on any array library.

python examples/faces/rolling.py [numpy|torch|jax|mlx]

Rolling diffusion (Ruhe et al. 2024, arXiv 2402.09470): one call takes each token a row further. The first is clean then
and goes to the robot; noise comes in behind. Real-time chunking (Black et al. 2025, arXiv 2506.07339) in its plainest
form: a chunk is drawn while the first actions of the last one are executed, and these stay as they are.
"""

import sys

import numpy as np

import multisched as ms

backend = ms.backends.get(sys.argv[1] if len(sys.argv) > 1 else "numpy")
xp, TOKENS, ACTIONS, FROZEN, MEAN, STD = backend.xp, 16, 7, 4, 0.2, 0.1
recipe = ms.FlowMatchEuler()
plan = recipe.plan(TOKENS)


def policy(chunk, timesteps):
    """The velocity for normal actions, at a timestep for each token, or for each chunk."""
    alpha, sigma = (level[..., None] for level in recipe.levels(timesteps))
    x0 = MEAN + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (chunk - alpha * MEAN)
    return (chunk - x0) / sigma


def noise(tokens, seed):
    """Unit normals for some tokens."""
    return ms.noise.normal((1, tokens, ACTIONS), rng=seed, backend=backend)


def call(state):
    """The state after one call of the policy: each token takes its own row."""
    return plan.step(state, policy(plan.model_input(state), plan.timestep(state)))


rows = backend.asarray(np.arange(TOKENS)[None, ::-1].copy(), "int32")  # the first token is at the last row
times = plan.timestep(ms.State(noise(TOKENS, 0), (), rows))
chunk = recipe.add_noise(0 * noise(TOKENS, 0), noise(TOKENS, 0), times)  # where nothing is known, at rest
played = []
for tick in range(40):
    after = call(ms.State(chunk, (), rows)).sample
    played.append(backend.to_numpy(after[:, :1, :]))
    chunk = xp.concat([after[:, 1:, :], noise(1, tick + 1)], axis=1)
actions = np.concatenate(played[TOKENS:], axis=1)
print(f"{backend.name}: an action each call, {actions.mean():.2f} +- {actions.std():.2f}")

last = MEAN + STD * noise(TOKENS, 50)
frozen = backend.asarray((np.arange(TOKENS) < FROZEN)[None, :, None], "bool")
state = plan.start(noise(TOKENS, 51))
for row in range(len(plan)):
    state = call(state._replace(sample=xp.where(frozen, plan.add_noise(last, noise(TOKENS, 52), row), state.sample)))
chunk = xp.where(frozen, last, state.sample)
kept = bool(xp.all(chunk[:, :FROZEN, :] == last[:, :FROZEN, :]))
rest = backend.to_numpy(chunk[:, FROZEN:, :])
print(f"{backend.name}: prefix kept: {kept}, the rest {rest.mean():.2f} +- {rest.std():.2f}")
