"""Where a run ends: the timestep of its last point, and the forward process at its points."""

import dataclasses
import math

import numpy as np
import pytest
from made import quirked
from zoo import arrays, every_recipe, named_recipe, others

import multisched as ms
from multisched.paths import TrigFlow
from multisched.schedulers.base import SETTINGS
from multisched.variants import STEP_OPTIONS


def _variants(recipe):
    """The recipe, and it with each option changed in turn."""
    yield recipe
    for field in (one for one in dataclasses.fields(recipe) if one.name not in SETTINGS):
        for value in others(recipe, field.name)[:4]:
            try:
                yield dataclasses.replace(recipe, **{field.name: value})
            except ms.ScheduleError:
                continue


def _check_end(recipe, plan):
    """The end's timestep is that of its level."""
    grid = plan.grid
    alpha, sigma = recipe.levels(grid.timesteps[-1])
    if grid.sigmas[-1] == 0:
        assert alpha == grid.alphas[-1] and sigma == 0
        return
    np.testing.assert_allclose(sigma, grid.sigmas[-1], rtol=1e-9, atol=1e-9)
    # Between two timesteps of a table (alpha, sigma) runs along a chord of the circle; a staged end has alpha = 1.
    schedule = recipe.parts().path
    discrete = getattr(schedule, "schedule", schedule)
    between = _chord(discrete, sigma) if getattr(discrete, "space", "") == "vp" else 0.0
    staged = getattr(recipe, "final_sigma", 0.0)
    np.testing.assert_allclose(alpha, grid.alphas[-1], rtol=1e-9, atol=1e-9 + staged + between)


def _chord(schedule, sigma):
    """How far alpha on the chord may lie from alpha on the circle, at this sigma between two entries of the table."""
    angles = np.append(0.0, np.arcsin(np.sqrt(1 - schedule.alphas_cumprod)))
    k = int(np.clip(np.searchsorted(angles, math.asin(min(sigma, 1.0))), 1, angles.size - 1))
    low, high = sorted(angles[k - 1 : k + 1])
    share = (sigma - math.sin(low)) / (math.sin(high) - math.sin(low)) if high > low else 0.0
    chord = math.cos(low) + share * (math.cos(high) - math.cos(low))
    return abs(math.sqrt(max(1 - sigma * sigma, 0.0)) - chord)


@pytest.mark.host
@named_recipe
def test_the_end_of_a_run_is_told_its_own_level(recipe):
    made = 0
    for variant in _variants(recipe):
        for arguments in ({"n": 5}, {"n": 6, "stop": 3}, {"n": 1}):
            try:
                plan = variant.plan(**arguments)
            except ms.ScheduleError:
                continue
            _check_end(variant, plan)
            made += 1
    assert made > 3


@pytest.mark.host
def test_ends_by_their_closed_forms():
    cases = [
        (ms.CMStochasticIterative(), 250 * math.log(0.002)),
        (ms.EDMEuler(final_sigmas_type="sigma_min"), 0.25 * math.log(0.002)),
        (ms.CosineDPMSolverMultistep(sigma_min=0.3, final_sigmas_type="sigma_min"), 2 / math.pi * math.atan(0.3)),
        (ms.EDMEuler(), -200.0),
        (ms.KarrasVe(), 0.0),
        (ms.DDIM(), -1.0),
        (ms.DDIM(set_alpha_to_one=False), 0.0),
        (ms.Euler(), -1.0),
        (ms.Euler(timestep_type="continuous"), -200.0),
        (ms.FlowMatchEuler(), 0.0),
        (ms.FlowMatchEuler(invert_sigmas=True), 1000.0),
        (ms.MiniMaxH3(), 1.0),
        (ms.DDIMInverse(timestep_spacing="trailing"), 999.0),
        (ms.SCM(), 0.0),
    ]
    for recipe, end in cases:
        assert recipe.plan(4).grid.timesteps[-1] == pytest.approx(end, rel=1e-12), type(recipe)


