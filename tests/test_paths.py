"""Grids and noise schedules against their closed forms."""

import math

import numpy as np
import pytest
from made import flow, grid, quirked, vp

import multisched as ms
from multisched.paths import Circle, Cosine, LinearVP, TrigFlow, straight
from multisched.spacings.trained import timesteps


@pytest.mark.host
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("total", [1000, 37, 1])
def test_spacings_fall_strictly_and_hold_n_timesteps_for_every_n(spacing, total):
    for n in range(1, total + 1):
        chosen = timesteps(spacing, n, total)
        assert chosen.shape == (n,) and np.all(np.diff(chosen) < 0)
        assert chosen[-1] >= 0 and chosen[0] <= total - 1
        assert np.all(chosen == np.round(chosen))
    assert np.all(chosen == np.arange(total)[::-1])


@pytest.mark.host
def test_spacings_as_published():
    """The rows of Lin et al. 2023, table 2, for T = 1000 and 10 steps, counted from 0."""
    assert list(timesteps("leading", 10, 1000)) == [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
    assert list(timesteps("linspace", 10, 1000)) == [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]
    assert list(timesteps("trailing", 10, 1000)) == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert list(timesteps("leading", 2, 1000, offset=1)) == [501, 1]


@pytest.mark.host
def test_each_step_ends_where_the_next_begins():
    for recipe in (ms.DDIM(timestep_spacing="linspace"), ms.DDIM(timestep_spacing="trailing"), ms.FlowMatchEuler()):
        for n in (1, 3, 61, 333):
            assert recipe.plan(n).grid.chained


@pytest.mark.host
def test_the_stride_rule_aims_at_t_minus_the_stride():
    plan = quirked(ms.DDIM(timestep_spacing="linspace"), "stride").plan(10)
    level = ms.DDIM().parts().path.alphas_cumprod
    np.testing.assert_array_equal(plan.grid.next_alphas[0], math.sqrt(level[899]))
    assert plan.grid.next_alphas[-1] == 1.0
    assert not plan.grid.chained
    same = quirked(ms.DDIM(), "stride").plan(10)
    np.testing.assert_array_equal(same.grid.next_alphas, ms.DDIM().plan(10).grid.next_alphas)


@pytest.mark.host
def test_the_shift_is_applied_once():
    plan = ms.FlowMatchEuler(shift=3.0).plan(1000)
    even = np.arange(1000, 0, -1) / 1000
    np.testing.assert_allclose(plan.sigmas[:-1], 3 * even / (1 + 2 * even), rtol=1e-12)
    np.testing.assert_allclose(plan.timesteps, plan.sigmas[:-1] * 1000, rtol=0)
    assert plan.sigmas[-1] == 0


@pytest.mark.host
def test_the_double_shift_of_other_libraries_can_be_had():
    for n in (5, 60):
        sigmas = quirked(ms.FlowMatchEuler(shift=3.0), "double_shift").plan(n).sigmas
        np.testing.assert_allclose(sigmas[-2], straight.shift(straight.shift(0.001, 3.0), 3.0), rtol=1e-12)
        assert f"{sigmas[-2]:.6f}" == "0.008929"
    assert ms.FlowMatchEuler(shift=3.0).plan(5).sigmas[-2] == pytest.approx(0.0029940119760)


@pytest.mark.host
@pytest.mark.parametrize("factor", [0.01, 0.1, 0.37, 0.9, 1.5, 3.0, 12.0])
def test_a_shift_keeps_pure_noise_and_clean_samples(factor):
    assert straight.shift(1.0, factor) == 1.0 and straight.shift(0.0, factor) == 0.0
    for n in (1, 5, 50):
        assert ms.FlowMatchEuler(shift=factor).plan(n).sigmas[0] == 1.0


@pytest.mark.host
def test_a_spare_step_has_its_share_of_the_others():
    found = grid(flow(sigma_max=0.9, sigma_min=0.1, spare=True, last_step=0.25, inverted=True), 5)
    np.testing.assert_allclose(found.sigmas, [*(0.9 - 0.8 / 4.25 * np.arange(5)), 0.0], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.timesteps, 1000 * (1 - found.sigmas), rtol=1e-12)


@pytest.mark.host
def test_shifts_compose():
    sigmas = np.linspace(0.01, 1, 50)
    np.testing.assert_allclose(
        straight.shift(straight.shift(sigmas, 2.0), 1.5), straight.shift(sigmas, 3.0), rtol=1e-14
    )


@pytest.mark.host
def test_dynamic_shifts():
    plan = ms.FlowMatchEuler(use_dynamic_shifting=True).plan(20, mu=1.15)
    even = np.linspace(1, 0.001, 20)
    np.testing.assert_allclose(plan.sigmas[:-1], math.exp(1.15) / (math.exp(1.15) + (1 / even - 1)), rtol=1e-12)
    linear = ms.FlowMatchEuler(use_dynamic_shifting=True, time_shift_type="linear").plan(20, mu=1.15)
    np.testing.assert_allclose(linear.sigmas[:-1], 1.15 / (1.15 + (1 / even - 1)), rtol=1e-12)


@pytest.mark.host
@pytest.mark.parametrize("n", [1, 2, 30])
def test_terminal_stretch(n):
    sigmas = ms.FlowMatchEuler(shift=2.0, shift_terminal=0.1).plan(n).sigmas
    assert np.all(np.isfinite(sigmas)) and sigmas[0] == 1 and sigmas[-1] == 0
    if n > 1:
        assert sigmas[-2] == pytest.approx(0.1)


@pytest.mark.host
@pytest.mark.parametrize(
    "recipe",
    [
        ms.FlowMatchEuler(shift=3.0),
        ms.FlowMatchHeun(shift=3.0),
        ms.FlowMatchPingPong(shift_terminal=0.1),
        ms.DDIM(),
        ms.DDIM(set_alpha_to_one=False),
        ms.DDIM(timestep_spacing="trailing", rescale_betas_zero_snr=True, prediction_type="v_prediction"),
        ms.DDIM(timestep_spacing="linspace", beta_schedule="squaredcos_cap_v2"),
    ],
)
@pytest.mark.parametrize("n", [1, 2, 7, 50, 999])
def test_sigmas_fed_back_reproduce_the_plan_bit_for_bit(recipe, n):
    plan = recipe.plan(n)
    again = recipe.plan(sigmas=plan.sigmas)
    assert again == plan and hash(again) == hash(plan)
    assert recipe.plan(n, sigmas=plan.sigmas) == plan


SCHEDULES = {
    "flow": ms.paths.Straight(),
    "flow-inverted": ms.paths.Straight(inverted=True),
    "stage": ms.paths.Staged(stage=1, shift=2.0),
    **{
        timestep: ms.paths.VarianceExploding(timestep=timestep)
        for timestep in ("quarter_log", "log_1000_4", "arctan", "sigma")
    },
    "continuous": ms.paths.Discrete(space="ve", timestep_type="continuous"),
    "cosine": Cosine(0.7),
    "trigonometric": TrigFlow(sigma_data=0.7),
    "linear-vp": LinearVP(0.2, 15.0),
    "crash": Circle(),
}


@pytest.mark.host
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_what_is_told_at_a_level_leads_back_to_it(schedule):
    ratio = np.geomspace(0.05, 5, 9)
    point = schedule.point(ratio)
    np.testing.assert_allclose(point.sigma / point.alpha, ratio, rtol=1e-12)
    np.testing.assert_allclose(schedule.levels(point.timestep), [point.alpha, point.sigma], rtol=1e-9)


EVERY = {**SCHEDULES, "discrete": ms.paths.Discrete(), "discrete-ve": ms.paths.Discrete(space="ve")}


@pytest.mark.parametrize("path", EVERY.values(), ids=EVERY)
def test_points_of_arrays_are_those_of_numbers(path, make, backend):
    """The point of a ratio sigma / alpha on the arrays of any library, within rounding of float32."""
    ratios = np.geomspace(0.02, 20.0, 60).reshape(3, 20)
    for found, wanted in zip(path.point(make(ratios)), path.point(ratios), strict=True):
        got = np.broadcast_to(backend.to_numpy(found), ratios.shape)
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-5 * np.abs(wanted).max())


