"""All weighted sums of large NumPy arrays in one pass, compiled by numba (the extra "numba").

    out[r][i] = weights[r][0] * arrays[r][0][i] + weights[r][1] * arrays[r][1][i] + ...,   left to right

Each product and each sum is rounded by itself, as NumPy's are, so that the bits are the same. What is compiled takes
pointers: one function of a dtype serves any number of sums, terms and threads, and runs without Python's lock.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np

from multisched.backends.base import Terms

PIECE = 1 << 11
"""Elements that stay in a core's own cache while all sums of them are taken."""


@cache
def _compiled(name: str) -> Any:
    """The C function of a dtype, "float32" or "float64".

    Raises:
        ImportError: if numba is not there.
    """
    from numba import cfunc, types

    number = getattr(types, name)
    pointers, count = types.CPointer(types.CPointer(number)), types.int64
    counts = types.CPointer(count)
    signature = types.void(pointers, types.CPointer(number), counts, pointers, count, count, count)

    @cfunc(signature)  # type: ignore[untyped-decorator]
    def fill(arrays: Any, weights: Any, ends: Any, outs: Any, sums: Any, first: Any, last: Any) -> None:
        for start in range(first, last, PIECE):
            stop = min(start + PIECE, last)
            term = 0
            for r in range(sums):
                out, x, u = outs[r], arrays[term], weights[term]
                if ends[r] == term + 1:
                    for i in range(start, stop):
                        out[i] = x[i] * u
                    term += 1
                    continue
                y, v = arrays[term + 1], weights[term + 1]
                for i in range(start, stop):
                    out[i] = x[i] * u + y[i] * v
                term += 2
                while term + 1 < ends[r]:
                    x, u, y, v = arrays[term], weights[term], arrays[term + 1], weights[term + 1]
                    for i in range(start, stop):
                        out[i] = (out[i] + x[i] * u) + y[i] * v
                    term += 2
                if term < ends[r]:
                    x, u = arrays[term], weights[term]
                    for i in range(start, stop):
                        out[i] = out[i] + x[i] * u
                    term += 1

    return _CALL(fill.address), fill  # whose code lives as long as it does


_CALL = ctypes.CFUNCTYPE(None, *(ctypes.c_void_p,) * 4, *(ctypes.c_int64,) * 3)


def filler(
    sums: Sequence[Terms], arrays: Sequence[np.ndarray], outs: Sequence[np.ndarray]
) -> Callable[[int, int], None]:
    """A function that writes elements first..last-1 of each sum, of at least one term, to its array in `outs`; all
    arrays contiguous and of one dtype.

    Raises:
        ImportError: if numba is not there.
    """
    dtype = outs[0].dtype
    call, _ = _compiled(dtype.name)
    chosen = [arrays[k] for _, numbers, _ in sums for k in numbers]
    weights = np.asarray([weight for own, *_ in sums for weight in own], dtype)
    ends = np.asarray(list(accumulate(len(own) for own, *_ in sums)), np.int64)
    places = [_addresses(chosen), weights.ctypes.data, ends.ctypes.data, _addresses(outs)]

    def fill(first: int, last: int) -> None:
        kept = weights, ends, chosen, outs  # whose memory is used
        call(*places, len(sums), first, last)
        del kept

    return fill


def _addresses(arrays: Sequence[np.ndarray]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
