"""
One seed on every library
=========================

The same seed gives the same digits on NumPy, PyTorch, JAX and MLX, and to each digit what it would get alone: the noise
is equal bit for bit, the pictures up to the rounding of the network's sums. Those not installed are left out.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms
from multisched import digits

CLASSES, source = [3, 1, 4, 1, 5, 9, 2, 6], ms.noise.HostNoise(4)
plan = ms.sampler("auto", like=digits.RECIPE, calls=10, guidance=2.0).plan(10)


def draw(name, numbers):
    """Some of the eight digits, on a library."""
    backend, loop = ms.backends.get(name), "scan" if name == "jax" else "auto"  # one graph there
    noise = ms.noise.normal((len(numbers), 1, 8, 8), rng=ms.noise.Select(source, numbers), backend=name)
    model = digits.guided(digits.load(name), [CLASSES[number] for number in numbers], 2.0)
    return backend.to_numpy(ms.sample(model, plan, noise, loop=loop))


found = [one.name for one in ms.backends.available().values() if not one.reason]
drawn = {name: draw(name, range(8)) for name in ("numpy", "torch", "jax", "mlx") if name in found}
drawn["one by one"] = np.concatenate([draw("numpy", [number]) for number in range(8)])
figure, axes = plt.subplots(len(drawn), 8, figsize=(7.5, 1.05 * len(drawn)), layout="constrained")
for row, (name, images) in zip(axes, drawn.items(), strict=True):
    for axis, image in zip(row, images, strict=True):
        axis.imshow(image[0], cmap="gray_r", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
    words = name if name == "numpy" else f"{name}\napart by {np.abs(images - drawn['numpy']).max():.0e}"
    row[0].set_ylabel(words, rotation=0, ha="right", va="center")
plt.show()
