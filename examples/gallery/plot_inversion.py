"""
Inversion
=========

Digits are taken back to the noise that they come from, and drawn again. By Heun's method they come back up to its
error; exact inversion brings them back to the last bit, even from few steps.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms
from multisched import digits, editing

model = digits.guided(digits.load("numpy"), [0, 1, 2, 3, 4, 5, 6, 7], 1.0)
image = ms.sample(model, digits.RECIPE.plan(20), ms.noise.normal((8, 1, 8, 8), rng=0))


def there_and_back(solver, n):
    """The noise of the digits, and the digits of that noise."""
    plan = ms.Scheduler(ms.paths.Straight(), "simple", "flow_prediction", solver).plan(n)
    if isinstance(solver, ms.solvers.BDIA):
        pair = editing.exact_invert(model, plan, image)
        return pair.sample, editing.exact_sample(model, plan, pair).sample
    noise = editing.invert(model, plan, image)
    return noise, ms.sample(model, plan, noise)


figure, axes = plt.subplots(5, 8, figsize=(8, 5), layout="constrained")
shown = {"digits": image}
for name, solver in {"Heun": ms.solvers.Heun(), "BDIA": ms.solvers.BDIA(0.9)}.items():
    noise, back = there_and_back(solver, 6)
    shown |= {f"noise, {name}": noise, f"back by {name},\napart {np.abs(back - image).max():.0e}": back}
for row, (words, images) in zip(axes, shown.items(), strict=True):
    for axis, one in zip(row, images, strict=True):
        axis.imshow(one[0], cmap="gray_r", vmin=-2, vmax=2) if "noise" in words else axis.imshow(one[0], cmap="gray_r")
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(words, rotation=0, ha="right", va="center")
plt.show()
