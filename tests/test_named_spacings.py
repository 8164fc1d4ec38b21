"""`plan(n, spacing=NAME)` against the formulas of ComfyUI, k-diffusion and A1111, written one level at a time.

Those programs compute in float32; the formulas here are the same in float64. A model is described as ComfyUI does: a
table of the trained levels from the cleanest, and the time of a level and back.
"""

import math
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from zoo import EVERY

import multisched as ms
from multisched import schedulers
from multisched.spacings import NAMES, Asked, Named
from multisched.spacings.named import FLOWS, OWN, respaced
from multisched.spacings.published import NAMES as PUBLISHED

COUNTS = (1, 2, 5, 10, 20, 28, 50, 999)
CLOSE = 1e-12
STABLE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


class Trained:
    """ComfyUI's ModelSamplingDiscrete and k-diffusion's DiscreteSchedule, which interpolate the table's logarithm."""

    def __init__(self, alpha_bar):
        self.table = [math.sqrt((1 - one) / one) for one in alpha_bar]

    def time(self, sigma):
        return min(range(len(self.table)), key=lambda place: abs(math.log(self.table[place]) - math.log(sigma)))

    def sigma(self, time):
        low, share = math.floor(time), time - math.floor(time)
        high = min(low + 1, len(self.table) - 1)
        return self.table[low] ** (1 - share) * self.table[high] ** share


class Flow:
    """ModelSamplingDiscreteFlow, or ModelSamplingFlux, which has 10,000 levels and the shift exp(mu)."""

    def __init__(self, shift, total=1000):
        self.shift = shift
        self.table = [self.sigma(place / total) for place in range(1, total + 1)]

    def time(self, sigma):
        return sigma

    def sigma(self, time):
        return self.shift * time / (1 + (self.shift - 1) * time)


class Edm:
    """ModelSamplingContinuousEDM."""

    def __init__(self, low, high):
        self.table = [low ** (1 - place / 999) * high ** (place / 999) for place in range(1000)]

    def time(self, sigma):
        return math.log(sigma) / 4

    def sigma(self, time):
        return math.exp(4 * time)


class Arctan(Edm):
    """ModelSamplingContinuousV."""

    def time(self, sigma):
        return math.atan(sigma) * 2 / math.pi

    def sigma(self, time):
        return math.tan(time * math.pi / 2)


def ramp(first, last, n):
    shares = [i / (n - 1) for i in range(n)] if n > 1 else [0.0]
    return [first * (1 - one) + last * one for one in shares]


def normal(model, n, sgm=False):
    first, last = (model.time(model.table[end]) for end in (-1, 0))
    if sgm:
        return [model.sigma(time) for time in ramp(first, last, n + 1)[:-1]] + [0.0]
    near = abs(model.sigma(last)) <= 1e-5
    return [model.sigma(time) for time in ramp(first, last, n + near)] + ([] if near else [0.0])


def simple(model, n):
    return [model.table[-1 - int(i * (len(model.table) / n))] for i in range(n)] + [0.0]


