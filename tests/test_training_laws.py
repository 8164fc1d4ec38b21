"""Spacings at quantiles or even times of training laws, those that follow the number of tokens, and GITS: against the
formulas of ComfyUI, k-diffusion and stable-diffusion.cpp, written one level at a time."""

import math

import numpy as np
import pytest

import multisched as ms
from multisched.spacings import GITS, LTX2, VP, Asked, Flux2, Laplace, LogitNormal, flux2_mu, ltx2_mu

pytestmark = pytest.mark.host
COUNTS = (1, 2, 5, 10, 20, 28, 50, 200)
PATHS = {
    "vp": ms.paths.Discrete(ms.paths.Betas(1000, 0.00085, 0.012, "scaled_linear")),
    "ve": ms.paths.Discrete(ms.paths.Betas(1000, 0.00085, 0.012, "scaled_linear"), space="ve"),
    "edm": ms.paths.VarianceExploding(),
    "cosine": ms.paths.Cosine(),
    "trig": ms.paths.TrigFlow(),
    "straight": ms.paths.Straight(),
    "inverted": ms.paths.Straight(inverted=True),
}
each_path = pytest.mark.parametrize("name", PATHS)
straight = pytest.mark.parametrize("name", ["straight", "inverted"])


def _ratios(path, n, spacing):
    grid = spacing.grid(path, Asked(n))
    assert len(grid) == n and (grid.alphas[-1], grid.sigmas[-1]) == path.clean
    with np.errstate(divide="ignore"):
        return grid.sigmas[:-1] / grid.alphas[:-1]


def _ends(path):
    point = path.at(np.array(path.ends))
    with np.errstate(divide="ignore"):
        return point.sigma / point.alpha


@each_path
@pytest.mark.parametrize(("mu", "beta"), [(0.0, 0.5), (-0.3, 0.4), (0.3, 0.5)])
def test_laplace(name, mu, beta):
    """ComfyUI's get_sigmas_laplace."""
    top, bottom = _ends(PATHS[name])
    for n in COUNTS:
        wanted = []
        for i in range(n):
            x = i / (n - 1) if n > 1 else 0.0
            sign = (x < 0.5) - (x > 0.5)
            away = math.exp(mu - beta * sign * math.log(1 - 2 * abs(0.5 - x) + 1e-5))
            wanted.append(min(max(away, bottom), top))
        np.testing.assert_allclose(_ratios(PATHS[name], n, Laplace(mu, beta)), wanted, rtol=1e-9)


@each_path
@pytest.mark.parametrize("options", [{}, {"beta_d": 8.0, "beta_min": 0.5, "eps_s": 0.01}])
def test_vp(name, options):
    """k-diffusion's get_sigmas_vp."""
    given = {"beta_d": 19.9, "beta_min": 0.1, "eps_s": 1e-3} | options
    for n in COUNTS:
        times = [1 + (given["eps_s"] - 1) * i / (n - 1) if n > 1 else 1.0 for i in range(n)]
        wanted = [math.sqrt(math.exp(given["beta_d"] * t * t / 2 + given["beta_min"] * t) - 1) for t in times]
        np.testing.assert_allclose(_ratios(PATHS[name], n, VP(**options)), wanted, rtol=1e-9)


def test_vp_is_the_path_of_its_name():
    """Its levels are those that the path `LinearVP` has at even times."""
    path = ms.paths.LinearVP()
    alpha, sigma = path.levels(np.linspace(1, 1e-3, 12))
    np.testing.assert_allclose(_ratios(path, 12, VP()), sigma / alpha, rtol=1e-9)


@straight
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.75), (0.7, 1.0), (-0.5, 0.6)])
def test_logit_normal_on_flows(name, mean, std):
    """stable-diffusion.cpp's LogitNormalScheduler: sigma, kept below that of log SNR -18."""
    stats = pytest.importorskip("scipy.stats")
    for n in COUNTS:
        wanted = [1 / (1 + math.exp(-(mean + std * stats.norm.isf(i / n)))) if i else 1.0 for i in range(n)]
        wanted[0] = 1 / (1 + math.exp(-9))
        grid = LogitNormal(mean, std).grid(PATHS[name], Asked(n))
        np.testing.assert_allclose(grid.sigmas[:-1], wanted, rtol=1e-12)


@pytest.mark.parametrize("name", ["vp", "ve", "edm", "trig"])
def test_logit_normal_elsewhere(name):
    """The share of the training time; where that is even in the level's logarithm, the law of that."""
    path, stats = PATHS[name], pytest.importorskip("scipy.stats")
    for n in COUNTS:
        share = [1 / (1 + math.exp(-1.75 * stats.norm.isf(i / n))) if i else 1.0 for i in range(n)]
        found, (top, bottom) = _ratios(path, n, LogitNormal()), _ends(path)
        assert found[0] == pytest.approx(top, rel=1e-9)
        if name == "edm":
            np.testing.assert_allclose(np.log(found / bottom) / np.log(top / bottom), share, rtol=1e-9)
        else:
            np.testing.assert_allclose(path.point(found).timestep / path.point(top).timestep, share, atol=2e-3)


