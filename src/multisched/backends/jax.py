"""JAX: CPU, GPU and TPU."""

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from multisched.backends.generic import ArrayAPIBackend
from multisched.errors import ScheduleError
from multisched.values import shown

FUSING = "xla_cpu_use_multi_output_fusion"
"""What XLA's flags say where it makes one loop of several results on the CPU."""


@lru_cache(maxsize=64)  # one loop per body, or each eager call would be compiled anew
def _loop(count: int, body: Callable[[Any], Any]) -> Callable[[Any], Any]:
    # XLA computes an unrolled chain of integer products over and over, slower than op by op.
    return jax.jit(lambda state: jax.lax.fori_loop(0, count, lambda _, one: body(one), state))


class JaxBackend(ArrayAPIBackend[jax.Array]):
    """jax arrays."""

    mutable = False

    addressed = True

    def __init__(self) -> None:
        super().__init__("jax", jnp, jax.__version__)
        self.fuses_results = FUSING in os.environ.get("XLA_FLAGS", "")

    def register(self, kind: type) -> None:
        with contextlib.suppress(ValueError):  # JAX knows it already
            jax.tree_util.register_static(kind)

    def devices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((jax.default_backend(), "cpu")))

    def _device(self, device: Any) -> Any:
        if not isinstance(device, str):
            if not isinstance(device, (jax.Device, jax.sharding.Sharding, type(None))):
                raise ScheduleError(f"a device of jax is a name or one of jax.devices(); given {shown(device)}.")
            return device
        platform, _, index = device.partition(":")
        try:
            return jax.devices(platform)[int(index or 0)]
        except (RuntimeError, IndexError, ValueError):
            raise ScheduleError(f"jax has no device {shown(device)}; it has {', '.join(self.devices())}.") from None

    def dtype(self, dtype: Any) -> Any:
        if dtype == "float64" and not jax.config.read("jax_enable_x64"):  # type: ignore[no-untyped-call]
            raise ScheduleError('jax has float64 only after jax.config.update("jax_enable_x64", True).')
        found = super().dtype(dtype)
        try:
            return None if found is None else jnp.dtype(found)  # as arrays have it, not jnp.float32 itself
        except (TypeError, SyntaxError, OverflowError):
            raise ScheduleError(f"jax has no dtype {shown(dtype)}.") from None

    def asarray(self, values: Any, dtype: Any = None, device: Any = None) -> jax.Array:
        return jnp.asarray(values, dtype=self.dtype(dtype), device=self._device(device))

    def device(self, array: jax.Array) -> Any:
        return getattr(array, "device", None)  # a traced array lies nowhere yet

    def together(self, array: jax.Array, others: Sequence[jax.Array]) -> bool:
        # An array that nobody has put anywhere goes where the others are, and a traced one is not anywhere.
        try:
            put = [one for one in (array, *others) if one.committed]
        except jax.errors.ConcretizationTypeError:
            put = [one for one in (array, *others) if not isinstance(one, jax.core.Tracer) and one.committed]
        return len(put) < 2 or all(one.devices() == put[0].devices() for one in put[1:])

    def to_numpy(self, array: jax.Array) -> np.ndarray:
        return np.asarray(array.astype(jnp.float32) if array.dtype == jnp.bfloat16 else array)

    def astype(self, array: jax.Array, dtype: Any) -> jax.Array:
        return array if array.dtype == dtype else array.astype(dtype)

    def rows(self, array: jax.Array) -> list[jax.Array]:
        return list(array)  # one call for many rows, where each index is a call

    def hosted(self, device: Any) -> bool:
        if self.traced(jnp.zeros(())):
            return False
        place = self._device(device) or jnp.zeros(()).device
        return getattr(place, "platform", None) == "cpu"  # of a sharding there is none

    def normal(self, shape: tuple[int, ...], seed: int, dtype: Any = None, device: Any = None) -> jax.Array:
        draws = jax.random.normal(jax.random.key(seed), shape, dtype=self.dtype(dtype or "float32"))
        return draws if device is None else jax.device_put(draws, self._device(device))

    def drives(self, state: Any) -> bool:
        if not isinstance(state, jax.Array):
            return False
        if jnp.issubdtype(state.dtype, jax.dtypes.prng_key):
            return state.ndim == 0
        return state.dtype == jnp.uint32 and state.shape == (2,)

    def normal_from(self, state: Any, shape: tuple[int, ...], address: tuple[Any, Any] | None) -> jax.Array:
        if address is not None:
            state = jax.random.fold_in(jax.random.fold_in(state, address[0] + 1), address[1])
        return jax.random.normal(state, shape, dtype=jnp.float32)

    def constant(self, values: Any, dtype: Any = None, device: Any = None) -> jax.Array:
        # Put there by name, which a transfer guard allows.
        kept = None if dtype is None else jax.dtypes.canonicalize_dtype(self.dtype(dtype))
        with jax.ensure_compile_time_eval():
            found: jax.Array = jax.device_put(np.asarray(values, kept), self._device(device))
            return found

    def constant_rows(self, values: Any, dtype: Any = None, device: Any = None) -> list[jax.Array]:
        kept = jax.dtypes.canonicalize_dtype(self.dtype(dtype))
        with jax.ensure_compile_time_eval():
            rows: list[jax.Array] = jax.device_put(list(values.astype(kept)), self._device(device))
            return rows

    def compile(self, function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        # What is overwritten need not be read.
        return jax.jit(function, donate_argnums=donate, keep_unused=bool(donate))

    def copies_donated(self, array: jax.Array) -> bool:
        return not self.traced(array) and all(device.platform == "cpu" for device in array.devices())

    def scan(self, body: Callable[[Any, Any], tuple[Any, Any]], carry: Any, inputs: Any) -> Any:
        return jax.lax.scan(body, carry, inputs)[0]

    def loop(self, going: Callable[[Any], Any], body: Callable[[Any], Any], state: Any) -> Any:
        return jax.lax.while_loop(going, body, state)

    def jvp(
        self, function: Callable[..., jax.Array], at: tuple[jax.Array, ...], along: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, jax.Array]:
        value, found = jax.jvp(function, at, along)
        return value, found

    def vjp(
        self, function: Callable[[jax.Array], jax.Array], at: jax.Array, along: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        value, back = jax.vjp(function, at)
        return value, back(along)[0]

    def traced(self, array: jax.Array) -> bool:
        return isinstance(array, jax.core.Tracer)

    def replayed(self, *arrays: jax.Array) -> bool:
        # Under jax.grad and jax.vmap alone, arrays are tracers too, but Python runs in each call, and constants stay
        # concrete.
        return any(map(self.traced, arrays)) and self.traced(jnp.zeros(()))

    def repeat(
        self,
        count: int,
        body: Callable[[tuple[jax.Array, ...]], tuple[jax.Array, ...]],
        state: tuple[jax.Array, ...],
    ) -> tuple[jax.Array, ...]:
        found: tuple[jax.Array, ...] = _loop(count, body)(state)
        return found

    def synchronize(self, *arrays: jax.Array) -> None:
        jax.block_until_ready(arrays)  # type: ignore[no-untyped-call]


BACKEND = JaxBackend()
