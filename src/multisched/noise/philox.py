"""Philox noise drawn on the device: the addresses and the words of the host's, in array-API operations.

Words are int32, which alone has shifts and wrapping products on all backends: 16-bit limbs, and a mask after each
shift. The normals are taken with + - * / alone, which libraries round as IEEE 754 says, so that eager ones are the same
bits on every backend and processor. A library's own square root is not always rounded so (torch's is off by a last bit
in one value of seven on some processors): it is a first guess here, which `_root` mends. A compiler that contracts to
fused multiply-adds changes last bits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.noise.addresses import check_place, keys
from multisched.noise.base import UNIT, Ids, Shape
from multisched.noise.host import Seeded
from multisched.noise.words import MULTIPLIERS, ROUNDS, WEYL, blocks

Words = tuple[Any, ...]


@dataclass(frozen=True)
class PhiloxNoise(Seeded):
    """`HostNoise` computed on the device: its words, and its normals to within 5e-7, a last bit of the largest.

    Inside jit, scan and compile the step may be a traced integer array, 0-d or one per sample.

    Takes the arguments of `Seeded`.

    Example:
        >>> one = ms.noise.PhiloxNoise(0).normal([0], 0, 0, (1000,))
        >>> other = ms.noise.HostNoise(0).normal([0], 0, 0, (1000,))
        >>> bool(np.allclose(one, other, atol=1e-5)), round(float(one.std()), 1)
        (True, 1.0)
    """

    on_device = True
    traceable = True

    def normal(self, sample_ids: Ids, step: int, draw: int, shape: Shape) -> np.ndarray:
        return np.asarray(self.normal_on(backends.get("numpy"), None, sample_ids, step, draw, shape))

    def normal_on(self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape) -> Any:
        size, whole = math.prod(shape), (len(sample_ids), *shape)
        if backend.hosted(device) and all(isinstance(number, (int, np.integer)) for number in (step, draw)):
            return backend.asarray(self._by_pieces(sample_ids, step, draw, size).reshape(whole), "float32", device)
        found = normals(backend, self.words_on(backend, device, sample_ids, step, draw, size))
        return backend.xp.reshape(found[:, :size], whole)

    def _by_pieces(self, sample_ids: Ids, step: int, draw: int, size: int) -> np.ndarray:
        """(samples, size) normals by NumPy, some at a time: hundreds of operations go over what stays in cache."""
        check_place(step, draw)
        host, count = backends.get("numpy"), -(-size // 4)
        out = np.empty((len(sample_ids) * count, 4), np.float32)
        for place, words in blocks(*keys(self.seed, sample_ids), int(step) + 1, int(draw), count):
            signed = tuple(word.astype(np.uint32).view(np.int32)[None, :] for word in words)
            out[place] = np.reshape(normals(host, signed), (-1, 4))
        return np.ascontiguousarray(out.reshape(len(sample_ids), 4 * count)[:, :size])

    def uniform_on(
        self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape
    ) -> Any:
        """The numbers of `HostNoise`, bit for bit."""
        size, float32 = math.prod(shape), backend.dtype("float32")
        words = backend.xp.stack(self.words_on(backend, device, sample_ids, step, draw, size), axis=-1)
        flat = backend.xp.reshape((words >> 9) & 0x7FFFFF, (len(sample_ids), -1))[:, :size]
        return backend.xp.reshape((backend.astype(flat, float32) + 0.5) * UNIT, (len(sample_ids), *shape))

    def words_on(self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, count: int) -> Words:
        """The words of each sample: four int32 arrays (samples, blocks) with the bits of the unsigned words."""
        check_place(step, draw)
        seeds, samples = keys(self.seed, sample_ids)

        def column(values: Any) -> Any:
            if isinstance(values, (int, np.integer)):
                values = [values]
            if isinstance(values, list):
                signed = np.asarray(values, np.int64).astype(np.uint32).view(np.int32)
                return backend.asarray(signed[:, None], "int32", device)
            return backend.xp.reshape(backend.astype(values, backend.dtype("int32")), (-1, 1))

        block = backend.asarray(np.arange(-(-count // 4), dtype=np.int32)[None, :], "int32", device)
        zero = (block ^ block) ^ (column(samples) & 0)
        counter = (zero + block, zero + column(samples), zero + (column(step) + 1), zero + column(draw))
        key = sorted(set(seeds)) if len(set(seeds)) == 1 else seeds
        halves = (column([seed & 0xFFFFFFFF for seed in key]), column([seed >> 32 for seed in key]))
        return rounds(backend, counter, halves)


def rounds(backend: Backend[Any], counter: Words, key: Words) -> Words:
    """Philox-4x32-10 of int32 words, as `multisched.noise.words.rounds`; key words broadcast against the counter's."""
    return backend.repeat(ROUNDS, _round, (*counter, *key))[:4]


def _round(state: Words) -> Words:
    c0, c1, c2, c3, k0, k1 = state
    high0, low0 = _product(MULTIPLIERS[0], c0)
    high1, low1 = _product(MULTIPLIERS[1], c2)
    return high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0, k0 + _int32(WEYL[0]), k1 + _int32(WEYL[1])


def _product(factor: int, word: Any) -> tuple[Any, Any]:
    """(high, low) words of factor * word."""
    a, b = factor >> 16, factor & 0xFFFF
    x, y = _high(word), word & 0xFFFF
    cross = y * a + _high(y * b)
    other = x * b + (cross & 0xFFFF)
    return x * a + _high(cross) + _high(other), word * _int32(factor)


