"""NumPy: the host, and the reference that the other backends are held to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import numpy as xp

from multisched.backends.base import ArrayAPIBackend
from multisched.errors import ScheduleError


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
        return super().dtype(dtype)

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
        return np.asarray(super().weighted_sum(weights, arrays))  # of 0-d arrays NumPy makes scalars

    def normal(self, shape: tuple[int, ...], seed: int, dtype: Any = None, device: Any = None) -> np.ndarray:
        draws = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
        return self.asarray(draws, dtype, device)


BACKEND = NumPyBackend()
