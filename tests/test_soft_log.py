"""The spacing that is even in log((k + low) / (1 + k / high)), on every path."""

import math

import numpy as np
import pytest

import multisched as ms
from multisched.spacings import Asked, SoftLog, levels

PATHS = {
    "discrete": ms.paths.Discrete(),
    "discrete-ve": ms.paths.Discrete(space="ve"),
    "zero-snr": ms.paths.Discrete(terminal_alpha_bar=0.0),
    "exploding": ms.paths.VarianceExploding(),
    "straight": ms.paths.Straight(),
    "inverted": ms.paths.Straight(inverted=True),
    "cosine": ms.paths.Cosine(),
}
PURE = ("zero-snr", "straight", "inverted")
each_path = pytest.mark.parametrize("name", PATHS)
pytestmark = pytest.mark.host


def _ratios(path, n, spacing):
    grid = spacing.grid(path, Asked(n))
    assert len(grid) == n and (grid.alphas[-1], grid.sigmas[-1]) == path.clean
    with np.errstate(divide="ignore"):
        return grid.sigmas[:-1] / grid.alphas[:-1]


def _place(k, low, high):
    """s by its own formula, in terms of 1 / k where k is large."""
    k = np.asarray(k)
    small = np.log((np.minimum(k, 1e3) + low) / (1 + np.minimum(k, 1e3) / high))
    large = np.log((1 + low / np.maximum(k, 1e-9)) / (1 / np.maximum(k, 1e-9) + 1 / high))
    return np.where(k < 1e3, small, large)


@each_path
@pytest.mark.parametrize(("low", "high"), [(0.1, 3.0), (0.03, 10.0), (0.0, 2.0)])
def test_levels_are_even_where_it_says(name, low, high):
    path = PATHS[name]
    found = _ratios(path, 9, SoftLog(low, high, 0.05))
    gaps = np.diff(_place(found, low, high))
    np.testing.assert_allclose(gaps, gaps.mean(), rtol=1e-7)
    assert found[-1] == pytest.approx(0.05, rel=1e-9)


@each_path
def test_runs_begin_at_the_noisiest_level(name):
    """At pure noise, alpha = 0 exactly, where the path has it."""
    path, grid = PATHS[name], SoftLog().grid(PATHS[name], Asked(6))
    point = path.at(np.array(path.ends[0]))
    assert (grid.alphas[0], grid.sigmas[0]) == (float(point.alpha), float(point.sigma))
    assert (grid.alphas[0] == 0) == (name in PURE)
    assert np.all(np.diff(grid.sigmas) < 0)


def test_three_levels_in_closed_form():
    """From pure noise s falls from log 4 to log((0.2 + 0.1) / 1.05), and half way between e^s is the geometric mean."""
    found = _ratios(ms.paths.Straight(), 3, SoftLog(0.1, 4.0, 0.2))
    middle = math.sqrt(4.0 * 0.3 / 1.05)
    np.testing.assert_allclose(found, [math.inf, (middle - 0.1) / (1 - middle / 4), 0.2], rtol=1e-12)


@pytest.mark.parametrize("name", ["discrete", "exploding"])
def test_without_ends_it_is_the_exponential_spacing(name):
    path = PATHS[name]
    top, bottom = path.ends
    found = _ratios(path, 12, SoftLog(0.0, math.inf, bottom))
    np.testing.assert_allclose(found, levels.exponential(top, bottom, 12), rtol=1e-9)


def test_between_its_ends_it_is_even_in_k_and_in_its_inverse():
    low, high = levels.soft_log(1e-3, 1e-4, 5, 100.0, 1e9), levels.soft_log(math.inf, 1e4, 5, 0.0, 1e-3)
    np.testing.assert_allclose(np.diff(low), -2.25e-4, rtol=1e-4)
    np.testing.assert_allclose(1 / high, np.linspace(0, 1e-4, 5), rtol=1e-3)


@each_path
def test_the_bottom_falls_with_the_steps_and_stays_trained(name):
    path = PATHS[name]
    least = path.at(np.array(path.ends[1]))
    least = max(float(least.sigma / least.alpha), 2 * path.clean[1] / path.clean[0])  # the cosine path ends at 0.01
    for n in (2, 5, 10, 50, 400):
        assert _ratios(path, n, SoftLog())[-1] == pytest.approx(max(0.8 * n**-1.43, least), rel=1e-6)


@each_path
def test_one_step_begins_at_the_top(name):
    assert _ratios(PATHS[name], 1, SoftLog())[0] == _ratios(PATHS[name], 2, SoftLog())[0]


@each_path
def test_a_top_of_its_own(name):
    assert _ratios(PATHS[name], 5, SoftLog(top=7.0))[0] == pytest.approx(7.0, rel=1e-12)


@pytest.mark.parametrize("recipe", [ms.DDIM(), ms.EDMEuler(), ms.FlowMatchHeun(shift=3.0), ms.UniPCMultistep()])
def test_any_recipe_takes_it(recipe):
    plan = recipe.plan(7, spacing=SoftLog())
    assert np.all(np.diff(plan.sigmas) < 0) and plan.sigmas[-1] == 0 and np.all(np.isfinite(plan.folded.weights))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"low": -1.0}, "low must be a number >= 0; given -1"),
        ({"high": 0.0}, "high must be a number above 0, or inf; given 0.0"),
        ({"low": 4.0}, "low must be below high; given 4 and 3"),
        ({"top": -2.0}, "top must be a number above 0"),
        ({"bottom": 0.0}, "bottom must be a positive number"),
        ({"bottom": 2.0, "top": 1.0}, "bottom must be below top; given 2 and 1"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ms.ScheduleError, match=message):
        SoftLog(**options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("discrete", {"top": 200.0}, "top must be at most 157"),
        ("exploding", {"top": math.inf}, "top must be at most 80"),
        ("straight", {"high": math.inf}, "begins at pure noise, which high=inf never reaches"),
        ("exploding", {"bottom": 90.0}, "bottom must be below 80"),
    ],
)
def test_a_spacing_that_does_not_fit_the_path(name, options, message):
    with pytest.raises(ms.ScheduleError, match=message):
        ms.Scheduler(PATHS[name], SoftLog(**options), "sample", ms.solvers.Euler())
    with pytest.raises(ms.ScheduleError, match=message):
        SoftLog(**options).grid(PATHS[name], Asked(5))
