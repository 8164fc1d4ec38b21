"""The words of the counters: known answers, one address each, the same everywhere."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest

import multisched as ms
from multisched.noise import (
    BrownianNoise,
    HostNoise,
    OffsetNoise,
    PhiloxNoise,
    PyramidNoise,
    philox,
    words as host_words,
)
from multisched.noise.philox import rounds

# Random123's known answers for philox4x32-10 (its file kat_vectors): counter, key, words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
# Of seed 7, sample 0, step 3, draw 1: 2^20 little-endian float32 normals, and as many uint32 words.
NORMALS = "d8ee99cff71e30d3dca20849246322ab9d6382aac364fb42f7369cb87fba6961"
WORDS = "1e45980d8bae063de90b052b4549c5e8e4cf9d24f4eb74763e23af48df2ffb94"
RADII = np.arange(2**24, dtype=np.int32).reshape(-1, 2**16)  # in pieces that stay in the cache
COUNT = 1 << 20


def _int32(words):
    return np.asarray(words, np.uint32).view(np.int32).reshape(1, -1)


@pytest.mark.parametrize(("counter", "key", "wanted"), KNOWN)
def test_known_answers(counter, key, wanted, make, backend):
    on_host = host_words.rounds([np.array([c], np.uint64) for c in counter], tuple(np.uint64(k) for k in key))
    assert tuple(int(word[0]) for word in on_host) == wanted
    found = rounds(
        backend,
        tuple(make(_int32([c]), "int32") for c in counter),
        tuple(make(_int32([k]), "int32") for k in key),
    )
    assert tuple(int(backend.to_numpy(word).view(np.uint32)[0, 0]) for word in found) == wanted


def test_hashes_of_normals_and_words(backend, device):
    normals = backend.to_numpy(HostNoise(7).normal_on(backend, device, [0], 3, 1, (COUNT,)))
    assert hashlib.sha256(normals.astype("<f4").tobytes()).hexdigest() == NORMALS
    words = PhiloxNoise(7).words_on(backend, device, [0], 3, 1, COUNT)
    flat = np.stack([backend.to_numpy(word) for word in words], axis=-1)
    assert hashlib.sha256(flat.astype("<i4").tobytes()).hexdigest() == WORDS


def test_words_of_the_host_are_those_of_the_device(backend, device):
    for seed, samples in ((2**64 - 1, [0, 5, 2**32 - 1]), ((3, 2**40, 3), [2, 0, 1])):
        words = PhiloxNoise(seed).words_on(backend, device, samples, 2**31 - 2, 9, 10)
        flat = np.stack([backend.to_numpy(word) for word in words], axis=-1).reshape(3, -1)[:, :10]
        np.testing.assert_array_equal(flat.view(np.uint32), HostNoise(seed).words(samples, 2**31 - 2, 9, 10))


def test_philox_normals_are_the_hosts_to_their_last_bit(backend, device):
    found = backend.to_numpy(PhiloxNoise(7).normal_on(backend, device, range(4), 3, 1, (COUNT,)))
    wanted = HostNoise(7).normal(range(4), 3, 1, (COUNT,))
    assert np.abs(found.astype(np.float64) - wanted).max() <= 5e-7


def test_philox_normals_of_extreme_words(make, backend):
    """The longest and the shortest radii, at angles where sine and cosine are largest."""
    radius = np.concatenate([np.arange(2000), np.arange(2**24 - 2000, 2**24), 2 ** np.arange(24)]) << 8
    angle = np.random.default_rng(0).integers(0, 2**32, radius.size)
    words = [np.asarray(word, np.uint64) for word in (radius, angle, radius, angle[::-1])]
    wanted = np.empty((radius.size, 4), np.float32)
    host_words.normals([word.copy() for word in words], wanted)
    found = philox.normals(backend, tuple(make(_int32(word.astype(np.uint32)), "int32") for word in words))
    assert np.abs(wanted).max() > 5.8
    difference = backend.to_numpy(found).reshape(-1, 4).astype(np.float64) - wanted
    assert np.abs(difference).max() <= 5e-7


def test_philox_normals_are_the_same_bits_everywhere(backend, device):
    """They are made of + - * / alone, which IEEE 754 rounds in one way."""
    found = backend.to_numpy(PhiloxNoise(7).normal_on(backend, device, range(4), 3, 1, (COUNT,)))
    np.testing.assert_array_equal(found, PhiloxNoise(7).normal(range(4), 3, 1, (COUNT,)))


@pytest.mark.host
@pytest.mark.parametrize("ulps", [-4, -1, 0, 1, 4])
def test_no_bit_of_a_radius_hangs_on_the_librarys_root(ulps, monkeypatch):
    """All 2^24 radii, from square roots that are off by some last bits."""
    numpy, mended = ms.backends.get("numpy"), 0
    plain, seen = numpy.xp, []

    def off(y):
        seen.append(y)
        return (np.sqrt(y).view(np.int32) + np.int32(ulps)).view(np.float32)

    for bits in RADII:
        monkeypatch.setattr(numpy, "xp", plain)
        wanted = philox._radius(numpy, bits)
        exact = -2 * np.log((bits + 0.5) / 2**24)
        assert np.abs(wanted / np.sqrt(exact) - 1).max() < 2.0**-22
        monkeypatch.setattr(numpy, "xp", SimpleNamespace(**vars(plain) | {"sqrt": off}))
        np.testing.assert_array_equal(philox._radius(numpy, bits), wanted)
        mended += np.count_nonzero(wanted != np.sqrt(seen.pop()))
        assert seen == []
    assert mended < 1e-6 * RADII.size


@pytest.mark.host
def test_the_leading_bit_of_every_radius_is_the_25th():
    """By the exponents of float32, as NumPy has it, and by shifts, as the other libraries have it."""
    numpy = ms.backends.get("numpy")
    for bits in RADII:
        for number, shifts in (philox._normalized(numpy, bits), philox._shifted(numpy, bits * 2 + 1)):
            np.testing.assert_array_equal(number >> 24, 1)
            np.testing.assert_array_equal(number, (bits * 2 + 1) << shifts)


@pytest.mark.host
def test_host_normals_are_box_mullers():
    """Against NumPy's own log, sin and cos, which differ between processors by last bits that float32 drops."""
    words = HostNoise(1).words([0], 0, 0, 400_000).reshape(-1, 2).astype(np.float64) // 256
    r = np.sqrt(-2 * np.log((words[:, 0] + 0.5) / 2**24))
    x = np.pi / 4 * ((words[:, 1] % 2**22 + 0.5 - 2**21) / 2**21)
    quarter = words[:, 1] // 2**22
    pair = np.stack([r * np.cos(x) * np.where(quarter % 2 == 1, -1, 1), r * np.sin(x)], axis=-1)
    wanted = np.where(quarter[:, None] >= 2, pair[:, ::-1], pair).reshape(-1)
    found = HostNoise(1).normal([0], 0, 0, (400_000,))[0]
    np.testing.assert_allclose(found, wanted, rtol=6.1e-8)
    assert (found != wanted.astype(np.float32)).mean() < 1e-6


