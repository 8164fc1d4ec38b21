"""Adams methods written out as loops on plain arrays, on every path: along the angle, and in sigma / alpha."""

import math

import numpy as np
import pytest

import multisched as ms
from multisched.solvers import Adams, AngleAdams
from multisched.spacings import SoftLog

# A path, a prediction, and the latter's weights (a, b) in output = a * x0 + b * noise at (alpha, sigma).
PATHS = {
    "vp": (ms.paths.Discrete(), "epsilon", lambda alpha, sigma: (0, 1)),
    "ve": (ms.paths.Discrete(space="ve"), "sample", lambda alpha, sigma: (1, 0)),
    "zero-snr": (ms.paths.Discrete(terminal_alpha_bar=0.0), "v_prediction", lambda alpha, sigma: (-sigma, alpha)),
    "edm": (ms.paths.VarianceExploding(sigma_data=None), "epsilon", lambda alpha, sigma: (0, 1)),
    "flow": (ms.paths.Straight(), "flow_prediction", lambda alpha, sigma: (-1, 1)),
}
each_path = pytest.mark.parametrize("name", PATHS)
SHAPE, STEPS = (2, 3), 7
BASHFORTH = {2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12), 4: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}


def _outputs(backend, make, name, solver, spacing, steps=STEPS):
    """The plan of a run, its first sample, the outputs given to it and the last sample, in float64."""
    path, prediction, _ = PATHS[name]
    plan = ms.Scheduler(path, spacing, prediction, solver).plan(steps)
    normals = np.random.default_rng(3).standard_normal((1 + steps, *SHAPE)).astype(np.float32)
    state = plan.start(make(normals[0]))
    first = backend.to_numpy(state.sample).astype(np.float64)
    for output in normals[1:]:
        state = plan.step(state, make(output))
    return plan, first, normals[1:].astype(np.float64), backend.to_numpy(state.sample)


def _said(name, alpha, sigma, x, output):
    """(x0, noise) by the two equations in two unknowns."""
    a, b = PATHS[name][2](alpha, sigma) if name != "ve" else (1, 0)
    known = np.stack([x.ravel(), output.ravel()])
    return np.linalg.solve([[alpha, sigma], [a, b]], known).reshape(2, *x.shape)


def _integral(nodes, values, start, end, far):
    """The integral over theta of the polynomial in log(k / (1 + k / far)) through values, by Simpson's rule."""
    theta = np.linspace(start, end, 4001)
    k = np.tan(np.clip(theta, 1e-12, math.pi / 2 - 1e-6))
    place = np.log(k / (1 + k / far))
    known = np.tan(np.clip(nodes, 1e-12, math.pi / 2 - 1e-6))
    known = np.log(known / (1 + known / far))
    total = 0.0
    for j, value in enumerate(values):
        basis = np.ones_like(place)
        for m in range(len(values)):
            if m != j:
                basis = basis * (place - known[m]) / (known[j] - known[m])
        simpson = basis[0] + basis[-1] + 4 * basis[1:-1:2].sum() + 2 * basis[2:-1:2].sum()
        total = total + simpson * (end - start) / 12000 * value
    return total


def _along_the_angle(name, plan, x, outputs, damping, reach, far):
    """Predictor (3, -1) / 2 and a corrector through three values, as in the module's formulas, at d = 1."""
    alpha, sigma = plan.alphas, plan.sigmas
    theta, m = np.arctan2(sigma, alpha), np.hypot(sigma, alpha)
    slopes, before = [], None
    for i, output in enumerate(outputs):
        x0, _ = _said(name, alpha[i], sigma[i], x, output)
        slopes.insert(0, (m[i] * x0 - alpha[i] / m[i] * x) / sigma[i])
        if i:
            used = min(i + 1, 3)
            moved = _integral(theta[i::-1][:used], slopes[:used], theta[i - 1], theta[i], far)
            k = [np.arctan2(sigma[j], reach * alpha[j]) for j in (i - 1, i)]
            x = x + (m[i] * (before / m[i - 1] - moved) - x) / (1 + damping * np.log(k[0] / k[1]) ** 2)
        before, h = x, theta[i + 1] - theta[i]
        even = i > 0 and sigma[i + 1] > 0
        x = m[i + 1] * (x / m[i] - h * (1.5 * slopes[0] - 0.5 * slopes[1] if even else slopes[0]))
    return x


