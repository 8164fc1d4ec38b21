"""Log-densities by the probability flow, against Gaussians whose flow is known."""

import contextlib
import math

import numpy as np
import pytest

import multisched as ms

MEAN, STD = 0.5, 0.3
GAUSSIAN = ms.analysis.Gaussian(MEAN, STD)
RECIPES = {
    "flow": (ms.FlowMatchEuler(), 16),
    "edm": (ms.EDMEuler(), 30),
    "trig": (ms.SCM(), 20),
    "vp": (ms.Scheduler(ms.paths.LinearVP(), "karras", "epsilon", ms.solvers.Euler()), 30),
}
X = MEAN + STD * np.random.default_rng(0).standard_normal((2, 3))


@pytest.fixture
def wide(backend, device, has_float64):
    """make(values): float64 where the library computes in it, which JAX does when asked."""
    precise = has_float64 and backend.name != "mlx"  # whose functions of float64 are those of float32
    mode = contextlib.nullcontext()
    if backend.name == "jax":
        jax = pytest.importorskip("jax")
        place = jax if hasattr(jax, "enable_x64") else jax.experimental  # where it was before JAX 0.8
        mode, precise = place.enable_x64(True), True
    with mode:
        yield lambda values: backend.asarray(np.asarray(values), "float64" if precise else "float32", device), precise


def _wanted(plan, x):
    """(log-density, noise) of the Gaussian's own flow, from the law of the starting noise."""
    (alpha, *_, end), (sigma, *_, last) = plan.alphas, plan.sigmas
    stretch = math.sqrt((alpha**2 * STD**2 + sigma**2) / (end**2 * STD**2 + last**2))
    scale = plan.grid.init_noise_sigma
    z = (alpha * MEAN + (x - end * MEAN) * stretch) / scale
    each = -0.5 * z**2 - 0.5 * math.log(2 * math.pi) + math.log(stretch / scale)
    return each.sum(axis=1), z


@pytest.mark.parametrize("name", RECIPES)
def test_of_a_gaussian(name, wide, backend):
    recipe, n = RECIPES[name]
    plan, (make, precise) = recipe.plan(n), wide
    model = ms.analysis.model_of(recipe, GAUSSIAN)
    derivative = "own" if backend.name in ("torch", "jax", "mlx") else "differences"
    if derivative == "differences" and not precise:
        return
    found = ms.log_likelihood(model, plan, make(X), trace="exact", derivative=derivative)
    wanted, noise = _wanted(plan, X)
    np.testing.assert_allclose(backend.to_numpy(found.log_prob), wanted, atol=1e-5 if precise else 3e-4)
    np.testing.assert_allclose(backend.to_numpy(found.noise), noise, atol=1e-5 if precise else 3e-4)


def test_the_linear_models_trace_is_exact_by_any_signs(wide, backend):
    """The derivative is diagonal: signs squared are 1. And by the divergence in closed form."""
    recipe, (make, precise) = RECIPES["flow"][0], wide
    plan = recipe.plan(8)
    model = ms.analysis.model_of(recipe, GAUSSIAN)
    if not precise:
        return
    derivative = "own" if backend.name in ("torch", "jax") else "differences"
    exact = ms.log_likelihood(model, plan, make(X), trace="exact", derivative=derivative)
    signed = ms.log_likelihood(model, plan, make(X), rng=3, probes=2, derivative=derivative)
    np.testing.assert_allclose(backend.to_numpy(signed.log_prob), backend.to_numpy(exact.log_prob), atol=1e-8)

    def divergence(x, t):
        sigma = t / 1000
        slope = (sigma - (1 - sigma) * STD**2) / ((1 - sigma) ** 2 * STD**2 + sigma**2)
        return backend.xp.sum(0.0 * x + slope, axis=1)

    given = ms.log_likelihood(model, plan, make(X), divergence=divergence)
    np.testing.assert_allclose(backend.to_numpy(given.log_prob), backend.to_numpy(exact.log_prob), atol=1e-7)


def test_random_signs_are_right_on_average(wide, backend):
    """For a model whose derivative is not diagonal."""
    if backend.name != "torch":
        return  # the same arithmetic everywhere, and the slowest test
    make, _ = wide
    mix = make(np.array([[0.5, 0.4, 0.0], [-0.3, 0.2, 0.6], [0.1, 0.5, -0.4]]))
    plan = ms.FlowMatchEuler().plan(3)
    exact = ms.log_likelihood(lambda x, t: x @ mix, plan, make(X), trace="exact")
    signed = ms.log_likelihood(lambda x, t: x @ mix, plan, make(X), probes=400, rng=1)
    np.testing.assert_allclose(backend.to_numpy(signed.log_prob), backend.to_numpy(exact.log_prob), atol=0.1)


def test_what_is_refused(make, backend):
    x, flow = make(X), ms.FlowMatchEuler().plan(2)
    calls = [
        (lambda: ms.log_likelihood(lambda x, t: x, ms.FlowMatchEuler(), x), "follows a plan"),
        (lambda: ms.log_likelihood(lambda x, t: x, ms.DDIM().plan(2), x), "clip_sample=False"),
        (lambda: ms.log_likelihood(lambda x, t: x, flow, x, trace="full"), "trace must be one of"),
        (lambda: ms.log_likelihood(lambda x, t: x, flow, x, derivative="auto"), "derivative must be one of"),
        (lambda: ms.log_likelihood(lambda x, t: x, flow, x[:, 0]), "a likelihood is of samples"),
        (lambda: ms.log_likelihood(lambda x, t: x, flow, x, probes=0), "probes must be at least 1"),
    ]
    if backend.name not in ("torch", "jax", "mlx"):
        calls.append((lambda: ms.log_likelihood(lambda x, t: x, flow, x), "has no derivatives of its own"))
    for call, message in calls:
        with pytest.raises(ms.ScheduleError, match=message):
            call()
