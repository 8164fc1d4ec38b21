"""Train a flow, step by step: times from a density, noised samples, targets, weights; then sample from it.

    python examples/training.py          # NumPy; or torch, jax, mlx

The network is a polynomial, so that least squares train it on every library; with one of yours, the loop is the same
and the last line of it a step of your optimiser.
"""

import sys

import numpy as np

import multisched as ms

backend = ms.backends.get(sys.argv[1] if len(sys.argv) > 1 else "numpy")
xp, recipe = backend.xp, ms.FlowMatchEuler()
density = ms.training.LogitNormal().shifted(ms.training.resolution_shift(16, 4))
weight = ms.training.MinSNR(gamma=5.0)


def features(x, t):
    """Polynomials of the time, and their products with the sample: (..., 10)."""
    share = t / 1000 + 0.0 * x
    powers = [share**k for k in range(5)]
    return xp.stack([one for power in powers for one in (power, power * x)], axis=-1)


left, right = np.zeros((10, 10)), np.zeros(10)
for step in range(20):
    x0 = 0.5 + 0.3 * ms.noise.normal((256, 4), rng=(2 * step) * 1000 + 1, backend=backend)  # your data
    noise = ms.noise.normal((256, 4), rng=(2 * step + 1) * 1000 + 1, backend=backend)
    t = density.timesteps(recipe, (256,), rng=0, step=step, spread="low_discrepancy", backend=backend)
    x, target = recipe.add_noise(x0, noise, t), recipe.target(x0, noise, t)
    w = weight(recipe, backend.to_numpy(t).astype(float))  # of a loss mean(w * (output - target)^2)
    phi = backend.to_numpy(features(x, xp.reshape(t, (-1, 1)))).reshape(256, 4, 10).astype(float)
    left += np.einsum("b,bei,bej->ij", w, phi, phi)
    right += np.einsum("b,bei,be->i", w, phi, backend.to_numpy(target).astype(float))
theta = backend.asarray(np.linalg.solve(left + 1e-9 * np.eye(10), right), "float32")


def model(x, t):
    """The trained network."""
    return xp.sum(features(x, t) * theta, axis=-1)


plan = recipe.plan(20)
drawn = backend.to_numpy(ms.sample(model, plan, ms.noise.normal((500, 4), rng=7, backend=backend)))
print(f"{backend.name}: data 0.5 +- 0.3, samples {drawn.mean():.1f} +- {drawn.std():.1f}")
likelihood = ms.log_likelihood(model, plan, x0[:4, ...], probes=1, derivative="differences")
print("log-density of four data:", ", ".join(f"{one:.1f}" for one in backend.to_numpy(likelihood.log_prob)))
