"""Levels, signal-to-noise ratios and training targets, for timesteps of every kind and shape."""

import dataclasses
import math
from typing import Any

import dask.array
import numpy as np
import pytest
from made import vp
from zoo import EVERY, arrays, every_recipe

import multisched as ms
from multisched.paths import TrigFlow

VP, STRAIGHT = ms.DDIM(clip_sample=False), ms.FlowMatchEuler(shift=3.0)


def _plain(recipe: ms.Recipe) -> ms.Recipe:
    """Without churn, which is noise of a sampler, and without what is done to x0 and to the output."""
    if type(recipe) is ms.Scheduler and hasattr(recipe.solver, "s_churn"):
        return dataclasses.replace(recipe, solver=dataclasses.replace(recipe.solver, s_churn=0.0))
    names = {field.name for field in dataclasses.fields(recipe)}
    off = {"s_churn": 0.0, "thresholding": False, "clip_sample": False, "clip_denoised": False, "omega": 0.0}
    return dataclasses.replace(recipe, **{name: value for name, value in off.items() if name in names})


def _times(recipe: ms.Recipe) -> np.ndarray:
    """Timesteps of a recipe's path, its last rows' first."""
    found = recipe.plan(6).timesteps
    return np.unique(found[found == found])[[1, 3]]


@every_recipe
def test_target_is_what_the_solver_reads_x0_from(recipe, make, backend):
    """Noised to t, with the target as the model's output, a row at t says x0."""
    recipe = _plain(recipe)
    schedule = recipe.parts().path
    x0, noise = (values.astype(np.float64) for values in arrays(2))
    for t in _times(recipe):
        alpha, sigma = recipe.levels(t)
        after = t - 0.1 * abs(t)
        ends = schedule.levels(after)
        points = (np.array([alpha, ends[0]]), np.array([sigma, ends[1]]))
        grid = ms.Grid(np.array([t, after]), *points, scales=schedule.scale(*points))
        plan = recipe.plan_over(grid)
        x, target = (f(make(x0), make(noise), float(t)) for f in (recipe.add_noise, recipe.target))
        output = backend.xp.concat([target] * plan.tableau.outputs, axis=1)
        state = ms.State(x, tuple(x for _ in plan.tableau.registers[1:]), 0)
        found = backend.to_numpy(plan.denoised(state, output))
        ratio = sigma / alpha if alpha else math.inf
        size = max(1.0, float(ratio)) * 4e-6 * max(1.0, float(1 / ratio)) if ratio else 4e-6
        np.testing.assert_allclose(found, x0, atol=max(size, 2e-5) * 4, rtol=1e-5)


PREDICTIONS = {
    "epsilon": lambda a, s, x, z: z,
    "sample": lambda a, s, x, z: x,
    "v_prediction": lambda a, s, x, z: a * z - s * x,
    "flow_prediction": lambda a, s, x, z: z - x,
    "flow_to_data": lambda a, s, x, z: x - z,
    "edm": lambda a, s, x, z: s * x - a * z,
    "score": lambda a, s, x, z: -z / s,
}


@pytest.mark.parametrize("name", PREDICTIONS)
@pytest.mark.parametrize("space", ["vp", "ve"])
def test_targets_are_the_papers(name, space, make, backend, device):
    schedule, spacing = vp(space=space, precision="float64")
    recipe = ms.Scheduler(schedule, spacing, name, ms.solvers.Euler())
    x0, noise = arrays(2)
    bars = schedule.alphas_cumprod[[10, 700]][:, None, None]
    wanted = PREDICTIONS[name](np.sqrt(bars), np.sqrt(1 - bars), x0, noise)
    for given in ([10, 700], np.array([10, 700]), backend.asarray(np.array([10, 700]), "int32", device)):
        found = backend.to_numpy(recipe.target(make(x0), make(noise), given))
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