def test_levels_may_be_arrays_of_any_backend(make):
    levels = [0.875, 0.5, 0.25]
    for recipe in (ms.FlowMatchEuler(), ms.DDIM()):
        assert recipe.plan(sigmas=make(levels)) == recipe.plan(sigmas=levels)
    assert ms.DDIM().plan(timesteps=make([900, 10])) == ms.DDIM().plan(timesteps=[900, 10])


@pytest.mark.host
def test_timesteps_fed_back_reproduce_the_plan():
    plan = ms.DDIM(timestep_spacing="trailing").plan(13)
    assert ms.DDIM(timestep_spacing="trailing").plan(timesteps=plan.timesteps) == plan
    flow_plan = ms.FlowMatchEuler(shift=3.0).plan(13)
    again = ms.FlowMatchEuler(shift=3.0).plan(timesteps=flow_plan.timesteps)
    np.testing.assert_allclose(again.sigmas, flow_plan.sigmas, rtol=3e-16)
    assert ms.FlowMatchEuler(shift=3.0).plan(timesteps=flow_plan.timesteps, sigmas=flow_plan.sigmas[:-1]) == flow_plan


@pytest.mark.host
def test_given_sigmas_between_timesteps_are_met():
    plan = ms.DDIM().plan(sigmas=[0.95, 0.5, 0.1])
    np.testing.assert_allclose(plan.alphas[:-1] ** 2 + plan.sigmas[:-1] ** 2, 1, rtol=1e-15)
    assert list(plan.sigmas) == [0.95, 0.5, 0.1, 0.0]
    below, above = np.floor(plan.timesteps).astype(int), np.ceil(plan.timesteps).astype(int)
    table = np.sqrt(1 - ms.DDIM().parts().path.alphas_cumprod)
    assert np.all(table[below] <= plan.sigmas[:-1]) and np.all(plan.sigmas[:-1] <= table[above])


