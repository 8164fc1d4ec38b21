"""Philox-4x32-10 on the host, and Box-Muller in float64: every operation is exact or rounded as IEEE 754 says, so that
the bits are the same on every machine. NumPy's own log, sin and cos are not used, since they differ between processors.

All of it works in place on blocks that stay in the cache.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
CHUNK = 16384
"""Blocks of four words that are worked on at a time."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def rounds(counter: Sequence[np.ndarray], key: Sequence[np.ndarray | np.uint64]) -> tuple[np.ndarray, ...]:
    """Philox-4x32-10 (Salmon et al. 2011, doi 10.1145/2063384.2063405, section 3): ten times

        (c0, c1, c2, c3) <- (high(M1 c2) ^ c1 ^ k0, low(M1 c2), high(M0 c0) ^ c3 ^ k1, low(M0 c0)),   k <- k + W

    Args:
        counter: four uint64 arrays of one shape that hold 32-bit words; they are overwritten.
        key: two words, numbers or arrays of that shape.

    Returns:
        Four such arrays.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    m0, m1 = (np.uint64(m) for m in MULTIPLIERS)
    spare0, spare1 = np.empty_like(c0), np.empty_like(c0)
    for number in range(ROUNDS):
        np.multiply(c0, m0, out=c0)
        np.multiply(c2, m1, out=c2)
        for product, other, word, spare in ((c2, c1, k0, spare0), (c0, c3, k1, spare1)):
            np.right_shift(product, _HALF, out=spare)
            np.bitwise_xor(spare, other, out=spare)
            np.bitwise_xor(spare, word, out=spare)
            np.bitwise_and(spare, _LOW, out=spare)  # the halves that are only mixed in are not cut before
        c0, c1, c2, c3, spare0, spare1 = spare0, c2, spare1, c0, c1, c3
        if number < ROUNDS - 1:
            k0, k1 = ((k + np.uint64(w)) & _LOW for k, w in zip((k0, k1), WEYL, strict=True))
    np.bitwise_and(c1, _LOW, out=c1)
    np.bitwise_and(c3, _LOW, out=c3)
    return c0, c1, c2, c3


def blocks(
    seeds: Sequence[int], samples: Sequence[int], step: int | Sequence[int], draw: int, count: int
) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    """The words of blocks 0..count-1 of each sample, some at a time: (place in the flat order, four uint64 arrays).

    Args:
        seeds, samples: one each per sample, words of 64 and 32 bits.
        step, draw: the third word of the counter, one for all or one per sample, and the fourth.
        count: blocks per sample.
    """
    of_sample = np.asarray(samples, np.uint64)
    of_step = np.broadcast_to(np.asarray(step, np.uint64), of_sample.shape)
    seed = np.asarray(seeds, np.uint64)
    both = (seed & _LOW, seed >> _HALF)
    for first in range(0, len(samples) * count, CHUNK):
        place = slice(first, min(first + CHUNK, len(samples) * count))
        flat = np.arange(place.start, place.stop, dtype=np.uint64)
        if len(samples) == 1 or place.stop <= (first // count + 1) * count:  # all of one sample
            one = first // count
            flat -= np.uint64(one * count)
            sample, key = np.full_like(flat, of_sample[one]), [half[one] for half in both]
            third = np.full_like(flat, of_step[one])
        else:
            row = flat // np.uint64(count)
            flat -= row * np.uint64(count)
            sample, key, third = of_sample[row], [half[row] for half in both], of_step[row]
        counter = (flat, sample, third, np.full_like(flat, draw))
        yield place, rounds(counter, key)


# Taylor coefficients of sin and cos on [-pi/4, pi/4] as polynomials of the squared angle, and of
# atanh(s) / s on |s| <= 0.172 as one of s^2; what they leave out is below 1e-16.
_SIN = tuple((-1) ** n / math.factorial(2 * n + 1) for n in range(8))
_COS = tuple((-1) ** n / math.factorial(2 * n) for n in range(9))
_ATANH = tuple(1 / (2 * n + 1) for n in range(10))

_MAGIC = np.uint64(0x4330000000000000)  # the bits of 2^52: a word put below them is the float64 2^52 + word
_TWO52 = 2.0**52
_ROOT_HALF = np.int64(0x3FE6A09E667F3BCD)  # the bits of sqrt(1/2)
_MANTISSA = np.int64((1 << 52) - 1)
_SIGN = np.uint64(1 << 63)


def normals(words: Sequence[np.ndarray], out: np.ndarray) -> None:
    """Box-Muller (1958) of four words each, rounded to float32 into `out`, (blocks, 4).

        u = (w0 >> 8 + 1/2) / 2^24                r = sqrt(-2 log u)                             of 24 bits: r <= 5.9
        angle = pi/4 * ((w1 >> 8) mod 2^22 + 1/2 - 2^21) / 2^21,    z = r * (+-cos angle, sin angle), in either order

    and so of w2 and w3. The two high bits of w1 choose the order and the sign, one of four quarters of the circle.

    Args:
        words: four uint64 arrays that hold 32-bit words; they are overwritten.
        out: float32.
    """
    size = words[0].shape[0]
    pair = np.empty((2, size), np.uint64)  # the radius, then the angle, of both pairs at once
    turn, swap = np.empty((2, size), np.uint64), np.empty((2, size), bool)
    for row in range(2):
        np.right_shift(words[2 * row], np.uint64(8), out=pair[row])
        np.right_shift(words[2 * row + 1], np.uint64(8), out=turn[row])
    radius = _radius(pair)

    np.not_equal(turn & np.uint64(1 << 23), 0, out=swap)
    sign = np.left_shift(turn & np.uint64(1 << 22), np.uint64(63 - 22))
    np.bitwise_and(turn, np.uint64((1 << 22) - 1), out=turn)
    np.bitwise_or(turn, _MAGIC, out=turn)
    angle = turn.view(np.float64)
    np.subtract(angle, _TWO52 + 2.0**21, out=angle)
    np.add(angle, 0.5, out=angle)
    np.multiply(angle, math.pi / 2**23, out=angle)
    square = angle * angle
    sine = _polynomial(_SIN, square)
    np.multiply(sine, angle, out=sine)
    cosine = _polynomial(_COS, square)
    np.bitwise_xor(cosine.view(np.uint64), sign, out=cosine.view(np.uint64))
    np.multiply(cosine, radius, out=cosine)
    np.multiply(sine, radius, out=sine)
    for row in range(2):
        out[:, 2 * row] = np.where(swap[row], sine[row], cosine[row])
        out[:, 2 * row + 1] = np.where(swap[row], cosine[row], sine[row])


def _radius(bits: np.ndarray) -> np.ndarray:
    """sqrt(-2 log((bits + 1/2) / 2^24)), with 2 bits + 1 = m 2^k, sqrt(1/2) <= m < sqrt(2), s = (m - 1) / (m + 1):

    -log = (25 - k) log 2 - 2 atanh s
    """
    np.left_shift(bits, np.uint64(1), out=bits)
    np.bitwise_or(bits, _MAGIC | np.uint64(1), out=bits)
    number = bits.view(np.float64)
    np.subtract(number, _TWO52, out=number)
    raw = bits.view(np.int64)
    np.subtract(raw, _ROOT_HALF, out=raw)
    exponent = np.right_shift(raw, np.int64(52)).astype(np.float64)
    np.bitwise_and(raw, _MANTISSA, out=raw)
    np.add(raw, _ROOT_HALF, out=raw)
    s = number - 1.0
    np.add(number, 1.0, out=number)
    np.divide(s, number, out=s)
    np.multiply(s, s, out=number)
    log = _polynomial(_ATANH, number)
    np.multiply(log, s, out=log)
    np.multiply(log, -4.0, out=log)
    np.subtract(25.0, exponent, out=exponent)
    np.multiply(exponent, 2 * math.log(2.0), out=exponent)
    np.add(log, exponent, out=log)
    np.sqrt(log, out=log)
    return log


def _polynomial(coefficients: Sequence[float], x: np.ndarray) -> np.ndarray:
    """c0 + c1 x + c2 x^2 + ..., by Horner's rule."""
    total = x * coefficients[-1]
    np.add(total, coefficients[-2], out=total)
    for coefficient in coefficients[-3::-1]:
        np.multiply(total, x, out=total)
        np.add(total, coefficient, out=total)
    return total
