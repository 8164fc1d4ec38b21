"""Sums of twice the working precision: each number is hi + lo, with lo below the last bit of hi.

The sum and the product of two numbers are a rounded number and its error, which is a number too (Dekker 1971, Numer.
Math. 18, 224; Knuth, The Art of Computer Programming, vol. 2, section 4.2.2). Eager steps are exact to about 2^-100 in
float64 and 2^-46 in float32. A compiler that fuses products and sums loses the low part.
"""

from typing import Any, NamedTuple

import numpy as np


class Double(NamedTuple):
    """An array of twice its precision, hi + lo."""

    hi: Any
    lo: Any


def double(array: Any) -> Double:
    """An array as it is."""
    return Double(array, 0.0 * array)


def _pieces(weight: float, wide: bool) -> tuple[float, float]:
    """A number of the host as two of the working precision."""
    if wide:
        return weight, 0.0
    first = float(np.float32(weight))
    return first, float(np.float32(weight - first))


def _half(weight: float, wide: bool) -> tuple[float, float]:
    """A number as two of half its bits."""
    kind, factor = (np.float64, 134217729.0) if wide else (np.float32, 4097.0)
    one = kind(weight)
    large = kind(factor) * one
    high = large - (large - one)
    return float(high), float(one - high)


def _sum(a: Any, b: Any) -> Double:
    """a + b, and its error."""
    total = a + b
    moved = total - a
    return Double(total, (a - (total - moved)) + (b - moved))


def _product(weight: float, x: Any, wide: bool) -> Double:
    """weight * x, and its error, for a weight of the working precision."""
    large = (134217729.0 if wide else 4097.0) * x
    high = large - (large - x)
    low, (w_high, w_low) = x - high, _half(weight, wide)
    total = weight * x
    return Double(total, ((w_high * high - total) + w_high * low + w_low * high) + w_low * low)


def times(weight: float, x: Double, wide: bool) -> Double:
    """weight * x."""
    first, second = _pieces(weight, wide)
    found = _product(first, x.hi, wide)
    return _sum(found.hi, found.lo + (first * x.lo + second * x.hi))


def plus(x: Double, y: Double) -> Double:
    """x + y."""
    high, low = _sum(x.hi, y.hi), _sum(x.lo, y.lo)
    first = _sum(high.hi, high.lo + low.hi)
    return _sum(first.hi, first.lo + low.lo)


def divided(x: Double, weight: float, wide: bool) -> Double:
    """x / weight, by three corrections of what is left."""
    found, left = double(0.0 * x.hi), x
    for _ in range(3):
        part = double(left.hi * (1.0 / weight))
        found = plus(found, part)
        left = plus(left, times(-weight, part, wide))
    return found