def test_velocity_is_that_of_the_path(make, backend):
    x0, noise = arrays(2)

    def found(recipe: ms.Recipe, t: Any) -> np.ndarray:
        return backend.to_numpy(recipe.get_velocity(make(x0), make(noise), t))

    straight = (
        STRAIGHT,
        ms.FlowMatchEuler(invert_sigmas=True),
        ms.MiniMaxH3(),
        ms.Piflow(),
        ms.RFD4Proteina(),
        ms.UniPCMultistep(use_flow_sigmas=True),
        ms.Helios(stage=1),
        ms.DPMSolverMultistepInverse(use_flow_sigmas=True),
    )
    for recipe in straight:
        np.testing.assert_allclose(found(recipe, recipe.plan(4).timesteps[1]), noise - x0, atol=1e-6)
    bar = vp()[0].alphas_cumprod[500]
    wanted = math.sqrt(bar) * noise - math.sqrt(1 - bar) * x0
    for recipe in (VP, ms.Euler(), ms.DDIMInverse(), ms.LMS(), ms.DDPM(), ms.UniPCMultistep()):
        np.testing.assert_allclose(found(recipe, 500), wanted, atol=1e-6)
    trig = math.cos(1.0) * 0.5 * noise - math.sin(1.0) * x0
    np.testing.assert_allclose(found(ms.SCM(), 1.0), trig, atol=1e-6)
    np.testing.assert_allclose(found(ms.IPNDM(), 1 / 3), math.sqrt(0.75) * noise - 0.5 * x0, atol=1e-6)
    for recipe in (ms.EDMEuler(), ms.ScoreSdeVe(), ms.KarrasVe(), ms.CMStochasticIterative()):
        with pytest.raises(ms.ScheduleError, match=f"{type(recipe).__name__} is neither straight nor .* target"):
            found(recipe, recipe.plan(4).timesteps[1])


@every_recipe
def test_levels_and_snr_on_the_device_are_those_of_the_host(recipe, make, backend, device, has_float64):
    times = _times(recipe)
    alpha, sigma = recipe.levels(times)
    assert alpha.dtype == sigma.dtype == np.float64 and alpha.shape == times.shape
    np.testing.assert_array_equal(recipe.levels(times.tolist())[1], sigma)
    wide = 2e-5 if backend.name == "mlx" else 1e-12  # MLX computes its functions of float64 in float32
    for dtype, rtol in (("float32", 2e-5), *((("float64", wide),) if has_float64 else ())):
        given = make(times, dtype)
        found = recipe.levels(given)
        if backend.name != "numpy":
            assert all(one.dtype == given.dtype and ms.backends.of(one) is backend for one in found)
        for one, wanted in zip((*found, recipe.snr(given)), (alpha, sigma, (alpha / sigma) ** 2), strict=True):
            np.testing.assert_allclose(backend.to_numpy(one), wanted, rtol=rtol * 20, atol=rtol)


