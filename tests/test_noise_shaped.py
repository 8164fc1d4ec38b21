"""Wrappers, the numbers of torch's CUDA generator, and sources inside compiled code."""

import math

import numpy as np
import pytest

import multisched as ms
from multisched.noise import (
    BrownianNoise,
    ColouredNoise,
    HostNoise,
    NativeNoise,
    OffsetNoise,
    PhiloxNoise,
    PyramidNoise,
    Select,
    TorchCudaNoise,
)

SHAPE = (2, 16, 17)
SAMPLES = 4000


@pytest.mark.host
@pytest.mark.parametrize("wrapper", [OffsetNoise(7, strength=0.7), PyramidNoise(7), ColouredNoise(7, beta=1.5)])
def test_every_element_keeps_variance_one(wrapper):
    z = wrapper.normal(range(SAMPLES), 0, 0, SHAPE).astype(np.float64)
    assert np.abs((z**2).mean(axis=0) - 1).max() < 6 * math.sqrt(2 / SAMPLES)
    assert np.abs(z.mean(axis=0)).max() < 6 / math.sqrt(SAMPLES)


@pytest.mark.host
def test_covariances_of_wrappers():
    """Of two elements of one channel: what their published forms say."""
    error = 6 / math.sqrt(SAMPLES)
    z = OffsetNoise(7, strength=0.7).normal(range(SAMPLES), 0, 0, SHAPE)
    assert abs(np.mean(z[:, 0, 0, 0] * z[:, 0, 9, 9]) - 0.49 / 1.49) < error
    assert abs(np.mean(z[:, 0, 0, 0] * z[:, 1, 9, 9])) < error
    z = PyramidNoise(7, discount=0.5, levels=2).normal(range(SAMPLES), 0, 0, SHAPE)
    weights = 0.5 ** (2 * np.arange(3))
    for other, shared in ((1, weights[1] + weights[2]), (2, weights[2]), (4, 0)):
        assert abs(np.mean(z[:, 0, 0, 0] * z[:, 0, other, 0]) - shared / weights.sum()) < error
    power = np.abs(np.fft.rfft(ColouredNoise(7, beta=2.0, axes=1).normal(range(SAMPLES), 0, 0, (256,)))) ** 2
    slope = np.polyfit(np.log(np.arange(1, 100)), np.log(power.mean(axis=0)[1:100]), 1)[0]
    assert abs(slope + 2) < 0.05
    white = HostNoise(7).normal([0], 0, 0, SHAPE)
    np.testing.assert_allclose(ColouredNoise(7, beta=0.0).normal([0], 0, 0, SHAPE), white, atol=1e-6)
    np.testing.assert_array_equal(OffsetNoise(7, strength=0.0).normal([0], 0, 0, SHAPE), white)


@pytest.mark.parametrize("kind", [OffsetNoise, PyramidNoise, ColouredNoise])
def test_wrappers_on_every_backend(kind, backend, device):
    """Around noise of the host the same bits, around noise of the device the same to rounding."""
    for inner, tolerance in ((HostNoise(3), 0.0), (PhiloxNoise(3), 3e-6)):
        found = backend.to_numpy(kind(inner).normal_on(backend, device, range(2), 1, 0, SHAPE))
        wanted = kind(HostNoise(3)).normal(range(2), 1, 0, SHAPE)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


# Printed by torch on CUDA devices: seed 0, randn(8, 8), its first rows, in a public article on torch.compile; seed 42,
# six calls of randn(4), in a public test; seed 10 in pytorch/pytorch issue 79496; seed 42, randn(1, 64, 2048), in issue
# 158398. The longer digits of seed 0 are in the docstring of the web UI's rng_philox.py.
PUBLISHED = [
    (
        0,
        0,
        [-0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564, -0.62285122, -0.32838709],
        1e-6,
    ),
    (0, 0, [-1.07454231, -0.36314407, -1.67105067, 2.26550497], 1e-6),
    (0, 0, [0.3117, -0.1842, 1.2866, 1.1820, -0.1271, 1.2169, 1.4353, 1.0605], 6e-5),
    (0, 0, [-0.4941, -1.4244, -0.7244, -1.2973, 0.0697, -0.0074, 1.8969, 0.6878], 6e-5),
    (10, 0, [-0.1029, 1.6810, -0.2708], 6e-5),
    (42, 0, [0.1940, 2.1614, -0.1721, 0.8491], 6e-5),
    (42, 1, [0.1391, -0.1082, -0.7174, 0.7566], 6e-5),
    (42, 2, [-0.5187, 1.2268, 0.6255, -0.9117], 6e-5),
    (42, 3, [-0.6974, -1.8688, -0.8832, -1.6627], 6e-5),
    (42, 4, [-1.2682, -0.0383, -0.1029, 1.4400], 6e-5),
    (42, 5, [1.4640, -0.3238, 0.7740, 1.5892], 6e-5),
]


