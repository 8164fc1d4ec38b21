"""Restart sampling: its algorithm by hand, A1111's schedule, and the law of its samples."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from made import flow, ve, vp
from test_samplers import LIKE

import multisched as ms
from multisched import solvers
from multisched.solvers import Restarted
from multisched.spacings import Asked, End, Even, Restart

PATHS = {
    "sd": (ms.sampler("euler").parts()[:2], "epsilon"),
    "vp": (vp("trailing"), "v_prediction"),
    "edm": (ve(), "edm"),
    "flow": (flow(3.0), "flow_prediction"),
}
INTERVALS = ((0.3, 2.0, 3, 2), (1.5, 4.0, 2, 1))
STD = 0.6  # of the data


def _estimate(x, alpha, sigma):
    return 0.3 + 0.4 * np.tanh(x / (alpha + sigma))


def _run(recipe, plan, first, draws):
    """The sample at the end of a run with a model that is not linear; a draw for each row that needs one."""
    state = plan.start(first)._replace(sample=first)
    draws = iter(draws)
    for row in range(len(plan)):
        scale, alpha, sigma = (float(one[row, 0]) for one in (plan.rows.scale, *plan.rows.here))
        x0 = _estimate(state.sample, alpha, sigma)
        noise = (state.sample - alpha * x0) / sigma
        output = recipe.prediction.target(x0, noise, scale * alpha, scale * sigma)
        state = plan.step(state, output, (next(draws),) if plan.needs_noise(row) else None)
    return state.sample


def _karras(top, bottom, n):
    return [(top ** (1 / 7) + k / n * (bottom ** (1 / 7) - top ** (1 / 7))) ** 7 for k in range(n + 1)]


def _level(path, k):
    """(alpha, sigma) on the paths above."""
    if path == "vp":
        return 1 / math.sqrt(1 + k * k), k / math.sqrt(1 + k * k)
    return (1 / (1 + k), k / (1 + k)) if path == "flow" else (1.0, k)


def _heun(path, x, k, k_next):
    """A step of Heun's method in y = x / alpha for dy/dk = (y - x0) / k; on a flow in x for the velocity."""
    (a, s), (b, t) = _level(path, k), _level(path, k_next)
    x0 = _estimate(x, a, s)
    d = (b - a) * x0 + (t - s) * (x - a * x0) / s
    if t == 0:
        return x + d
    x0 = _estimate(x + d, b, t)
    return x + (d + (b - a) * x0 + (t - s) * (x + d - b * x0) / t) / 2


@pytest.mark.host
@pytest.mark.parametrize("s_noise", [1.0, 0.9])
@pytest.mark.parametrize("path", PATHS)
def test_algorithm_1_by_hand(path, s_noise):
    """The levels of the run, where it has come to an interval's lower end noise, and the way down again, K times."""
    (where, spacing), prediction = PATHS[path]
    calm = ms.Scheduler(where, spacing, prediction, solvers.Heun()).plan(8)
    recipe = ms.Scheduler(where, spacing | Restart(INTERVALS), prediction, Restarted(s_noise=s_noise))
    plan, rng = recipe.plan(8), np.random.default_rng(3)
    first, draws = rng.standard_normal(6) * float(plan.sigmas[0]), rng.standard_normal((3, 6))
    levels = [math.inf if a == 0 else s / a for a, s in zip(calm.alphas, calm.sigmas, strict=True)]
    lows = {1 + int(np.argmin([abs(k - low) for k in levels[1:]])): rest for low, *rest in INTERVALS}
    assert len(lows) == 2
    start = first
    if levels[0] == math.inf:  # pure noise: the first call has alpha = 0
        levels[0] = 1e300
    x, drawn = start, iter(draws)
    share = (lambda k: k / (1 + k)) if path == "flow" else (lambda k: k)
    ratio = (lambda s: s / (1 - s)) if path == "flow" else (lambda s: s)
    for number, (k, k_next) in enumerate(itertools.pairwise(levels), 1):
        x = _heun(path, x, k, k_next)
        if number in lows:
            top, steps, times = lows[number]
            for _ in range(times):
                (a, _), (b, _) = _level(path, k_next), _level(path, top)
                x = b * (x / a + s_noise * math.sqrt(top**2 - k_next**2) * next(drawn))
                way = [ratio(one) for one in _karras(share(top), share(k_next), steps)]
                for one, other in itertools.pairwise(way):
                    x = _heun(path, x, one, other)
    assert len(plan.grid) == 8 + 3 * 2 + 2 and sum(map(plan.needs_noise, range(len(plan)))) == 3
    np.testing.assert_allclose(_run(recipe, plan, first, draws), x, rtol=1e-7, atol=1e-7)


