"""
Order of convergence
====================

Twice the steps, and the error of a method of order p falls by 2^p. Here between two levels above zero, on an exact
model, in float64. :doc:`The page of orders <../orders>` has the figures of all solvers.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms
from multisched.solvers import DPMMultistep, DPMSinglestep, Euler, RungeKutta

data = ms.analysis.Mixture(means=[[-1.2], [0.3], [1.0]], stds=[0.5, 0.35, 0.4])
noise = np.linspace(-1.5, 1.5, 7)[:, None] * 0.7
STEPS, ROWS = (6, 12, 24, 48, 96), {"Euler": Euler(), "DPM++ 2M": DPMMultistep(lower_order_final=False)}
ROWS |= {"DPM++ 3S": DPMSinglestep(3), "Runge and Kutta": RungeKutta()}


def end(solver, n):
    """Where the flow leads, on levels that are even in the logarithm of sigma / alpha."""
    recipe = ms.Scheduler(ms.paths.Straight(), "normal", "flow_prediction", solver)
    point = recipe.path.point(np.geomspace(7 / 3, 3 / 7, n + 1))
    plan = recipe.plan_over(ms.Grid(point.timestep, point.alpha, point.sigma))
    return ms.sample(ms.analysis.model_of(recipe, data), plan, noise)


exact = end(RungeKutta(), 800)
figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
for marker, (name, solver) in zip("os^D", ROWS.items(), strict=True):
    errors = [np.abs(end(solver, n) - exact).max() for n in STEPS]
    slope = np.log2(errors[-2] / errors[-1])
    axes.loglog(STEPS, errors, marker=marker, label=f"{name}: order {solver.order}, measured {slope:.2f}")
axes.set_xticks(STEPS, STEPS)
axes.minorticks_off()
axes.set(xlabel="steps", ylabel="largest error", title="From sigma = 0.7 to 0.3 on the straight path")
axes.grid(color="0.9")
axes.legend(frameon=False)
plt.show()
