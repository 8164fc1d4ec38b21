"""The pure schedulers of JAX loops: the run of a plan, eager, in a loop of XLA, and with samples in half precision."""

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
            return scheduler.step(state, output, t, sample, key)

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


def test_half_precision_and_shards(jax):
    """A sample keeps its dtype and its sharding."""
    scheduler = FlaxScheduler(ms.FlowMatchEuler())
    state = scheduler.set_timesteps(scheduler.create_state(), 4, SHAPE)
    mesh = jax.make_mesh((1,), ("data",))
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    x = jax.device_put(ms.noise.normal(SHAPE, backend="jax", dtype="bfloat16"), place)
    after, state = scheduler.step(state, x, 1000.0, x)
    assert after.dtype == x.dtype and after.sharding.is_equivalent_to(place, x.ndim)
    assert int(state.index) == 1
    noised = scheduler.add_noise(state, x, x, np.array([500.0, 250.0]))
    assert noised.dtype == x.dtype


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
