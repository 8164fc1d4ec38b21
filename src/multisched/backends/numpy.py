"""NumPy: the host, and the reference that the other backends are held to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import numpy as xp

from multisched.backends.base import ArrayAPIBackend, Terms
from multisched.errors import ScheduleError

BLOCK = 1 << 14
"""Elements of a piece of large arrays that all sums are taken of at once, so that each is read from memory once."""


class NumPyBackend(ArrayAPIBackend[np.ndarray]):
    """NumPy arrays. bfloat16 needs the package ml_dtypes, which JAX brings."""

    def __init__(self) -> None:
        super().__init__("numpy", xp, np.__version__)

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def _device(self, device: Any) -> Any:
        if device not in (None, "cpu"):
            raise ScheduleError(f"numpy has no device {device!r}; it has cpu.")
        return device

    def dtype(self, dtype: Any) -> Any:
        if dtype == "bfloat16":
            try:
                from ml_dtypes import bfloat16
            except ImportError:
                raise ScheduleError("numpy has bfloat16 only with the package ml_dtypes; install it.") from None
            return np.dtype(bfloat16)
        return None if dtype is None else np.dtype(super().dtype(dtype))

    def asarray(self, values: Any, dtype: Any = None, device: Any = None) -> np.ndarray:
        self._device(device)
        return np.asarray(values, dtype=self.dtype(dtype))

    def device(self, array: np.ndarray) -> str:
        return "cpu"

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else np.asarray(array)

    def astype(self, array: np.ndarray, dtype: Any) -> np.ndarray:
        return array if array.dtype == dtype else array.astype(dtype)

    def weighted_sum(self, weights: Sequence[Any], arrays: Sequence[np.ndarray]) -> np.ndarray:
        return self.weighted_sums([(tuple(weights), tuple(range(len(arrays))))], arrays, arrays[0].dtype)[0]

    def weighted_sums(
        self, sums: Sequence[Terms], arrays: Sequence[np.ndarray], dtype: Any, out: Sequence[np.ndarray] | None = None
    ) -> tuple[np.ndarray, ...]:
        like, wide = arrays[0], self.compute_dtype(dtype)
        if any(type(weight) is not float and np.size(weight) > 1 for weights, _ in sums for weight in weights):
            results = tuple(np.empty(like.shape, dtype) for _ in sums) if out is None else tuple(out)
            for k in range(like.shape[0]):
                own = [(tuple(w if type(w) is float else w[k] for w in weights), chosen) for weights, chosen in sums]
                for result, one in zip(results, self.weighted_sums(own, [a[k] for a in arrays], dtype), strict=True):
                    result[k] = one
            return results
        sums = [(tuple(w if type(w) is float else w.item() for w in weights), chosen) for weights, chosen in sums]
        if like.size > BLOCK and all(array.flags.c_contiguous for array in (*arrays, *(out or ()))):
            return _in_blocks(sums, arrays, wide, dtype, out)
        found = tuple(_sum(*one, arrays, wide, dtype) for one in sums)
        for result, one in zip(out or (), found, strict=out is not None):
            result[...] = one
        return found if out is None else tuple(out)

    def normal(self, shape: tuple[int, ...], seed: int, dtype: Any = None, device: Any = None) -> np.ndarray:
        draws = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        return self.asarray(draws, dtype, device)


def _sum(
    weights: tuple[float, ...], chosen: tuple[int, ...], arrays: Sequence[np.ndarray], wide: Any, dtype: Any
) -> np.ndarray:
    """One sum, in the dtype `wide`, rounded to `dtype`; a single array of weight 1 is returned as it is."""
    total: Any = None
    for weight, k in zip(weights, chosen, strict=True):
        array = arrays[k].astype(wide, copy=False)
        term = array if weight == 1.0 else array * weight
        if total is None:
            total = term
        elif term is array or term.ndim == 0:  # of 0-d arrays NumPy makes scalars, which cannot be written to
            total = total + term
        else:
            total = np.add(total, term, out=term)
    found = np.zeros_like(arrays[0], dtype=wide) if total is None else total
    return np.asarray(found).astype(dtype, copy=False)


def _in_blocks(
    sums: Sequence[Terms],
    arrays: Sequence[np.ndarray],
    wide: Any,
    dtype: Any,
    out: Sequence[np.ndarray] | None,
) -> tuple[np.ndarray, ...]:
    """The sums, piece by piece in cache."""
    copies = [out is None and weights == (1.0,) and arrays[chosen[0]].dtype == dtype for weights, chosen in sums]
    found = tuple(
        arrays[chosen[0]] if copy else np.empty(arrays[0].shape, dtype) if out is None else out[k]
        for k, (copy, (_, chosen)) in enumerate(zip(copies, sums, strict=True))
    )
    flat = [array.reshape(-1) for array in arrays]
    into = [(one, result.reshape(-1)) for one, result, copy in zip(sums, found, copies, strict=True) if not copy]
    for first in range(0, flat[0].size, BLOCK) if into else ():
        block = slice(first, first + BLOCK)
        pieces = [array[block] for array in flat]
        for one, result in into:
            result[block] = _sum(*one, pieces, wide, dtype)
    return found


BACKEND = NumPyBackend()
