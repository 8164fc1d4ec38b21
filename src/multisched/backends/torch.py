"""PyTorch: CPU, CUDA, MPS, and the data-less meta device."""

import contextlib
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np
import torch
from array_api_compat import torch as xp
from torch._higher_order_ops.while_loop import while_loop
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from multisched.backends.base import Terms
from multisched.backends.generic import ArrayAPIBackend
from multisched.backends.torch_memory import check_out
from multisched.backends.torch_sums import BLOCK, chained, divisible, in_blocks, outside_modes, sum_into, sum_of
from multisched.errors import ScheduleError
from multisched.values import shown


class TorchBackend(ArrayAPIBackend[torch.Tensor]):
    """torch tensors."""

    def __init__(self) -> None:
        super().__init__("torch", xp, torch.__version__)

    def devices(self) -> tuple[str, ...]:
        cuda = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
        mps = ("mps",) if torch.backends.mps.is_available() else ()
        return ("cpu", *cuda, *mps)

    def _device(self, device: Any) -> Any:
        if device is None or isinstance(device, torch.device):
            return device
        if isinstance(device, str) and torch.compiler.is_compiling():
            return torch.device(device)  # a graph cannot count devices; torch itself refuses one that is not there
        if not isinstance(device, (str, int)):
            raise ScheduleError(f"a device of torch is a name, a number or a torch.device; given {shown(device)}.")
        try:
            found = torch.device(device)
        except RuntimeError:
            found = None
        at_hand = {name.partition(":")[0] for name in self.devices()} | {"meta"}
        if found is None or found.type not in at_hand:
            raise ScheduleError(f"torch has no device {shown(device)}; it has {', '.join(self.devices())}.")
        return found

    def asarray(self, values: Any, dtype: Any = None, device: Any = None) -> torch.Tensor:
        dtype = self.dtype(dtype)
        device = self._device(device)
        if isinstance(values, np.ndarray):
            # torch has no read-only tensors and warns when it is given such memory; MPS takes no float64 on the way.
            values = torch.from_numpy(np.array(values))
            return values.to(dtype).to(device)  # type: ignore[no-any-return]
        return torch.as_tensor(values, dtype=dtype, device=device)

    def device(self, array: torch.Tensor) -> torch.device:
        return array.device

    def to_numpy(self, array: torch.Tensor) -> np.ndarray:
        if _functorch.is_functorch_wrapped_tensor(array):
            with torch._C._DisableFuncTorch():
                return self.to_numpy(_unwrapped(array))
        array = array.detach().cpu()
        return (array.float() if array.dtype == torch.bfloat16 else array).numpy()

    def astype(self, array: torch.Tensor, dtype: Any) -> torch.Tensor:
        return array if array.dtype is dtype else array.to(dtype)

    def weighted_sum(self, weights: Sequence[Any], arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        return sum_of(weights, range(len(arrays)), arrays, arrays[0].dtype, None)

    def weighted_sums(
        self,
        sums: Sequence[Terms],
        arrays: Sequence[torch.Tensor],
        dtype: Any,
        out: Sequence[torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, ...]:
        wide = dtype if dtype is torch.float32 else self.compute_dtype(dtype)
        if arrays[0].numel() > BLOCK and arrays[0].is_cpu and divisible(sums, arrays, wide, dtype):
            with contextlib.suppress(RuntimeError):  # under vmap, where what is written to has no batch
                return in_blocks(sums, arrays, wide, dtype, out)
        if out is not None:
            return tuple(sum_into(*one[:2], arrays, wide, given) for one, given in zip(sums, out, strict=True))
        if wide is dtype and (small := chained(sums, arrays)) is not None:
            return small
        found = []
        for weights, chosen, _ in sums:
            total = sum_of(weights, chosen, arrays, wide, None) if weights else torch.zeros_like(arrays[0], dtype=dtype)
            found.append(total if total.dtype is dtype else total.to(dtype))
        return tuple(found)

    chained = staticmethod(chained)

    def rows(self, array: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return array.unbind(0)

    def clip(self, array: torch.Tensor, low: Any, high: Any) -> torch.Tensor:
        return torch.clamp(array, low, high)

    def together(self, array: torch.Tensor, others: Sequence[torch.Tensor]) -> bool:
        device = array.device
        return all(other.device == device for other in others)

    def check_out(self, out: Sequence[torch.Tensor], like: torch.Tensor, taken: Sequence[torch.Tensor]) -> None:
        check_out(out, like, taken)

    def constant(self, values: Any, dtype: Any = None, device: Any = None) -> torch.Tensor:
        place = torch.device("cpu") if device is None else self._device(device)
        if place == torch.device("cuda"):
            place = torch.device("cuda", torch.cuda.current_device())
        return outside_modes(lambda: self.asarray(values, dtype, place))

    def beside(self, constant: torch.Tensor, array: torch.Tensor) -> torch.Tensor:
        # Fake tensors are not computed with real ones, and what is made of this one is not kept.
        mode: Any = None if type(array) is torch.Tensor else getattr(array, "fake_mode", None)
        if mode is None or mode.allow_non_fake_inputs:
            return constant
        return mode.from_tensor(constant, static_shapes=True)  # type: ignore[no-any-return]

    compiling = staticmethod(torch.compiler.is_compiling)

    def constant_rows(self, values: Any, dtype: Any = None, device: Any = None) -> tuple[torch.Tensor, ...]:
        return self.rows(self.constant(values, dtype, device))

    def compile(self, function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        def fresh() -> Callable[..., Any]:
            # Dynamo counts recompilations by code object: functions made by one line would use up each other's share.
            own = FunctionType(function.__code__.replace(), function.__globals__, closure=function.__closure__)
            compiled: Callable[..., Any] = torch.compile(own, fullgraph=True)
            return compiled

        current = [fresh()]

        def call(*arguments: Any) -> Any:
            try:
                return current[0](*arguments)
            except Exception as error:
                if type(error).__name__ != "FailOnRecompileLimitHit":
                    raise
                current[0] = fresh()  # of shapes, dtypes and modes it has seen as many as it keeps
                return current[0](*arguments)

        return call

    def hosted(self, device: Any) -> bool:
        if torch.compiler.is_compiling() or self.replayed():
            return False
        return (torch.get_default_device() if device is None else self._device(device)).type == "cpu"

    def normal(self, shape: tuple[int, ...], seed: int, dtype: Any = None, device: Any = None) -> torch.Tensor:
        device = self._device(device or "cpu")
        generator = torch.Generator(device).manual_seed(seed)
        return torch.randn(shape, generator=generator, dtype=self.dtype(dtype or "float32"), device=device)

    def drives(self, state: Any) -> bool:
        return isinstance(state, torch.Generator)

    def normal_from(self, state: Any, shape: tuple[int, ...], address: tuple[Any, Any] | None) -> torch.Tensor:
        return torch.randn(shape, generator=state, device=state.device, dtype=torch.float32)

    def jvp(
        self, function: Callable[..., torch.Tensor], at: tuple[torch.Tensor, ...], along: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found: Any = torch.func.jvp(function, at, along)  # which may be three, by its types
        return found[0], found[1]

    def vjp(
        self, function: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor, along: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found: Any = torch.func.vjp(function, at)
        return found[0], found[1](along)[0]

    def repeat(
        self,
        count: int,
        body: Callable[[tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...]],
        state: tuple[torch.Tensor, ...],
    ) -> tuple[torch.Tensor, ...]:
        if not torch.compiler.is_compiling():
            return super().repeat(count, body, state)

        # Unrolled, each use of a word is expanded into all that came before it, and compilation does not end.
        # A type with brackets is in quotes, since the compiler of torch 2.6 cannot read it.
        def step(number: torch.Tensor, *one: torch.Tensor) -> "tuple[torch.Tensor, ...]":
            return number + 1, *body(one)

        first = torch.zeros((), dtype=torch.int64)
        loop: Any = while_loop
        found: tuple[torch.Tensor, ...] = loop(lambda number, *_: number < count, step, (first, *state))
        return found[1:]

    def unreadable(self, array: torch.Tensor) -> bool:
        if torch.compiler.is_compiling() or isinstance(array, FakeTensor):
            return True
        return bool(_functorch.is_functorch_wrapped_tensor(array) and _is_batched(_unwrapped(array)))

    def replayed(self, *arrays: torch.Tensor) -> bool:
        # torch.compile guards Python's state, and compiles anew where it is another.
        if torch.compiler.is_compiling():
            return torch.compiler.is_exporting()
        for array in arrays:
            if array.is_cuda and torch.cuda.is_current_stream_capturing():
                return True
        return _is_tracing() or get_proxy_mode() is not None

    def synchronize(self, *arrays: torch.Tensor) -> None:
        for kind in {array.device.type for array in arrays} - {"cpu", "meta"}:
            getattr(torch, kind).synchronize()


_functorch: Any = torch._C._functorch
_is_tracing: Any = torch._C._is_tracing  # by torch.jit
_is_batched: Any = _functorch.is_batchedtensor  # under torch.func.vmap


def _unwrapped(array: torch.Tensor) -> torch.Tensor:
    """The tensor inside what torch.func.grad and the like wrap around it, which hides its data; of those of
    torch.func.vmap, which stand for many, itself."""
    while _functorch.is_functorch_wrapped_tensor(array) and not _is_batched(array):
        array = _functorch.get_unwrapped(array)
    return array


BACKEND = TorchBackend()
