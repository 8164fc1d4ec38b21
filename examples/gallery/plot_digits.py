"""
Digits by class and guidance
============================

The network that comes with the package, in 12 calls. Each column is one noise, each row a guidance scale. Guidance
makes a digit clearer, and the digits of a class more alike.
"""

import matplotlib.pyplot as plt

import multisched as ms
from multisched import digits

SCALES = (0.0, 1.0, 2.0, 4.0, 8.0)
net, noise = digits.load("numpy"), ms.noise.normal((10, 1, 8, 8), rng=3)

figure, axes = plt.subplots(len(SCALES), 10, figsize=(8, 4.2), layout="constrained")
for row, scale in zip(axes, SCALES, strict=True):
    plan = ms.sampler("auto", like=digits.RECIPE, calls=12, guidance=scale).plan(12)
    images = ms.sample(digits.guided(net, list(range(10)), scale), plan, noise)
    for axis, image in zip(row, images, strict=True):
        axis.imshow(image[0], cmap="gray_r", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
    words = "no class" if scale == 0 else f"scale {scale:g}"
    row[0].set_ylabel(words, rotation=0, ha="right", va="center")
for digit, axis in enumerate(axes[0]):
    axis.set_title(digit)
plt.show()
