"""NumPy: the host, and the reference that the other backends are held to."""

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.exceptions import TooHardError
from numpy.lib.array_utils import byte_bounds

from multisched.backends.base import Cut, Terms
from multisched.backends.generic import ArrayAPIBackend
from multisched.backends.numpy_sums import bounds, chained, sums_of
from multisched.errors import ScheduleError, no_out
from multisched.values import shown


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
        if type(low) is float and type(high) is float:
            low, high = bounds(low, high, array.dtype)
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
        return sums_of(sums, arrays, self.compute_dtype(dtype), dtype, out)

    def cut_sums(
        self,
        cut: Cut,
        sums: Sequence[Terms],
        arrays: Sequence[np.ndarray],
        dtype: Any,
        out: Sequence[np.ndarray] | None = None,
    ) -> tuple[np.ndarray, ...]:
        weights = (cut.low, cut.high, *cut.terms.weights, *(weight for one in sums for weight in one.weights))
        if not all(type(weight) is float for weight in weights):
            return super().cut_sums(cut, sums, arrays, dtype, out)
        return sums_of(sums, arrays, self.compute_dtype(dtype), dtype, out, cut)

    chained = staticmethod(chained)

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


BACKEND = NumPyBackend()
