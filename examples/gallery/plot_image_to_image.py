"""
Image to image by strength
==========================

A drawn 3 is noised up to a level, and the rest of the run makes an 8 of it. Strength is the share of the run that is
left: at 0.2 little can change, at 1 nothing is left of the 3.
"""

import matplotlib.pyplot as plt

import multisched as ms
from multisched import digits

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
net = digits.load("numpy")
recipe = ms.sampler("dpmpp_2m", like=digits.RECIPE, spacing="simple")
noise, other = (ms.noise.normal((8, 1, 8, 8), rng=seed) for seed in (0, 1))
rows = {"a 3": ms.sample(digits.guided(net, 3, 2.0), recipe.plan(20), noise)}
for strength in STRENGTHS:
    plan = recipe.plan(20, strength=strength)
    words = f"strength {strength:g}\n{len(plan)} calls"
    rows[words] = ms.sample(digits.guided(net, 8, 2.0), plan, other, x0=rows["a 3"])

figure, axes = plt.subplots(len(rows), 8, figsize=(7.5, 5.8), layout="constrained")
for row, (words, images) in zip(axes, rows.items(), strict=True):
    for axis, one in zip(row, images, strict=True):
        axis.imshow(one[0], cmap="gray_r", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(words, rotation=0, ha="right", va="center")
plt.show()
