"""Where a run asks the model: spacings of sigma / alpha, of timesteps and of flow levels, and published lists."""

import math

import numpy as np
import pytest
from made import flow, ve, vp

import multisched as ms
from multisched.paths.betas import betas
from multisched.spacings import align_your_steps, levels as ratios
from multisched.spacings.trained import SPACINGS, linear_quadratic, timesteps

ENDS = [(14.6, 0.03), (80.0, 0.002), (1.5, 0.4), (0.9, 0.2)]


@pytest.mark.host
@pytest.mark.parametrize("kind", ratios.KINDS)
@pytest.mark.parametrize(("top", "bottom"), ENDS)
def test_ratios_fall_strictly_from_end_to_end(kind, top, bottom):
    for n in (1, 2, 3, 10, 100):
        chosen = ratios.between(kind, top, bottom, n)
        assert chosen.shape == (n,) and chosen.dtype == np.float64 and np.all(np.diff(chosen) < 0)
        assert chosen[0] == pytest.approx(top, rel=1e-12)
        assert n == 1 or chosen[-1] == pytest.approx(bottom, rel=1e-9)


@pytest.mark.host
@pytest.mark.parametrize(("top", "bottom"), ENDS)
def test_ratios_by_their_closed_forms(top, bottom):
    """Karras et al. 2022, eq. 5, and the others, one level at a time."""
    n, rho = 9, 5.0
    share = [i / (n - 1) for i in range(n)]
    lams = math.log(top), math.log(bottom)
    signed = [math.copysign(abs(lam) ** (1 / rho), lam) for lam in lams]
    bent = [signed[0] + i * (signed[1] - signed[0]) for i in share]
    wanted = {
        "karras": [(top ** (1 / rho) + i * (bottom ** (1 / rho) - top ** (1 / rho))) ** rho for i in share],
        "exponential": [top * (bottom / top) ** i for i in share],
        "polyexponential": [bottom * (top / bottom) ** ((1 - i) ** rho) for i in share],
        "lu": [math.exp(math.copysign(abs(one) ** rho, one)) for one in bent],
        "kl_optimal": [math.tan((1 - i) * math.atan(top) + i * math.atan(bottom)) for i in share],
        "linear": [top + i * (bottom - top) for i in share],
    }
    found = {
        "karras": ratios.karras(top, bottom, n, rho),
        "polyexponential": ratios.polyexponential(top, bottom, n, rho),
        "lu": ratios.lu(top, bottom, n, rho),
    }
    for kind, levels in wanted.items():
        np.testing.assert_allclose(found.get(kind, ratios.between(kind, top, bottom, n)), levels, rtol=1e-11)
    assert set(wanted) == set(ratios.KINDS) - {"beta"}


@pytest.mark.host
def test_ratios_that_are_others_in_disguise():
    wanted = ratios.exponential(14.6, 0.03, 30)
    for kind in ("lu", "polyexponential"):
        np.testing.assert_allclose(ratios.between(kind, 14.6, 0.03, 30), wanted, rtol=1e-12)
    np.testing.assert_allclose(ratios.karras(14.6, 0.03, 30, 1.0), ratios.linear(14.6, 0.03, 30), rtol=1e-12)
    np.testing.assert_allclose(ratios.beta(14.6, 0.03, 30, 1.0, 1.0), ratios.linear(14.6, 0.03, 30), rtol=1e-12)
    np.testing.assert_allclose(ratios.karras(14.6, 0.03, 30, 1e6), wanted, rtol=1e-4)


@pytest.mark.host
def testbeta_quantiles_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    share = np.concatenate([np.linspace(0, 1, 201), [1e-9, 1e-6, 1 - 1e-6, 1 - 1e-9]])
    for a, b in ((0.6, 0.6), (0.5, 0.5), (1.0, 1.0), (0.4, 0.9), (2.0, 0.7), (0.8, 3.0)):
        np.testing.assert_allclose(
            ratios.beta(1.0, 0.0, share.size, a, b), stats.beta.ppf(1 - np.linspace(0, 1, share.size), a, b), atol=1e-12
        )
        np.testing.assert_allclose(ratios.beta_quantile(share, a, b), stats.beta.ppf(share, a, b), atol=1e-12)


