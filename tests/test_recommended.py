"""The sampler "auto": which spacing and solver it chooses, and that they run."""

import math
from itertools import pairwise

import numpy as np
import pytest

import multisched as ms
from multisched.recommended import RULES, best, kind_of
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


# kind, calls, guidance: damping, 0 for no corrector, or None for Euler; the predictor's values; whether the last step
# is x0; bottom
CASES = [
    ("vp", 5, 1, 1.0, 2, False, 0.0851340),
    ("vp", 8, 1, 0.390625, 2, False, 0.0507658),
    ("vp", 10, None, 4.34966, 2, False, 0.0552213),
    ("vp", 15, 3, 1.93318, 2, False, 0.0316733),
    ("vp", 20, 1, 0.0625, 2, False, 0.029168),
    ("vp", 24, 1, 0.0434028, 2, False, 0.029168),
    ("vp", 6, 7, None, 2, False, 0.1843116),
    ("vp", 10, 7, 0, 2, False, 0.0712032),
    ("vp", 25, 7, 6.29963, 2, True, 0.029168),
    ("vp", 50, 7, 1.574907, 2, True, 0.029168),
    ("flow", 5, 1, 1.0, 2, False, 0.0717459),
    ("flow", 5, 3, 0, 2, False, 0.1386980),
    ("flow", 5, 7, None, 2, False, 0.2305983),
    ("flow", 8, 3, 4.1199, 2, False, 0.0464838),
    ("flow", 10, None, 1.6875, 2, False, 0.0286470),
    ("flow", 10, 0.5, 0.0625, 2, False, 0.0206036),
    ("flow", 12, 7, 0, 2, False, 0.0241375),
    ("flow", 20, 7, 1.3398, 2, False, 0.0079224),
    ("flow", 24, 1, 0.00188379, 2, False, 0.0042615),
    ("flow", 25, 1, 0.0016, 3, False, 0.0039596),
    ("flow", 50, 7, 0.0343, 2, False, 0.002),
    ("vp", 10, 3.7916, 7.996106, 2, False, 0.0592402),
    ("vp", 10, 3.7931, 0, 2, False, 0.0592473),
    ("flow", 10, 5.4279, 9.994833, 2, False, 0.0342242),
    ("flow", 10, 5.4297, 0, 2, False, 0.0342276),
    ("flow", 50, 4.338, 0.008163354, 3, False, 0.0020000),
    ("flow", 50, 4.343, 0.008191614, 2, False, 0.0020000),
    ("flow", 5, 20, None, 2, False, 0.4000000),
    ("edm", 10, 1, 0.0625, 2, False, 0.0206036),
    ("edm", 20, 1, 0.0039063, 2, False, 0.0059168),
    ("edm", 30, 1, 0.0007716, 3, False, 0.0028518),
    ("edm", 100, 7, 0.0021438, 3, False, 0.002),
]


@pytest.mark.parametrize(("kind", "calls", "guidance", "damping", "values", "clean", "bottom"), CASES)
def test_what_is_chosen(kind, calls, guidance, damping, values, clean, bottom):
    solver, ratios = _made(kind, calls, guidance)
    if damping is None:
        assert solver == ms.solvers.Euler()
    else:
        assert (solver.predictor, solver.corrector) == (values, values + 1 if damping else 0)
        assert solver.damping == pytest.approx(damping, rel=1e-4)
        assert (solver.data, solver.variable, solver.even, solver.clean) == (1.0, "lam", True, clean)
        assert solver.reach == (15.0 if kind == "vp" else 1.0)
        assert solver.far == (math.inf if kind == "vp" else 8.0)
    assert ratios[-1] == pytest.approx(bottom, rel=1e-4)
    assert ratios[0] == pytest.approx({"vp": 14.6146, "flow": math.inf, "edm": 80.0}[kind], rel=1e-4)
    assert len(ratios) == calls


# kind, calls, guidance: the second ratio, which low and high decide beside the ends
@pytest.mark.parametrize(
    ("kind", "calls", "guidance", "second"),
    [
        ("vp", 8, 1, 5.71396),
        ("vp", 20, 1, 10.42862),
        ("vp", 10, 7, 6.56799),
        ("flow", 10, 1, 7.6187),
        ("flow", 20, 7, 19.72469),
        ("edm", 20, 1, 15.14065),
    ],
)
def test_where_levels_lie(kind, calls, guidance, second):
    """Even in log((k + low) / (1 + k / high)), of the powers of calls and guidance that the rule has for both."""
    ratios = _made(kind, calls, guidance)[1]
    assert ratios[1] == pytest.approx(second, rel=1e-4)
    low, high = {
        "vp": (0.4 * calls**-0.5 * guidance**0.15, 1.4 * calls * guidance**-0.3),
        "flow": (1.2 / calls, 0.9 * calls**0.58),
        "edm": (1.2 / calls, 0.9 * calls**0.58),
    }[kind]
    s = np.log((ratios[1:] + low) / (1 + ratios[1:] / high))
    assert np.diff(s) == pytest.approx(np.full(calls - 2, s[1] - s[0]), rel=1e-6)


@pytest.mark.parametrize("kind", LIKE)
def test_the_rule_has_no_jumps(kind):
    """A longer run has less damping and a cleaner last level, and a guided one more and a noisier, by little a call."""
    rule, path = RULES[kind], LIKE[kind].parts().path
    for g in (1.0, 2.0, 3.0, 5.0, 7.0, 9.0):
        made = [(rule.strength(n, g), rule.spacing(path, n, g).bottom) for n in range(5, 60)]
        more = [(rule.strength(n, g + 1), rule.spacing(path, n, g + 1).bottom) for n in range(5, 60)]
        for (damping, bottom), (next_damping, next_bottom) in pairwise(made):
            assert next_damping <= damping and (math.isinf(damping) or next_damping > damping / 2.1)
            assert bottom / 1.8 < next_bottom <= bottom
        assert all(
            one <= other for pair, wider in zip(made, more, strict=True) for one, other in zip(pair, wider, strict=True)
        )


@pytest.mark.parametrize("guidance", [None, 0, 1.0, 3, 7.5])
@pytest.mark.parametrize("kind", LIKE)
def test_every_number_of_calls_runs(kind, guidance):
    for calls in (*range(1, 35), 100, 1000):
        plan = best(LIKE[kind], calls, guidance).plan(calls)
        assert len(plan) == calls and np.all(np.isfinite(plan.folded.weights)) and np.all(np.diff(plan.sigmas) < 0)


@pytest.mark.parametrize("kind", list(LIKE))
def test_a_run_ends_at_the_clean_sample(kind):
    assert best(LIKE[kind], 8).plan(8).sigmas[-1] == 0


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
