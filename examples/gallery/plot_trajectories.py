"""
An ODE and an SDE
=================

From noise at the left to two bumps at the right, by the probability flow and by an ancestral sampler. Both draw from
one law. The flow carries each noise along a smooth line; the ancestral sampler throws most of it away on its way.
"""

import matplotlib.pyplot as plt
import numpy as np

import multisched as ms

data = ms.analysis.Mixture(means=[[-1.0], [0.8]], stds=[0.12, 0.2], weights=[0.4, 0.6])
figure, axes = plt.subplots(1, 2, figsize=(8.5, 4), sharey=True, layout="constrained")
noise = ms.noise.normal((500, 1), rng=1)
for axis, name in zip(axes, ("heun", "euler_ancestral"), strict=True):
    recipe = ms.sampler(name, like=ms.FlowMatchEuler(), spacing="simple")
    plan, model = recipe.plan(60), ms.analysis.model_of(recipe, data)
    points = [noise[:14, 0]]
    ms.sample(model, plan, noise[:14], rng=1, callback=lambda row, state, x0, to=points: to.append(state.sample[:, 0]))
    kept = [0, *(row + 1 for row, stage in enumerate(plan.stages) if row + 1 == len(plan) or plan.stages[row + 1] == 0)]
    axis.plot(1 - plan.sigmas, np.array(points)[kept], lw=1, color="steelblue", alpha=0.8)
    quick = ms.sampler(name, like=ms.FlowMatchEuler(), spacing="simple").plan(20)
    end = ms.sample(model, quick, noise, rng=2)[:, 0]
    counts, edges = np.histogram(end, bins=45, range=(-1.8, 1.8), density=True)
    axis.fill_betweenx((edges[1:] + edges[:-1]) / 2, 1.02, 1.02 + 0.12 * counts, color="crimson", alpha=0.7, lw=0)
    axis.set(title=name, xlabel="1 - sigma", xlim=(0, 1.27), ylim=(-2.6, 2.6))
    axis.set_xticks([0, 0.5, 1], ["0, noise", "0.5", "1, data"])
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("sample")
plt.show()