@each_path
@pytest.mark.parametrize(("damping", "reach", "far"), [(0.0, 15.0, 50.0), (2.0, 1.0, 50.0), (0.25, 15.0, 1e3)])
def test_the_step_along_the_angle_is_its_formula(name, damping, reach, far, backend, make):
    solver = AngleAdams(damping=damping, reach=reach, far=far)
    plan, first, outputs, found = _outputs(backend, make, name, solver, SoftLog(bottom=0.03))
    wanted = _along_the_angle(name, plan, first, outputs, damping, reach, far)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.host
def test_the_last_step_takes_x0_where_it_is_clean():
    plan = ms.Scheduler(ms.paths.Discrete(), "karras", "sample", AngleAdams(clean=True)).plan(5)
    last = plan.folded.weights[-1, 0]
    assert np.flatnonzero(last).tolist() == [len(plan.folded.registers)] and last.sum() == 1


@pytest.mark.host
@pytest.mark.parametrize("data", [1e-4, 1e4])
def test_far_from_the_datas_deviation_it_is_the_data_or_the_noise_form(data):
    """Of exponential Adams methods, whose polynomial is in lam too: d to 0 and d to infinity."""
    path, spacing = ms.paths.Discrete(), SoftLog(bottom=0.1)
    options = {"predictor": 2, "corrector": 3}
    ours = AngleAdams(data=data, even=False, damping=0.0, **options)
    theirs = ms.solvers.ExponentialAdams(data=data < 1, **options)
    found, wanted = (
        ms.Scheduler(path, spacing | ms.spacings.End(0.05), "epsilon", one).plan(6) for one in (ours, theirs)
    )
    rng = np.random.default_rng(0)
    outputs, x = rng.standard_normal((6, 4)), rng.standard_normal(4)
    ends = []
    for plan in (found, wanted):
        state = plan.start(x)
        for output in outputs:
            state = plan.step(state, output)
        ends.append(state.sample)
    np.testing.assert_allclose(*ends, rtol=2e-3, atol=2e-3)


@pytest.mark.host
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"predictor": 5}, "predictor must be in 1..4; given 5"),
        ({"corrector": -1}, "corrector must be in 0..5; given -1"),
        ({"data": 0.0}, "data must be a positive number"),
        ({"far": 0.0}, "far must be a number above 0, or inf; given 0.0"),
        ({"damping": -1.0}, "damping must be a number >= 0"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ms.ScheduleError, match=message):
        AngleAdams(**options)


SPACINGS = {
    "soft": SoftLog(bottom=0.03),
    "trailing": "trailing",
    "karras": ms.spacings.Trained() | ms.spacings.RespaceRatios("karras", 10.0, 0.05),
}


@each_path
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_constant_weights_go_along_every_path(name, spacing, most, backend, make):
    """iPNDM's loop in x / alpha and k = sigma / alpha; a step from pure noise is Euler's."""
    plan, x, outputs, found = _outputs(backend, make, name, Adams("even", "euler", most), SPACINGS[spacing])
    alpha, sigma, noises = plan.alphas, plan.sigmas, []
    for i, output in enumerate(outputs):
        x0, noise = _said(name, alpha[i], sigma[i], x, output)
        noises.insert(0, noise)
        weights = BASHFORTH.get(min(i + 1, most), (1.0,))
        mean = sum(weight * one for weight, one in zip(weights, noises, strict=False))
        if alpha[i] == 0:
            x = alpha[i + 1] * x0 + sigma[i + 1] * mean
        else:
            x = alpha[i + 1] * (x / alpha[i] + (sigma[i + 1] / alpha[i + 1] - sigma[i] / alpha[i]) * mean)
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-4 * np.abs(x).max())
