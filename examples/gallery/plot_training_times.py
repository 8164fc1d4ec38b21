"""
Times to train at
=================

Densities of training times on the straight path, as functions and as draws. A logit-normal density trains the middle
of the path most; a shift moves it towards noise, as large images want it.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms
from multisched.training import Beta, CosMap, LogitNormal, Mode, Uniform

DENSITIES = {
    "Uniform()": Uniform(),
    "LogitNormal()": LogitNormal(),
    "LogitNormal().shifted(3)": LogitNormal().shifted(3.0),
    "Mode()": Mode(),
    "CosMap()": CosMap(),
    "Beta()": Beta(),
}
recipe, t = ms.FlowMatchEuler(), np.linspace(0.005, 0.995, 400)
figure, axes = plt.subplots(2, 3, figsize=(8.5, 4.4), sharex=True, sharey=True, layout="constrained")
for axis, (name, density) in zip(axes.flat, DENSITIES.items(), strict=True):
    drawn = density.timesteps(recipe, (4000,), rng=0) / 1000
    axis.hist(drawn, bins=50, range=(0, 1), density=True, color="0.8")
    axis.plot(t, density.pdf(t), color="crimson")
    axis.set(title=name, ylim=(0, 3.2))
    axis.spines[["top", "right"]].set_visible(False)
for axis in axes[1]:
    axis.set_xlabel("t: 0 is data, 1 is noise")
plt.show()