@every_recipe
def test_the_forward_process_at_the_points_of_a_run(recipe, make, backend, device):
    x0, noise = arrays(2)
    plan, scheduler = recipe.plan(4), recipe.on(backend, device)
    scheduler.set_timesteps(4)
    end = len(plan.grid)
    for point in (0, 1, end):
        wanted = plan.alphas[point] * x0 + plan.sigmas[point] * noise
        size = float(np.abs(wanted).max())
        found = backend.to_numpy(plan.add_noise(make(x0), make(noise), point))
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 * size)
        traced = backend.asarray(np.array(point), "int32", device)
        np.testing.assert_allclose(
            backend.to_numpy(plan.add_noise(make(x0), make(noise), traced)), wanted, rtol=1e-6, atol=1e-6 * size
        )
    points = np.array([end, 1])
    each = backend.to_numpy(plan.add_noise(make(x0), make(noise), backend.asarray(points, "int32", device)))
    wanted = plan.alphas[points][:, None, None] * x0 + plan.sigmas[points][:, None, None] * noise
    np.testing.assert_allclose(each, wanted, rtol=1e-6, atol=1e-6 * float(np.abs(wanted).max()))
    if plan.sigmas[-1] == 0:
        last = float(plan.grid.timesteps[-1])
        for clean in (
            plan.add_noise(make(x0), make(noise), end),
            recipe.add_noise(make(x0), make(noise), last),
            scheduler.scale_noise(make(x0), last, make(noise)),
        ):
            np.testing.assert_array_equal(backend.to_numpy(clean), x0)


def test_points_outside_a_run_are_refused(make):
    x = make(arrays(1)[0])
    plan = ms.DDIM().plan(4)
    for bad in (-1, 5, 1.5, "1", None, True, [1]):
        with pytest.raises(ms.ScheduleError, match="point"):
            plan.add_noise(x, x, bad)


@every_recipe
def test_the_row_of_the_end_repeats_the_last_timestep(recipe, make, backend, device):
    plan = recipe.plan(3)
    x = make(arrays(1)[0])
    memory = (x,) * (len(plan.tableau.registers) - 1)
    state = ms.State(x, memory, backend.asarray(np.array([len(plan), len(plan) - 1]), "int32", device))
    told = backend.to_numpy(plan.timestep(state))
    assert told[0] == told[1] == np.float32(plan.timesteps[-1])


@pytest.mark.host
@every_recipe
def test_runs_of_no_steps(recipe):
    """Each is a plan of no rows, or a sentence."""
    for arguments in ({"start": 3}, {"strength": 0}, {"stop": 0}, {"start": 2, "stop": 2}, {"strength": 0.1}):
        for n in (1, 3):
            try:
                plan = recipe.plan(n, **arguments)
            except ms.ScheduleError:
                assert arguments.get("strength") != 0
                continue
            if len(plan) == 0:
                assert arguments.get("strength") != 0.1 and math.isfinite(plan.grid.timesteps[0])


@pytest.mark.host
def test_strength_has_one_meaning():
    for kind in (ms.LCM, ms.TCD):
        for n, strength in ((4, 0.5), (2, 0.3), (4, 1.0), (4, 1)):
            assert kind().plan(n, strength=strength) == kind(strength=strength).plan(n)
            assert kind(strength=0.9).plan(n, strength=strength) == kind(strength=strength).plan(n)
        lists = [999, 759, 499, 259]
        assert list(kind().plan(timesteps=lists, strength=0.5).timesteps) == [499, 259]
        assert kind(strength=0.5).plan(timesteps=lists) == kind().plan(timesteps=lists, strength=0.5)
        assert len(kind().plan(4, strength=0)) == 0
        with pytest.raises(ms.ScheduleError, match=r"strength=0\.01 leaves none"):
            kind().plan(4, strength=0.01)
        with pytest.raises(ms.ScheduleError, match="start or strength"):
            kind().plan(4, strength=0.5, start=1)
    with pytest.raises(ms.ScheduleError, match=r"strength=0\.1 of 1 steps is less than one"):
        ms.Piflow().plan(1, strength=0.1)


RATIOS = [12.0, 3.0, 1.0, 0.2]


@pytest.mark.host
@pytest.mark.parametrize(
    "recipe",
    [
        ms.DDIM(set_alpha_to_one=True),
        quirked(ms.Euler(), "sigmas_end"),
        ms.Euler(timestep_type="continuous"),
        quirked(ms.EDMEuler(), "edm_grid"),
        quirked(ms.FlowMatchEuler(shift=3.0), "double_shift"),
        quirked(ms.UniPCMultistep(use_flow_sigmas=True), "shift_given"),
        ms.DPMSolverMultistep(use_karras_sigmas=True),
        ms.LMS(),
        ms.KarrasVe(s_churn=0.0),
        ms.ScoreSdeVe(correct_steps=0),
        ms.IPNDM(),
        ms.Scheduler(TrigFlow(), ms.spacings.Times(), "v_prediction", ms.solvers.Euler()),
        ms.ScoreSdeVp(),
        ms.DDPMWuerstchen(),
    ],
    ids=[str(k) for k in range(14)],
)
def test_ratios_are_placed_on_every_path(recipe):
    for given in (RATIOS, [*RATIOS, 0.0]):
        plan = recipe.plan(ratios=given)
        np.testing.assert_allclose(plan.sigmas[:4] / plan.alphas[:4], RATIOS, rtol=1e-9)
        assert len(plan.grid) == 4
    assert recipe.plan(4, ratios=RATIOS) == recipe.plan(ratios=RATIOS)
    for bad in ([1.0, 2.0], [0.0], [1.0, -1.0], [math.nan], "a", []):
        with pytest.raises(ms.ScheduleError, match="ratios"):
            recipe.plan(ratios=bad)
    for more in ({"timesteps": [5.0]}, {"sigmas": [0.5]}, {"mu": 1.0}):
        with pytest.raises(ms.ScheduleError):
            recipe.plan(ratios=RATIOS, **more)


