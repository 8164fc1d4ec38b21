"""DDPM and its kin on every backend: variances that the model gives, images known in part, runs that go back."""

import numpy as np
import pytest
from made import quirked
from zoo import arrays

import multisched as ms

SHAPE = (2, 3, 4, 4)


@pytest.mark.host
def test_ddpm_is_ddim_with_eta_one_and_the_noise_of_the_cut_x0():
    for spacing in ("leading", "trailing", "linspace"):
        ddpm = ms.DDPM(timestep_spacing=spacing).plan(20).tableau.weights
        ddim = ms.DDIM(timestep_spacing=spacing, eta=1.0, use_clipped_model_output=True).plan(20).tableau.weights
        np.testing.assert_allclose(ddpm, ddim, atol=1e-7, rtol=0)


@pytest.mark.host
def test_variances_between_the_smaller_and_the_larger():
    """The larger variance is beta, the smaller beta * sigma_next^2 / sigma^2, and the last step adds none."""
    small, large = (ms.DDPM(variance_type=f"fixed_{size}").plan(10) for size in ("small", "large"))
    lower, upper = (plan.tableau.weights[:-1, 0, -1] ** 2 for plan in (small, large))
    beta = 1 - (small.alphas[:-2] / small.alphas[1:-1]) ** 2
    np.testing.assert_allclose(upper, beta, rtol=1e-9)
    np.testing.assert_allclose(lower, beta * (small.sigmas[1:-1] / small.sigmas[:-2]) ** 2, rtol=1e-9)
    assert not small.needs_noise(9) and not large.needs_noise(9)
    assert ms.DDPM(variance_type="fixed_large_log").plan(10).tableau == large.tableau


@pytest.mark.parametrize("variance_type", ["learned", "learned_range"])
def test_a_learned_variance(variance_type, make, backend):
    """At the ends of its range it is one of the fixed ones; elsewhere the logarithms are mixed, element by element."""
    plans = [ms.DDPM(variance_type=name).plan(6) for name in ("fixed_small", "fixed_large", variance_type)]
    small, large, learned = plans
    x, output, z, share = arrays(4, SHAPE)
    share = np.abs(share) if variance_type == "learned" else np.tanh(share)
    both = np.concatenate([output, share], axis=1)
    for row in range(5):
        state = ms.State(make(x), (), row)
        low, high = (plan.step(state, make(output), make(z)).sample for plan in (small, large))
        mean = small.step(state, make(output), make(np.zeros_like(z))).sample
        low, high, mean = (backend.to_numpy(one) for one in (low, high, mean))
        std = np.sqrt(np.abs(share))
        if variance_type == "learned_range":
            stds = (plan.tableau.weights[row, 0, -1] for plan in (small, large))
            std = np.exp(np.stack([1 - share, 1 + share], axis=-1) @ np.log(list(stds)) / 2)
        found = backend.to_numpy(learned.step(state, make(both), make(z)).sample)
        np.testing.assert_allclose(found, mean + std * z, atol=5e-6, rtol=1e-5)
        if variance_type == "learned_range":
            for end, wanted in ((-1.0, low), (1.0, high)):
                given = np.concatenate([output, np.full_like(output, end)], axis=1)
                found = backend.to_numpy(learned.step(state, make(given), make(z)).sample)
                np.testing.assert_allclose(found, wanted, atol=5e-6, rtol=1e-5)
    last = learned.step(ms.State(make(x), (), 5), make(both)).sample
    wanted = small.step(ms.State(make(x), (), 5), make(output)).sample
    np.testing.assert_array_equal(backend.to_numpy(last), backend.to_numpy(wanted))
    preview = learned.denoised(ms.State(make(x), (), 2), make(both))
    assert tuple(preview.shape) == SHAPE


def test_a_learned_variance_runs_and_refuses(make):
    plan = ms.DDPM(variance_type="learned_range").plan(3)
    noise = make(arrays(1, SHAPE)[0])
    result = ms.sample(lambda x, t: make(np.zeros((2, 6, 4, 4), np.float32)), plan, noise)
    assert tuple(result.shape) == SHAPE
    state = plan.start(noise)
    with pytest.raises(ms.ScheduleError, match="2 parts along its second axis"):
        plan.step(state, noise, noise)
    with pytest.raises(ms.ScheduleError, match="no one deviation"):
        plan.transition(state, noise)


def test_what_is_known_stays_and_what_is_not_is_ddim(make, backend):
    """A whole RePaint run: where the mask is 1 it ends at the image, where it is 0 it is the run without a mask."""
    plan = ms.RePaint(jump_length=2, jump_n_sample=2, eta=1.0).plan(6)
    noise, original, *outputs = arrays(2 + len(plan), SHAPE)
    draws = arrays(2 * len(plan), SHAPE, seed=1)
    half = np.zeros(SHAPE, np.float32)
    half[:, :, :2] = 1

    def run(mask):
        state = plan.start(make(noise), original=make(original), mask=make(mask))
        for row, output in enumerate(outputs):
            z = (make(draws[2 * row]), make(draws[2 * row + 1]))
            state = plan.step(state, make(output), z)
        return backend.to_numpy(state.sample)

    partly, free = run(half), run(np.zeros(SHAPE, np.float32))
    np.testing.assert_array_equal(partly[:, :, :2], original[:, :, :2])
    np.testing.assert_array_equal(partly[:, :, 2:], free[:, :, 2:])
    assert np.abs(free[:, :, :2] - original[:, :, :2]).max() > 0.1
    with pytest.raises(ms.ScheduleError, match="started with the inputs original, mask; given none"):
        plan.start(make(noise))
    with pytest.raises(ms.ScheduleError, match="no one deviation"):
        plan.transition(plan.start(make(noise), original=make(original), mask=make(half)), make(noise))


