"""The stateful face over every recipe."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
from made import quirked
from zoo import EVERY, arrays, every_recipe, run

import multisched as ms


@every_recipe
def test_stepping_through_it_is_the_plan(recipe, make, backend, device):
    plan = recipe.plan(5)
    noise, outputs, draws = arrays(1)[0], arrays(len(plan), seed=1), arrays(len(plan), seed=2)
    wanted = backend.to_numpy(run(plan, make, noise, outputs, draws)[-1].sample)
    scheduler = recipe.on(backend, device)
    scheduler.set_timesteps(5)
    for host in (True, False):
        x = plan.start(make(noise)).sample
        np.testing.assert_allclose(backend.to_numpy(x), noise * scheduler.init_noise_sigma, rtol=1e-6)
        steps = scheduler.timesteps()
        for row in range(len(plan)):
            t = float(plan.timesteps[row]) if host else steps[row, ...]
            seen = backend.to_numpy(scheduler.scale_model_input(x, t))
            np.testing.assert_allclose(seen, plan.rows.scale[row, 0] * backend.to_numpy(x), rtol=1e-6)
            z = tuple(make(draws[row]) for _ in range(plan.noise_draws)) if plan.needs_noise(row) else None
            x = scheduler.step(make(outputs[row]), t, x, noise=z)
            assert scheduler.step_index == row + 1
        np.testing.assert_array_equal(backend.to_numpy(x), wanted)
        scheduler.reset()


def test_sigmas_and_timesteps_are_arrays_of_the_backend(make, backend, device):
    scheduler = ms.FlowMatchHeun(shift=3.0).on(backend, device)
    scheduler.set_timesteps(10)
    plan = scheduler.plan
    for found, wanted in ((scheduler.sigmas(), plan.sigmas), (scheduler.timesteps(device), plan.timesteps)):
        assert ms.backends.of(found) is backend and str(backend.device(found)) == str(backend.device(make([1.0])))
        np.testing.assert_array_equal(backend.to_numpy(found), wanted.astype(np.float32))
    assert scheduler.num_train_timesteps == 1000


def test_it_takes_backend_and_device_from_an_array(make, backend):
    x = make([1.0, 2.0])
    scheduler = ms.FlowMatchEuler().on(x)
    assert scheduler.backend is backend and str(scheduler.device) == str(backend.device(x))
    assert ms.FlowMatchEuler().on(backend.name).backend is backend


def test_omega_of_a_step(make, backend):
    x, output = (make(values) for values in arrays(2))
    for recipe in (ms.FlowMatchEuler(shift=3.0), ms.FlowMatchHeun()):
        plain, shifted = recipe.on(backend), type(recipe)(shift=recipe.shift, omega=10.0).on(backend)
        for scheduler in (plain, shifted):
            scheduler.set_timesteps(4)
        by_step = backend.to_numpy(plain.step(output, 1000.0, x, 10.0))
        by_recipe = backend.to_numpy(shifted.step(output, 1000.0, x))
        np.testing.assert_array_equal(by_step, by_recipe)
        plain.reset()
        np.testing.assert_array_equal(
            backend.to_numpy(plain.step(output, 1000.0, x, 0.0)),
            backend.to_numpy(recipe.plan(4).step(recipe.plan(4).start(x), output).sample),
        )
        assert np.abs(by_step - backend.to_numpy(plain.step(output, plain.plan.timesteps[1], x))).max() > 0


def test_a_scheduler_without_omega_says_so_and_steps_on(make, backend):
    x, output, z = (make(values) for values in arrays(3))
    for recipe in (ms.FlowMatchPingPong(), ms.DDIM()):
        scheduler = recipe.on(backend)
        scheduler.set_timesteps(3)
        first = float(scheduler.plan.timesteps[0])
        with pytest.warns(UserWarning, match=f"{type(recipe).__name__} has no omega"):
            found = scheduler.step(output, first, x, 1.0, noise=z)
        scheduler.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            wanted = scheduler.step(output, first, x, 0.0, noise=z)
        np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(wanted))


def test_eta_and_clipping_of_a_step(make, backend):
    x, output, z = (make(values) for values in arrays(3))
    scheduler = ms.DDIM().on(backend)
    scheduler.set_timesteps(10)
    found = scheduler.step(output, 900, x, eta=0.7, use_clipped_model_output=True, variance_noise=z)
    plan = ms.DDIM(eta=0.7, use_clipped_model_output=True).plan(10)
    wanted = plan.step(plan.start(x), output, z).sample
    np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(wanted))
    assert not np.array_equal(backend.to_numpy(found), backend.to_numpy(scheduler.step(output, 900, x)))


def test_a_number_sets_the_position(make, backend):
    x, output = (make(values) for values in arrays(2))
    scheduler = ms.DDIM().on(backend)
    scheduler.set_timesteps(10)
    scheduler.step(output, 300, x)
    assert scheduler.step_index == 7
    scheduler.step(output, np.float32(900), x)
    assert scheduler.step_index == 1
    heun = ms.FlowMatchHeun().on(backend)
    heun.set_timesteps(4)
    first = heun.step(output, 1000.0, x)
    second = heun.step(output, heun.plan.timesteps[1], first)
    heun.step(output, heun.plan.timesteps[2], second)
    assert heun.step_index == 3


def test_the_first_timestep_of_a_run_sets_the_position(make, backend):
    """Whether it is a number or an array, so that a loop may begin part of the way."""
    x, output = (make(values) for values in arrays(2))
    whole = ms.FlowMatchEuler().plan(10)
    state = whole.start(x)._replace(index=6)
    for _ in range(4):
        state = whole.step(state, output)
    scheduler = ms.FlowMatchEuler().on(backend)
    scheduler.set_timesteps(10)
    steps = scheduler.timesteps()
    for beginning in (lambda row: steps[row, ...], lambda row: float(whole.timesteps[row])):
        scheduler.reset()
        y = x
        for row in range(6, 10):
            y = scheduler.step(output, beginning(row), y)
        np.testing.assert_array_equal(backend.to_numpy(y), backend.to_numpy(state.sample))


def test_what_is_no_timestep_is_refused(make, backend):
    x = make(arrays(1)[0])
    scheduler = ms.FlowMatchEuler().on(backend)
    scheduler.set_timesteps(3)
    other = arrays(1, ()) if backend.name != "numpy" else ms.backends.get("dask").asarray([1000.0])
    for bad in ("first", None, [1000.0], {}, np.array([1000.0, 500.0]), make([1000.0, 500.0]), other, math.nan):
        with pytest.raises(ms.ScheduleError, match="timestep"):
            scheduler.step(x, bad, x)
    with pytest.raises(ms.ScheduleError, match="timestep 123 begins no step"):
        scheduler.step(x, make(123.0), x)
    assert scheduler.step_index == 0


def test_a_list_changed_afterwards_changes_nothing(make, backend):
    x, output = (make(values) for values in arrays(2))
    given = [1.0, 0.5]
    scheduler = ms.FlowMatchEuler().on(backend)
    scheduler.set_timesteps(sigmas=given)
    given[1] = 0.9
    found = backend.to_numpy(scheduler.step(output, 1000.0, x, omega=1e-9))
    plan = ms.FlowMatchEuler().plan(sigmas=[1.0, 0.5])
    np.testing.assert_allclose(found, backend.to_numpy(plan.step(plan.start(x), output).sample), atol=1e-6)


def test_it_is_copied_and_pickled_with_its_position(make, backend):
    x, output = (make(values) for values in arrays(2))
    scheduler = ms.FlowMatchHeun().on(backend)
    scheduler.set_timesteps(4)
    middle = scheduler.step(output, 1000.0, x)
    copied = copy.deepcopy(scheduler)
    second = float(scheduler.plan.timesteps[1])
    ends = [backend.to_numpy(one.step(output, second, middle)) for one in (scheduler, copied)]
    np.testing.assert_array_equal(*ends)
    scheduler.reset()
    assert pickle.loads(pickle.dumps(scheduler)).plan == scheduler.plan
    assert pickle.loads(pickle.dumps(backend)) is backend


def test_a_missing_device_is_refused_at_once(backend):
    with pytest.raises(ms.ScheduleError, match="device"):
        ms.FlowMatchEuler().on(backend, device="no_such_device")


def test_a_step_past_the_end_is_refused(make, backend):
    x = make(arrays(1)[0])
    scheduler = ms.FlowMatchEuler().on(backend)
    scheduler.set_timesteps(1)
    scheduler.step(x, 1000.0, x)
    if backend.name != "numpy":  # an array of NumPy is a number on the host, and sets the position
        with pytest.raises(ms.ScheduleError, match="no row 1"):
            scheduler.step(x, make(1000.0), x)
    with pytest.raises(ms.ScheduleError, match="timestep 5 begins no step of the schedule; the schedule is at its end"):
        scheduler.step(x, 5, x)
    scheduler.step(x, 1000.0, x)
    scheduler.reset()
    assert scheduler.step_index == 0


def test_noise_comes_from_rng_unless_given(make, backend):
    x, output = (make(values) for values in arrays(2))

    def first(rng):
        scheduler = ms.FlowMatchPingPong().on(backend, rng=rng)
        scheduler.set_timesteps(4)
        return backend.to_numpy(scheduler.step(output, 1000.0, x))

    np.testing.assert_array_equal(first(3), first(3))
    assert not np.array_equal(first(3), first(4))
    plan = ms.FlowMatchPingPong().plan(4)
    z = ms.noise.HostNoise(3).normal(range(2), 0, 0, (3, 4))
    np.testing.assert_array_equal(first(3), backend.to_numpy(plan.step(plan.start(x), output, make(z)).sample))


def test_forward_process(make, backend, device):
    x0, noise = arrays(2)
    flow, ddim = ms.FlowMatchEuler(shift=3.0).on(backend), ms.DDIM().on(backend)
    level = ms.DDIM().parts().path.alphas_cumprod
    np.testing.assert_allclose(
        backend.to_numpy(flow.scale_noise(make(x0), 250.0, make(noise))), 0.75 * x0 + 0.25 * noise, atol=1e-6
    )
    for given in (np.array([10, 700]), backend.asarray(np.array([10, 700]), "int32", device)):
        alpha = np.sqrt(level[[10, 700]])[:, None, None]
        sigma = np.sqrt(1 - level[[10, 700]])[:, None, None]
        noisy = backend.to_numpy(ddim.add_noise(make(x0), make(noise), given))
        np.testing.assert_allclose(noisy, alpha * x0 + sigma * noise, atol=1e-6)
        velocity = backend.to_numpy(ddim.get_velocity(make(x0), make(noise), given))
        np.testing.assert_allclose(velocity, alpha * noise - sigma * x0, atol=1e-6)
        share = np.array([10, 700])[:, None, None] / 1000
        noisy = backend.to_numpy(flow.add_noise(make(x0), make(noise), given))
        np.testing.assert_allclose(noisy, (1 - share) * x0 + share * noise, atol=1e-6)
    for given in (np.array([10.25, 10.25]), make([10.25, 10.25])):
        alpha, sigma = (0.75 * table[10] + 0.25 * table[11] for table in (np.sqrt(level), np.sqrt(1 - level)))
        noisy = backend.to_numpy(ddim.add_noise(make(x0), make(noise), given))
        np.testing.assert_allclose(noisy, alpha * x0 + sigma * noise, atol=1e-6)
    one = backend.to_numpy(ddim.add_noise(make(x0), make(noise), 500))
    np.testing.assert_allclose(one, np.sqrt(level[500]) * x0 + np.sqrt(1 - level[500]) * noise, atol=1e-6)


def test_scale_noise_takes_the_level_of_the_schedule(make, backend):
    x0, noise = arrays(2)
    scheduler = quirked(ms.FlowMatchEuler(shift=3.0), "double_shift").on(backend)
    scheduler.set_timesteps(timesteps=[900, 500, 100])
    noisy = backend.to_numpy(scheduler.scale_noise(make(x0), 500, make(noise)))
    np.testing.assert_allclose(noisy, 0.25 * x0 + 0.75 * noise, atol=1e-6)
    other = backend.to_numpy(scheduler.scale_noise(make(x0), 600, make(noise)))
    np.testing.assert_allclose(other, 0.4 * x0 + 0.6 * noise, atol=1e-6)


def test_half_precision_stays(make, backend):
    if backend.name == "array_api_strict":
        pytest.skip("the array-API standard has no half precision")
    for recipe in EVERY.values():
        scheduler = recipe.on(backend)
        scheduler.set_timesteps(3)
        x = make(arrays(1)[0], "float16")
        first = float(scheduler.plan.timesteps[0])
        assert str(scheduler.step(x, first, x).dtype).endswith("float16")
        assert str(scheduler.add_noise(x, x, first).dtype).endswith("float16")


@pytest.mark.parametrize("recipe", [ms.DPMSolverMultistep(), ms.UniPCMultistep(), ms.Heun(), ms.LMS()])
def test_a_solver_that_looks_back_begins_anew_part_of_the_way(recipe, make, backend):
    """Beginning at a later timestep is the run of set_timesteps(start=)."""
    scheduler, part = recipe.on(backend), recipe.on(backend)
    scheduler.set_timesteps(8)
    part.set_timesteps(8, start=5)
    x = y = make(arrays(1)[0])
    for t in part.plan.timesteps:
        x, y = scheduler.step(x * 0.5, float(t), x), part.step(y * 0.5, float(t), y)
        np.testing.assert_array_equal(backend.to_numpy(x), backend.to_numpy(y))
    with pytest.raises(ms.ScheduleError, match="the schedule is at its end"):
        scheduler.step(x, 1e9, x)