def ddim_uniform(model, n):
    near = abs(model.table[1]) <= 1e-5
    stride = max(len(model.table) // (n + near), 1)
    found = [] if near else [0.0]
    place = 1
    while place < len(model.table):
        found.append(model.table[place])
        place += stride
    return found[::-1]


def beta_quantiles(shares, a=0.6, b=0.6):
    stats = pytest.importorskip("scipy.stats")
    return stats.beta.ppf(np.array(shares), a, b)


def beta(model, n, a=0.6, b=0.6):
    shares = [1 - i / n for i in range(n)]
    places = [int(round(one)) for one in (beta_quantiles(shares, a, b) * (len(model.table) - 1)).tolist()]  # noqa: RUF046
    return nearest(model, places)


def nearest(model, places):
    kept = [place for i, place in enumerate(places) if i == 0 or place != places[i - 1]]
    return [model.table[place] for place in kept] + [0.0]


def smoothstep(model, n):
    """stable-diffusion.cpp's, in exact fractions, without the steps between equal levels."""
    shares = [Fraction(n - i, n) for i in range(n)]
    last = len(model.table) - 1
    return nearest(model, [math.floor(last * (3 * u**2 - 2 * u**3) + Fraction(1, 2)) for u in shares])


def bong_tangent(model, n):
    """Two curves with pivots and slopes, as RES4LYF describes them: each falls as (2 / pi * atan + 1) / 2."""
    if n == 1:
        return [model.table[-1], 0.0]  # where RES4LYF divides by 0
    steps = n + 2
    pivot, slope = int(steps * 0.6), 0.2 / (steps / 40)

    def curve(count, pivot, start, end):
        height = [(2 / math.pi * math.atan(-slope * (x - pivot)) + 1) / 2 for x in range(count)]
        return [end + (start - end) * (one - height[-1]) / (height[0] - height[-1]) for one in height]

    found = (curve(pivot, pivot, 1.0, 0.5)[:-1] if pivot > 1 else []) + curve(steps - pivot, 0, 0.5, 0.0)
    return [model.table[-1] * one for one in found]


def beta_sigmas(model, n):
    low, high = model.table[0], model.table[-1]
    return [low + one * (high - low) for one in beta_quantiles(ramp(1.0, 0.0, n)).tolist()] + [0.0]


def linear_quadratic(model, n):
    """Written as a polynomial, with the coefficients of Genmo's code: threshold 0.025, half of the steps linear."""
    if n == 1:
        return [model.table[-1], 0.0]
    even = n // 2
    excess, bent = even - 0.025 * n, n - even
    square, constant = excess / (even * bent**2), excess * even / bent**2
    slope = 0.025 / even - 2 * excess / bent**2
    gone = [i * 0.025 / even for i in range(even)] + [square * i**2 + slope * i + constant for i in range(even, n)]
    return [model.table[-1] * (1 - one) for one in gone] + [0.0]


def karras(model, n):
    first, last = model.table[-1] ** (1 / 7), model.table[0] ** (1 / 7)
    return [one**7 for one in ramp(first, last, n)] + [0.0]


def exponential(model, n):
    first, last = math.log(model.table[-1]), math.log(model.table[0])
    return [math.exp(one) for one in ramp(first, last, n)] + [0.0]


def kl_optimal(model, n):
    first, last = math.atan(model.table[-1]), math.atan(model.table[0])
    return [math.tan(one) for one in ramp(first, last, n)] + [0.0]


def uniform(model, n):
    """k-diffusion's DiscreteSchedule.get_sigmas, on the table of any model (A1111's default)."""
    logs = [math.log(one) for one in model.table]
    places = ramp(len(logs) - 1, 0, n)
    low = [min(math.floor(place), len(logs) - 2) for place in places]
    pairs = zip(low, places, strict=True)
    return [math.exp(logs[k] + (place - k) * (logs[k + 1] - logs[k])) for k, place in pairs] + [0.0]


def linear(model, n):
    return [*ramp(model.table[-1], model.table[0], n), 0.0]


RULES = {
    "normal": normal,
    "sgm_uniform": lambda model, n: normal(model, n, sgm=True),
    "simple": simple,
    "ddim_uniform": ddim_uniform,
    "beta": beta,
    "beta57": lambda model, n: beta(model, n, 0.5, 0.7),
    "smoothstep": smoothstep,
    "linear_quadratic": linear_quadratic,
    "bong_tangent": bong_tangent,
    "karras": karras,
    "exponential": exponential,
    "polyexponential": exponential,  # with k-diffusion's rho = 1
    "kl_optimal": kl_optimal,
    "uniform": uniform,
    "beta_sigmas": beta_sigmas,
    "lu": exponential,  # of which lambda is the negative logarithm
    "linear": linear,
}


def alpha_bar_of(total=1000):
    """Of Stable Diffusion, whose betas are float32."""
    roots = np.linspace(0.00085**0.5, 0.012**0.5, total, dtype=np.float32)
    level = np.cumprod(1 - roots**2, dtype=np.float64).astype(np.float32)
    return level.astype(np.float64).tolist()


# A recipe, the model that it samples, the arguments of its runs, and whether its levels are sigma / alpha.
CASES = {
    "euler": (ms.Euler(**STABLE), Trained(alpha_bar_of()), {}, True),
    "lms-continuous": (ms.LMS(**STABLE, num_train_timesteps=250), Trained(alpha_bar_of(250)), {}, True),
    "ddim": (ms.DDIM(**STABLE, set_alpha_to_one=False), Trained(alpha_bar_of()), {}, True),
    "dpm": (ms.DPMSolverMultistep(**STABLE, use_karras_sigmas=True), Trained(alpha_bar_of()), {}, True),
    "edm": (ms.EDMEuler(), Edm(0.002, 80.0), {}, True),
    "edm-120": (ms.EDMEuler(sigma_max=120.0, rho=5.0), Edm(0.002, 120.0), {}, True),
    "cosine-dpm": (ms.CosineDPMSolverMultistep(), Arctan(0.3, 500.0), {}, True),
    **{
        f"flow-{shift:g}": (ms.FlowMatchEuler(shift=shift), Flow(shift), {}, False)
        for shift in (1.0, 1.15, 3.0, 6.0, 0.05)
    },
    **{
        f"flux-{mu:g}": (ms.FlowMatchEuler(use_dynamic_shifting=True), Flow(math.exp(mu), 10_000), {"mu": mu}, False)
        for mu in (0.5, 1.15, -1.5)
    },
    "flux-linear": (
        ms.FlowMatchEuler(use_dynamic_shifting=True, time_shift_type="linear"),
        Flow(3.0, 10_000),
        {"mu": 3.0},
        False,
    ),
}
each_case = pytest.mark.parametrize("case", CASES)


def levels_of(plan, ratios):
    return plan.sigmas / plan.alphas if ratios else plan.sigmas


def valid(levels):
    return bool(np.all(np.isfinite(levels)) and np.all(np.diff(levels) < 0))


@pytest.mark.host
@each_case
@pytest.mark.parametrize("name", RULES)
def test_a_name_means_what_it_means_there(name, case):
    """Where a program makes no decreasing run, as of as many steps as there are levels, the name is refused."""
    recipe, model, arguments, ratios = CASES[case]
    made = 0
    for n in COUNTS:
        wanted = np.array(RULES[name](model, n))
        wanted[-1] = 0.0 if wanted[-1] <= 1e-5 else wanted[-1]  # which ComfyUI takes for 0, and runs end there here
        if not valid(wanted):
            with pytest.raises(ms.ScheduleError, match=f"{n} steps of spacing '{name}' make no decreasing levels here"):
                recipe.plan(n, spacing=name, **arguments)
            continue
        plan = recipe.plan(n, spacing=name, **arguments)
        np.testing.assert_allclose(levels_of(plan, ratios), wanted, rtol=CLOSE, atol=0, err_msg=f"{n} steps")
        made += 1
    assert made >= len(COUNTS) - 1


@pytest.mark.host
def test_every_name_has_a_formula_here():
    """Of those of `OWN`, in test_training_laws.py."""
    assert set(RULES) | {"leading", "trailing", "linspace"} | set(OWN) | set(PUBLISHED) == set(NAMES)


@pytest.mark.host
@pytest.mark.parametrize("name", ["simple", "ddim_uniform", "beta", "beta57", "smoothstep"])
@pytest.mark.parametrize("case", ["euler", "flux-1.15"])
def test_places_of_the_table_for_every_number_of_steps(name, case):
    """A quantile that falls half way between two places is rounded as there: the two programs agree in each. The places
    hang on the number of levels alone, which is 1,000 or 10,000."""
    recipe, model, arguments, ratios = CASES[case]
    for n in range(1, 400):
        plan = recipe.plan(n, spacing=name, **arguments)
        np.testing.assert_allclose(levels_of(plan, ratios), RULES[name](model, n), rtol=CLOSE, err_msg=f"{n} steps")


@pytest.mark.host
def test_a_level_of_almost_0_is_the_end():
    """ComfyUI's `normal` and `ddim_uniform` then place another level; "sgm_uniform" and A1111's "uniform" do not."""
    tiny = ms.FlowMatchEuler(shift=1e-3)
    for name in ("normal", "ddim_uniform", "sgm_uniform", "uniform"):
        wanted = RULES[name](Flow(1e-3), 10)
        found = tiny.plan(10, spacing=name).sigmas
        assert found.size == len(wanted) and found[-1] == 0 and 0 <= wanted[-1] <= 1e-5
        assert (wanted[-1] == 0) == (name in ("sgm_uniform", "uniform"))
        np.testing.assert_allclose(found[:-1], wanted[:-1], rtol=CLOSE)


@pytest.mark.host
def test_counts_that_differ_from_those_asked_for():
    recipe = ms.Euler(**STABLE)
    assert len(recipe.plan(30, spacing="ddim_uniform").grid) == 31
    assert len(recipe.plan(999, spacing="beta").grid) < 999
    assert len(recipe.plan(30, spacing="ddim_uniform", stop=4).grid) == 4


@pytest.mark.host
@pytest.mark.parametrize("n", COUNTS)
def test_the_table_of_comfyui_is_that_of_diffusers_but_for_rounding(n):
    """ComfyUI's betas are float64; those of diffusers, and so of checkpoints, are float32."""
    model = Trained(np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2).tolist())
    found = ms.Euler(**STABLE).plan(n, spacing="sgm_uniform").sigmas
    np.testing.assert_allclose(found, RULES["sgm_uniform"](model, n), rtol=1e-4)


