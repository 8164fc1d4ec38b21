"""Host noise: the same everywhere, each sample's its own."""

import numpy as np
import pytest

import multisched as ms


def test_normals_are_the_same_on_every_backend(backend, device):
    found = ms.noise.normal((3, 4, 5), rng=11, backend=backend, device=device)
    assert ms.backends.of(found) is backend and str(found.dtype).endswith("float32")
    np.testing.assert_array_equal(backend.to_numpy(found), ms.noise.normal((3, 4, 5), rng=11))


@pytest.mark.host
def test_a_sample_is_the_same_in_every_batch():
    np.testing.assert_array_equal(ms.noise.normal((5, 7), rng=3)[:2], ms.noise.normal((2, 7), rng=3))


@pytest.mark.host
def test_seeds_samples_steps_and_draws_are_apart():
    source = ms.noise.HostNoise
    drawn = [
        source(seed).normal([sample], step, draw, (1000,))[0]
        for seed in (0, 1)
        for sample in (0, 1)
        for step in (-1, 0, 1)
        for draw in (0, 1)
    ]
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(correlation).max() < 5 / np.sqrt(1000)
    every = np.concatenate(drawn)
    assert abs(every.mean()) < 0.03 and abs(every.std() - 1) < 0.03


@pytest.mark.host
def test_a_numpy_generator_serves_as_seed():
    one, other = (ms.noise.normal((2, 3), rng=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_source_of_ones_own(make, backend):
    class Ones:
        def normal(self, sample_ids, step, draw, shape):
            return np.ones((len(sample_ids), *shape), np.float32)

    plan = ms.FlowMatchPingPong().plan(2)
    found = ms.sample(lambda x, t: x, plan, make(np.zeros((2, 3), np.float32)), rng=Ones())
    np.testing.assert_allclose(backend.to_numpy(found), plan.sigmas[1] * (1 - plan.sigmas[1]), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_dtype(backend, device, dtype):
    if dtype == "float16" and backend.name == "array_api_strict":
        pytest.skip("the array-API standard has no half precision")
    assert str(ms.noise.normal((2, 3), backend=backend, device=device, dtype=dtype).dtype).endswith(dtype)
