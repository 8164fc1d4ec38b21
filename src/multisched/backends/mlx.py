"""MLX: Metal on Apple silicon, and CPU or CUDA on Linux.

MLX arrays have no device: they lie in memory that all its devices share, and an operation runs on the default one.
"""

import contextlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import mlx.core as mx
import numpy as np

from multisched.backends.generic import ArrayAPIBackend
from multisched.errors import ScheduleError
from multisched.values import shown

LARGE = 1 << 16
"""Elements from which on a compiled step is clearly faster: it keeps no sums of single terms, and is made at once."""

_DEVICE_NAMES = {"cpu": "cpu", "gpu": "gpu", "metal": "gpu", "cuda": "gpu"}


class MLXBackend(ArrayAPIBackend[mx.array]):
    """mlx arrays."""

    addressed = True

    def __init__(self) -> None:
        super().__init__("mlx", mx, version("mlx"))

    def devices(self) -> tuple[str, ...]:
        return (mx.default_device().type.name,)

    def _device(self, device: Any) -> Any:
        kind = getattr(getattr(device, "type", None), "name", None)
        wanted = _DEVICE_NAMES.get(device) if isinstance(device, str) else kind
        if device is not None and wanted not in self.devices():
            raise ScheduleError(
                f"mlx runs on its default device, {self.devices()[0]}; given {shown(device)}: "
                "choose another with mlx.core.set_default_device."
            )
        return mx.default_device()

    def asarray(self, values: Any, dtype: Any = None, device: Any = None) -> mx.array:
        self._device(device)
        if isinstance(values, mx.array):
            return values if dtype is None else self.astype(values, self.dtype(dtype))
        return mx.array(values, dtype=self.dtype(dtype))

    def device(self, array: mx.array) -> mx.Device:
        return mx.default_device()

    def to_numpy(self, array: mx.array) -> np.ndarray:
        return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)

    def together(self, array: mx.array, others: Sequence[mx.array]) -> bool:
        return True

    def astype(self, array: mx.array, dtype: Any) -> mx.array:
        return array if array.dtype == dtype else array.astype(dtype)

    def normal(self, shape: tuple[int, ...], seed: int, dtype: Any = None, device: Any = None) -> mx.array:
        self._device(device)
        return mx.random.normal(shape, dtype=self.dtype(dtype or "float32"), key=mx.random.key(seed))

    def drives(self, state: Any) -> bool:
        return isinstance(state, mx.array) and state.dtype == mx.uint32 and state.shape == (2,)

    def normal_from(self, state: Any, shape: tuple[int, ...], address: tuple[Any, Any] | None) -> mx.array:
        if address is not None:
            place = mx.stack([mx.array(address[0]) + 1, mx.array(address[1])]).astype(mx.uint32)
            state = mx.random.split(state + place)[0]
        return mx.random.normal(shape, dtype=mx.float32, key=state)

    def compile(self, function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        found: Callable[..., Any] = mx.compile(function)
        return found

    def compiles_early(self, array: mx.array) -> bool:
        return array.size >= LARGE

    def jvp(
        self, function: Callable[..., mx.array], at: tuple[mx.array, ...], along: tuple[mx.array, ...]
    ) -> tuple[mx.array, mx.array]:
        (value,), (found,) = mx.jvp(lambda *given: [function(*given)], list(at), list(along))
        return value, found

    def vjp(self, function: Callable[[mx.array], mx.array], at: mx.array, along: mx.array) -> tuple[mx.array, mx.array]:
        (value,), (found,) = mx.vjp(lambda given: [function(given)], [at], [along])
        return value, found

    def unreadable(self, array: mx.array) -> bool:
        return self.replayed(array)

    def replayed(self, *arrays: mx.array) -> bool:
        # MLX says of an array that it is traced when it is to be computed. That is only begun here: what is given to a
        # step is needed at once. Inside mx.grad it cannot be begun, but done.
        for compute in (mx.async_eval, mx.eval):
            with contextlib.suppress(ValueError):
                compute(*arrays)
                return False
        return True

    def synchronize(self, *arrays: mx.array) -> None:
        mx.eval(*arrays)

    def flush(self, *arrays: mx.array) -> None:
        # Inside mx.grad and mx.compile there is nothing to compute yet, and MLX says so with a ValueError.
        with contextlib.suppress(ValueError):
            mx.async_eval(*arrays)  # type: ignore[no-untyped-call]


BACKEND = MLXBackend()
