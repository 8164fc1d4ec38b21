"""A solver and a spacing as their authors would write them: outside the package, with public names alone."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import multisched as ms
from multisched.solvers import Next, Solver
from multisched.spacings import Even, Leading, Link, Shift, Trained

SHAPE, STEPS = (2, 3, 4), 6


@dataclass(frozen=True)
class GradientEstimation(Solver):
    """Gradient estimation (Permenter and Yuan 2023, arXiv 2306.04848, section 5), in k = sigma / alpha; order 1.

        mean   = gamma * e_i + (1 - gamma) * e_(i-1),   in the first step e_0
        x_next = alpha_next / alpha * x + (sigma_next - alpha_next / alpha * sigma) * mean

    Written as the step of DDIM and what the mean adds to it, so that it holds at alpha = 0, where a run begins.

    Args:
        gamma: 2 in the paper; 1 is DDIM.
    """

    gamma: float = 2.0

    @property
    def memory(self):
        return ("before",)

    def update(self, row, x, model, memory, noise):
        xp = ms.backends.of(row.sigma).xp
        later = row.step > 0
        bend = xp.where(later, self.gamma - 1, 0.0 * row.sigma) * (model.noise - memory[0])
        grow = row.alpha_next / xp.where(later, row.alpha_start, 1.0)
        ddim = row.alpha_next * model.x0 + row.sigma_next * model.noise
        return Next(ddim + (row.sigma_next - grow * row.sigma_start) * bend, (model.noise,))


@dataclass(frozen=True)
class Arctan(Link):
    """Places as many levels anew between the first and the last, even in arctan(lam / width).

    Args:
        width: of the range about lam = 0, where signal and noise are alike, that most steps fall into.
        on_given: whether it acts on given lists too.
    """

    width: float = 2.0
    on_given: bool = False

    def __call__(self, path, asked, made):
        at = path.noise_of(made)
        with np.errstate(divide="ignore"):
            lam = np.log(path.at(at).alpha) - np.log(path.at(at).sigma)
        angle = np.arctan(lam[[0, -1]] / self.width)
        inner = np.exp(-self.width * np.tan(np.linspace(*angle, at.size)[1:-1]))
        return made.moved(np.concatenate([at[:1], path.of_ratio(inner), at[-1:]]))


# A path, a spacing, a prediction, and the latter's weights (a, b) in output = a * x0 + b * noise at (alpha, sigma).
PATHS = {
    "discrete": (ms.paths.Discrete(), Leading(1), "epsilon", lambda alpha, sigma: (0, 1)),
    "exploding": (ms.paths.VarianceExploding(), "karras", "epsilon", lambda alpha, sigma: (0, 1)),
    "straight": (ms.paths.Straight(), Even() | Shift(3.0), "flow_prediction", lambda alpha, sigma: (-1, 1)),
    "cosine": (ms.paths.Cosine(), "exponential", "v_prediction", lambda alpha, sigma: (-sigma, alpha)),
}
each_path = pytest.mark.parametrize("name", PATHS)


def _by_hand(plan, weights, x, outputs, gamma):
    """The loop of the paper on x / alpha, whose level is k = sigma / alpha, on plain arrays."""
    levels, before = list(zip(plan.alphas, plan.sigmas, strict=True)), None
    for step, output in enumerate(outputs):
        (alpha, sigma), (alpha_next, sigma_next) = levels[step : step + 2]
        known = np.stack([x.ravel(), output.ravel()])
        x0, noise = np.linalg.solve([[alpha, sigma], weights(alpha, sigma)], known).reshape(2, *x.shape)
        if before is None:
            x = alpha_next * x0 + sigma_next * noise
        else:
            mean = gamma * noise + (1 - gamma) * before
            x = alpha_next * (x / alpha + (sigma_next / alpha_next - sigma / alpha) * mean)
        before = noise
    return x


@each_path
@pytest.mark.parametrize("gamma", [1.0, 2.0, 2.5])
def test_the_solver_is_the_papers_loop(name, gamma, backend, make):
    *parts, weights = PATHS[name]
    plan = ms.Scheduler(*parts, GradientEstimation(gamma)).plan(STEPS)
    normals = np.random.default_rng(5).standard_normal((1 + STEPS, *SHAPE))
    state = plan.start(make(normals[0]))
    first = backend.to_numpy(state.sample).astype(np.float64)
    for output in normals[1:]:
        state = plan.step(state, make(output))
    expected = _by_hand(plan, weights, first, normals[1:], gamma)
    size = np.max(np.abs(first))
    np.testing.assert_allclose(backend.to_numpy(state.sample), expected, rtol=1e-5, atol=1e-6 * size)


@pytest.mark.host
def test_with_gamma_one_the_solver_is_ddim():
    path, spacing, prediction, _ = PATHS["discrete"]
    plans = [
        ms.Scheduler(path, spacing, prediction, one).plan(STEPS) for one in (GradientEstimation(1.0), ms.solvers.DDIM())
    ]
    ours, theirs = (plan.folded.weights[:, 0] for plan in plans)
    np.testing.assert_allclose(ours[:, [0, 2]], theirs, rtol=1e-12, atol=1e-12)
    assert np.all(ours[:, 1] == 0)


def test_the_solver_has_its_order_and_beats_ddim_at_ten_calls(backend, make):
    """On the flow of a Gaussian, which is known."""
    gaussian, path = ms.analysis.Gaussian(mean=0.4, std=0.6), ms.paths.Straight()
    start = np.linspace(-2, 2, 9)[:, None]

    def error(solver, steps):
        recipe = ms.Scheduler(path, Even() | Shift(3.0), "flow_prediction", solver)
        found = ms.sample(ms.analysis.model_of(recipe, gaussian), recipe.plan(steps), make(start))
        return np.max(np.abs(backend.to_numpy(found) - (0.4 + 0.6 * start)))

    assert error(GradientEstimation(), 10) < error(ms.solvers.DDIM(), 10) / 2
    assert GradientEstimation().order == 1
    assert 1.8 < error(GradientEstimation(), 160) / error(GradientEstimation(), 320) < 2.2


def _lam(plan):
    """log(alpha / sigma) where the steps begin."""
    with np.errstate(divide="ignore"):
        return np.log(plan.alphas[:-1]) - np.log(plan.sigmas[:-1])


@pytest.mark.host
@each_path
@pytest.mark.parametrize("width", [0.7, 3.0])
def test_the_spacing_is_even_where_it_says(name, width):
    path, _, prediction, _ = PATHS[name]
    recipe = ms.Scheduler(path, Trained(), prediction, ms.solvers.DDIM())
    plan, own = recipe.plan(9, spacing=Trained() | Arctan(width)), recipe.plan(9)
    angle = np.arctan(_lam(plan) / width)
    np.testing.assert_allclose(np.diff(angle), np.mean(np.diff(angle)), rtol=1e-6)
    ends = [0, -2, -1]  # the first step, the last, and the end
    np.testing.assert_allclose(plan.sigmas[ends], own.sigmas[ends], rtol=1e-12)


@pytest.mark.host
def test_the_spacing_goes_with_any_recipe():
    recipes = (ms.DDIM(clip_sample=False), ms.UniPCMultistep(), ms.FlowMatchHeun(shift=3.0), ms.EDMEuler())
    for recipe in recipes:
        grid = recipe.plan(7, spacing=Trained() | Arctan()).grid
        assert len(grid) == 7 and grid.sigmas[-1] == 0 and np.all(np.diff(grid.sigmas) < 0)


@pytest.mark.host
def test_the_spacing_acts_on_given_lists_only_if_it_says_so():
    given = [0.9, 0.8, 0.3, 0.1]
    recipes = [
        ms.Scheduler(ms.paths.Straight(), Trained() | Arctan(2.0, on), "flow_prediction", ms.solvers.Euler())
        for on in (False, True)
    ]
    kept, moved = (recipe.plan(sigmas=given).sigmas for recipe in recipes)
    assert kept.tolist() == [*given, 0.0]
    assert moved[[0, 3]].tolist() == [0.9, 0.1] and moved[1] < 0.8


@pytest.mark.host
def test_a_solver_and_a_spacing_are_values():
    """What plans are shared by, and what is printed of them."""
    for one, changed in ((GradientEstimation(), GradientEstimation(1.5)), (Arctan(), Arctan(3.0))):
        assert one == type(one)() and hash(one) == hash(type(one)()) and one != changed
    assert repr(Trained() | Arctan(1.5)) == "Trained() | Arctan(width=1.5, on_given=False)"


@pytest.mark.host
@pytest.mark.parametrize("n", [0, -1, 2.5, "3"])
def test_a_number_of_steps_is_checked_for_a_spacing_that_does_not(n):
    @dataclass(frozen=True)
    class Naive(Link):
        placing: ClassVar[bool] = True

        def __call__(self, path, asked, made):
            return ms.paths.Points(np.linspace(1.0, 0.1, asked.n))

    with pytest.raises(ms.ScheduleError, match=r"steps must be|n must be"):
        ms.FlowMatchEuler().plan(n, spacing=Naive())


@pytest.mark.host
def test_an_update_that_is_no_weighted_sum_is_refused():
    @dataclass(frozen=True)
    class Product(Solver):
        def update(self, row, x, model, memory, noise):
            return Next(x * model.x0)

    recipe = ms.Scheduler(ms.paths.Straight(), Even(), "flow_prediction", Product())
    with pytest.raises(ms.ScheduleError, match="the update of Product is not linear"):
        recipe.plan(3)
