"""Targets of mean flows and consistency models, against flows that are known."""

import math

import numpy as np
import pytest

import multisched as ms
from multisched.training import consistency_steps, mean_flow_target, pseudo_huber, scm_target

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, in its first forward derivative

DERIVED = ("torch", "jax", "mlx")
T, R = np.array([0.9, 0.5, 0.3]), np.array([0.2, 0.5, 0.05])
Z = np.random.default_rng(0).standard_normal((3, 4))
STD = 0.6


def _spread(xp, t):
    return xp.sqrt((1 - t) ** 2 * STD**2 + t**2)


def test_a_mean_flow_that_is_right_is_its_own_target(make, backend):
    """u of Gaussian data in closed form, along the flow's own velocity; with r = t the target is the velocity."""
    if backend.name not in DERIVED:
        return
    xp = backend.xp

    def model(z, r, t):
        gap = xp.where(t == r, xp.ones_like(t), t - r)
        mean = xp.where(
            t == r, (t - (1 - t) * STD**2) / _spread(xp, t) ** 2, (1 - _spread(xp, r) / _spread(xp, t)) / gap
        )
        return z * mean[:, None]

    slope = (T - (1 - T) * STD**2) / _spread(np, T) ** 2
    found = mean_flow_target(model, make(Z), make(Z * slope[:, None]), make(T), make(R))
    np.testing.assert_allclose(backend.to_numpy(found.target), backend.to_numpy(found.output), atol=2e-5)
    np.testing.assert_allclose(backend.to_numpy(found.target)[1], (Z * slope[:, None])[1], atol=1e-5)


def test_the_tangent_is_the_derivative_of_the_consistency_function(make, backend):
    if backend.name not in DERIVED:
        return
    xp, data = backend.xp, 0.5
    v = np.random.default_rng(1).standard_normal(Z.shape)

    def formula(xp, x, t):
        return xp.sin(1.3 * x + t[:, None]) * t[:, None]

    def f(x, t):
        return np.cos(t)[:, None] * x - np.sin(t)[:, None] * data * formula(np, x / data, t)

    h = 1e-5
    slope = (f(Z + h * v, T + h) - f(Z - h * v, T - h)) / (2 * h)
    wanted = np.cos(T)[:, None] * slope
    arrays = (lambda x, t: formula(xp, x, t), make(Z), make(v), make(T))
    found = scm_target(*arrays, sigma_data=data, normalize=None)
    np.testing.assert_allclose(backend.to_numpy(found.target) - backend.to_numpy(found.output), wanted, atol=2e-5)
    found = scm_target(*arrays, sigma_data=data)
    wanted = wanted / (np.linalg.norm(wanted, axis=1, keepdims=True) + 0.1)
    np.testing.assert_allclose(backend.to_numpy(found.target) - backend.to_numpy(found.output), wanted, atol=2e-5)


def test_pseudo_huber(make, backend):
    other = Z[::-1] * 0.1
    for c in (None, 0.3):
        chosen = 0.00054 * 2 if c is None else c
        wanted = np.sqrt(np.sum((Z - other) ** 2, axis=1) + chosen**2) - chosen
        np.testing.assert_allclose(backend.to_numpy(pseudo_huber(make(Z), make(other), c)), wanted, rtol=1e-5)


@pytest.mark.host
def test_steps_of_consistency_training():
    found = [consistency_steps(k, 400000) for k in (0, 49999, 50000, 350000, 399999)]
    assert found == [11, 11, 21, 1281, 1281]
    assert math.log2((consistency_steps(399999, 400000) - 1) / 10) == 7


def test_what_is_refused(make, backend):
    x, t = make(Z), make(T)
    calls = [
        (lambda: scm_target(lambda x, t: x, x, x, t, sigma_data=0.0), "sigma_data must be a positive number"),
        (lambda: scm_target(lambda x, t: x, x, x, t, warmup=2.0), r"warmup must be in \[0, 1\]"),
        (lambda: mean_flow_target(lambda z, r, t: z, x, t, t, t), "the velocity has shape"),
        (lambda: pseudo_huber(x, x, -1.0), "c must be a positive number"),
        (lambda: consistency_steps(0, 10, 8, 4), "last must be at least first"),
    ]
    if backend.name not in DERIVED:
        calls.append((lambda: mean_flow_target(lambda z, r, t: z, x, x, t, t), "has no derivatives of its own"))
        calls.append((lambda: scm_target(lambda x, t: x, x, x, t), "has no derivatives of its own"))
    for call, message in calls:
        with pytest.raises(ms.ScheduleError, match=message):
            call()
