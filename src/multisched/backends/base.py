"""What a backend is: the few operations that differ between array libraries.

Everything else is the standard, through `Backend.xp`; `ArrayAPIBackend` serves any library that speaks it.
"""

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from array_api_compat import device as array_device
from array_api_compat import to_device

from multisched.errors import ScheduleError
from multisched.values import shown


class Array(Protocol):
    """Any array: what `B` is bound to, so that a string is not taken for one."""

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...


Terms: TypeAlias = tuple[tuple[Any, ...], tuple[int, ...]]  # weights, and the numbers of the arrays they belong to


def no_out(reason: str) -> str:
    """The sentence for arrays that a step cannot write to."""
    return f"out= must be a state shaped as the one that is stepped, and share no array with it: {reason}."


B = TypeVar("B", bound=Array)
"""A backend's array type, as in Burn's `Tensor<B, D>`: known to the type checker, decided at run time by the array."""


class Backend(Protocol[B]):
    """One array library. `ArrayAPIBackend` implements all of it; a subclass overrides what differs."""

    name: str
    mutable: bool
    """Whether constants can be written to, so that what is handed out must be a copy of what is kept."""

    def __hash__(self) -> int: ...

    @property
    def xp(self) -> Any:
        """The array-API namespace."""

    @property
    def version(self) -> str:
        """The library's version."""

    def devices(self) -> tuple[str, ...]:
        """Names that `asarray(device=)` takes."""

    def asarray(self, values: Any, dtype: Any = None, device: Any = None) -> B:
        """`values` as an array; `dtype` is the library's own or a name such as "bfloat16"."""

    def device(self, array: B) -> Any:
        """Where the array lies."""

    def to_numpy(self, array: B) -> np.ndarray:
        """A NumPy copy or view on the host; bfloat16 comes as float32, which holds all its values."""

    def astype(self, array: B, dtype: Any) -> B:
        """The array in another dtype (the library's own); the same object where nothing changes."""

    def compute_dtype(self, dtype: Any) -> Any:
        """The dtype that sums are taken in: float32 for half precision, else `dtype`. Raises on non-floating ones."""

    def weighted_sum(self, weights: Sequence[Any], arrays: Sequence[B]) -> B:
        """sum of weights[k] * arrays[k], left to right, in the arrays' dtype. At least one term.

        A weight is a float, or an array of that dtype that broadcasts against the others.
        """

    def weighted_sums(
        self, sums: Sequence[Terms], arrays: Sequence[B], dtype: Any, out: Sequence[B] | None = None
    ) -> tuple[B, ...]:
        """Several sums of the same arrays, each taken in the compute dtype of `dtype` and rounded to it once.

        Args:
            sums: (weights, numbers of the arrays that they belong to); no terms make zeros, and one of weight 1 the
                array itself.
            arrays: of floating dtypes and one shape.
            dtype: of the results.
            out: arrays to write to, which `check_out` has let pass.
        """

    def clip(self, array: B, low: Any, high: Any) -> B:
        """The array within bounds: floats, or arrays of its dtype that broadcast against it."""

    def together(self, array: B, others: Sequence[B]) -> bool:
        """Whether other arrays of the library lie where one operation takes them with this one."""

    def check_out(self, out: Sequence[B], like: B, taken: Sequence[B]) -> None:
        """Raise a ScheduleError unless arrays `out`, to be as `like`, can be written to while `taken` are read."""

    def constant(self, values: np.ndarray, dtype: Any = None, device: Any = None) -> B:
        """`values` as a real array, whatever mode is on: also while a function is traced."""

    def constant_rows(self, values: np.ndarray, dtype: Any = None, device: Any = None) -> Sequence[B]:
        """The same, row by row."""

    def compile(self, function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """A pure function of arrays and tuples of them, compiled; the arguments `donate` may be overwritten.

        Raises:
            ScheduleError: the library has no compiler.
        """

    def scan(self, body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, inputs: Any) -> Any:
        """The carry after body(carry, inputs[k]) -> (carry, None) for each k along the first axis, in one graph.

        Raises:
            ScheduleError: the library has no such loop.
        """

    def traced(self, array: B) -> bool:
        """Whether the array has no values yet, since a function is being traced."""

    def unreadable(self, array: B) -> bool:
        """Whether the array has no value that `to_numpy` could give: it is traced, one of a batch, or fake. Nothing
        waits for a device to say so."""

    def replayed(self, *arrays: B) -> bool:
        """Whether Python runs once here for many later calls, as inside jit, scan or compile, so that what it counts
        and keeps would be lost; as far as these arrays show it. Not where the library sees to it that Python's state
        is what it was (torch.compile)."""

    def compiling(self) -> bool:
        """Whether a compiler reads this code instead of running it, so that nothing can be made on the way."""

    def beside(self, constant: B, array: B) -> B:
        """A constant in the form that is computed with together with this array."""

    def dtype(self, dtype: Any) -> Any:
        """The library's dtype for a name such as "int32"; anything else passes as it is."""

    def normal(self, shape: tuple[int, ...], seed: int, dtype: Any = None, device: Any = None) -> B:
        """Standard normal draws by the library's own generator, seeded anew."""

    addressed: bool
    """Whether `normal_from` takes an address, so that the same one gives the same numbers."""

    def drives(self, state: Any) -> bool:
        """Whether this is a random state of the library: a key, a generator."""

    def normal_from(self, state: Any, shape: tuple[int, ...], address: tuple[Any, Any] | None) -> B:
        """float32 normals that such a state gives by itself, or at (step, draw) where the library is `addressed`."""

    def synchronize(self, *arrays: B) -> None:
        """Return when the arrays are computed (for timing)."""

    def flush(self, *arrays: B) -> None:
        """Start the computation of lazily built arrays; a loop calls it once per step."""

    def repeat(self, count: int, body: Callable[[tuple[B, ...]], tuple[B, ...]], state: tuple[B, ...]) -> tuple[B, ...]:
        """`state` after `count` times `body`, which keeps shapes and dtypes; a loop of the library's where unrolling
        costs more."""


class ArrayAPIBackend(Generic[B]):
    """Backend for any library that speaks the array-API standard (array-api-strict, CuPy, Dask...).

    Args:
        name: top-level module of the library.
        xp: its array-API namespace.
        version: its version, for reports.
    """

    mutable = True
    addressed = False

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
        known = re.fullmatch(r"(u?int|b?float)\d+|bool", dtype)
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
        return tuple(self._rounded_sum(*one, arrays, wide, dtype) for one in sums)

    def _rounded_sum(
        self, weights: Sequence[Any], chosen: Sequence[int], arrays: Sequence[B], wide: Any, dtype: Any
    ) -> B:
        if not weights:
            zeros: B = self.xp.zeros_like(self.astype(arrays[0], dtype))
            return zeros
        if len(weights) == 1 and isinstance(weights[0], float) and weights[0] == 1.0:
            return self.astype(arrays[chosen[0]], dtype)
        return self.astype(self.weighted_sum(weights, [self.astype(arrays[k], wide) for k in chosen]), dtype)

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

    def scan(self, body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, inputs: Any) -> Any:
        raise ScheduleError(f"{self.name} has no loop of its own; use loop='python'.")

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
