"""The pure schedulers of JAX loops: the run of a plan, eager, in a loop of XLA, and with samples in half precision."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import multisched as ms
from multisched.interop.flax import FlaxScheduler

RECIPES = {
    "ddim": ms.DDIM(clip_sample=False),
    "flow": ms.FlowMatchEuler(shift=3.0),
    "unipc": ms.UniPCMultistep(),
    "euler": ms.Euler(),
    "ancestral": ms.EulerAncestral(),
    "heun": ms.FlowMatchHeun(),
}
SHAPE = (2, 3, 4)


@pytest.fixture
def jax(backend):
    if backend.name != "jax":
        pytest.skip("JAX's pattern")
    import jax

    return jax


def model(x, t):
    return 0.3 * x + 0.001 * t


@pytest.mark.parametrize("name", RECIPES)
def test_a_loop_of_xla_is_the_run_of_the_plan(name, jax):
    scheduler, key = FlaxScheduler(RECIPES[name]), jax.random.key(3)
    noise = ms.noise.normal(SHAPE, backend="jax")

    @jax.jit
    def run(noise, key):
        state = scheduler.set_timesteps(scheduler.create_state(), 8, SHAPE)

        def body(i, carry):
            sample, state = carry
            t = state.timesteps[i]
            output = model(scheduler.scale_model_input(state, sample, t), t)
            return scheduler.step(state, output, t, sample, key).to_tuple()

        begin = (noise * state.init_noise_sigma, state)
        return jax.lax.fori_loop(0, len(state.timesteps), body, begin)[0]

    plan = RECIPES[name].plan(8)
    state = plan.start(noise)
    for row in range(len(plan)):
        z = None
        if plan.noise_draws:
            z = ms.noise.draw(ms.noise.source(key), row, range(plan.noise_draws), state.sample)
        state = plan.step(state, model(plan.model_input(state), plan.timestep(state)), z)
    np.testing.assert_allclose(run(noise, key), state.sample, rtol=2e-5, atol=2e-5)


def test_samples_on_several_devices_stay_there(jax):
    """Runs on four devices equal those on one, need nothing of each other's, and keep dtype and sharding."""
    script = Path(__file__).parent / "sharded_flax.py"
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    assert len(said) == 8
    for line in said:
        _, dtype, kept, gathers, apart = line.split()
        assert (kept, gathers) == ("True", "0"), line
        assert float(apart) < (1e-6 if dtype == "float32" else 2e-2), line


def test_memory_of_half_precision_samples_is_wide(jax):
    """So that a carry keeps its types, and the run is one of narrow samples, not of narrow sums."""
    scheduler, recipe = FlaxScheduler(RECIPES["unipc"]), RECIPES["unipc"]
    state = scheduler.set_timesteps(scheduler.create_state(), 8, SHAPE)
    sample = ms.noise.normal(SHAPE, backend="jax", dtype="bfloat16")
    plan, memory, index = recipe.plan(8), state.memory, 0
    for t in state.timesteps:
        output = (0.3 * sample).astype("bfloat16")
        wanted = plan.step(ms.State(sample.astype("float32"), memory, index), output)
        memory, index = wanted.memory, index + 1
        sample, state = scheduler.step(state, output, t, sample)
        assert sample.dtype == "bfloat16" and {str(one.dtype) for one in state.memory} == {"float32"}
        np.testing.assert_allclose(sample.astype("float32"), wanted.sample.astype("bfloat16").astype("float32"))
    noised = scheduler.add_noise(state, sample, sample, np.array([500.0, 250.0]))
    assert noised.dtype == sample.dtype and int(state.index) == 8


def test_what_a_step_returns_is_read_as_diffusers_has_it(jax):
    scheduler, x = FlaxScheduler(ms.Euler()), ms.noise.normal(SHAPE, backend="jax")
    begin = scheduler.create_state()
    assert float(begin.init_noise_sigma) == pytest.approx(ms.Euler().plan(8).grid.init_noise_sigma)
    state = scheduler.set_timesteps(begin, 8, SHAPE)
    found = scheduler.step(state, x, 0, x)
    pair = scheduler.step(state, x, 0, x, return_dict=False)
    assert type(pair) is type(found.to_tuple()) is tuple
    for sample, after in (pair, found.to_tuple(), (found.prev_sample, found.state)):
        np.testing.assert_array_equal(sample, pair[0])
        assert int(after.index) == 1
    twice = jax.numpy.concatenate([x, x])  # guidance
    unipc = FlaxScheduler(ms.UniPCMultistep())
    at = unipc.set_timesteps(unipc.create_state(), 8, SHAPE)
    assert unipc.scale_model_input(at, twice).shape == twice.shape
    np.testing.assert_allclose(scheduler.scale_model_input(state, twice)[:2], scheduler.scale_model_input(state, x))


def test_bad_input_is_refused(jax):
    with pytest.raises(ms.ScheduleError, match="recipe must be a recipe"):
        FlaxScheduler("ddim")
    scheduler, x = FlaxScheduler(ms.UniPCMultistep()), ms.noise.normal(SHAPE, backend="jax")
    with pytest.raises(ms.ScheduleError, match="call set_timesteps"):
        scheduler.step(scheduler.create_state(), x, 0, x)
    with pytest.raises(ms.ScheduleError, match="give shape="):
        scheduler.set_timesteps(scheduler.create_state(), 4)
    noisy = FlaxScheduler(ms.EulerAncestral())
    with pytest.raises(ms.ScheduleError, match="give key="):
        noisy.step(noisy.set_timesteps(noisy.create_state(), 4), x, 0, x)
