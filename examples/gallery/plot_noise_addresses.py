"""
Noise has an address
====================

A noise source has no state. It answers for (seed, sample, step, draw), so sample 2 of a batch of eight is the sample
that it would be alone. Left: a batch. Right: the same samples, each asked for by itself, in another order.
"""

import matplotlib.pyplot as plt

import multisched as ms

source = ms.noise.HostNoise(7)
batch = ms.noise.normal((8, 16, 16), rng=source)
order = [5, 2, 7, 0]
alone = ms.noise.normal((4, 16, 16), rng=ms.noise.Select(source, order))

figure, axes = plt.subplots(2, 8, figsize=(8, 2.5), layout="constrained")
for number, axis in enumerate(axes[0]):
    axis.imshow(batch[number], cmap="PuOr", vmin=-3, vmax=3)
    axis.set_title(f"sample {number}", fontsize=9)
for place, (axis, number) in enumerate(zip(axes[1], order, strict=False)):
    axis.imshow(alone[place], cmap="PuOr", vmin=-3, vmax=3)
    same = "equal" if (alone[place] == batch[number]).all() else "different"
    axis.set_xlabel(f"sample {number}\n{same}", fontsize=9)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
for axis in axes[1, 4:]:
    axis.set_axis_off()
axes[0, 0].set_ylabel("a batch", rotation=0, ha="right", va="center")
axes[1, 0].set_ylabel("alone", rotation=0, ha="right", va="center")
plt.show()