# ComfyUI's lists of the least, the default and the greatest coefficient, the last level of each for the end of the run.
LISTED = {
    (0.8, 2): (14.61464119, 7.49001646),
    (0.8, 16): (
        *(14.61464119, 13.76078796, 12.96784878, 12.2308979, 11.54541874, 10.90732002, 10.31284904, 9.24142551),
        *(8.75849152, 8.30717278, 7.49001646, 6.14220476, 4.86714602, 3.1956799, 1.98035145, 0.86115354),
    ),
    (1.0, 3): (14.61464119, 6.77309084, 0.95350921),
    (1.15, 10): (
        *(14.61464119, 6.77309084, 3.07277966, 1.91321158, 1.24153244, 0.803307, 0.52423614, 0.34370604, 0.19894916),
        0.09824532,
    ),
    (1.2, 10): (
        *(14.61464119, 5.85520077, 2.84484982, 1.67050016, 1.08895338, 0.74807048, 0.50118381, 0.32104823, 0.19894916),
        0.09824532,
    ),
    (1.2, 20): (
        *(14.61464119, 7.49001646, 4.65472794, 3.07277966, 2.19988537, 1.61558151, 1.24153244, 0.95350921, 0.74807048),
        *(0.59516323, 0.50118381, 0.41087446, 0.34370604, 0.29807833, 0.25053367, 0.22545385, 0.19894916, 0.17026083),
        *(0.13792117, 0.09824532),
    ),
    (1.5, 5): (14.61464119, 1.24153244, 0.54755926, 0.25053367, 0.09824532),
}


@each_path
@pytest.mark.parametrize(("coefficient", "n"), LISTED)
def test_gits(name, coefficient, n):
    found = _ratios(PATHS[name], n, GITS(coefficient))
    np.testing.assert_allclose(found, LISTED[coefficient, n], rtol=3e-6)


def test_gits_of_more_steps_interpolates():
    twenty = [*LISTED[1.2, 20], 0.02916753]
    for n in (21, 28, 50, 400):
        wanted = []
        for i in range(n):
            place = 20 * i / n
            low, share = int(place), place - int(place)
            wanted.append(twenty[low] ** (1 - share) * twenty[low + 1] ** share)
        np.testing.assert_allclose(_ratios(PATHS["ve"], n, GITS()), wanted, rtol=3e-6)
    assert _ratios(PATHS["ve"], 1, GITS()) == pytest.approx([14.61464119], rel=3e-6)


# Per coefficient, the sum of ComfyUI's levels in all its lists, each times its place in its list from 1.
SUMS = (
    *(10065.494, 8711.704, 7011.695, 5192.194, 3669.373),
    *(2729.874, 2071.215, 1626.91, 1421.171, 1165.44),
    *(1068.854, 929.977, 835.246, 803.661, 771.558),
)


def test_gits_has_every_list():
    """Of 2 to 20 steps, for 15 coefficients, each falling."""
    for k, wanted in zip(range(80, 155, 5), SUMS, strict=True):
        runs = [_ratios(PATHS["ve"], n, GITS(k / 100)) for n in range(2, 21)]
        assert all(run.size == n and np.all(np.diff(run) < 0) for n, run in zip(range(2, 21), runs, strict=True))
        found = sum(float(run @ np.arange(1, run.size + 1)) for run in runs)
        assert found == pytest.approx(wanted, rel=3e-6)


@straight
def test_flux2(name):
    """exp(mu) / (exp(mu) + 1 / t - 1) with the two lines of Black Forest Labs."""
    for tokens in (256, 1024, 4096, 4300, 4301, 16384):
        for n in COUNTS:
            high, low = 0.00016927 * tokens + 0.45666666, 8.73809524e-05 * tokens + 1.89833333
            slope = (high - low) / 190
            mu = high if tokens > 4300 else slope * n + (high - 200 * slope)
            assert flux2_mu(tokens, n) == pytest.approx(mu, rel=1e-12)
            wanted = [1.0 if i == 0 else math.exp(mu) / (math.exp(mu) + n / (n - i) - 1) for i in range(n)]
            found = Flux2(tokens).grid(PATHS[name], Asked(n)).sigmas
            np.testing.assert_allclose(found, [*wanted, 0.0], rtol=1e-12)


