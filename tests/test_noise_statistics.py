"""Ten million normals of each source, at levels that a sound generator misses once in about a million runs."""

import itertools
import math

import numpy as np
import pytest

from multisched.noise import BrownianNoise, HostNoise, NativeNoise, PhiloxNoise, TorchCudaNoise

COUNT = 10_000_000
LEVEL = 5.0
"""Standard errors."""


def check(z, level=LEVEL):
    """Moments, Kolmogorov-Smirnov and autocorrelation of a sample of normals."""
    n = z.size
    z = z.astype(np.float64).reshape(-1)
    # Standard errors of the sample moments of N(0, 1).
    for power, wanted, deviation in ((1, 0, 1), (2, 1, math.sqrt(2)), (3, 0, math.sqrt(15)), (4, 3, math.sqrt(96))):
        assert abs((z**power).mean() - wanted) < level * deviation / math.sqrt(n), f"moment {power}"
    for lag in (1, 2, 3, 4, 5, 8, 64, 4096):
        assert abs((z[:-lag] * z[lag:]).mean()) < level / math.sqrt(n), f"autocorrelation at {lag}"
        squares = ((z[:-lag] ** 2 - 1) * (z[lag:] ** 2 - 1)).mean() / 2
        assert abs(squares) < level / math.sqrt(n), f"autocorrelation of squares at {lag}"
    assert kolmogorov(z) < 2.7, "Kolmogorov-Smirnov"  # sqrt(n) D above this has probability 2 exp(-2 * 2.7^2) = 9e-7


def kolmogorov(z):
    """sqrt(n) times the greatest distance of the empirical distribution from the normal one."""
    z = np.sort(z)
    # At every 512th order statistic, between which neither distribution moves by more than 512 / n.
    at = np.arange(0, z.size, 512)
    normal = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in z[at]])
    distance = np.maximum(normal - at / z.size, (at + 1) / z.size - normal).max()
    return math.sqrt(z.size) * distance


def neighbours(draw, count=1_000_000):
    """Normals at two addresses that differ by one in the seed, sample, step or draw."""
    here = draw(7, 0, 0, 0, count)
    for address in ((8, 0, 0, 0), (7 + (1 << 32), 0, 0, 0), (7, 1, 0, 0), (7, 0, 1, 0), (7, 0, 0, 1)):
        yield here, draw(*address, count)


def check_neighbours(draw, level=LEVEL):
    for one, other in neighbours(draw):
        one, other = one.astype(np.float64), other.astype(np.float64)
        for lag in (0, 1, 2, 3):
            product = one[: one.size - lag] * other[lag:]
            assert abs(product.mean()) < level / math.sqrt(one.size)
        assert abs(((one**2 - 1) * (other**2 - 1)).mean()) / 2 < level / math.sqrt(one.size)


@pytest.mark.host
def test_host():
    check(HostNoise(7).normal(range(10), 3, 0, (COUNT // 10,)))
    check_neighbours(lambda seed, sample, step, draw, n: HostNoise(seed).normal([sample], step, draw, (n,))[0])


def test_philox(backend, device):
    drawn = PhiloxNoise(7).normal_on(backend, device, range(10), 3, 0, (COUNT // 10,))
    check(backend.to_numpy(drawn))

    def draw(seed, sample, step, number, n):
        return backend.to_numpy(PhiloxNoise(seed).normal_on(backend, device, [sample], step, number, (n,)))[0]

    check_neighbours(draw)


def test_native(backend, device):
    drawn = NativeNoise(7).normal_on(backend, device, range(10), 3, 0, (COUNT // 10,))
    check(backend.to_numpy(drawn))

    def draw(seed, sample, step, number, n):
        return backend.to_numpy(NativeNoise(seed).normal_on(backend, device, [sample], step, number, (n,)))[0]

    check_neighbours(draw)


@pytest.mark.host
def test_torch_cuda():
    source = TorchCudaNoise(7, wave=COUNT, calls=2)
    check(source.normal(range(10), 3, 0, (COUNT // 10,)))

    def draw(seed, sample, step, number, n):
        return TorchCudaNoise(seed, wave=2 * n, calls=2).normal([sample], step, number, (n,))[0]

    check_neighbours(draw)


@pytest.mark.host
def test_brownian():
    """Increments of a million elements, ten intervals that do not meet."""
    source = BrownianNoise(7, depth=5)
    times = [1.0, 0.9, 0.8, 0.62, 0.5, 0.4, 0.3, 0.21, 0.12, 0.05, 0.0]
    drawn = [source.increment([0], *pair, 0, (COUNT // 10,))[0] for pair in itertools.pairwise(times)]
    check(np.stack(drawn))
    for one, other in itertools.pairwise(drawn):
        assert abs(np.mean(one * other, dtype=np.float64)) < LEVEL / math.sqrt(one.size)


@pytest.mark.host
@pytest.mark.parametrize("spoil", ["scale", "shift", "repeat", "tail"])
def test_the_checks_see_what_is_wrong(spoil):
    z = HostNoise(7).normal([0], 0, 0, (COUNT // 5,))[0]
    broken = {
        "scale": z * 1.004,
        "shift": z + 0.006,
        "repeat": np.roll(z, 1) * 0.6 + z * 0.8,
        "tail": np.clip(z, -2.5, 2.5),
    }[spoil]
    with pytest.raises(AssertionError):
        check(broken)
