"""
Where the steps stand
=====================

Ten steps of one model on four spacings, by the noise-to-signal ratio of each.
"""

import matplotlib.pyplot as plt

import multisched as ms

recipe = ms.DPMSolverMultistep()
figure, axes = plt.subplots()
for name in ("uniform", "karras", "exponential", "beta"):
    plan = recipe.plan(10, spacing=None if name == "uniform" else name)
    axes.semilogy(plan.sigmas[:-1] / plan.alphas[:-1], marker="o", label=name)
axes.set(xlabel="step", ylabel="sigma / alpha")
axes.legend()