@pytest.mark.host
@pytest.mark.parametrize("n", COUNTS[1:])  # one step of the option is that of the timestep alone, 0
@pytest.mark.parametrize("kind", ["karras", "exponential", "beta"])
def test_names_that_options_stand_for_too(kind, n):
    name = "beta_sigmas" if kind == "beta" else kind
    for recipe in (ms.Euler(**STABLE), ms.Heun(**STABLE), ms.LMS(**STABLE)):
        option = {f"use_{kind}_sigmas": True, "timestep_spacing": "linspace"}
        own = type(recipe)(**STABLE, **option)
        np.testing.assert_allclose(recipe.plan(n, spacing=name).sigmas, own.plan(n).sigmas, rtol=CLOSE)
    if kind != "beta":
        own = ms.EDMEuler(sigma_schedule=kind).plan(n)
        np.testing.assert_allclose(ms.EDMEuler().plan(n, spacing=name).sigmas, own.sigmas, rtol=CLOSE)


@pytest.mark.host
@pytest.mark.parametrize("n", [1, 2, 5, 10, 28, 50, 999])
@pytest.mark.parametrize("word", ["leading", "trailing", "linspace"])
def test_words_of_diffusers_mean_what_the_option_means(word, n):
    for kind in (ms.Euler, ms.EulerAncestral, ms.DDIM, ms.DDPM, ms.PNDM):
        own = kind(**STABLE, timestep_spacing=word)
        for name in ("alphas", "sigmas", "timesteps"):
            found = getattr(kind(**STABLE).plan(n, spacing=word), name)
            np.testing.assert_array_equal(found[:-1], getattr(own.plan(n), name)[:-1])


