"""`rng=` takes a key or a generator of a framework, which draws as it does there."""

import numpy as np
import pytest

import multisched as ms

SHAPE = (2, 3, 4)


@pytest.fixture
def states(backend):
    """(a fresh random state of the backend under test, the normals that it gives by itself) of each kind."""
    if backend.name == "torch":
        import torch

        return [
            (lambda: torch.Generator().manual_seed(7), torch.randn(SHAPE, generator=torch.Generator().manual_seed(7)))
        ]
    if backend.name == "jax":
        import jax

        kinds = (jax.random.key, jax.random.PRNGKey)
        return [(lambda kind=kind: kind(7), jax.random.normal(kind(7), SHAPE)) for kind in kinds]
    if backend.name == "mlx":
        import mlx.core as mx

        return [(lambda: mx.random.key(7), mx.random.normal(SHAPE, key=mx.random.key(7)))]
    return []


def test_starting_noise_is_the_frameworks(backend, states):
    for make, wanted in states:
        wanted = backend.to_numpy(wanted)
        found = ms.noise.normal(SHAPE, rng=make(), backend=backend)
        np.testing.assert_array_equal(backend.to_numpy(found), wanted)
        np.testing.assert_array_equal(ms.noise.normal(SHAPE, rng=make()), wanted)


def test_a_run_draws_each_row_once_and_again_the_same(backend, states):
    plan = ms.FlowMatchPingPong().plan(4)
    for make, noise in states:
        rows = [ms.noise.draw_row(ms.noise.source(make()), plan, row, noise) for row in range(3)]
        if backend.name == "torch":
            generator = make()
            rows = [ms.noise.draw_row(ms.noise.source(generator), plan, row, noise) for row in range(3)]
        drawn = [backend.to_numpy(row[0]) for row in rows] + [backend.to_numpy(noise)]
        firsts = {float(one.reshape(-1)[0]) for one in (drawn if backend.name != "torch" else drawn[:3])}
        assert len(firsts) == (4 if backend.name != "torch" else 3)
        one, other = (ms.sample(lambda x, t: 0.1 * x, plan, noise, rng=make()) for _ in range(2))
        np.testing.assert_array_equal(backend.to_numpy(one), backend.to_numpy(other))
        face = ms.FlowMatchPingPong().on(backend, rng=make())
        face.set_timesteps(4)
        x = noise
        for t in face.plan.timesteps:
            x = face.step(0.1 * x, float(t), x)
        np.testing.assert_allclose(backend.to_numpy(x), backend.to_numpy(one), rtol=1e-5, atol=1e-6)


def test_a_part_of_the_batch_is_refused(backend, states):
    for make, _ in states:
        with pytest.raises(ms.ScheduleError, match="whole batch"):
            ms.noise.normal((1, 3), rng=ms.noise.Select(make(), (1,)), backend=backend)
        assert ms.noise.normal(SHAPE, rng=ms.noise.OffsetNoise(make(), 0.1), backend=backend).shape == SHAPE


def test_keys_are_traced(backend, states):
    if backend.name != "jax":
        return
    import jax

    plan = ms.FlowMatchPingPong().plan(4)

    def run(key, noise):
        return ms.sample(lambda x, t: 0.1 * x, plan, noise, rng=key)

    for make, noise in states:
        eager = ms.sample(lambda x, t: 0.1 * x, plan, noise, rng=make(), loop="python")
        for found in (jax.jit(run)(make(), noise), ms.sample(lambda x, t: 0.1 * x, plan, noise, make(), loop="scan")):
            np.testing.assert_allclose(found, eager, rtol=1e-5, atol=1e-6)


@pytest.mark.host
def test_other_random_states_are_refused():
    import random

    for state in (np.random.RandomState(0), random, random.Random(0), np.random):
        with pytest.raises(ms.ScheduleError, match="rng must be a seed"):
            ms.noise.normal((2,), rng=state)