@pytest.mark.host
def test_no_word_serves_twice(monkeypatch):
    """Every block that a source draws has an address of its own: steps, draws, samples, the start, the nodes of a
    Brownian path, constants and levels of wrappers."""
    seen = []

    def spied(seeds, samples, step, draw, count, real=host_words.blocks):
        steps = [step] * len(samples) if isinstance(step, int) else step
        keys = zip(seeds, samples, steps, strict=True)
        seen.extend((*key, draw, k) for key in keys for k in range(count))
        return real(seeds, samples, step, draw, count)

    monkeypatch.setattr("multisched.noise.host.blocks", spied)
    shape = (2, 6, 5)
    for seed in (0, 1, 2**33):
        shaped = OffsetNoise(PyramidNoise(HostNoise(seed)))
        for step in range(-1, 4):
            for draw in range(3):
                shaped.normal(range(3), step, draw, shape)
        path = OffsetNoise(PyramidNoise(BrownianNoise(seed, depth=6)))
        # A single evaluation visits each node of its branch once; another evaluation may visit the same node, on
        # purpose: it is the same path. So one evaluation per path.
        for k in range(3):
            path._white.value(range(3), 0.3, k, shape)
            path._white.value(range(3), 0.7, k + 256, shape)
    assert len(seen) == len(set(seen)) > 1000


@pytest.mark.host
def test_a_plan_asks_for_each_address_once():
    """Stages and draws of a step, and the steps of a run in parts, are told apart."""
    from zoo import RECIPES

    for name, recipe in RECIPES.items():
        plan = recipe.plan(6)
        asked = [
            (step, draw)
            for row in range(len(plan))
            if plan.needs_noise(row)
            for step, draws in [plan.noise_address(row)]
            for draw in draws
        ]
        assert len(asked) == len(set(asked)), name
        assert all(step >= 0 and 0 <= draw < 1 << 16 for step, draw in asked), name


@pytest.mark.host
def test_seeds_with_high_words_differ():
    low, high = (HostNoise(seed).words([0], 0, 0, 64) for seed in (5, 5 + 2**32))
    assert not (low == high).any()
    assert ms.noise.source(np.uint64(2**64 - 1)).seed == 2**64 - 1