@pytest.mark.host
def test_published_numbers_of_torch_on_cuda():
    begun = {}
    for seed, call, wanted, tolerance in PUBLISHED:
        first = begun.get((seed, call), 0)
        found = TorchCudaNoise(seed).normal([0], call - 1, 0, (first + len(wanted),))[0, first:]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
        begun[seed, call] = first + len(wanted)
    far = TorchCudaNoise(42).normal([0], -1, 0, (1, 20, 2048))[0, 0]
    np.testing.assert_allclose(far[1, :3], [-0.4574, 0.8063, 0.1580], atol=6e-5)
    np.testing.assert_allclose(far[2, :3], [1.1346, -0.6329, -0.9147], atol=6e-5)
    np.testing.assert_allclose(far[:3, -1], [-0.8932, -1.2535, -0.6955], atol=6e-5)


@pytest.mark.host
def test_a_batch_of_torch_on_cuda_is_one_call():
    whole = ms.noise.normal((3, 4), rng=TorchCudaNoise(0))
    np.testing.assert_array_equal(whole.reshape(-1), TorchCudaNoise(0).normal([0], -1, 0, (12,))[0])
    np.testing.assert_array_equal(ms.noise.normal((1, 4), rng=Select(TorchCudaNoise(0), [2])), whole[2:])


def test_a_traced_step(backend, device, make):
    """Philox inside jit, scan and compile; of torch the meta device stands for it, since compilation takes a minute."""
    source, shape = PhiloxNoise(7), (2, 5)
    wanted = np.stack([HostNoise(7).normal(range(3), step, 1, shape) for step in range(4)])

    def draw(step, number=1):
        return ms.noise.draw(source, step, [number], make(np.zeros((3, *shape))))[0]

    if backend.name == "jax":
        import jax

        steps = jax.numpy.arange(4)
        found = [jax.lax.scan(lambda carry, step: (carry, draw(step)), 0, steps)[1], jax.vmap(jax.jit(draw))(steps)]
    elif backend.name == "mlx":
        import mlx.core as mx

        compiled = mx.compile(draw)
        found = [mx.stack([compiled(mx.array(step)) for step in range(4)])]
    else:
        found = [backend.xp.stack([draw(make(step, "int32"), make(1, "int32")) for step in range(4)])]
    for one in found:
        np.testing.assert_allclose(backend.to_numpy(one), wanted, rtol=0, atol=5e-7)
    each = backend.to_numpy(draw(make([2, 0, 3], "int32")))
    np.testing.assert_allclose(each, np.stack([wanted[step, k] for k, step in enumerate((2, 0, 3))]), atol=5e-7)


def test_a_traced_step_of_host_noise_is_refused(make):
    for source in (HostNoise(7), NativeNoise(7), OffsetNoise(7)):
        with pytest.raises(ms.ScheduleError, match="a traced step is not known"):
            ms.noise.draw(source, make(3, "int32"), [0], make(np.zeros((2, 3))))


X = np.zeros((2, 3), np.float32)
REFUSED = [
    (lambda: HostNoise(2**64), "a seed is below 2.64"),
    (lambda: HostNoise([]), "one per sample; given none"),
    (lambda: HostNoise([1, -1]), "a whole number >= 0; given -1"),
    (lambda: ms.noise.normal((3, 2), rng=[1, 2]), "2 seeds are given, one per sample; the batch has 3"),
    (lambda: HostNoise(0).normal([2**32], 0, 0, (2,)), "samples are numbered 0..4294967295"),
    (lambda: HostNoise(0).normal([0], -2, 0, (2,)), "noise has a step in -1"),
    (lambda: ms.noise.normal((3, 2), rng=Select(7, [0, 1])), "2 samples are selected; the batch has 3"),
    (lambda: Select(7, [-1]), "numbered by whole numbers >= 0"),
    (lambda: OffsetNoise(PyramidNoise(OffsetNoise(7))), "goes around a source once"),
    (lambda: OffsetNoise(7, strength=-1.0), "strength must be a number >= 0; given -1.0"),
    (lambda: OffsetNoise(7, channel_axis=3).normal([0], 0, 0, (2, 3)), "channel_axis is an axis of a sample; given 3"),
    (lambda: PyramidNoise(7, discount=2.0), "discount must be in"),
    (lambda: ColouredNoise(7, beta=9.0), "beta must be in"),
    (lambda: ColouredNoise(7).normal([0], 0, 0, (5,)), "axes=2 axes of a sample are filtered"),
    (lambda: ColouredNoise("x"), "rng must be a seed"),
    (lambda: TorchCudaNoise(0).normal([0], 0, 0, (40_961,)), "up to one wave of threads, 40960 elements"),
    (lambda: TorchCudaNoise(0).normal([0, 1], 0, 0, (20_481,)), "here are 40962"),
    (lambda: TorchCudaNoise(0).normal([0], 0, 1, (4,)), "calls=1 draws a step are counted; this is draw 1"),
    (lambda: TorchCudaNoise(0, wave=0), "wave must be in 1..4294967296; given 0"),
    (lambda: ms.noise.draw(BrownianNoise(0), 0, [0], X), "needs the interval"),
]


@pytest.mark.host
@pytest.mark.parametrize(("refused", "sentence"), REFUSED)
def test_refusals(refused, sentence):
    with pytest.raises(ms.ScheduleError, match=sentence):
        refused()
