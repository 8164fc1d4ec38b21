"""
More steps towards one picture
==============================

An SDE sampler draws noise in each step, so that another number of steps gives another picture. If the noise is made of
the increments of one Brownian path, more steps come nearer to one picture, as they do without noise.
"""

import matplotlib.pyplot as plt

import multisched as ms
from multisched import digits

STEPS = (6, 12, 24, 48, 96)
recipe = ms.sampler("dpmpp_2m_sde", like=digits.RECIPE, spacing="simple")
model = digits.guided(digits.load("numpy"), [2, 5, 8, 9], 2.0)
noise = ms.noise.normal((4, 1, 8, 8), rng=3)
sources = {"noise of each step\nby itself": ms.noise.HostNoise(5), "one Brownian path": ms.noise.BrownianNoise(5)}

figure, axes = plt.subplots(2, len(STEPS), figsize=(8, 3.6), layout="constrained")
for row, (words, source) in zip(axes, sources.items(), strict=True):
    for axis, steps in zip(row, STEPS, strict=True):
        images = ms.sample(model, recipe.plan(steps), noise, rng=source)[:, 0]
        axis.imshow(images.reshape(2, 2, 8, 8).swapaxes(1, 2).reshape(16, 16), cmap="gray_r", vmin=-1, vmax=1)
        axis.axvline(7.5, color="crimson", lw=1)
        axis.axhline(7.5, color="crimson", lw=1)
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{steps} steps", fontsize=9)
    row[0].set_ylabel(words, rotation=0, ha="right", va="center")
plt.show()
