"""Flow-GRPO by hand: roll out, reward, advantages, and one clipped step of the policy at a time.

    python examples/rl.py          # NumPy; or torch, jax, mlx

The policy is a flow with one number to learn, a shift of its velocity, whose gradient is written out, so that it runs
on every library; of a network, torch and JAX take the gradient of the same loss.
"""

import sys

import numpy as np

import multisched as ms

backend = ms.backends.get(sys.argv[1] if len(sys.argv) > 1 else "numpy")
recipe = ms.FlowMatchEuler(shift=3.0)
plan = ms.rl.plan("flow_grpo", recipe, 8, window=ms.rl.window(0, steps=8, size=4))  # MixGRPO: 4 steps of 8 have noise
base = ms.analysis.model_of(recipe, ms.analysis.Gaussian(mean=0.0, std=0.3))
rows, registers = ms.rl.noisy_rows(plan), len(plan.tableau.registers)
gain = np.array([plan.folded.weights[row, 0, registers] for row in rows])  # d mean / d output, by row


def policy(shift):
    """The model with the number that is learned."""
    return lambda x, t: base(x, t) - shift


shift, rewards = 0.0, []
for step in range(12):
    noise = ms.noise.normal((32, 4), rng=100 + step, backend=backend)
    run = ms.rl.rollout(policy(shift), plan, noise, rng=step, reduce="mean")
    reward = -backend.xp.mean((run.sample - 1.0) ** 2, axis=1)  # samples are to be 1
    advantage = ms.rl.advantages(reward, group=8)
    new = ms.rl.rescore(policy(shift), plan, run, reduce="mean")
    ratio = backend.to_numpy(ms.rl.ratio(new.log_probs, run.log_probs))
    loss = ms.rl.ppo_clip(new.log_probs, run.log_probs, advantage, clip=1e-3)
    if step == 0:
        print(
            f"{backend.name}: ratio on policy {ratio.min()} to {ratio.max()}, loss {float(backend.xp.mean(loss)):.3f}"
        )
    states, means, stds = (backend.to_numpy(one) for one in (run.states, run.means, run.stds))
    apart = np.stack([states[row + 1] for row in rows]) - means
    score = -(apart.mean(axis=2) / stds[:, None] ** 2) * gain[:, None]  # d log-probability / d shift
    shift += 0.8 * float((score * backend.to_numpy(advantage)).mean())
    rewards.append(float(backend.to_numpy(reward).mean()))
print(f"reward from {rewards[0]:.2f} to {rewards[-1]:.2f}")
