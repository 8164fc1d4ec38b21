"""
Spacings on one axis
====================

Where 12 steps stand, by the name of the spacing, for the model of Stable Diffusion. The axis is the signal-to-noise
ratio in decibels, on which all paths can be compared: pure noise is at the left, the clean sample at the right.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms

NAMES = ("normal", "sgm_uniform", "simple", "beta", "karras", "exponential", "kl_optimal", "align_your_steps")

figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
for row, name in enumerate((*NAMES, "auto")):
    recipe = ms.sampler("auto", calls=12) if name == "auto" else ms.sampler("euler", spacing=name)
    plan = recipe.plan(12)
    decibels = 20 * np.log10(plan.alphas[:-1] / plan.sigmas[:-1])
    colour = "crimson" if name == "auto" else "steelblue"
    axes.hlines(row, decibels[0], decibels[-1], color="0.85", lw=4)
    axes.plot(decibels, np.full(12, row), "|", ms=13, mew=2, color=colour)
axes.set_yticks(range(len(NAMES) + 1), [*NAMES, '"auto"'])
axes.invert_yaxis()
axes.set(
    xlabel="signal to noise, dB", title="Twelve steps of Stable Diffusion; the last step leads to the clean sample"
)
axes.grid(axis="x", color="0.92")
axes.spines[["top", "right", "left"]].set_visible(False)
axes.tick_params(left=False)
plt.show()