@pytest.mark.host
@pytest.mark.parametrize("spacing", [None, "simple", "exponential"])
@pytest.mark.parametrize("n", [1, 5, 19, 20, 27, 35, 36, 50])
def test_the_steps_are_those_of_a1111(n, spacing):
    """Its list of pairs of levels, from a run's own."""
    own = ms.sampler("heun", spacing=spacing or "karras").plan(n).sigmas
    levels, wanted = own, []
    restarts = 0 if n < 20 else 9 if n < 36 else n // 4
    times = 2 if n >= 36 else 1
    if restarts:
        levels = [*_karras(own[0], own[-2], n - restarts * times - 1), 0.0]
    low, high = (int(np.argmin(np.abs(np.array(levels) - ratio))) for ratio in (0.1, 2.0))
    for number, pair in enumerate(itertools.pairwise(levels), 1):
        wanted.append(pair)
        if restarts and number == low:
            wanted += [*itertools.pairwise(_karras(levels[high], levels[low], restarts))] * times
    plan = ms.sampler("Restart", spacing=spacing).plan(n)
    assert len(plan.grid) == n == len(wanted)
    np.testing.assert_allclose(plan.sigmas[:-1], [begin for begin, _ in wanted], rtol=1e-9)
    np.testing.assert_allclose(plan.grid.next_sigmas, [end for _, end in wanted], rtol=1e-9)


@pytest.mark.host
def test_the_name():
    recipe = ms.sampler("restart")
    assert recipe == ms.sampler("Restart") == ms.sampler("Restart Karras") and recipe.solver == Restarted()
    assert ms.sampler("restart", s_noise=0.9).solver == Restarted(s_noise=0.9)
    np.testing.assert_array_equal(
        recipe.plan(24, spacing="simple").sigmas, ms.sampler("Restart Simple").plan(24).sigmas
    )
    spacing = ms.spacings.Trailing() | Restart(INTERVALS)
    found = [one.plan(24, spacing=chain) for one, chain in ((recipe, spacing), (ms.sampler("heun"), spacing.parts[0]))]
    assert len(found[0].grid) == 24 + 8 and set(found[1].sigmas) < set(found[0].sigmas)
    np.testing.assert_array_equal(ms.sampler("restart", spacing=spacing).plan(24).sigmas, found[0].sigmas)
    listed = recipe.plan(sigmas=np.linspace(10, 1, 30))
    assert np.all(np.diff(listed.sigmas) < 0)
    with pytest.raises(ms.ScheduleError, match="restarts are part of a run to the data"):
        ms.sampler("restart", like=ms.DDIMInverse())
    with pytest.raises(ms.ScheduleError, match="restarts are part of a run to the data"):
        ms.sampler("restart", like=ms.DPMSolverMultistepInverse())