# In the order of NAMES: what is published for 11 levels, A1111's "AYS 32", and GITS.
ELEVEN = {
    "align_your_steps": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "align_your_steps_11": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "align_your_steps_sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
    "align_your_steps_11_sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
    "align_your_steps_gits": (14.615, 4.617, 2.507, 1.236, 0.702, 0.402, 0.240, 0.156, 0.104, 0.094, 0.029),
    "align_your_steps_gits_sdxl": (14.615, 4.734, 2.567, 1.529, 0.987, 0.652, 0.418, 0.268, 0.179, 0.127, 0.029),
}
THIRTY_TWO = {"align_your_steps_32": 0.015, "align_your_steps_32_sdxl": 0.015}


def published(listed, n):
    """The logarithm interpolated linearly over the whole list."""
    if n == len(listed):
        return [*listed, 0.0]
    logs, found = [math.log(one) for one in listed], []
    for place in ramp(0, len(listed) - 1, n):
        low = min(int(place), len(listed) - 2)
        found.append(math.exp(logs[low] * (low + 1 - place) + logs[low + 1] * (place - low)))
    return [*found, 0.0]


@pytest.mark.host
@pytest.mark.parametrize("name", ELEVEN)
def test_published_lists(name):
    euler, ddim, flow = ms.Euler(**STABLE), ms.DDIM(**STABLE), ms.FlowMatchEuler(shift=3.0)
    for n in (*COUNTS, 11):
        wanted = np.array(published(ELEVEN[name], n))
        np.testing.assert_allclose(euler.plan(n, spacing=name).sigmas, wanted, rtol=CLOSE)
        np.testing.assert_allclose(levels_of(ddim.plan(n, spacing=name), True), wanted, rtol=CLOSE)
        np.testing.assert_allclose(flow.plan(n, spacing=name).sigmas, wanted / (1 + wanted), rtol=CLOSE)


@pytest.mark.host
@pytest.mark.parametrize("name", THIRTY_TWO)
def test_published_lists_of_32_levels(name):
    """They interpolate those of 11 but for their end, and other numbers interpolate them."""
    whole = ms.Euler(**STABLE).plan(32, spacing=name).sigmas
    assert whole.size == 33 and whole[0] == 14.615 and whole[-2] == THIRTY_TWO[name] and np.all(np.diff(whole) < 0)
    eleven = np.array(ELEVEN[name.replace("_32", "")])
    share = np.interp(-np.log(whole[:29]), -np.log(eleven), np.linspace(0, 1, 11))
    np.testing.assert_allclose(share, np.arange(29) / 31, atol=0.06)
    for n in COUNTS:
        found = ms.Euler(**STABLE).plan(n, spacing=name).sigmas
        np.testing.assert_allclose(found, published(whole[:-1].tolist(), n), rtol=CLOSE)