@pytest.mark.host
@pytest.mark.parametrize("recipe", [ms.FlowMatchEuler(shift=3.0), ms.FlowMatchHeun(), ms.DDIM()])
def test_partial_runs_are_parts_of_the_whole(recipe):
    whole = recipe.plan(20)
    calls = len(whole.grid), len(whole)
    part = recipe.plan(20, start=5, stop=12)
    np.testing.assert_array_equal(part.sigmas, whole.sigmas[5:13])
    assert len(part.grid) == 7 and part.stages[0] == 0
    per_step = 2 if calls[1] > calls[0] else 1
    np.testing.assert_array_equal(part.timesteps, whole.timesteps[5 * per_step : 12 * per_step])
    for strength in (0.0, 0.05, 0.3, 0.6, 1.0):
        plan = recipe.plan(20, strength=strength)
        assert len(plan.grid) == int(20 * strength)
        np.testing.assert_array_equal(plan.sigmas, whole.sigmas[20 - int(20 * strength) :])


@pytest.mark.host
def test_churn_does_not_depend_on_where_a_partial_run_begins():
    recipe = ms.FlowMatchHeun(s_churn=3.0)
    whole, part = recipe.plan(10), recipe.plan(10, start=4)
    np.testing.assert_array_equal(whole.tableau.weights[8:], part.tableau.weights)


