"""
A scheduler is a table
======================

The weights of DPM-Solver++ (2M) over ten steps: per model call, the next sample is a sum of the sample, the model's
output and the last estimate of x0. The whole scheduler is in this picture.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms

plan = ms.sampler("dpmpp_2m", like=ms.FlowMatchEuler(shift=3.0), spacing="simple").plan(10)
weights = plan.folded.weights[:, 0, :]  # of the new sample, a row for each model call
names = [*plan.tableau.registers, "output"]
most = np.abs(weights).max()

figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
axes.imshow(weights, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
for (row, column), value in np.ndenumerate(weights):
    colour = "white" if abs(value) > 0.6 * most else "black"
    axes.text(column, row, f"{value:+.3f}", ha="center", va="center", color=colour)
axes.set_xticks(range(len(names)), names)
axes.set_yticks(range(len(plan)), [f"t = {t:.0f}" for t in plan.timesteps])
axes.xaxis.tick_top()
axes.set_title("The next sample is the sum of", pad=26)
axes.tick_params(length=0)
plt.show()