@pytest.mark.host
@pytest.mark.parametrize("n", [7, 50])
def test_jumps_back_stay_on_the_path(n):
    """After each row the known image is at the level where the next row begins, with the noise that belongs there."""
    plan = ms.RePaint(jump_length=3, jump_n_sample=4).plan(n)
    names = plan.tableau.operands
    known = plan.tableau.weights[:, plan.tableau.registers.index("known")]
    noise = np.hypot(known[:, names.index("noise_0")], known[:, names.index("noise_1")])
    np.testing.assert_allclose(known[:, names.index("original")], plan.alphas[1:], rtol=1e-12)
    np.testing.assert_allclose(noise, plan.sigmas[1:], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(plan.tableau.weights[:, 0, names.index("noise_1")], known[:, names.index("noise_1")])
    backward = int(np.sum(np.diff(plan.timesteps) >= 0))
    assert backward == 3 * len(range(0, n - 3, 3)) and len(plan) == n + 3 * backward
    late = quirked(ms.RePaint(jump_length=3, jump_n_sample=4), "late_undo").plan(n)
    assert late.sigmas.max() > plan.sigmas[0] - 1e-3 and np.any(late.sigmas > plan.sigmas + 1e-3)


def test_ddim_undoes_its_inverse(make, backend):
    """With a model that answers the same at every step."""
    x, output = arrays(2)
    for options in ({}, {"timestep_spacing": "trailing"}, {"set_alpha_to_one": False}):
        up = ms.DDIMInverse(clip_sample=False, **options).plan(12)
        down = ms.DDIM(clip_sample=False, **options).plan(12)
        np.testing.assert_array_equal(up.timesteps, down.timesteps[::-1])
        state = up.start(make(x))
        for _ in range(12):
            state = up.step(state, make(output))
        state = ms.State(state.sample, (), 0)
        for _ in range(12):
            state = down.step(state, make(output))
        np.testing.assert_allclose(backend.to_numpy(state.sample), x, atol=2e-4, rtol=0)
    with pytest.raises(ms.ScheduleError, match="says nothing of x0"):
        ms.DDIMInverse(prediction_type="sample").plan(12)


@pytest.mark.parametrize("scaler", [0.6, 1.0, 2.5])
def test_the_cosine_schedule(scaler, make, backend):
    schedule = ms.paths.Cosine(scaler)
    timesteps = np.linspace(1, 0, 30)
    alpha, sigma = schedule.levels(timesteps)
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, rtol=1e-12)
    assert (alpha[0], alpha[-1]) == (pytest.approx(0.01), pytest.approx(0.9999**0.5))
    inner = (alpha**2 > 1.001e-4) & (alpha**2 < 0.99989)
    point = schedule.point(sigma / alpha)
    np.testing.assert_allclose(point.timestep[inner], timesteps[inner], rtol=1e-9)
    np.testing.assert_allclose(np.stack(point[1:3]), [alpha, sigma], rtol=1e-9)
    for found, wanted in zip(schedule.levels(make(timesteps), backend), (alpha, sigma), strict=True):
        np.testing.assert_allclose(backend.to_numpy(found), wanted, atol=1e-5, rtol=0)
    recipe = ms.DDPMWuerstchen(scaler)
    assert recipe.plan(timesteps=[1.0, 0.5]) == recipe.plan(2, timesteps=[1.0, 0.5, 0.0])
    assert recipe.plan(5) == recipe.plan(timesteps=recipe.plan(5).timesteps)
    for bad in ({"sigmas": [0.5]}, {"n": 3, "mu": 1.0}, {}, {"timesteps": [2.0, 0.5]}, {"n": 0}):
        with pytest.raises(ms.ScheduleError):
            recipe.plan(**bad)


def test_inputs_reach_the_loop_and_the_stateful_face(make, backend):
    """sample() and step() inpaint alike, and where the mask is 1 the image comes back."""
    recipe = ms.RePaint(clip_sample=False, jump_length=2, jump_n_sample=2)
    noise, original = arrays(2, SHAPE)
    mask = (arrays(1, SHAPE, seed=3)[0] > 0).astype(np.float32)
    inputs = {"original": make(original), "mask": make(mask)}
    plan = recipe.plan(6)
    looped = backend.to_numpy(ms.sample(lambda x, t: x * 0.5, plan, make(noise), rng=3, inputs=inputs))
    np.testing.assert_allclose(looped[mask == 1], original[mask == 1], atol=1e-5)
    scheduler = recipe.on(backend, rng=3)
    scheduler.set_timesteps(6)
    scheduler.set_inputs(**inputs)
    x = plan.start(make(noise), **inputs).sample
    for t in plan.timesteps:
        x = scheduler.step(x * 0.5, float(t), x)
    np.testing.assert_allclose(backend.to_numpy(x), looped, atol=1e-6)
    with pytest.raises(ms.ScheduleError, match="is started with the inputs original, mask; given none"):
        ms.sample(lambda x, t: x, plan, make(noise))
