"""
A level for each frame
======================

Rolling diffusion: each call takes every frame one level further, the first is done and leaves, and noise comes in
behind. Left, the levels of eight frames over the calls; right, the frames that leave.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms

FRAMES, CALLS = 8, 60
recipe = ms.FlowMatchEuler()
plan = recipe.plan(FRAMES)
rows = np.arange(FRAMES)[None, ::-1]  # the first frame is at the last row


def model(x, t):
    """The velocity for frames that are normal, of mean 0.5 and deviation 0.2, at a timestep for each."""
    alpha, sigma = (level[..., None] for level in recipe.levels(t))
    x0 = 0.5 + alpha * 0.04 / (alpha**2 * 0.04 + sigma**2) * (x - alpha * 0.5)
    return (x - x0) / sigma


x, played = ms.noise.normal((1, FRAMES, 32), rng=0), []
for call in range(CALLS):
    x = plan.step(state := ms.State(x, (), rows), model(x, plan.timestep(state))).sample
    played.append(x[0, 0])
    x = np.concatenate([x[:, 1:], ms.noise.normal((1, 1, 32), rng=call + 1)], axis=1)

figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained", width_ratios=(1, 1.6))
axes[0].bar(range(FRAMES), plan.sigmas[:-1][::-1], color="steelblue")
axes[0].set(xlabel="frame in the window", ylabel="sigma", title="Levels at each call")
drawn = axes[1].imshow(np.array(played).T, aspect="auto", cmap="viridis", vmin=-0.5, vmax=1.5)
axes[1].axvline(FRAMES - 0.5, color="white", lw=1, ls="--")
axes[1].set(xlabel="call", ylabel="element", title="What leaves: from call 8 on, one clean frame a call")
figure.colorbar(drawn)
plt.show()
