"""Brownian paths: variance, independence, consistency under refinement, and what they are for."""

import itertools
import math

import numpy as np
import pytest

import multisched as ms
from multisched.noise import BrownianNoise, HostNoise

ELEMENTS = 200_000
TIMES = (0.0, 2.0**-6, 0.1, 0.25, 0.3, 0.5, 0.7000001, 0.7000002, 0.96875, 1.0)


@pytest.mark.host
def test_covariance_is_that_of_brownian_motion():
    """E W(s) W(t) = min(s, t), at nodes of the tree, between them and within neighbouring leaves."""
    path = BrownianNoise(3, depth=22)
    drawn = [path.value([0], time, 0, (ELEMENTS,))[0] for time in TIMES]
    for s, one in zip(TIMES, drawn, strict=True):
        for t, other in zip(TIMES, drawn, strict=True):
            # The variance of a product of two jointly normal variables is st + min(s, t)^2.
            error = math.sqrt((s * t + min(s, t) ** 2) / ELEMENTS)
            assert abs(np.mean(one * other) - min(s, t)) <= 5 * error


@pytest.mark.host
def test_normals_drawn_together_are_those_drawn_apart(monkeypatch):
    path = BrownianNoise((3, 4), depth=12)
    together = path.increment([0, 1], 0.7, 0.3, 1, (5, 2))
    monkeypatch.setattr("multisched.noise.brownian.TOGETHER", 1)
    assert together.tobytes() == path.increment([0, 1], 0.7, 0.3, 1, (5, 2)).tobytes()


@pytest.mark.host
def test_leaves_have_the_right_variance_too():
    """Of a shallow tree, whose leaves are wide."""
    path = BrownianNoise(4, depth=2)
    for start, end in ((0.9, 0.6), (0.6, 0.4), (0.55, 0.49), (0.3, 0.2)):
        drawn = path.increment([0], start, end, 0, (ELEMENTS,))
        assert abs(drawn.var() - 1) < 5 * math.sqrt(2 / ELEMENTS)
    a, b = (path.increment([0], *pair, 0, (ELEMENTS,))[0] for pair in ((0.9, 0.6), (0.6, 0.4)))
    assert abs(np.mean(a * b)) < 5 / math.sqrt(ELEMENTS)


@pytest.mark.host
def test_increments_add_up():
    path = BrownianNoise(5)
    rng = np.random.default_rng(0)
    for a, b, c in -np.sort(-rng.random((20, 3)), axis=1):
        parts = [path.increment([1], *pair, 0, (500,)) * math.sqrt(pair[0] - pair[1]) for pair in ((a, b), (b, c))]
        np.testing.assert_allclose(sum(parts), path.increment([1], a, c, 0, (500,)) * math.sqrt(a - c), atol=1e-6)


@pytest.mark.host
def test_twenty_and_forty_steps_share_one_path():
    """The coarse increments of a plan are sums of the fine one's."""
    recipe = ms.DPMSolverMultistep(algorithm_type="sde-dpmsolver++", use_flow_sigmas=True, flow_shift=1.0)
    coarse, fine = (recipe.plan(sigmas=np.linspace(0.95, 0.0, n + 1)[:-1]) for n in (20, 40))
    path = BrownianNoise(6)

    def change(plan, row):
        start, end = plan.rows.interval(row)
        return path.increment([0], start, end, 0, (64,)) * math.sqrt(start - end)

    for row in range(20):
        both = change(fine, 2 * row) + change(fine, 2 * row + 1)
        np.testing.assert_allclose(both, change(coarse, row), atol=1e-6)


@pytest.mark.host
def test_samples_seeds_and_paths_are_apart():
    drawn = [
        BrownianNoise(seed).increment([sample], 0.8, 0.3, k, (20_000,))[0]
        for seed in (1, 2)
        for sample in (0, 1)
        for k in (0, 1)
    ]
    assert np.abs(np.corrcoef(drawn) - np.eye(8)).max() < 5 / math.sqrt(20_000)


SDE = {
    "dpm-sde": ms.DPMSolverSDE(use_karras_sigmas=True),
    "dpm-multi-sde": ms.DPMSolverMultistep(algorithm_type="sde-dpmsolver++", use_karras_sigmas=True),
    "euler-ancestral": ms.EulerAncestral(),
}


@pytest.mark.host
@pytest.mark.parametrize("recipe", SDE.values(), ids=SDE.keys())
def test_finer_steps_converge_to_one_image(recipe):
    """With an exact Gaussian model: along a path the runs draw together as the steps halve, with fresh noise not."""
    data = ms.Scheduler(*recipe.parts()[:2], "sample", recipe.parts().solver)

    def run(steps, source):
        plan = data.plan(steps)
        levels = iter(zip(plan.rows.alpha[:, 0], plan.rows.sigma[:, 0], plan.rows.scale[:, 0], strict=True))

        def model(x, t):
            alpha, sigma, scale = next(levels)
            return x / scale * (alpha * 0.25 / (alpha**2 * 0.25 + sigma**2))  # E x0 given x, of x0 ~ N(0, 1/4)

        noise = ms.noise.normal((2, 2000), rng=source).astype(np.float64)
        return ms.sample(model, plan, noise, rng=source)

    def gaps(make):
        runs = [run(steps, make(steps)) for steps in (20, 40, 80, 160)]
        return [float(np.sqrt(np.mean((a - b) ** 2))) for a, b in itertools.pairwise(runs)]

    path, fresh = gaps(lambda _: BrownianNoise(8)), gaps(lambda _: HostNoise(8))
    assert path[2] < 0.75 * path[1] and path[1] < 0.85 * path[0], path
    assert path[2] < 0.3 * fresh[2] and fresh[2] > 0.7 * fresh[0], (path, fresh)


@pytest.mark.host
def test_what_is_no_path_is_refused():
    path = BrownianNoise(0, depth=4)
    x = np.zeros((2, 3), np.float32)
    for refused, sentence in (
        (lambda: path.increment([0], 0.3, 0.5, 0, (2,)), "to a lower one within"),
        (lambda: path.increment([0], 0.3, 0.3, 0, (2,)), "to a lower one within"),
        (lambda: path.increment([0], 0.26, 0.255, 0, (2,)), "within one leaf of depth 4"),
        (lambda: path.normal([0], 0, 0, (2,)), "ask for the increment of a row"),
        (lambda: ms.noise.draw(path, 0, [0], x), "needs the interval"),
        (lambda: BrownianNoise(0, depth=31), "depth must be in 1..30"),
        (lambda: ms.noise.draw(path, 0, [0], x, (0.2, 0.4)), "take HostNoise for solvers that raise the noise"),
    ):
        with pytest.raises(ms.ScheduleError, match=sentence):
            refused()