@straight
def test_ltx2(name):
    """Lightricks' shift, then all but the end stretched so that the last level is 0.1."""
    for tokens in (256, 1024, 4096, 30_000):
        mu = tokens * 1.1 / 3072 + 0.95 - 1024 * 1.1 / 3072
        assert ltx2_mu(tokens) == pytest.approx(mu, rel=1e-12)
        for n in COUNTS:
            plain = [1.0 if i == 0 else math.exp(mu) / (math.exp(mu) + n / (n - i) - 1) for i in range(n)]
            wanted = [1 - (1 - one) * 0.9 / (1 - plain[-1]) for one in plain] if n > 1 else plain
            for terminal, levels in ((0.1, wanted), (None, plain)):
                found = LTX2(tokens, terminal).grid(PATHS[name], Asked(n)).sigmas
                np.testing.assert_allclose(found, [*levels, 0.0], rtol=1e-11)


def test_recipes_of_these_models_make_the_same_runs():
    """By mu= of a recipe with dynamic shifting, as their pipelines do."""
    dynamic = ms.FlowMatchEuler(use_dynamic_shifting=True)
    chain = ms.spacings.Even(1.0, 0.0, spare=True) | ms.spacings.DynamicShift()
    flux = dynamic.plan(9, spacing=Flux2(2000))
    np.testing.assert_allclose(flux.sigmas, dynamic.plan(9, spacing=chain, mu=flux2_mu(2000, 9)).sigmas, rtol=1e-12)
    line = {"base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 1024, "max_image_seq_len": 4096}
    ltx = ms.FlowMatchEuler(use_dynamic_shifting=True, shift_terminal=0.1, **line)
    assert ltx.mu(3000) == pytest.approx(ltx2_mu(3000), rel=1e-12)
    stretched = chain | ms.spacings.Terminal(0.1)
    wanted = ltx.plan(9, spacing=LTX2(3000)).sigmas
    np.testing.assert_allclose(wanted, ltx.plan(9, spacing=stretched, mu=ltx2_mu(3000)).sigmas, rtol=1e-12)


def test_names_are_the_links_with_their_defaults():
    links = {"laplace": Laplace(), "vp": VP(), "logit_normal": LogitNormal(), "gits": GITS()}
    links |= {"flux2": Flux2(4096), "ltx2": LTX2(4096, 0.1)}
    for name, link in links.items():
        for shift in (1.0, 3.0):  # no shift of a recipe moves them
            recipe = ms.FlowMatchEuler(shift=shift)
            np.testing.assert_array_equal(recipe.plan(7, spacing=name).sigmas, recipe.plan(7, spacing=link).sigmas)


def test_samplers_take_them():
    flow = ms.FlowMatchEuler()
    for name in ("beta57", "bong_tangent", "smoothstep", "laplace", "vp", "gits", "logit_normal"):
        assert len(ms.sampler("dpmpp_2m", spacing=name).plan(8)) == 8
    assert ms.sampler("euler", like=flow, spacing="flux2").plan(8).sigmas[1] == flow.plan(8, spacing="flux2").sigmas[1]
    for name in ("flux2", "ltx2"):
        with pytest.raises(ms.ScheduleError, match=f"spacing '{name}' belongs on straight paths; given Discrete"):
            ms.sampler("euler", spacing=name)


REFUSED = {
    "beta must be a positive number": lambda: Laplace(beta=0.0),
    "mu must be a finite number": lambda: Laplace(mu=math.inf),
    "mean must be a finite number": lambda: LogitNormal(mean=math.nan),
    "std must be a positive number": lambda: LogitNormal(std=-1.0),
    "beta_d must be a positive number": lambda: VP(beta_d=0.0),
    "beta_min must be a number >= 0": lambda: VP(beta_min=-0.1),
    r"beta_d / 2 \+ beta_min must be at most 700": lambda: VP(beta_d=1500.0),
    r"eps_s must be in \(0, 1\)": lambda: VP(eps_s=1.0),
    "coefficient must be one of 0.8, 0.85, 0.9,.* given 1.22": lambda: GITS(1.22),
    "tokens must be in 1..10000000; given 0": lambda: Flux2(0),
    "tokens must be an int; given 2.5": lambda: flux2_mu(2.5, 4),
    "steps must be in 1..10000; given 0": lambda: flux2_mu(2, 0),
    r"shift_terminal must be in \(0, 1\) or None; given 1.5": lambda: LTX2(terminal=1.5),
    r"LTX2\(.*\) belongs on the straight path; given Discrete": lambda: ms.DDIM().plan(4, spacing=LTX2()),
    r"Flux2\(tokens=4096\) belongs on the straight path": lambda: ms.EDMEuler().plan(4, spacing=Flux2()),
    "900 steps of spacing 'laplace' make no decreasing levels": lambda: Laplace().grid(PATHS["ve"], Asked(900)),
    "the number of steps must be in": lambda: ms.Euler().plan(0, spacing="gits"),
}


@pytest.mark.parametrize("told", REFUSED)
def test_what_is_refused(told):
    with pytest.raises(ms.ScheduleError, match=told):
        REFUSED[told]()
