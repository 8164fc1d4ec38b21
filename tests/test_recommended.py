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


# kind, calls, guidance: damping, 0 for no corrector, or None for Euler; whether the last step is x0; bottom
CASES = [
    ("vp", 5, 1, 1.6, False, 0.08514),
    ("vp", 8, 1, 0.625, False, 0.05077),
    ("vp", 10, None, 3.6, False, 0.05522),
    ("vp", 15, 3, 1.6, False, 0.03167),
    ("vp", 20, 1, 0.1, True, 0.029168),
    ("vp", 6, 7, None, False, 0.18432),
    ("vp", 10, 7, 0, False, 0.07121),
    ("vp", 15, 7, 8.7111, False, 0.03752),
    ("vp", 50, 7, 0.784, True, 0.029168),
    ("flow", 5, 1, 1.0, False, 0.07175),
    ("flow", 5, 3, 0, False, 0.13871),
    ("flow", 5, 7, None, False, 0.23062),
    ("flow", 8, 3, 4.1199, False, 0.04648),
    ("flow", 10, None, 1.6875, False, 0.02865),
    ("flow", 10, 0.5, 0.0625, False, 0.0206),
    ("flow", 12, 7, 0, False, 0.02414),
    ("flow", 20, 7, 1.3398, False, 0.00792),
    ("flow", 50, 1, 0.0001, False, 0.002),
    ("edm", 10, 1, 0.0625, False, 0.0206),
    ("edm", 20, 1, 0.0039063, False, 0.00592),
    ("edm", 100, 7, 0.0021438, False, 0.002),
]


@pytest.mark.parametrize(("kind", "calls", "guidance", "damping", "clean", "bottom"), CASES)
def test_what_is_chosen(kind, calls, guidance, damping, clean, bottom):
    solver, ratios = _made(kind, calls, guidance)
    if damping is None:
        assert solver == ms.solvers.Euler()
    else:
        assert (solver.predictor, solver.corrector) == (2, 3 if damping else 0)
        assert solver.damping == pytest.approx(damping, rel=1e-4)
        assert (solver.data, solver.variable, solver.even, solver.clean) == (1.0, "lam", True, clean)
        assert solver.reach == (15.0 if kind == "vp" else 1.0)
        assert solver.far == (50.0 if kind == "flow" else math.inf)
    assert ratios[-1] == pytest.approx(bottom, rel=1e-3)
    assert ratios[0] == pytest.approx({"vp": 14.6146, "flow": math.inf, "edm": 80.0}[kind], rel=1e-4)
    assert len(ratios) == calls


# kind, calls: the second ratio, which low and high decide beside the ends
@pytest.mark.parametrize(("kind", "calls", "second"), [("vp", 10, 6.169), ("flow", 10, 9.0878), ("edm", 20, 20.726)])
def test_where_levels_lie(kind, calls, second):
    """Even in log((k + low) / (1 + k / high)): low 0.08 and high n on VP, 0.85 / n and n / 2 elsewhere."""
    assert _made(kind, calls, 1.0)[1][1] == pytest.approx(second, rel=1e-4)


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
