"""The backend of any library that speaks the array-API standard; those of single libraries override what differs."""

from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Generic

import numpy as np
from array_api_compat import device as array_device, to_device

from multisched.backends.base import B, Cut, Terms
from multisched.errors import ScheduleError
from multisched.values import shown


class ArrayAPIBackend(Generic[B]):
    """Backend for any library that speaks the array-API standard (array-api-strict, CuPy, Dask...).

    Args:
        name: top-level module of the library.
        xp: its array-API namespace.
        version: its version, for reports.

    Example:
        >>> import array_api_compat.numpy as xp
        >>> backend = ms.backends.ArrayAPIBackend("plain", xp)
        >>> backend.name, backend.asarray(np.ones(2), "float32", None).dtype.name
        ('plain', 'float32')
    """

    mutable = True
    addressed = False
    fuses_results = False

    def __init__(self, name: str, xp: ModuleType, version: str = "unknown") -> None:
        self.name = name
        self.xp: Any = xp
        self.version = version
        self._compute_dtypes: dict[Any, Any] = {}

    def __reduce__(self) -> Any:
        return import_module("multisched.backends").get, (self.name,)

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __repr__(self) -> str:
        return f"<multisched backend {self.name} {self.version}>"

    def register(self, kind: type) -> None:
        """Nothing, for most libraries compile nothing or take any argument."""

    def devices(self) -> tuple[str, ...]:
        try:
            info = self.xp.__array_namespace_info__()
        except AttributeError:
            return ("cpu",)
        return tuple(str(device) for device in info.devices())

    def _device(self, device: Any) -> Any:
        """The library's device object for a name as `devices()` lists it; anything else passes as it is."""
        if isinstance(device, str) and device not in (known := self.devices()):
            raise ScheduleError(f"{self.name} has no device {shown(device)}; it has {', '.join(known)}.")
        if not isinstance(device, str):
            return device
        listed = self.xp.__array_namespace_info__().devices()
        return next(found for found in listed if str(found) == device)

    def dtype(self, dtype: Any) -> Any:
        """The library's dtype for a name; anything else passes as it is."""
        if not isinstance(dtype, str):
            return dtype
        # Without a regular expression, which torch.compile of torch 2.6 cannot read.
        kind = dtype.rstrip("0123456789")
        known = kind in ("int", "uint", "float", "bfloat") if kind != dtype else kind == "bool"
        found = getattr(self.xp, dtype, getattr(self.xp, f"{dtype}_", None)) if known else None
        if found is None:
            raise ScheduleError(f"{self.name} has no dtype {shown(dtype)}.")
        return found

    def asarray(self, values: Any, dtype: Any = None, device: Any = None) -> B:
        array: B = self.xp.asarray(values, dtype=self.dtype(dtype), device=self._device(device))
        return array

    def device(self, array: B) -> Any:
        return array_device(array)

    def to_numpy(self, array: B) -> np.ndarray:
        try:
            return np.asarray(array)
        except (TypeError, ValueError, RuntimeError):
            pass
        for device in ("cpu", *self.xp.__array_namespace_info__().devices()):
            try:
                return np.asarray(to_device(array, device))
            except (TypeError, ValueError, RuntimeError):
                continue
        raise ScheduleError(f"an array of {self.name} on {self.device(array)} cannot be brought to NumPy.")

    def astype(self, array: B, dtype: Any) -> B:
        return array if array.dtype == dtype else self.xp.astype(array, dtype)

    def compute_dtype(self, dtype: Any) -> Any:
        found = self._compute_dtypes.get(dtype)
        if found is None:
            name = str(dtype).rpartition(".")[2]
            if name not in ("float16", "bfloat16", "float32", "float64"):
                raise ScheduleError(f"samples are floating-point arrays; given {self.name} {name}.")
            found = self._compute_dtypes[dtype] = self.dtype("float32") if name.endswith("float16") else dtype
        return found

    def weighted_sum(self, weights: Sequence[Any], arrays: Sequence[B]) -> B:
        total: Any = None
        for weight, array in zip(weights, arrays, strict=True):
            term = array if isinstance(weight, float) and weight == 1.0 else array * weight
            total = term if total is None else total + term
        found: B = total
        return found

    def weighted_sums(
        self, sums: Sequence[Terms], arrays: Sequence[B], dtype: Any, out: Sequence[B] | None = None
    ) -> tuple[B, ...]:
        wide = self.compute_dtype(dtype)
        return tuple(self._rounded_sum(*one[:2], arrays, wide, dtype) for one in sums)

    def chained(self, sums: Sequence[Terms], arrays: Sequence[Any]) -> tuple[B, ...] | None:
        return None

    def _rounded_sum(
        self, weights: Sequence[Any], chosen: Sequence[int], arrays: Sequence[B], wide: Any, dtype: Any
    ) -> B:
        if not weights:
            zeros: B = self.xp.zeros_like(self.astype(arrays[0], dtype))
            return zeros
        if len(weights) == 1 and isinstance(weights[0], float) and weights[0] == 1.0:
            return self.astype(arrays[chosen[0]], dtype)
        return self.astype(self.weighted_sum(weights, [self.astype(arrays[k], wide) for k in chosen]), dtype)

    def cut_sums(
        self, cut: Cut, sums: Sequence[Terms], arrays: Sequence[B], dtype: Any, out: Sequence[B] | None = None
    ) -> tuple[B, ...]:
        (one,) = self.weighted_sums((cut.terms,), arrays, self.compute_dtype(dtype))
        one = self.clip(one, cut.low, cut.high)  # under the same name, so that the sum is not kept
        return self.weighted_sums(sums, (*arrays[: cut.place], one, *arrays[cut.place :]), dtype, out)

    def rows(self, array: B) -> Sequence[B]:
        return [array[k, ...] for k in range(array.shape[0])]  # type: ignore[index]

    def clip(self, array: B, low: Any, high: Any) -> B:
        return self.xp.clip(array, low, high)  # type: ignore[no-any-return]

    def together(self, array: B, others: Sequence[B]) -> bool:
        return all(self.device(other) == self.device(array) for other in others)

    def check_out(self, out: Sequence[B], like: B, taken: Sequence[B]) -> None:
        raise ScheduleError(f"arrays of {self.name} cannot be written to; step without out=.")

    def constant(self, values: np.ndarray, dtype: Any = None, device: Any = None) -> B:
        return self.asarray(values, dtype, device)

    def constant_rows(self, values: np.ndarray, dtype: Any = None, device: Any = None) -> Sequence[B]:
        return [self.constant(row, dtype, device) for row in values]

    def compile(self, function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        raise ScheduleError(f"{self.name} has no compiler; step without compile=True.")

    def compiles_early(self, array: B) -> bool:
        return False

    def copies_donated(self, array: B) -> bool:
        return False

    def scan(self, body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, inputs: Any) -> Any:
        raise ScheduleError(f"{self.name} has no loop of its own; use loop='python'.")

    def loop(self, going: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        raise ScheduleError(f"{self.name} has no loop that ends by itself inside what it compiles; call this outside.")

    def jvp(self, function: Callable[..., B], at: tuple[B, ...], along: tuple[B, ...]) -> tuple[B, B]:
        raise ScheduleError(f"{self.name} has no derivatives of its own; take torch, JAX or MLX for them.")

    def vjp(self, function: Callable[[B], B], at: B, along: B) -> tuple[B, B]:
        raise ScheduleError(f"{self.name} has no derivatives of its own; take torch, JAX or MLX for them.")

    def traced(self, array: B) -> bool:
        return False

    def unreadable(self, array: B) -> bool:
        return self.traced(array)

    def replayed(self, *arrays: B) -> bool:
        return False

    def compiling(self) -> bool:
        return False

    def beside(self, constant: B, array: B) -> B:
        return constant

    def hosted(self, device: Any) -> bool:
        return False

    def normal(self, shape: tuple[int, ...], seed: int, dtype: Any = None, device: Any = None) -> B:
        return self.asarray(np.random.default_rng(seed).standard_normal(shape), dtype or "float32", device)

    def drives(self, state: Any) -> bool:
        return False

    def normal_from(self, state: Any, shape: tuple[int, ...], address: tuple[Any, Any] | None) -> B:
        raise ScheduleError(f"{self.name} has no random state that is known here.")

    def synchronize(self, *arrays: B) -> None:
        pass

    def flush(self, *arrays: B) -> None:
        pass

    def repeat(self, count: int, body: Callable[[tuple[B, ...]], tuple[B, ...]], state: tuple[B, ...]) -> tuple[B, ...]:
        for _ in range(count):
            state = body(state)
        return state