@pytest.mark.host
def test_what_belongs_to_another_path_is_named():
    for kind in (ms.DPMSolverMultistep, ms.UniPCMultistep, ms.DEISMultistep, ms.SASolver):
        with pytest.raises(ms.ScheduleError, match="use_flow_sigmas"):
            kind(use_dynamic_shifting=True).plan(4, mu=1.0)
    with pytest.raises(ms.ScheduleError, match=r"sqrt\(1 - alpha_bar\).*ratios="):
        ms.DDIM().plan(sigmas=[14.6, 3.0])
    with pytest.raises(ms.ScheduleError, match=r"ratios .* at most"):
        ms.DDIM().plan(ratios=[1e9, 1.0])
    assert ms.DDIM().plan(timesteps=[900, 500, -1]) == ms.DDIM().plan(timesteps=[900, 500])
    for bad in ([900, -2], [900, -0.5]):
        with pytest.raises(ms.ScheduleError, match="timesteps must"):
            ms.DDIM().plan(timesteps=bad)
    level = ms.paths.Discrete().levels(-0.25)
    np.testing.assert_allclose(
        level, (0.25 + 0.75 * ms.paths.Discrete().levels(0)[0], 0.75 * ms.paths.Discrete().levels(0)[1])
    )


STEP_VALUES = {
    "omega": (10.0,),
    "eta": (0.0, 0.6),
    "use_clipped_model_output": (True,),
    "s_churn": (2.0,),
    "s_tmin": (0.4,),
    "s_tmax": (0.7,),
    "s_noise": (1.2,),
}


@every_recipe
def test_an_option_of_a_step_is_that_of_the_recipe(recipe, make, backend, device):
    """Row by row: the scheduler's step with the option is that of the plan of a recipe that has it."""
    names = {field.name for field in dataclasses.fields(recipe)}
    for name in STEP_OPTIONS:
        if name not in names:
            continue
        for value in STEP_VALUES[name]:
            other = dataclasses.replace(recipe, **{name: value}).plan(4)
            scheduler = recipe.on(backend, device)
            scheduler.set_timesteps(4)
            plan, values = scheduler.plan, arrays(3)
            x, output, z = map(make, values)
            alike = (
                np.array_equal(plan.timesteps, other.timesteps) and other.tableau.registers == plan.tableau.registers
            )
            state = other.start(x)._replace(sample=x)
            for row, t in enumerate(plan.timesteps.tolist()):
                draws = tuple(z for _ in range(other.noise_draws)) if alike and other.needs_noise(row) else None
                if not alike:
                    with pytest.raises(ms.ScheduleError, match="make the recipe with them"):
                        scheduler.step(output, t, x, **{name: value})
                    break
                state = other.step(state, output, draws)
                x = scheduler.step(output, t, x, noise=draws, **{name: value})
                np.testing.assert_array_equal(backend.to_numpy(x), backend.to_numpy(state.sample))


def test_step_options_that_are_wrong_are_refused(make, backend):
    x = make(arrays(1)[0])
    scheduler = ms.DDIM().on(backend)
    scheduler.set_timesteps(4)
    for options in ({"eta": 2.0}, {"eta": "a"}, {"eta": [1]}, {"s_churn": 1.0}, {"beta_start": 0.1}, {"nothing": 1}):
        with pytest.raises(ms.ScheduleError, match=next(iter(options))):
            scheduler.step(x, 750, x, **options)
    assert scheduler.step_index == 0
    for k in range(20):
        scheduler.step(x, 750, x, eta=0.01 * k + 0.01, noise=x)
    assert len(scheduler._variants._kept) <= 8


@every_recipe
def test_what_a_scheduler_object_says_of_itself(recipe, make, backend):
    scheduler = recipe.on(backend)
    assert scheduler.num_train_timesteps >= 1
    scheduler.set_timesteps(3)
    assert 0 < scheduler.init_noise_sigma < math.inf
    if hasattr(recipe, "_get_variance"):
        assert 0 <= scheduler._get_variance(10, -1) < 1
    else:
        with pytest.raises(ms.ScheduleError, match=f"{type(recipe).__name__} has no variance"):
            scheduler._get_variance(10, -1)
