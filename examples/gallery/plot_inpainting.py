"""
Inpainting
==========

The left half of a digit is kept, the right half is drawn anew as another class. Blending puts the known part back after
each step; RePaint also goes back to more noise on its way, so that the two halves fit better.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms
from multisched import digits, editing

net, plan = digits.load("numpy"), ms.sampler("euler", like=digits.RECIPE, spacing="simple").plan(20)
noise, other = (ms.noise.normal((8, 1, 8, 8), rng=seed) for seed in (0, 1))
threes, eights = (digits.guided(net, digit, 2.0) for digit in (3, 8))
known = (np.arange(8) >= 4).astype(np.float32)  # 1 is kept

image = ms.sample(threes, plan, noise)
hidden = known * image - (1 - known)
blended = editing.inpaint(eights, plan, other, image, known)
again = editing.repaint(eights, plan, other, image, known, rng=2, jump_length=2, jump_n_sample=4)

rows = {"a 3": image, "what is kept": hidden, "an 8, blended": blended, "an 8, RePaint": again}
figure, axes = plt.subplots(4, 8, figsize=(7.5, 4), layout="constrained")
for row, (words, images) in zip(axes, rows.items(), strict=True):
    for axis, one in zip(row, images, strict=True):
        axis.imshow(one[0], cmap="gray_r", vmin=-1, vmax=1)
        axis.axvline(3.5, color="crimson", lw=1)
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(words, rotation=0, ha="right", va="center")
plt.show()
