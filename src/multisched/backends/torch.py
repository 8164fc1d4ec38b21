"""PyTorch: CPU, CUDA, MPS, and the data-less meta device."""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from multisched.errors import ScheduleError
from multisched.values import shown

BLOCK = 1 << 16
"""Elements of a piece of large arrays on the CPU that all sums are taken of at once, in cache."""


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
        return _sum(weights, range(len(arrays)), arrays, arrays[0].dtype, None)

    def weighted_sums(
        self,
        sums: Sequence[Terms],
        arrays: Sequence[torch.Tensor],
        dtype: Any,
        out: Sequence[torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, ...]:
        wide = dtype if dtype is torch.float32 else self.compute_dtype(dtype)
        if arrays[0].numel() > BLOCK and arrays[0].is_cpu and _divisible(sums, arrays, wide, dtype):
            with contextlib.suppress(RuntimeError):  # under vmap, where what is written to has no batch
                return _in_blocks(sums, arrays, wide, dtype, out)
        if out is not None:
            return tuple(_sum_into(*one, arrays, wide, given) for one, given in zip(sums, out, strict=True))
        found = []
        for weights, chosen in sums:
            total = _sum(weights, chosen, arrays, wide, None) if weights else torch.zeros_like(arrays[0], dtype=dtype)
            found.append(total if total.dtype is dtype else total.to(dtype))
        return tuple(found)

    def clip(self, array: torch.Tensor, low: Any, high: Any) -> torch.Tensor:
        return torch.clamp(array, low, high)

    def together(self, array: torch.Tensor, others: Sequence[torch.Tensor]) -> bool:
        if array.is_cpu:
            for other in others:  # noqa: SIM110  # a generator takes as long as a small sum
                if not other.is_cpu:
                    return False
            return True
        device = array.device
        return all(other.device == device for other in others)

    def check_out(self, out: Sequence[torch.Tensor], like: torch.Tensor, taken: Sequence[torch.Tensor]) -> None:
        check_out(out, like, taken)

    def constant(self, values: Any, dtype: Any = None, device: Any = None) -> torch.Tensor:
        # Modes, such as those of export, torch.func and inference, are a thread's own: in a new one none is on.
        place = torch.device("cpu") if device is None else self._device(device)
        if place == torch.device("cuda"):
            place = torch.device("cuda", torch.cuda.current_device())
        with ThreadPoolExecutor(1) as alone:
            return alone.submit(self.asarray, values, dtype, place).result()

    def beside(self, constant: torch.Tensor, array: torch.Tensor) -> torch.Tensor:
        # Fake tensors are not computed with real ones, and what is made of this one is not kept.
        mode: Any = None if type(array) is torch.Tensor else getattr(array, "fake_mode", None)
        if mode is None or mode.allow_non_fake_inputs:
            return constant
        return mode.from_tensor(constant, static_shapes=True)  # type: ignore[no-any-return]

    compiling = staticmethod(torch.compiler.is_compiling)

    def constant_rows(self, values: Any, dtype: Any = None, device: Any = None) -> tuple[torch.Tensor, ...]:
        return self.constant(values, dtype, device).unbind(0)

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
        def step(number: torch.Tensor, *one: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return number + 1, *body(one)

        first = torch.zeros((), dtype=torch.int64)
        loop: Any = while_loop
        found: tuple[torch.Tensor, ...] = loop(lambda number, *_: number < count, step, (first, *state))
        return found[1:]

    def unreadable(self, array: torch.Tensor) -> bool:
        return torch.compiler.is_compiling() or isinstance(array, FakeTensor) or _is_batched(_unwrapped(array))

    def replayed(self, *arrays: torch.Tensor) -> bool:
        # torch.compile guards Python's state, and compiles anew where it is another.
        if torch.compiler.is_compiling():
            return torch.compiler.is_exporting()
        captured = any(array.is_cuda for array in arrays) and torch.cuda.is_current_stream_capturing()
        return captured or _jit.is_tracing() or get_proxy_mode() is not None

    def synchronize(self, *arrays: torch.Tensor) -> None:
        for kind in {array.device.type for array in arrays} - {"cpu", "meta"}:
            getattr(torch, kind).synchronize()


_functorch: Any = torch._C._functorch
_jit: Any = torch.jit
_is_batched: Any = _functorch.is_batchedtensor  # under torch.func.vmap


def _unwrapped(array: torch.Tensor) -> torch.Tensor:
    """The tensor inside what torch.func.grad and the like wrap around it, which hides its data; of those of
    torch.func.vmap, which stand for many, itself."""
    while _functorch.is_functorch_wrapped_tensor(array) and not _is_batched(array):
        array = _functorch.get_unwrapped(array)
    return array


def _sum(
    weights: Sequence[Any],
    chosen: Sequence[int],
    arrays: Sequence[torch.Tensor],
    wide: torch.dtype,
    out: torch.Tensor | None,
) -> torch.Tensor:
    """The sum in the dtype `wide`. One fused kernel a term and no temporary: it rounds once, where a product and a sum
    would round twice. A single array of weight 1 in that dtype is returned as it is."""
    first, total = weights[0], arrays[chosen[0]]
    owned = total.dtype is not wide
    if owned:
        total = total.to(wide)
    if type(first) is not float or first != 1.0:
        if owned:
            total = total.mul_(first)
        elif type(first) is float and total.is_cpu and type(total) is torch.Tensor:
            # torch makes a tensor of a number that it multiplies with, which takes longer than a small product does.
            total = torch.add(_ZERO, total, alpha=first, out=out)
        else:
            total = torch.mul(total, first, out=out)
        owned = True
    for k in range(1, len(weights)):
        weight, array = weights[k], arrays[chosen[k]]
        if owned:
            try:
                total = total.add_(array, alpha=weight) if type(weight) is float else total.addcmul_(array, weight)
                continue
            except RuntimeError:  # under vmap, where the sum so far has no batch and this array has one
                out = None
        if type(weight) is float:
            total = torch.add(total, array, alpha=weight, out=out)
        else:
            total = torch.addcmul(total, array.to(wide), weight, out=out)
        owned = True
    return total


def _divisible(sums: Sequence[Terms], arrays: Sequence[torch.Tensor], wide: torch.dtype, dtype: torch.dtype) -> bool:
    """Whether sums are better taken piece by piece, those of many terms and in half precision, and can be."""
    return (
        (wide is not dtype or any(len(weights) > 2 for weights, _ in sums))
        and not torch.compiler.is_compiling()
        and all(array.is_contiguous() for array in arrays)
        and not (torch.is_grad_enabled() and any(array.requires_grad for array in arrays))
        and all(type(weight) is float for weights, _ in sums for weight in weights)
    )


def _in_blocks(
    sums: Sequence[Terms],
    arrays: Sequence[torch.Tensor],
    wide: torch.dtype,
    dtype: torch.dtype,
    out: Sequence[torch.Tensor] | None,
) -> tuple[torch.Tensor, ...]:
    """The sums, piece by piece, so that each array is read from memory once and none is widened as a whole."""
    copies = [out is None and weights == (1.0,) and arrays[chosen[0]].dtype is dtype for weights, chosen in sums]
    found = tuple(
        arrays[chosen[0]] if copy else torch.empty_like(arrays[0], dtype=dtype) if out is None else out[k]
        for k, (copy, (_, chosen)) in enumerate(zip(copies, sums, strict=True))
    )
    into = [(*one, result.view(-1)) for one, result, copy in zip(sums, found, copies, strict=True) if not copy]
    flat = {k: arrays[k].view(-1) for _, chosen, _ in into for k in chosen}
    for first in range(0, arrays[0].numel(), BLOCK) if into else ():
        block = slice(first, first + BLOCK)
        pieces: Any = {k: array[block].to(wide) for k, array in flat.items()}
        for weights, chosen, result in into:
            _sum_into(weights, chosen, pieces, wide, result[block])
    return found


def _sum_into(
    weights: Sequence[Any],
    chosen: Sequence[int],
    arrays: Sequence[torch.Tensor],
    wide: torch.dtype,
    out: torch.Tensor,
) -> torch.Tensor:
    """`_sum`, written to `out`."""
    if not weights:
        return out.zero_()
    total = _sum(weights, chosen, arrays, wide, out if out.dtype is wide else None)
    return out if total is out else out.copy_(total)


BACKEND = TorchBackend()
_ZERO = BACKEND.constant(np.zeros((), np.float32), "float32")
