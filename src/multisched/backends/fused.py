"""All weighted sums of large arrays in the host's memory in one pass, compiled by numba (the extra "numba").

    out[r][i] = weights[r][0] * arrays[r][0][i] + weights[r][1] * arrays[r][1][i] + ...,   left to right

Each product and each sum is rounded by itself, as NumPy's are, or both at once, as torch's are: so the bits are the
same. What is compiled takes pointers: one function of a dtype serves any number of sums, terms and threads, and runs
without Python's lock.
"""

import ctypes
import sys
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np

from multisched.backends.base import Cut, Terms

LARGE = 1 << 22
"""Elements from which on it pays to import numba for them."""

PIECE = 1 << 11
"""Elements that stay in a core's own cache while all sums of them are taken."""


def at_hand(size: int) -> bool:
    """Whether sums of arrays of that many elements are worth compiling."""
    return size >= LARGE or "numba" in sys.modules


@cache
def _compiled(name: str, once: bool) -> Any:
    """The C function of a dtype, "float32" or "float64".

    Raises:
        ImportError: if numba is not there.
    """
    from numba import cfunc, njit, types

    number = getattr(types, name)
    pointers, count = types.CPointer(types.CPointer(number)), types.int64
    counts, floats = types.CPointer(count), types.CPointer(number)
    signature = types.void(pointers, counts, floats, counts, pointers, count, count, floats, count, count)
    add = _fused_add() if once else njit(lambda total, x, weight: total + x * weight)

    fill = cfunc(signature)(_pass(add))
    return _CALL(fill.address), fill  # whose code lives as long as it does


_CALL = ctypes.CFUNCTYPE(None, *(ctypes.c_void_p,) * 5, *(ctypes.c_int64,) * 2, ctypes.c_void_p, *(ctypes.c_int64,) * 2)


def _pass(add: Callable[..., Any]) -> Callable[..., None]:
    """The function that is compiled, given total + x * weight. An array is read at i less its offset, and a result is
    written there. The offset is 0, except for x0: it is kept for one piece only, so its offset is `start`."""

    def fill(
        arrays: Any,
        own: Any,
        weights: Any,
        ends: Any,
        outs: Any,
        sums: int,
        cuts: int,
        numbers: Any,
        first: int,
        last: int,
    ) -> None:
        low, high, zero, naught = numbers[0], numbers[1], numbers[2], numbers[3]
        for start in range(first, last, PIECE):
            stop = min(start + PIECE, last)
            term = 0
            for r in range(sums):
                out, at = outs[r], start * (r < cuts)
                x, u, p = arrays[term], weights[term], start * own[term]
                begin = naught if u == 1 else zero
                term += 1
                if term == ends[r]:
                    for i in range(start, stop):
                        out[i - at] = add(begin, x[i - p], u)
                else:
                    y, v, q = arrays[term], weights[term], start * own[term]
                    for i in range(start, stop):
                        out[i - at] = add(add(begin, x[i - p], u), y[i - q], v)
                    term += 1
                while term < ends[r]:
                    x, u, p = arrays[term], weights[term], start * own[term]
                    for i in range(start, stop):
                        out[i - at] = add(out[i - at], x[i - p], u)
                    term += 1
                if r < cuts:
                    for i in range(stop - start):
                        out[i] = low if out[i] < low else high if out[i] > high else out[i]

    return fill


def _fused_add() -> Any:
    """total + x * weight, rounded once."""
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator]
    def add(context: Any, total: Any, x: Any, weight: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            total, x, weight = given
            return builder.fma(x, weight, total)

        return total(total, x, weight), code

    return add


def filler(
    sums: Sequence[Terms],
    arrays: Sequence[np.ndarray],
    outs: Sequence[np.ndarray],
    cut: Cut | None = None,
    once: bool = False,
) -> Callable[[int, int], None]:
    """A function that writes elements first..last-1 of each sum, of at least one term, to its array in `outs`; all
    arrays contiguous and of one dtype.

    Args:
        sums, arrays, cut: what is summed.
        outs: an array for each sum.
        once: whether a product and a sum are rounded together.

    Raises:
        ImportError: if numba is not there.
    """
    dtype, place = outs[0].dtype, len(arrays) if cut is None else cut.place
    call, _ = _compiled(dtype.name, once)
    before = [] if cut is None else [cut.terms]
    chosen = [k for one in sums for k in one.operands]
    weights = np.asarray([weight for one in (*before, *sums) for weight in one.weights], dtype)
    ends = np.asarray(list(accumulate(len(one.weights) for one in (*before, *sums))), np.int64)
    # A product keeps its sign where it is added to -0.0. torch adds the first to 0.0, save of an array as it is.
    numbers = np.asarray([*(cut[1:3] if cut else (0.0, 0.0)), 0.0 if once else -0.0, -0.0], dtype)
    own = [0] * (len(weights) - len(chosen)) + [int(cut is not None and k == place) for k in chosen]
    offsets = np.asarray(own, np.int64)

    def fill(first: int, last: int) -> None:
        x0 = [np.empty(PIECE, dtype) for _ in before]  # of this thread
        known = [*arrays[:place], *x0, *arrays[place:]]
        read = [*(arrays[k] for one in before for k in one.operands), *(known[k] for k in chosen)]
        pointers = (_addresses(read), offsets.ctypes.data, weights.ctypes.data, ends.ctypes.data)
        call(*pointers, _addresses([*x0, *outs]), len(ends), len(x0), numbers.ctypes.data, first, last)

    return fill


def _addresses(arrays: Sequence[np.ndarray]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