@pytest.mark.filterwarnings("error")
def test_snr_at_the_ends(make, backend, device):
    recipe = ms.DDIM(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    for given in ([999, -1, 10], backend.asarray(np.array([999, -1, 10]), "int32", device)):
        snr = recipe.snr(given)
        xp = np if isinstance(snr, np.ndarray) else backend.xp
        weight = xp.where(snr < 5, snr, xp.full_like(snr, 5.0)) / (snr + 1)
        host = np.asarray(snr) if isinstance(snr, np.ndarray) else backend.to_numpy(snr)
        assert host[0] == 0 and host[1] == math.inf and 0 < host[2] < math.inf
        found = np.asarray(weight) if isinstance(weight, np.ndarray) else backend.to_numpy(weight)
        assert found[0] == 0 and found[1] == 0
    assert STRAIGHT.snr(0.0) == math.inf and STRAIGHT.snr(1000.0) == 0 and ms.EDMEuler().snr(-200.0) == math.inf


def test_what_has_no_finite_target_is_refused(make):
    x = make(arrays(1)[0])
    for t in (0.0, [0.0, 1.0]):
        with pytest.raises(ms.ScheduleError, match="not finite"):
            ms.ScoreSdeVe().target(x, x, t)
    with pytest.raises(ms.ScheduleError, match="not finite"):  # at sigma_min, where the function is the identity
        ms.CMStochasticIterative().target(x, x, 250 * math.log(0.002))


SHAPES = [
    ((), (2, 5, 4)),
    ((1,), (2, 5, 4)),
    ((2,), (2, 5, 4)),
    ((2, 5), (2, 5, 4)),
    ((1, 5), (2, 5, 4)),
    ((2, 1), (2, 5, 4)),
    ((2, 1, 4), (2, 5, 4)),
    ((1, 5, 1), (2, 5, 4)),
    ((2, 5, 4), (2, 5, 4)),
    ((2, 16, 1, 1, 1), (2, 16, 16, 3, 3)),
    ((2, 1, 16, 1, 1), (2, 16, 16, 3, 3)),
    ((2, 2), (2, 2, 5)),
    ((2,), (2, 2, 2)),
    ((3,), (3,)),
    ((), ()),
    ((1,), ()),
]


@pytest.mark.parametrize(("shape", "sample"), SHAPES)
@pytest.mark.parametrize("recipe", [VP, STRAIGHT, ms.EDMEuler(), ms.Euler()], ids=lambda recipe: type(recipe).__name__)
def test_timesteps_per_sample_frame_or_token(recipe, shape, sample, make, backend):
    """Each element is noised as it is alone at its timestep."""
    low, high = sorted(recipe.plan(4).timesteps[[0, -1]])
    rng = np.random.default_rng(3)
    times = rng.uniform(low, high, shape).astype(np.float32)
    x0, noise = rng.standard_normal((2, *sample)).astype(np.float32)
    columns = times.reshape((*shape, *(1,) * (len(sample) - len(shape)))) if sample else times.reshape(())
    wide = np.broadcast_to(columns, sample)
    scheduler = recipe.on(backend)
    functions = [recipe.add_noise, recipe.target, scheduler.add_noise, lambda x, z, t: scheduler.scale_noise(x, t, z)]
    if recipe.parts().path.velocity(1.0, 1.0) is not None:
        functions += [recipe.get_velocity, scheduler.get_velocity]
    for f in functions:
        flat = (make(one.reshape(-1)) for one in (x0, noise))
        wanted = backend.to_numpy(f(*flat, wide.reshape(-1))).reshape(sample)
        for given in (times, times.tolist(), make(times)):
            found = backend.to_numpy(f(make(x0), make(noise), given))
            np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


REFUSED = [
    ((5,), (2, 5, 8), r"\(5,\) do not fit samples .* is \(2,\), one per frame of each \(1, 5\) or \(2, 5\)"),
    ((2, 8), (2, 5, 8), r"\(2, 8\) do not fit"),
    ((2, 5, 8, 1), (2, 5, 8), "do not fit"),
    ((0,), (2, 5, 8), "do not fit"),
    ((2,), (3,), r"one per sample is \(3,\)"),
    ((2,), (), "give one number"),
    ((2, 16), (2, 16, 16, 8, 8), r"could mean \(2, 16, 1, 1, 1\) or \(2, 1, 16, 1, 1\); give all 5 axes"),
    ((1, 8), (2, 8, 3, 8), r"could mean \(1, 8, 1, 1\) or \(1, 1, 1, 8\)"),
    ((2, 5, 5), (2, 5, 5, 3), r"could mean \(2, 5, 5, 1\)"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "sample", "sentence"), REFUSED)
def test_shapes_that_do_not_fit_or_could_mean_two_things_are_refused(shape, sample, sentence, make, backend):
    x, times = make(np.zeros(sample)), np.full(shape, 500.0)
    scheduler = VP.on(backend)
    for f in (VP.add_noise, VP.target, VP.get_velocity, scheduler.add_noise, scheduler.get_velocity):
        for given in (times, make(times)):
            with pytest.raises(ms.ScheduleError, match=sentence) as caught:
                f(x, x, given)
            assert len(str(caught.value)) < 400


def test_what_is_no_timestep_is_refused(make, backend):
    x = make(arrays(1)[0])
    for bad in ("5", None, {}, [[1, 2], [3]], [1, "a"], 10**400, True, math.nan, [1, math.inf], 1j, object(), -2, 1e5):
        for f in (VP.levels, VP.snr, lambda t: VP.add_noise(x, x, t), lambda t: STRAIGHT.target(x, x, t)):
            with pytest.raises(ms.ScheduleError, match="timesteps") as caught:
                f(bad)
            assert len(str(caught.value)) < 400
    if backend.name != "numpy":
        with pytest.raises(ms.ScheduleError, match="timesteps are an array of dask"):
            VP.add_noise(x, x, dask.array.asarray([5.0]))


@pytest.mark.parametrize("recipe", [EVERY[name] for name in ("ddim", "flow-heun", "dpm", "dpm-multi-sde", "ddim-clip")])
def test_an_index_for_each_frame_is_that_frame_alone(recipe, make, backend, device):
    """A sample per frame at another row: (batch, frames) rows of samples (batch, frames, ...)."""
    plan = recipe.plan(5)
    rng, shape = np.random.default_rng(2), (2, 3, 4)
    x, output, z = (rng.standard_normal(shape).astype(np.float32) for _ in range(3))
    memory = rng.standard_normal((len(plan.tableau.registers) - 1, *shape)).astype(np.float32)
    rows = np.array([[0, 3, 1], [len(plan) - 1, 2, len(plan)]])
    state = ms.State(make(x), tuple(map(make, memory)), backend.asarray(rows, "int32", device))
    noise = tuple(make(z) for _ in range(plan.noise_draws)) or None
    after, told = plan.step(state, make(output), noise), backend.to_numpy(plan.timestep(state))
    assert told.shape == (2, 3)
    denoised = backend.to_numpy(plan.denoised(state, make(output)))
    mean, std = plan.transition(state, make(output))
    seen = backend.to_numpy(plan.model_input(state))
    deviation = np.broadcast_to(backend.to_numpy(std), (2, 3, 1)) if hasattr(std, "shape") else np.zeros((2, 3, 1))
    for i, j in np.ndindex(2, 3):
        row, part = int(rows[i, j]), (slice(i, i + 1), j)
        found = backend.to_numpy(after.sample)[part]
        if row == len(plan):
            np.testing.assert_array_equal(found, x[part])
            assert int(backend.to_numpy(after.index)[i, j]) == row and told[i, j] == np.float32(plan.timesteps[-1])
            continue
        alone = ms.State(make(x[part]), tuple(make(one[part]) for one in memory), row)
        draws = tuple(make(z[part]) for _ in range(plan.noise_draws)) if plan.needs_noise(row) else None
        stepped = plan.step(alone, make(output[part]), draws)
        pairs = [
            (found, stepped.sample),
            (denoised[part], plan.denoised(alone, make(output[part]))),
            (seen[part], plan.model_input(alone)),
            (backend.to_numpy(mean)[part], plan.transition(alone, make(output[part]))[0]),
            *((backend.to_numpy(m)[part], one) for m, one in zip(after.memory, stepped.memory, strict=True)),
        ]
        for one, wanted in pairs:
            np.testing.assert_allclose(one, backend.to_numpy(wanted), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(deviation[i, j], plan.transition(alone, make(output[part]))[1], rtol=1e-5)
        assert told[i, j] == np.float32(plan.timesteps[row]) and int(backend.to_numpy(after.index)[i, j]) == row + 1


@pytest.mark.host
def test_which_paths_have_a_velocity():
    paths = {
        ms.paths.Straight(): True,
        ms.paths.Discrete(): True,
        TrigFlow(): True,
        ms.paths.VarianceExploding(): False,
    }
    for schedule, known in paths.items():
        assert (schedule.velocity(0.6, 0.8) is not None) is known
