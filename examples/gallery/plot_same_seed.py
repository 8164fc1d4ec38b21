"""
One seed on every library
=========================

The same seed gives the same digits on NumPy, PyTorch, JAX and MLX: the noise is equal bit for bit, the pictures up to
the rounding of the network's sums. Libraries that are not installed here are left out.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms
from multisched import digits

recipe = ms.sampler("auto", like=digits.RECIPE, calls=10, guidance=2.0)
found = ms.backends.available().values()
names = [one.name for one in found if one.name in ("numpy", "torch", "jax", "mlx") and not one.reason]
drawn = {}
for name in names:
    backend, loop = ms.backends.get(name), "scan" if name == "jax" else "auto"  # one graph there
    noise = ms.noise.normal((8, 1, 8, 8), rng=4, backend=name)
    model = digits.guided(digits.load(name), [3, 1, 4, 1, 5, 9, 2, 6], 2.0)
    drawn[name] = backend.to_numpy(ms.sample(model, recipe.plan(10), noise, loop=loop))

figure, axes = plt.subplots(len(names), 8, figsize=(7.5, 1.05 * len(names)), squeeze=False, layout="constrained")
for row, (name, images) in zip(axes, drawn.items(), strict=True):
    apart = np.abs(images - drawn[names[0]]).max()
    for axis, image in zip(row, images, strict=True):
        axis.imshow(image[0], cmap="gray_r", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
    words = name if name == names[0] else f"{name}\napart by {apart:.0e}"
    row[0].set_ylabel(words, rotation=0, ha="right", va="center")
plt.show()