@pytest.mark.host
def test_zero_terminal_snr():
    betas = np.linspace(1e-4, 0.02, 1000)
    rescaled = ms.rescale_zero_terminal_snr(betas)
    before, after = np.cumprod(1 - betas), np.cumprod(1 - rescaled)
    assert after[-1] == 0 and after[0] == pytest.approx(before[0], rel=1e-14)
    root = np.sqrt(before)
    np.testing.assert_allclose(
        np.sqrt(after), (root - root[-1]) * root[0] / (root[0] - root[-1]), rtol=1e-10, atol=1e-13
    )
    plan = ms.DDIM(rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction").plan(10)
    assert plan.alphas[0] == 0 and plan.sigmas[0] == 1


@pytest.mark.host
def test_betas_for_alpha_bar_give_alpha_bar_back():
    betas = ms.betas_for_alpha_bar(1000)
    t = np.arange(1, 1001) / 1000
    wanted = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(np.cumprod(1 - betas)[:-1], wanted[:-1], rtol=1e-9)
    assert betas[-1] == 0.999 and betas.dtype == np.float64
    exponential = ms.betas_for_alpha_bar(10, alpha_transform_type="exp")
    np.testing.assert_allclose(exponential, 1 - math.exp(-1.2), rtol=1e-12)
    assert np.all(ms.betas_for_alpha_bar(50, alpha_transform_type="laplace") > 0)


@pytest.mark.host
def test_beta_schedules():
    level = ms.DDIM(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).parts().path.alphas_cumprod
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    np.testing.assert_allclose(level, np.cumprod(1 - betas), rtol=3e-5)
    own = ms.DDIM(num_train_timesteps=4, trained_betas=[0.1, 0.2, 0.3, 0.4]).plan(4)
    np.testing.assert_allclose(own.alphas[:-1] ** 2, np.cumprod([0.9, 0.8, 0.7, 0.6])[::-1], rtol=1e-6)


def test_retrieve_timesteps(backend, make, device):
    levels = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    found, count = ms.retrieve_timesteps(device, make(levels), 4, 1000)
    assert count == 4 and ms.backends.of(found) is backend
    np.testing.assert_allclose(backend.to_numpy(found), [1000, 700, 400, 100], rtol=1e-6)
    found, count = ms.retrieve_timesteps(device, make(levels), 3, 1000)
    np.testing.assert_allclose(backend.to_numpy(found), [1000, 550, 100], rtol=1e-6)
    found, count = ms.retrieve_timesteps(device, make(levels), 25, 500)
    assert count == 10
    np.testing.assert_allclose(backend.to_numpy(found), np.array(levels) * 500, rtol=1e-6)
    found, count = ms.retrieve_timesteps(device, make(levels), 4, 1000, sigmas_override=[0.5, 0.25])
    assert count == 2
    np.testing.assert_allclose(backend.to_numpy(found), [500, 250])
    found, _ = ms.retrieve_timesteps("numpy", levels, 1, 1000)
    assert list(found) == [1000]


@pytest.mark.host
@pytest.mark.parametrize("space", ["vp", "ve"])
def test_on_the_way_to_the_noise_the_model_sees_what_it_sees_on_the_way_back(space):
    down, spacing = vp(space=space)
    up = grid((down, ms.spacings.Inverse(spacing)), 5)
    np.testing.assert_array_equal(up.scales, down.scale(up.alphas, up.sigmas))
    assert (up.scales[-1] < 0.01) == (space == "ve")


@pytest.mark.parametrize("path", [Cosine(), TrigFlow(), LinearVP(), Circle()])
def test_timesteps_in_half_precision_have_the_levels_of_their_values(path, make, backend):
    times = np.array([0.125, 0.75], np.float32)
    found = path.levels(make(times), backend)
    try:
        narrow = path.levels(make(times, "float16"), backend)
    except ms.ScheduleError:
        pytest.skip("the array-API standard has no half precision")
    for one, other in zip(narrow, found, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(one), backend.to_numpy(other))


@pytest.mark.host
@pytest.mark.parametrize("total", [10, 50, 100, 1000])
@pytest.mark.parametrize("kind", [ms.DPMSolverMultistep, ms.DPMSolverSinglestep, ms.UniPCMultistep, ms.DEISMultistep])
def test_a_timestep_that_would_come_twice_is_named_with_the_way_out(kind, total):
    recipe = kind(num_train_timesteps=total)
    with pytest.raises(ms.ScheduleError, match=f"visit timestep .* twice.* at most {total - 1} steps") as caught:
        recipe.plan(total)
    assert len(str(caught.value)) < 300 and len(recipe.plan(total - 1).grid) == total - 1
    if kind is not ms.DPMSolverSinglestep:
        assert len(kind(num_train_timesteps=total, timestep_spacing="trailing").plan(total).grid) == total


@pytest.mark.host
def test_betas_are_those_of_the_schedule():
    plain = vp(precision="float64")[0]
    np.testing.assert_array_equal(plain.own_betas, np.linspace(1e-4, 0.02, 1000))
    assert not plain.own_betas.flags.writeable and plain.own_betas.dtype == np.float64
    for change in ({}, {"terminal_alpha_bar": 0.0}, {"snr_shift_scale": 3.0}):
        schedule, _ = vp(precision="float64", **change)
        np.testing.assert_allclose(np.cumprod(1 - schedule.own_betas), schedule.alphas_cumprod, rtol=1e-12, atol=1e-15)


@pytest.mark.host
def test_a_single_exponential_step_starts_as_wide_as_diffusers_has_it():
    config = {"_class_name": "EDMEulerScheduler", "sigma_schedule": "exponential"}
    theirs, ours = ms.from_diffusers(config).plan(1), ms.EDMEuler(sigma_schedule="exponential").plan(1)
    assert theirs.grid.init_noise_sigma == pytest.approx(80.00625, rel=1e-7)
    assert theirs.sigmas[0] == pytest.approx(0.002)
    assert ours.grid.init_noise_sigma == pytest.approx(80.00625, rel=1e-7) and ours.sigmas[0] == pytest.approx(80.0)