@pytest.mark.host
def test_names_of_stable_diffusion_1_are_those_without_a_model():
    for kind in ("", "_11", "_32", "_gits"):
        pair = (ms.Euler(**STABLE).plan(10, spacing=f"align_your_steps{kind}{model}") for model in ("", "_sd1"))
        np.testing.assert_array_equal(*(plan.sigmas for plan in pair))


@pytest.mark.host
def test_the_timesteps_belong_to_the_levels():
    """What ComfyUI's models are given: T - 1 and 0 at the ends, 1000 * sigma on a flow, log(sigma) / 4 of EDM."""
    times = ms.Euler(**STABLE).plan(10, spacing="sgm_uniform").timesteps
    np.testing.assert_allclose(times, [999 - 99.9 * i for i in range(10)], rtol=CLOSE)
    flow = ms.FlowMatchEuler(shift=3.0).plan(10, spacing="normal")
    np.testing.assert_allclose(flow.timesteps, 1000 * flow.sigmas[:-1], rtol=CLOSE)
    edm = ms.EDMEuler().plan(10, spacing="kl_optimal")
    np.testing.assert_allclose(edm.timesteps, np.log(edm.sigmas[:-1]) / 4, rtol=CLOSE)


@pytest.mark.host
def test_zero_terminal_snr():
    """Pure noise is a timestep like any other, but no end of a spacing of sigmas."""
    recipe = ms.DDIM(rescale_betas_zero_snr=True, prediction_type="v_prediction", clip_sample=False)
    alpha_bar = recipe.parts().path.alphas_cumprod
    for name, places in (
        ("simple", [999 - 100 * i for i in range(10)]),
        ("normal", [999 - 111 * i for i in range(10)]),
    ):
        plan = recipe.plan(10, spacing=name)
        np.testing.assert_allclose(plan.alphas[:-1], np.sqrt(alpha_bar)[places], atol=1e-14)
        assert plan.alphas[0] == 0 and plan.sigmas[0] == 1 and plan.timesteps[0] == 999
    for name in ("karras", "kl_optimal", "beta_sigmas", "linear_quadratic", "linear", "bong_tangent"):
        with pytest.raises(ms.ScheduleError, match=f"spacing '{name}' begins at the noisiest level.*'sgm_uniform'"):
            recipe.plan(10, spacing=name)


@pytest.mark.host
def test_what_is_refused():
    recipe = ms.Euler(**STABLE)
    listed = ", ".join(name for name in NAMES if not name.startswith("align_your_steps"))
    for given, meant in (("cubic", ""), ("Karras", r" \(did you mean 'karras'\?\)"), ("sgm", "")):
        with pytest.raises(ms.ScheduleError) as refused:
            recipe.plan(10, spacing=given)
        assert str(refused.value).startswith(f"spacing must be one of {listed} or align_your_steps[_...]; given")
        assert f"; given {given!r}" in str(refused.value)
        assert meant.replace("\\", "") in str(refused.value)
    with pytest.raises(ms.ScheduleError, match="spacing must be a name, such as 'karras', or a chain"):
        recipe.plan(10, spacing=3)
    for given in ({"timesteps": [999, 500]}, {"sigmas": [10.0, 1.0]}, {"ratios": [10.0, 1.0]}):
        with pytest.raises(ms.ScheduleError, match=r"spacing= places a number of steps; give it with n, not with a"):
            recipe.plan(spacing="karras", **given)
        with pytest.raises(ms.ScheduleError, match=r"give it with n, not with a list"):
            recipe.plan(2, spacing="karras", **given)
    with pytest.raises(ms.ScheduleError, match="mu belongs to flow schedules with use_dynamic_shifting; given"):
        recipe.plan(10, spacing="karras", mu=1.0)
    with pytest.raises(ms.ScheduleError, match="give mu="):
        ms.FlowMatchEuler(use_dynamic_shifting=True).plan(10, spacing="karras")
    with pytest.raises(ms.ScheduleError, match="the number of steps must be in"):
        recipe.plan(0, spacing="karras")
    with pytest.raises(ms.ScheduleError, match="1 steps of spacing 'ddim_uniform' make no decreasing levels here"):
        ms.Euler(num_train_timesteps=1).plan(1, spacing="ddim_uniform")


