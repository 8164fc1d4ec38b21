"""The sampler "auto": which spacing and solver it chooses, and that they run."""

import math

import numpy as np
import pytest

import multisched as ms
from multisched.recommended import best, kind_of
from multisched.solvers import AngleAdams

LIKE = {
    "vp": ms.DDIM(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False),
    "flow": ms.FlowMatchEuler(shift=3.0),
    "edm": ms.EDMEuler(),
}
pytestmark = pytest.mark.host


def _made(kind, calls, guidance=None):
    """The solver's options that are not the same everywhere, the ratios sigma / alpha of top and bottom, and those."""
    recipe = best(LIKE[kind], calls, guidance)
    plan, solver = recipe.plan(calls), recipe.parts().solver
    with np.errstate(divide="ignore"):
        ratios = plan.sigmas[:-1] / plan.alphas[:-1]
    return solver, ratios


# kind, calls, guidance: predictor, corrector, even, damping, clean, or None for Euler; bottom
CASES = [
    ("vp", 5, 1, (2, 3, True, 1.0, False), 0.08),
    ("vp", 5, 3, (2, 0, True, 2.0, False), 0.15),
    ("vp", 8, 3, (2, 0, True, 2.0, False), 0.08),
    ("vp", 10, None, (2, 3, True, 2.0, False), 0.0292),
    ("vp", 8, 1, (2, 3, True, 1.0, False), 0.0292),
    ("vp", 15, 1, (2, 3, True, 1.0, True), 0.0292),
    ("vp", 6, 7, None, 0.15),
    ("vp", 10, 7, (2, 0, True, 2.0, False), 0.08),
    ("vp", 20, 7, (2, 0, True, 2.0, True), 0.0292),
    ("vp", 50, 7, (2, 3, True, 2.0, True), 0.0292),
    ("flow", 5, 1, (2, 3, True, 1.0, False), 0.08),
    ("flow", 5, 3, (2, 0, True, 2.0, False), 0.15),
    ("flow", 7, None, (2, 0, True, 2.0, False), 0.08),
    ("flow", 8, 3, (2, 3, True, 4.0, False), 0.08),
    ("flow", 8, 1, (2, 3, True, 0.25, False), 0.0292),
    ("flow", 5, 7, None, 0.15),
    ("flow", 6, 7, (2, 0, True, 2.0, False), 0.15),
    ("flow", 8, 7, (2, 0, True, 2.0, False), 0.08),
    ("flow", 10, None, (2, 3, True, 2.0, False), 0.0292),
    ("flow", 12, 3, (2, 3, True, 0.25, False), 0.02),
    ("flow", 15, 1, (2, 3, True, 0.25, False), 0.012),
    ("flow", 20, 1, (2, 3, False, 0.0, False), 0.01),
    ("flow", 20, 7, (2, 3, True, 12.0, False), 0.01),
    ("flow", 50, 1, (2, 3, False, 0.0, False), 0.003),
    ("edm", 10, 1, (2, 3, True, 0.25, False), 0.0292),
    ("edm", 50, 1, (3, 4, False, 0.0, False), 0.002),
    ("edm", 50, 7, (2, 3, True, 12.0, False), 0.002),
]


@pytest.mark.parametrize(("kind", "calls", "guidance", "options", "bottom"), CASES)
def test_what_is_chosen(kind, calls, guidance, options, bottom):
    solver, ratios = _made(kind, calls, guidance)
    if options is None:
        assert solver == ms.solvers.Euler()
    else:
        assert (solver.predictor, solver.corrector, solver.even, solver.damping, solver.clean) == options
        assert (solver.data, solver.variable) == (1.0, "lam")
        assert solver.reach == (15.0 if kind == "vp" else 1.0)
        assert solver.far == (50.0 if kind == "flow" else math.inf)
    assert ratios[-1] == pytest.approx(bottom, rel=2e-3)
    assert ratios[0] == pytest.approx({"vp": 14.6146, "flow": math.inf, "edm": 80.0}[kind], rel=1e-4)
    assert len(ratios) == calls


@pytest.mark.parametrize("guidance", [None, 0, 1.0, 3, 7.5])
@pytest.mark.parametrize("kind", LIKE)
def test_every_number_of_calls_runs(kind, guidance):
    for calls in (*range(1, 35), 100):
        plan = best(LIKE[kind], calls, guidance).plan(calls)
        assert len(plan) == calls and np.all(np.isfinite(plan.folded.weights)) and np.all(np.diff(plan.sigmas) < 0)


@pytest.mark.parametrize("kind", LIKE)
def test_it_beats_euler_on_an_exact_model(kind):
    """On the flow of a Gaussian, which is known, at ten calls."""
    gaussian, x = ms.analysis.Gaussian(0.3, 0.7), np.linspace(-2, 2, 9)[:, None]
    errors = []
    for recipe in (best(LIKE[kind], 10, 1.0), LIKE[kind]):
        plan = recipe.plan(10)
        start = plan.start(x).sample
        found = ms.sample(ms.analysis.model_of(recipe, gaussian), plan, x)
        wanted = gaussian.flow_map(start, (plan.alphas[0], plan.sigmas[0]), (1.0, 0.0))
        errors.append(np.max(np.abs(found - wanted)))
    assert errors[0] < errors[1] / 4


def test_the_parts_of_the_model_stay():
    like = ms.DDIM(prediction_type="v_prediction", thresholding=True, sample_max_value=1.5)
    ours, theirs = best(like, 10).parts(), like.parts()
    assert (ours.path, ours.prediction, ours.denoised_transform) == (
        theirs.path,
        theirs.prediction,
        theirs.denoised_transform,
    )
    assert best(ms.Euler(), 10).plan(10).start(np.ones((1, 1))).sample == pytest.approx(
        ms.Euler().plan(10, spacing="karras").start(np.ones((1, 1))).sample
    )


def test_a_discrete_path_that_begins_at_pure_noise_is_spaced_as_a_flow():
    like = ms.DDIM(rescale_betas_zero_snr=True, prediction_type="v_prediction", clip_sample=False)
    assert kind_of(like.parts().path) == "flow" and best(like, 10).plan(10).alphas[0] == 0


def test_by_its_name():
    recipe = ms.sampler("auto", like=LIKE["flow"], calls=10, guidance=3.0)
    assert recipe == best(LIKE["flow"], 10, 3.0) and isinstance(recipe.parts().solver, AngleAdams)
    config = {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear"}
    assert ms.sampler("auto", like=config, calls=8) == best(ms.from_diffusers(config), 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ms.sampler("dpmpp_2m", like=LIKE["vp"], calls=8), "are for the name 'auto'; given 'dpmpp_2m'"),
        (lambda: ms.sampler("auto", like=LIKE["vp"]), "give calls="),
        (lambda: ms.sampler("auto", like=LIKE["vp"], calls=8, spacing="karras"), "spacing= has no use"),
        (lambda: ms.sampler("auto", like={}, calls=8), "names no class"),
        (lambda: best("flow", 8), "like must be a recipe, such as"),
        (lambda: best(LIKE["vp"], 0), "calls must be in 1..10000; given 0"),
        (lambda: best(LIKE["vp"], 8, -1), "guidance must be a number >= 0, or None; given -1"),
        (lambda: best(LIKE["vp"], 8, "high"), "guidance must be a number"),
        (lambda: best(ms.LCM(), 4), "the model of LCM has no probability flow to follow"),
        (lambda: best(ms.SCM(), 8), "'auto' was measured on|no probability flow"),
        (lambda: best(ms.Helios(stage=1), 8), "'auto' was measured on discrete paths"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ms.ScheduleError, match=message):
        call()
