"""Weighted sums of NumPy arrays: in one compiled pass where that pays, or piece by piece in cache where they are large.

All ways have the same bits: each product and each sum is rounded by itself.
"""

import os
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from multisched.backends.base import Cut, Terms
from multisched.backends.fused import at_hand, filler

BLOCK = 1 << 15
"""Elements of a piece of large arrays that all sums are taken of at once, so that each is read from memory once."""

SHARE = 1 << 21
"""Elements that a core is given at least."""


def chained(sums: Sequence[Terms], arrays: Sequence[Any]) -> tuple[np.ndarray, ...] | None:
    """The sums of small arrays: the calls of `_sum`, with as little as there can be around them."""
    sample = arrays[0]
    if type(sample) is not np.ndarray or sample.ndim == 0 or sample.size > BLOCK:
        return None
    shape, dtype, found = sample.shape, sample.dtype, []
    if dtype.char not in "fd" or not dtype.isnative:
        return None
    for array in arrays[1:]:
        if type(array) is not np.ndarray or array.dtype != dtype or array.shape != shape:
            return None
    for _, _, chain in sums:
        if chain is None:
            return None
        start, first, weight, rest = chain
        total = arrays[start]
        if rest is not None:
            product = arrays[first] * weight
            total = product if start < 0 else np.add(total, product, product)
            for k, factor in rest:
                product = arrays[k] * factor
                total = np.add(total, product, product)
        found.append(total)
    return tuple(found)


def sums_of(
    sums: Sequence[Terms],
    arrays: Sequence[np.ndarray],
    wide: Any,
    dtype: Any,
    out: Sequence[np.ndarray] | None,
    cut: Cut | None = None,
) -> tuple[np.ndarray, ...]:
    """`Backend.weighted_sums` and `cut_sums` where weights and bounds are floats.

    Args:
        sums, arrays, dtype, out, cut: as there.
        wide: the compute dtype of `dtype`.
    """
    if arrays[0].size > BLOCK and all(array.flags.c_contiguous for array in (*arrays, *(out or ()))):
        return _in_blocks(sums, arrays, wide, dtype, out, cut)
    if cut is not None:
        x0 = np.asarray(_sum(*cut.terms[:2], arrays, wide, wide).clip(*bounds(cut.low, cut.high, wide)), wide)
        arrays = (*arrays[: cut.place], x0, *arrays[cut.place :])
    found = tuple([_sum(weights, chosen, arrays, wide, dtype) for weights, chosen, _ in sums])
    if out is None:
        return found
    for result, total in zip(out, found, strict=True):
        result[...] = total
    return tuple(out)


def _sum(
    weights: tuple[float, ...], chosen: tuple[int, ...], arrays: Sequence[np.ndarray], wide: Any, dtype: Any
) -> np.ndarray:
    """One sum, in the dtype `wide`, rounded to `dtype`; a single array of weight 1 is returned as it is."""
    total: Any = None
    for weight, k in zip(weights, chosen, strict=True):
        array = arrays[k]
        if array.dtype != wide:
            array = array.astype(wide)
        term = array if weight == 1.0 else array * weight
        if total is None:
            total = term
        elif term is array or term.ndim == 0:  # of 0-d arrays NumPy makes scalars, which cannot be written to
            total = total + term
        else:
            total = np.add(total, term, out=term)
    if total is None:
        return np.zeros_like(arrays[0], dtype=dtype)
    return np.asarray(total, dtype)