@pytest.mark.host
@pytest.mark.parametrize("n", [20, 36])
@pytest.mark.parametrize("like", LIKE.values(), ids=LIKE)
def test_the_name_on_every_path(like, n):
    """From the level nearest to sigma / alpha = 2 to the one nearest to 0.1, on flows as on others."""
    plan = ms.sampler("Restart", like=like).plan(n)
    grid = plan.grid
    assert len(grid) == n and np.all(np.isfinite(plan.tableau.weights))
    ratios = grid.sigmas[:-1] / np.where(grid.alphas[:-1] == 0, 1e-300, grid.alphas[:-1])
    ends = np.flatnonzero(np.diff(ratios) > 0)
    main = np.delete(ratios, [k for end in ends for k in range(end + 1, end + 1 + (9 if n == 20 else n // 4))])
    assert len(ends) == n // 20 + n // 36 and np.all(np.diff(main) < 0)
    for end in ends:
        low, high = grid.next_sigmas[end] / grid.next_alphas[end], ratios[end + 1]
        assert np.min(np.abs(main - low)) < 1e-9 and abs(low - 0.1) <= np.min(np.abs(main - 0.1)) + 1e-9
        assert abs(high - 2.0) <= np.min(np.abs(main - 2.0)) + 1e-9


INNER = [
    solvers.Euler(),
    solvers.Heun(),
    solvers.HeunPlus(),
    solvers.Midpoint("x0"),
    solvers.RungeKutta(),
    solvers.ExponentialRK("res_3s"),
    solvers.DPMMultistep(3, lower_order_final=True),
    solvers.DPMSinglestep(3),
    solvers.ExponentialAdams(True, 3, 4, "bh2"),
    solvers.Adams("even"),
    solvers.AngleAdams(),
    solvers.GradientEstimation(),
    solvers.StochasticAdams(tau=0.0),
    solvers.Straightened(solvers.RESMultistep()),
]


@pytest.mark.host
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("solver", INNER, ids=str)
def test_between_restarts_the_solver_takes_runs_of_its_own(solver, path):
    (where, spacing), prediction = PATHS[path]
    recipe = ms.Scheduler(where, spacing | Restart(((0.3, 2.0, 4, 2),)), prediction, Restarted(solver))
    plan, rng = recipe.plan(8), np.random.default_rng(3)
    x, draws, grid = rng.standard_normal(6) * float(plan.sigmas[0]), rng.standard_normal((2, 6)), plan.grid
    found = _run(recipe, plan, x, draws)
    begins = [0, *(np.flatnonzero(grid.sigmas[1:-1] > grid.next_sigmas[:-1]) + 1), len(grid)]
    own = replace(recipe, solver=solver)
    for number, (begin, end) in enumerate(itertools.pairwise(begins)):
        if number:
            a, s = grid.alphas[begin], grid.sigmas[begin]
            kept = a / grid.next_alphas[begin - 1]
            x = kept * x + math.sqrt(s**2 - (kept * grid.next_sigmas[begin - 1]) ** 2) * draws[number - 1]
        timestep = where.timestep_of(grid.next_alphas[end - 1], grid.next_sigmas[end - 1])
        part = ms.Grid(
            np.append(grid.timesteps[begin:end], timestep),
            np.append(grid.alphas[begin:end], grid.next_alphas[end - 1]),
            np.append(grid.sigmas[begin:end], grid.next_sigmas[end - 1]),
        )
        part = replace(part, scales=where.scale(part.alphas, part.sigmas))
        x = _run(own, own.plan_over(part), x, ())
    np.testing.assert_allclose(found, x, rtol=1e-8, atol=1e-8)
    assert plan.order == solver.order and len(begins) == 4


@pytest.mark.host
@pytest.mark.parametrize("solver", INNER, ids=str)
def test_without_restarts_it_is_the_solver(solver):
    path, spacing = vp("trailing")
    plan, calm = (ms.Scheduler(path, spacing, "epsilon", one).plan(6) for one in (Restarted(solver), solver))
    np.testing.assert_array_equal(plan.tableau.weights[:, :, :-1], calm.tableau.weights)
    assert not plan.tableau.weights[:, :, -1].any()


def _variance(path, solver, n, low, high):
    """The error of the variance at the end of a run of n steps, and n more in each restart."""
    (where, _), prediction = PATHS[path]
    recipe = ms.Scheduler(where, Even() | End(), prediction, Restarted(solver))
    even = np.linspace(0, 1, n + 1)
    point = where.point(8.0 * (0.1 / 8.0) ** (even + 0.2 * even * (1 - even)))
    grid = Restart(((low, high, n, 2),))(where, Asked(n), ms.Grid(*point[:3], scales=point.scale))
    plan = recipe.plan_over(grid)
    found = ms.analysis.moments(plan, ms.analysis.Gaussian(0.0, STD), start="marginal").covariance[0, 0]
    return float(found / ((plan.alphas[-1] * STD) ** 2 + plan.sigmas[-1] ** 2) - 1)


@pytest.mark.host
@pytest.mark.parametrize(("solver", "order"), [(solvers.Euler(), 1), (solvers.Heun(), 2), (INNER[5], 3)], ids=str)
@pytest.mark.parametrize("path", ["vp", "edm", "flow"])
def test_the_law_of_the_samples(path, solver, order):
    """The variance comes to that of the data and the level, at the order of the solver."""
    n = 40 if order == 3 else 160
    coarse, fine = (abs(_variance(path, solver, steps, 0.15, 2.0)) for steps in (n, 2 * n))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.25) and fine < 0.02, (coarse, fine)


@pytest.mark.host
def test_a_restart_takes_errors_away():
    """What they are for: the error of a coarse way down to the interval shrinks with each (section 3 of the paper)."""
    (where, _), prediction = PATHS["edm"]
    recipe, errors = ms.Scheduler(where, Even(), prediction, Restarted(solvers.Euler())), []
    coarse = np.append(np.geomspace(8.0, 0.2, 4), 0.1)
    for times in (0, 1, 2, 4):
        point = where.point(coarse)
        grid = ms.Grid(*point[:3], scales=point.scale)
        if times:
            grid = Restart(((0.2, 2.0, 400, times),))(where, Asked(4), grid)
        found = ms.analysis.moments(recipe.plan_over(grid), ms.analysis.Gaussian(0.0, STD), start="marginal")
        errors.append(abs(found.covariance[0, 0] / (STD**2 + 0.01) - 1))
    assert errors[0] > 2 * errors[1] > 0 and errors[1] > errors[2]


@pytest.mark.parametrize("like", ["vp", "flow"])
def test_a_run_on_every_backend(like, make, backend):
    """As in float64 on the host."""
    (where, spacing), prediction = PATHS[like]
    recipe = ms.Scheduler(where, spacing | Restart(INTERVALS), prediction, Restarted())
    plan, rng = recipe.plan(6), np.random.default_rng(0)
    z, draws = rng.standard_normal((2, 3, 4)), rng.standard_normal((len(plan), 2, 3, 4))

    def run(cast):
        state = plan.start(cast(z))
        for row in range(len(plan)):
            noise = cast(draws[row]) if plan.needs_noise(row) else None
            state = plan.step(state, 0.3 * state.sample, noise)
        return state.sample

    wanted = run(lambda array: array)
    found = run(lambda array: make(array.astype(np.float32)))
    np.testing.assert_allclose(backend.to_numpy(found), wanted, rtol=1e-4, atol=1e-4)
    image = ms.sample(lambda x, t: 0.3 * x, plan, make(z.astype(np.float32)), rng=0)
    assert np.all(np.isfinite(backend.to_numpy(image)))


@pytest.mark.host
def test_a_path_of_noise_is_refused():
    plan = ms.sampler("restart").plan(20)
    with pytest.raises(ms.ScheduleError, match="take HostNoise for solvers that raise the noise"):
        ms.sample(lambda x, t: 0.3 * x, plan, np.ones((1, 3)), rng=ms.noise.BrownianNoise(0))


@pytest.mark.host
def test_parts_of_a_run():
    recipe = ms.Scheduler(ms.paths.Straight(), Even(), "flow_prediction", Restarted())
    spacing = Even() | Restart(((0.5, 2.0, 2, 2),))
    whole = recipe.plan(5, spacing=spacing)
    for stop in range(len(whole.grid) + 1):
        part = recipe.plan(5, spacing=spacing, stop=stop)
        np.testing.assert_array_equal(part.tableau.weights, whole.tableau.weights[: len(part)])
    for start in range(len(whole.grid)):
        part = recipe.plan(5, spacing=spacing, start=start)
        np.testing.assert_array_equal(part.tableau.weights, whole.tableau.weights[len(whole) - len(part) :])


@pytest.mark.host
@pytest.mark.parametrize(
    ("intervals", "message"),
    [
        (0.3, r"intervals are \(\(low, high, steps, times\), \.\.\.\); given 0\.3\."),
        ("karras", "intervals are"),
        ((0.3, 2.0, 3, 1), r"an interval of restarts is \(low, high, steps, times\); given 0\.3\."),
        (((0.3, 2.0, 3),), "an interval of restarts is"),
        (((2.0, 0.3, 3, 1),), "an interval of restarts has 0 <= low < high; given low=2 and high=0.3"),
        (((-1.0, 0.3, 3, 1),), "an interval of restarts has 0 <= low < high"),
        (((0.3, math.inf, 3, 1),), "an interval of restarts has 0 <= low < high"),
        (((0.3, math.nan, 3, 1),), "an interval of restarts has 0 <= low < high"),
        (((0.3, 2.0, 0, 1),), "steps must be"),
        (((0.3, 2.0, 3, 1.5),), "times must be"),
    ],
)
def test_bad_intervals(intervals, message):
    with pytest.raises(ms.ScheduleError, match=message):
        Restart(intervals)


@pytest.mark.host
def test_runs_that_have_no_such_levels():
    recipe = ms.Scheduler(*ve(), "edm", Restarted())
    for interval in ((0.3, 500.0, 3, 1), (15.0, 15.5, 3, 1)):
        with pytest.raises(
            ms.ScheduleError, match="a restart leads up to a level that the run has passed; given high="
        ):
            recipe.plan(4, spacing=ms.spacings.Trained() | Restart((interval,)))
    with pytest.raises(ms.ScheduleError, match="with its restarts this one has"):
        recipe.plan(4, spacing=ms.spacings.Trained() | Restart(((0.3, 2.0, 1000, 1000),)))
    with pytest.raises(ms.ScheduleError, match="has steps that each end where the next one begins"):
        recipe.plan(4, spacing=ms.spacings.Trained() | End() | Restart(INTERVALS) | Restart(INTERVALS))


@pytest.mark.host
@pytest.mark.parametrize("solver", [solvers.Euler(), solvers.DPMMultistep(), solvers.Midpoint()], ids=str)
def test_a_run_goes_up_only_where_noise_is_added(solver):
    spacing = Even() | Restart(((0.5, 2.0, 2, 1),))
    recipe = ms.Scheduler(ms.paths.Straight(), spacing, "flow_prediction", solver)
    with pytest.raises(ms.ScheduleError, match=r"^step 3 begins at more noise than step 2 did, and \w+ adds none"):
        recipe.plan(5)
    assert len(recipe.plan(5, stop=2).grid) == 2 and len(recipe.plan(5, start=3).grid) == 4


@pytest.mark.host
@pytest.mark.parametrize("solver", [solvers.DDIM(1.0), solvers.Heun(3.0), solvers.CFGPlusPlus(), "euler"])
def test_only_deterministic_solvers_are_restarted(solver):
    with pytest.raises(ms.ScheduleError, match=r"^solver must be a deterministic solver of one output; given .*\.$"):
        Restarted(solver)
    with pytest.raises(ms.ScheduleError, match="s_noise must be"):
        Restarted(s_noise=0.0)