@pytest.mark.host
def test_ratios_are_refused_in_a_sentence():
    with pytest.raises(ms.ScheduleError, match=r"sigma_schedule must be one of 'karras'.*; given 'cubic'\."):
        ratios.between("cubic", 2.0, 1.0, 3)
    for top, bottom in ((1.0, 2.0), (1.0, 0.0), (1.0, 1.0)):
        with pytest.raises(ms.ScheduleError, match="noise levels must run from a larger to a smaller one above 0"):
            ratios.between("karras", top, bottom, 3)
    with pytest.raises(ms.ScheduleError, match="given use_karras_sigmas and use_beta_sigmas"):
        ratios.one_kind(karras_sigmas=True, exponential_sigmas=False, beta_sigmas=True)
    assert ratios.one_kind(karras_sigmas=False) is None
    assert ratios.one_kind(exponential_sigmas=True, karras_sigmas=False) == "exponential"


@pytest.mark.host
@pytest.mark.parametrize("spacing", ["simple", "sgm_uniform", "ddim_uniform"])
@pytest.mark.parametrize("total", [1000, 37])
def test_spacings_one_timestep_at_a_time(spacing, total):
    """As the lists that the published code walks through, for every number of steps."""
    for n in range(1, total):
        wanted = {
            "simple": [total - 1 - int(i * (total / n)) for i in range(n)],
            "sgm_uniform": [round((total - 1) * (n - i) / n) for i in range(n)],
            "ddim_uniform": list(range(1, total, total // n))[:n][::-1],
        }[spacing]
        chosen = timesteps(spacing, n, total)
        # Halves are where the two roundings of (total - 1) * (n - i) / n may differ.
        halves = (2 * (total - 1) * np.arange(n, 0, -1) % n == 0) & (spacing == "sgm_uniform")
        assert np.all(np.abs(chosen - wanted) <= halves), n
        assert np.all(np.diff(chosen) < 0) and np.all(chosen == np.round(chosen))
    np.testing.assert_allclose(timesteps("sgm_uniform", 4, 1000, whole=False), [999, 749.25, 499.5, 249.75])


@pytest.mark.host
def test_spacings_that_are_others_in_disguise():
    np.testing.assert_array_equal(timesteps("ddim_uniform", 30, 1000), timesteps("leading", 30, 1000, offset=1))
    np.testing.assert_array_equal(timesteps("simple", 40, 1000), timesteps("trailing", 40, 1000))
    np.testing.assert_array_equal(timesteps("sgm_uniform", 40, 1000), timesteps("linspace", 40, 1000, spare=True))
    with pytest.raises(ms.ScheduleError, match="'ddim_uniform' spacing and steps_offset=0 make the timesteps"):
        timesteps("ddim_uniform", 1000, 1000)
    with pytest.raises(ms.ScheduleError, match="timestep_spacing must be one of 'leading'"):
        timesteps("even", 3, 1000)


@pytest.mark.host
@pytest.mark.parametrize("spacing", SPACINGS)
def test_spacings_serve_any_recipe(spacing):
    for recipe in (ms.DDIM(timestep_spacing=spacing), ms.PNDM(timestep_spacing=spacing)):
        np.testing.assert_array_equal(
            np.unique(recipe.plan(12).timesteps[-8:])[:4], timesteps(spacing, 12, 1000)[:-5:-1]
        )
    np.testing.assert_allclose(
        ms.LMS(timestep_spacing=spacing).plan(12).timesteps, timesteps(spacing, 12, 1000, whole=False)
    )


@pytest.mark.host
def test_linear_quadratic():
    """The eight steps are those that LTX-Video's distilled checkpoints publish."""
    published = [1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875]
    np.testing.assert_allclose(linear_quadratic(8), published, rtol=1e-14)
    for n in range(1, 200):
        levels = np.append(linear_quadratic(n), 0.0)
        assert levels.shape == (n + 1,) and levels[0] == 1 and np.all(np.diff(levels) < 0)
        if n > 1:
            assert levels[n // 2] == pytest.approx(0.975)
            np.testing.assert_allclose(np.diff(levels[n // 2 :], 3), 0, atol=1e-12)
    recipe = ms.Scheduler(*flow(sigma_max=0.9, quadratic=True), "flow_prediction", ms.solvers.Euler())
    np.testing.assert_allclose(recipe.plan(8).sigmas, [*(0.9 * one for one in published), 0.0], rtol=1e-14)
    with pytest.raises(ms.ScheduleError, match="spacing must be one of"):
        ms.FlowMatchEuler().plan(4, spacing="cubic")


@pytest.mark.host
def test_align_your_steps():
    """The timesteps and noise levels of Sabour et al. 2024, appendix B."""
    timesteps_of = {
        "sd1": [999, 850, 736, 645, 545, 455, 343, 233, 124, 24],
        "sdxl": [999, 845, 730, 587, 443, 310, 193, 116, 53, 13],
    }
    levels_of = {
        "sd1": [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029],
        "sdxl": [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029],
        "svd": [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002],
    }
    stable = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    ratio = vp(**stable)[0].ratios
    for model, wanted in timesteps_of.items():
        np.testing.assert_array_equal(align_your_steps(model)["timesteps"], wanted)
        np.testing.assert_allclose(ratio[wanted], levels_of[model][:-1], rtol=0.02)
        twice = align_your_steps(model, 20)["timesteps"]
        np.testing.assert_array_equal(twice[::2], wanted)
        between = np.sqrt(np.array(levels_of[model])[1:] * levels_of[model][:-1])
        np.testing.assert_allclose(ratio[twice[1::2].astype(int)], between, rtol=0.05)
        for recipe in (ms.DDIM(**stable), ms.LMS(**stable), ms.PNDM(**stable)):
            assert len(recipe.plan(**align_your_steps(model, 15)).grid) == 15
    np.testing.assert_allclose(align_your_steps("svd")["sigmas"], levels_of["svd"][:-1], rtol=1e-14)
    recipe = ms.Scheduler(*ve(sigma_max=700.0), "v_prediction", ms.solvers.Euler())
    np.testing.assert_allclose(recipe.plan(**align_your_steps("svd", 5)).sigmas[:-1], levels_of["svd"][:-1:2])
    for model, n, match in (("flux", 10, "must be one of 'sd1', 'sdxl', 'svd'"), ("sd1", 999, "must fall strictly")):
        with pytest.raises(ms.ScheduleError, match=match):
            align_your_steps(model, n)


@pytest.mark.host
def test_beta_schedules_one_at_a_time():
    start, end, total = 1e-4, 0.02, 7
    logistic = [1 / (1 + math.exp(6 - 2 * i)) for i in range(total)]
    np.testing.assert_allclose(betas("sigmoid", total, start, end), [start + (end - start) * one for one in logistic])
    np.testing.assert_allclose(betas("exp", total, start, end), 1 - math.exp(-12 / total))
    laplace = betas("laplace", 1000, start, end)
    level = np.cumprod(1 - laplace)
    t = np.arange(1, 1000) / 1000
    lam = -0.5 * np.copysign(1, 0.5 - t) * np.log(1 - 2 * np.abs(0.5 - t) + 1e-6)
    wanted = np.sqrt(np.exp(lam) / (1 + np.exp(lam)))
    np.testing.assert_allclose(level[:-1] / level[0], wanted / wanted[0], rtol=1e-9)