@lru_cache(maxsize=64)
def bounds(low: float, high: float, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bounds as arrays: NumPy takes longer to clip a small array to two floats."""
    return np.asarray(low, dtype), np.asarray(high, dtype)


def _in_blocks(
    sums: Sequence[Terms],
    arrays: Sequence[np.ndarray],
    wide: Any,
    dtype: Any,
    out: Sequence[np.ndarray] | None,
    cut: Cut | None,
) -> tuple[np.ndarray, ...]:
    """The sums, piece by piece in cache, on all cores where the arrays are large. The same to the bit as `_sum`."""
    found, left, into = _results(sums, arrays, dtype, out, cut, lambda: np.empty(arrays[0].shape, dtype))
    flat, places = [array.reshape(-1) for array in arrays], [result.reshape(-1) for result in into]
    size = arrays[0].size
    if left:
        fill = _fused(left, flat, places, cut) or _by_pieces(left, flat, places, wide, cut)
        shared(fill, size, os.cpu_count() or 1)
    return tuple(found)


def _fused(
    sums: Sequence[Terms], flat: Sequence[np.ndarray], outs: Sequence[np.ndarray], cut: Cut | None
) -> Callable[[int, int], None] | None:
    """What takes some elements of all sums in one compiled pass, which does not warn of an overflow; None where numba
    is not there, importing it takes longer than it saves on these arrays, or an overflow is to raise."""
    if not at_hand(flat[0].size):
        return None
    taken = [*sums, *([] if cut is None else [cut.terms])]
    kinds = {array.dtype for array in (*flat, *outs)}
    served = len(kinds) == 1 and outs[0].dtype.char in "fd" and all(one.weights for one in taken)
    if not served or not {*np.geterr().values()} <= {"warn", "ignore"}:
        return None
    try:
        return filler(sums, flat, outs, cut)
    except ImportError:
        return None


def _by_pieces(
    sums: Sequence[Terms],
    flat: Sequence[np.ndarray],
    outs: Sequence[np.ndarray],
    wide: Any,
    cut: Cut | None,
) -> Callable[[int, int], None]:
    """What takes some elements of all sums, so many at a time that they stay in cache."""
    size, dtype = flat[0].size, outs[0].dtype
    # Between pieces threads wait for each other, as Python has one at a time.
    piece = BLOCK if size < 2 * SHARE else 4 * BLOCK

    def fill(first: int, last: int) -> None:
        scratch = np.empty((1 if dtype == wide else 2, piece), wide)
        x0 = np.empty(0 if cut is None else piece, wide)
        for start in range(first, last, piece):
            block = slice(start, min(start + piece, last))
            own, pieces = scratch[:, : block.stop - start], [array[block] for array in flat]
            if cut is not None:
                within = x0[: block.stop - start]
                _sum_into(*cut.terms[:2], pieces, within, own[-1:])
                within.clip(*bounds(cut.low, cut.high, wide), out=within)
                pieces.insert(cut.place, within)
            for one, result in zip(sums, outs, strict=True):
                _sum_into(*one[:2], pieces, result[block], own)

    return fill


def _sum_into(
    weights: tuple[float, ...],
    chosen: tuple[int, ...],
    arrays: Sequence[np.ndarray],
    out: np.ndarray,
    scratch: np.ndarray,
) -> None:
    """One sum written to `out`, in the dtype of `scratch`: an array of its size, or two where that is not its own."""
    total, product = (out if len(scratch) == 1 else scratch[0]), scratch[-1]
    so_far: Any = None
    for weight, k in zip(weights, chosen, strict=True):
        term = arrays[k]
        if weight != 1.0:
            term = np.multiply(term, weight, out=total if so_far is None else product, dtype=product.dtype)
        so_far = term if so_far is None else np.add(so_far, term, out=total, dtype=product.dtype)
    np.copyto(out, 0.0 if so_far is None else so_far, casting="same_kind")


def _results(
    sums: Sequence[Terms],
    arrays: Sequence[np.ndarray],
    dtype: Any,
    out: Sequence[np.ndarray] | None,
    cut: Cut | None,
    new: Callable[[], np.ndarray],
) -> tuple[Sequence[np.ndarray], Sequence[Terms], Sequence[np.ndarray]]:
    """(an array for each sum, the sums that are to be computed, the arrays for those): those of `out`, or such as `new`
    makes, save where a sum is another array as it is."""
    if out is not None:
        return out, sums, out
    found: list[np.ndarray] = []
    left: list[Terms] = []
    into: list[np.ndarray] = []
    for one in sums:
        if one.weights == (1.0,):
            taken = _operand(one.operands[0], arrays, cut)
            if taken is not None and taken.dtype == dtype:
                found.append(taken)
                continue
        result = new()
        found.append(result)
        left.append(one)
        into.append(result)
    return found, left, into


def _operand(number: int, arrays: Sequence[np.ndarray], cut: Cut | None) -> np.ndarray | None:
    """An array by the number that the sums know it by; None for the sum that is cut."""
    if cut is None or number < cut.place:
        return arrays[number]
    return None if number == cut.place else arrays[number - 1]


def shared(fill: Callable[[int, int], None], size: int, cores: int) -> None:
    """Call fill(first, last) for all elements, which cores share where they are many."""
    parts = min(cores, size // SHARE)
    if parts < 2:
        fill(0, size)
        return
    from concurrent.futures import ThreadPoolExecutor  # which brings logging, and most steps need none

    ends = [size * k // parts for k in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        # Each in a copy of the caller's context, which holds what NumPy is to do about an overflow.
        jobs = [pool.submit(copy_context().run, fill, first, last) for first, last in pairwise(ends)]
        for job in jobs:
            job.result()