def _high(word: Any) -> Any:
    return (word >> 16) & 0xFFFF


def _int32(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


# Coefficients in y = x^2 of cos(pi/4 x) = 1 - y * (c1 - c2 y + ...) and sin(pi/4 x) = x * (pi/4 - y * (c1 - c2 y ...)).
_COS = tuple((math.pi / 4) ** (2 * n) / math.factorial(2 * n) for n in range(1, 6))
_SIN = tuple((math.pi / 4) ** (2 * n + 1) / math.factorial(2 * n + 1) for n in range(1, 5))
_ROOT_HALF = round(2**25 * math.sqrt(0.5))
_LOG4_HIGH = 1.38623046875  # of 13 bits, so that its product with a small whole number is exact
_LOG4_LOW = 2 * math.log(2.0) - _LOG4_HIGH


def normals(backend: Backend[Any], words: Words) -> Any:
    """The normals of `multisched.noise.words.normals` in float32: (samples, 4 * blocks).

        z = r - r q   and   r a + r b,    cos = 1 - q,  sin = a + b,  a = 3/4 x without rounding

    so that what is rounded before the last sum is small, and the tails stay within one unit in the last place.
    """
    xp = backend.xp
    w0, w1, w2, w3 = words
    r = _radius(backend, (xp.stack([w0, w2], axis=-1) >> 8) & 0xFFFFFF)
    turn = xp.stack([w1, w3], axis=-1) >> 8
    float32 = backend.dtype("float32")
    x = (backend.astype((turn & 0x3FFFFF) - (1 << 21), float32) + 0.5) * 2.0**-21
    y = x * x
    q = _alternating(_COS, y) * y
    b = x * ((math.pi / 4 - 0.75) - _alternating(_SIN, y) * y)
    a = x * 0.75
    cosine = (r - r * q) * (1.0 - backend.astype((turn >> 21) & 2, float32))
    sine = r * a + r * b
    swap = backend.astype((turn >> 23) & 1, float32)
    keep = 1.0 - swap
    pairs = (cosine * keep + sine * swap, cosine * swap + sine * keep)  # one product is 0, the other is exact
    return xp.reshape(xp.stack(pairs, axis=-1), (w0.shape[0], -1))


def _radius(backend: Backend[Any], bits: Any) -> Any:
    """The root of -2 log((bits + 1/2) / 2^24) = K log 4 - 4 atanh(p / (2 + p)).

    2 bits + 1 is shifted left until its leading bit is the 25th, K shifts; p = m - 1 of sqrt(1/2) <= m < sqrt(2).
    """
    number, shifts = _normalized(backend, bits)
    low = (number - _ROOT_HALF) >> 31  # a word of ones where the number is below; a choice by `where` takes longer
    float32 = backend.dtype("float32")
    p = backend.astype(number + (number & low) - (1 << 25), float32) * 2.0**-25
    shifts = backend.astype(shifts - low, float32)

    t = p / (p + 2.0)
    z = t * t
    log = t * -4.0 * (((z * (1 / 9) + 1 / 7) * z + 1 / 5) * z + 1 / 3) * z + t * -4.0
    return _root(backend, shifts * _LOG4_HIGH + (shifts * _LOG4_LOW + log))


def _normalized(backend: Backend[Any], bits: Any) -> tuple[Any, Any]:
    """2 bits + 1, shifted left until its leading bit is the 25th, and by how many bits; `bits` are at most 24."""
    number = bits * 2 + 1
    if isinstance(bits, np.ndarray):  # NumPy alone can read the exponent of a float32, where the place of that bit is
        shifts = np.minimum(150 - (bits.astype(np.float32).view(np.int32) >> 23), 24)
        return number << shifts, shifts
    return _shifted(backend, number)


def _root(backend: Backend[Any], y: Any) -> Any:
    """The square root of positive float32 numbers, the same bits whatever few last bits the library's own is off by.

        s <- s + (y - s^2) / (2 s),   s = h + l of 12 bits each,   y - s^2 = ((y - h^2) - 2 h l) - l^2 without rounding

    Of two such steps the second leaves nothing of the first guess, for each of the 2^24 radii that there are.
    """
    s = backend.xp.sqrt(y)
    for _ in range(2):
        wide = s * 4097.0  # 2^12 + 1 cuts the leading half (Dekker 1971, doi 10.1007/BF01397083)
        high = wide - (wide - s)
        low = s - high
        s = s + (((y - high * high) - 2.0 * high * low) - low * low) / (s + s)
    return s


def _shifted(backend: Backend[Any], number: Any) -> tuple[Any, Any]:
    """Numbers of at most 25 bits, shifted left until the leading bit is the 25th, and by how many bits."""
    number, shifts, _ = backend.repeat(5, _shift, (number, number ^ number, (number ^ number) + 16))
    return number, shifts


def _shift(state: Words) -> Words:
    """Shift the numbers left by 16, then 8, 4, 2 and 1 bits where that many of their 25 are free."""
    number, shifts, by = state
    move = (((number >> (25 - by)) - 1) >> 31) & by  # -1 >> 31 is a word of ones
    return number << move, shifts + move, by >> 1


def _alternating(coefficients: Sequence[float], y: Any) -> Any:
    """c1 - c2 y + c3 y^2 - ..., by Horner's rule."""
    total = y * -coefficients[-1] + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        total = total * -y + coefficient
    return total
