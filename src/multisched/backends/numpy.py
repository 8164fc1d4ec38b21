"""NumPy: the host, and the reference that the other backends are held to."""

import os
import sys
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import cached_property
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
from numpy.exceptions import TooHardError
from numpy.lib.array_utils import byte_bounds

from multisched.backends.base import Terms
from multisched.backends.generic import ArrayAPIBackend
from multisched.errors import ScheduleError, no_out
from multisched.values import shown

BLOCK = 1 << 15
"""Elements of a piece of large arrays that all sums are taken of at once, so that each is read from memory once."""

SHARE = 1 << 22
"""Elements that a core is given at least; and those from which on it pays to import numba for them."""


class NumPyBackend(ArrayAPIBackend[np.ndarray]):
    """NumPy arrays. bfloat16 needs the package ml_dtypes, which JAX brings."""

    mutable = False  # what is made of constants is read-only

    def __init__(self) -> None:
        super().__init__("numpy", np, np.__version__)
        del self.xp

    @cached_property
    def xp(self) -> Any:
        """Imported with the first step: it takes as long as NumPy itself, and plans need none of it."""
        from array_api_compat import numpy

        return numpy

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def _device(self, device: Any) -> Any:
        if device is not None and not (isinstance(device, str) and device == "cpu"):
            raise ScheduleError(f"numpy has no device {shown(device)}; it has cpu.")
        return device

    def dtype(self, dtype: Any) -> Any:
        if isinstance(dtype, str) and dtype == "bfloat16":
            try:
                from ml_dtypes import bfloat16
            except ImportError:
                raise ScheduleError("numpy has bfloat16 only with the package ml_dtypes; install it.") from None
            return np.dtype(bfloat16)
        try:
            return None if dtype is None else np.dtype(super().dtype(dtype))
        except (TypeError, SyntaxError, OverflowError):
            raise ScheduleError(f"numpy has no dtype {shown(dtype)}.") from None

    def asarray(self, values: Any, dtype: Any = None, device: Any = None) -> np.ndarray:
        self._device(device)
        return np.asarray(values, dtype=self.dtype(dtype))

    def device(self, array: np.ndarray) -> str:
        return "cpu"

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else np.asarray(array)

    def together(self, array: np.ndarray, others: Sequence[np.ndarray]) -> bool:
        return True

    def check_out(self, out: Sequence[np.ndarray], like: np.ndarray, taken: Sequence[np.ndarray]) -> None:
        for array in out:
            if not isinstance(array, np.ndarray) or (array.shape, array.dtype) != (like.shape, like.dtype):
                raise ScheduleError(no_out("its arrays must be NumPy's and of the same dtype"))
            if not array.flags.writeable:
                raise ScheduleError(no_out("an array of it is read-only"))
            low, high = byte_bounds(array)
            if high - low < array.nbytes:
                raise ScheduleError(no_out("elements of an array of it share memory"))
        if any(map(_overlap, *zip(*(*combinations(out, 2), *product(out, taken)), strict=True))):
            raise ScheduleError(no_out("an array of it shares memory with another, or with one that the step reads"))

    def constant(self, values: np.ndarray, dtype: Any = None, device: Any = None) -> np.ndarray:
        array = self.asarray(values, dtype, device)
        return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)  # of bytes, which nobody can write to

    def astype(self, array: np.ndarray, dtype: Any) -> np.ndarray:
        return array if array.dtype == dtype else array.astype(dtype)

    def clip(self, array: np.ndarray, low: Any, high: Any) -> np.ndarray:
        # NumPy's own: that of array-api-compat 1.15 makes a mask and a copy for each bound.
        return np.asarray(array.clip(low, high), array.dtype)

    def weighted_sum(self, weights: Sequence[Any], arrays: Sequence[np.ndarray]) -> np.ndarray:
        return self.weighted_sums([Terms(tuple(weights), tuple(range(len(arrays))))], arrays, arrays[0].dtype)[0]

    def weighted_sums(
        self, sums: Sequence[Terms], arrays: Sequence[np.ndarray], dtype: Any, out: Sequence[np.ndarray] | None = None
    ) -> tuple[np.ndarray, ...]:
        for weights, *_ in sums:
            for weight in weights:  # a generator would take as long as a small sum
                if type(weight) is not float:
                    return self._with_arrays(sums, arrays, dtype, out)
        like, wide = arrays[0], self.compute_dtype(dtype)
        if like.size > BLOCK and all(array.flags.c_contiguous for array in (*arrays, *(out or ()))):
            return _in_blocks(sums, arrays, wide, dtype, out)
        found = tuple([_sum(weights, chosen, arrays, wide, dtype) for weights, chosen, _ in sums])
        if out is None:
            return found
        for result, one in zip(out, found, strict=True):
            result[...] = one
        return tuple(out)

    def _with_arrays(
        self, sums: Sequence[Terms], arrays: Sequence[np.ndarray], dtype: Any, out: Sequence[np.ndarray] | None
    ) -> tuple[np.ndarray, ...]:
        """Sums whose weights are arrays, of one number or of one to a sample: those of each sample by itself."""
        if not any(np.size(weight) != 1 for weights, *_ in sums for weight in weights):
            plain = [Terms(tuple([np.asarray(w).item() for w in weights]), chosen) for weights, chosen, _ in sums]
            return self.weighted_sums(plain, arrays, dtype, out)
        results = tuple(np.empty(arrays[0].shape, dtype) for _ in sums) if out is None else tuple(out)
        for k in range(arrays[0].shape[0]):
            own = [Terms(tuple([_of_sample(w, k) for w in weights]), chosen) for weights, chosen, _ in sums]
            for result, one in zip(results, self.weighted_sums(own, [a[k] for a in arrays], dtype), strict=True):
                result[k] = one
        return results

    def hosted(self, device: Any) -> bool:
        return True

    def normal(self, shape: tuple[int, ...], seed: int, dtype: Any = None, device: Any = None) -> np.ndarray:
        draws = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        return self.asarray(draws, dtype, device)


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays share memory, or it takes too long to find out."""
    if not np.may_share_memory(one, other):
        return False
    try:
        return bool(np.shares_memory(one, other, max_work=10_000))  # type: ignore[arg-type]
    except TooHardError:
        return True


def _of_sample(weight: Any, k: int) -> Any:
    """A weight of sample k: that of the sample, or the one that all have."""
    return weight if np.ndim(weight) == 0 else weight[k if weight.shape[0] > 1 else 0]


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


def _in_blocks(
    sums: Sequence[Terms],
    arrays: Sequence[np.ndarray],
    wide: Any,
    dtype: Any,
    out: Sequence[np.ndarray] | None,
) -> tuple[np.ndarray, ...]:
    """The sums, piece by piece in cache, on all cores where the arrays are large. The same to the bit as `_sum`."""
    copies = [out is None and weights == (1.0,) and arrays[chosen[0]].dtype == dtype for weights, chosen, _ in sums]
    found = tuple(
        arrays[chosen[0]] if copy else np.empty(arrays[0].shape, dtype) if out is None else out[k]
        for k, (copy, (_, chosen, _)) in enumerate(zip(copies, sums, strict=True))
    )
    flat = [array.reshape(-1) for array in arrays]
    into = [(one, result.reshape(-1)) for one, result, copy in zip(sums, found, copies, strict=True) if not copy]

    size = flat[0].size
    parts = min(os.cpu_count() or 1, size // SHARE)
    fill = _fused(into, flat) or _by_pieces(into, flat, wide, BLOCK if parts < 2 else 4 * BLOCK)
    if into and parts > 1:
        ends = [size * k // parts for k in range(parts + 1)]
        from concurrent.futures import ThreadPoolExecutor  # which brings logging, and most steps need none

        with ThreadPoolExecutor(parts) as pool:
            # Each in a copy of the caller's context, which holds what NumPy is to do about an overflow.
            jobs = [pool.submit(copy_context().run, fill, first, last) for first, last in pairwise(ends)]
            for job in jobs:
                job.result()
    elif into:
        fill(0, size)
    return found


def _fused(into: Sequence[tuple[Terms, np.ndarray]], flat: Sequence[np.ndarray]) -> Callable[[int, int], None] | None:
    """What takes some elements of all sums in one compiled pass, which does not warn of an overflow; None where numba
    is not there, importing it takes longer than it saves on these arrays, or an overflow is to raise."""
    if not into or (flat[0].size < SHARE and "numba" not in sys.modules):
        return None
    sums, outs = zip(*into, strict=True)
    kinds = {flat[k].dtype for _, chosen, _ in sums for k in chosen} | {outs[0].dtype}
    served = len(kinds) == 1 and outs[0].dtype.name in ("float32", "float64") and all(weights for weights, *_ in sums)
    if not served or not {*np.geterr().values()} <= {"warn", "ignore"}:
        return None
    try:
        from multisched.backends.fused import filler

        return filler(sums, flat, outs)
    except ImportError:
        return None


def _by_pieces(
    into: Sequence[tuple[Terms, np.ndarray]], flat: Sequence[np.ndarray], wide: Any, piece: int
) -> Callable[[int, int], None]:
    """What takes some elements of all sums, so many at a time that they stay in cache. Between pieces threads wait for
    each other, as Python has one at a time."""

    def fill(first: int, last: int) -> None:
        scratch = np.empty((1 if into[0][1].dtype == wide else 2, piece), wide)
        for start in range(first, last, piece):
            block = slice(start, min(start + piece, last))
            pieces = [array[block] for array in flat]
            for one, result in into:
                _sum_into(*one[:2], pieces, result[block], scratch[:, : block.stop - start])

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


BACKEND = NumPyBackend()