@pytest.mark.host
@pytest.mark.parametrize("kind", schedulers.named().values(), ids=lambda kind: kind.__name__)
def test_every_recipe_runs_on_every_name(kind):
    recipe = kind()
    parts = recipe.parts()
    back = bool(np.diff(recipe.plan(10).grid.sigmas)[0] > 0)
    for name in NAMES:
        if name in FLOWS and not isinstance(parts.path, ms.paths.Straight):
            with pytest.raises(ms.ScheduleError, match=f"spacing '{name}' belongs on straight paths; given"):
                recipe.plan(10, spacing=name)
            continue
        assert len(recipe.plan(10, spacing=name))
        grid = respaced(parts.path, parts.spacing, name, Asked(10))  # a plan has churned levels
        assert np.all(np.isfinite(grid.sigmas)) and np.all(np.isfinite(grid.timesteps)), name
        levels = grid.sigmas[::-1] if back else grid.sigmas
        assert np.all(np.diff(levels) < 0) and abs(len(grid) - 10) <= 1, name


# Recipes of the zoo that refuse a name, each with the reason.
REFUSING = {
    "ddim-zero-snr": "begins at the noisiest level, which has no finite sigma / alpha",
    "cogvideox-ddim": "begins at the noisiest level, which has no finite sigma / alpha",
    "tcd-0": "begins at the noisiest level, which has no finite sigma / alpha",
    "ddim-inverse-stride": "'sample' says nothing of x0",
    "sa-predictor": "'epsilon' says nothing of x0 at timestep 1000, where alpha = 0",
    "pndm-stride": "timesteps must lie in",  # its quirk steps by a stride beyond the last timestep
    "plms-stride": "timesteps must lie in",
}


@pytest.mark.host
@pytest.mark.parametrize("name", [*(name for name in NAMES if name not in PUBLISHED), "align_your_steps_32"])
def test_the_zoo_runs_on_every_name_or_refuses_it_in_a_sentence(name):
    for case, recipe in EVERY.items():
        plan, refusal = _planned(recipe, name)
        if name in FLOWS and not isinstance(recipe.parts().path, ms.paths.Straight):
            assert refusal.startswith(f"spacing '{name}' belongs on straight paths; given")
        elif plan is None:
            assert case in REFUSING and REFUSING[case] in refusal, f"{case}: {refusal}"
            assert refusal.endswith((".", ").")) and "\n" not in refusal
        else:
            assert np.all(np.isfinite(plan.sigmas)) and np.all(np.isfinite(plan.tableau.weights)), case


def _planned(recipe, name):
    try:
        return recipe.plan(10, spacing=name), None
    except ms.ScheduleError as error:
        return None, str(error)


@pytest.mark.host
@pytest.mark.parametrize("name", ["karras", "ddim_uniform", "beta", "leading"])
def test_a_run_to_the_noise_visits_the_levels_of_a_run_from_it(name):
    """However many points a name makes: the first are those of n + 1 steps, from the clean end."""
    for n in (1, 9, 30):
        down = ms.DPMSolverMultistep(**STABLE).plan(n + 1, spacing=name)
        up = ms.DPMSolverMultistepInverse(**STABLE).plan(n, spacing=name)
        np.testing.assert_array_equal(up.grid.sigmas, down.grid.sigmas[-2::-1])


@pytest.mark.host
def test_recipes_whose_sigma_is_told_are_told_that_of_the_name():
    """The path of `ScoreSdeVe` tells the model sigma; its own spacing alone tells another than that of the step."""
    recipe = ms.ScoreSdeVe(sampling_eps=0.3)
    plan = recipe.plan(10, spacing="karras")
    np.testing.assert_allclose(np.unique(plan.timesteps)[::-1], karras(Edm(0.01, 1348.0), 10)[:-1], rtol=CLOSE)


@pytest.mark.host
def test_a_link_of_a_name_takes_its_place_in_a_chain():
    chain = Named("karras") | ms.spacings.End("sigma_min")
    plan = ms.Euler(**STABLE).plan(10, spacing=chain)
    assert plan.sigmas[-1] == ms.Euler(**STABLE).parts().path.ratios[0]
    with pytest.raises(ms.ScheduleError, match="spacing must be one of"):
        Named("cubic")
    assert [one.name for one in fields(Named)] == ["name"]
