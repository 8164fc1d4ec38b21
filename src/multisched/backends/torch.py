"""PyTorch: CPU, CUDA, MPS, and the data-less meta device."""

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np
import torch
from array_api_compat import torch as xp
from torch._higher_order_ops.while_loop import while_loop

from multisched.backends.base import ArrayAPIBackend, Terms
from multisched.errors import ScheduleError


class TorchBackend(ArrayAPIBackend[torch.Tensor]):
    """torch tensors."""

    traces_late = True

    def __init__(self) -> None:
        super().__init__("torch", xp, torch.__version__)

    def devices(self) -> tuple[str, ...]:
        cuda = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
        mps = ("mps",) if torch.backends.mps.is_available() else ()
        return ("cpu", *cuda, *mps)

    def _device(self, device: Any) -> Any:
        if device is None or isinstance(device, torch.device):
            return device
        if not isinstance(device, (str, int)):
            raise ScheduleError(f"a device of torch is a name, a number or a torch.device; given {device!r}.")
        try:
            found = torch.device(device)
        except RuntimeError:
            found = None
        at_hand = {name.partition(":")[0] for name in self.devices()} | {"meta"}
        if found is None or found.type not in at_hand:
            raise ScheduleError(f"torch has no device {str(device)!r}; it has {', '.join(self.devices())}.")
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
        array = array.detach().cpu()
        return (array.float() if array.dtype == torch.bfloat16 else array).numpy()

    def astype(self, array: torch.Tensor, dtype: Any) -> torch.Tensor:
        return array if array.dtype is dtype else array.to(dtype)

    def weighted_sum(self, weights: Sequence[Any], arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        return _sum(weights, arrays, arrays[0].dtype, None)

    def weighted_sums(
        self,
        sums: Sequence[Terms],
        arrays: Sequence[torch.Tensor],
        dtype: Any,
        out: Sequence[torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, ...]:
        wide = self.compute_dtype(dtype)
        found = []
        for k, (weights, chosen) in enumerate(sums):
            given = None if out is None else out[k]
            if not weights:
                total = torch.zeros_like(arrays[0], dtype=dtype) if given is None else given.zero_()
            elif len(weights) == 1 and isinstance(weights[0], float) and weights[0] == 1.0:
                total = arrays[chosen[0]]
                total = total if given is None else given.copy_(total)
            else:
                total = _sum(weights, [arrays[j] for j in chosen], wide, given if wide is dtype else None)
            found.append(total if total.dtype is dtype else total.to(dtype) if given is None else given.copy_(total))
        return tuple(found)

    def constant_rows(self, values: Any, dtype: Any = None, device: Any = None) -> tuple[torch.Tensor, ...]:
        return self.constant(values, dtype, device).unbind(0)

    def compile(self, function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        # Dynamo counts recompilations by code object: functions made by one line would use up each other's share.
        own = FunctionType(function.__code__.replace(), function.__globals__, closure=function.__closure__)
        return torch.compile(own, fullgraph=True)

    def normal(self, shape: tuple[int, ...], seed: int, dtype: Any = None, device: Any = None) -> torch.Tensor:
        device = self._device(device or "cpu")
        generator = torch.Generator(device).manual_seed(seed)
        return torch.randn(shape, generator=generator, dtype=self.dtype(dtype or "float32"), device=device)

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

    def synchronize(self, *arrays: torch.Tensor) -> None:
        for kind in {array.device.type for array in arrays} - {"cpu", "meta"}:
            getattr(torch, kind).synchronize()


def _sum(
    weights: Sequence[Any], arrays: Sequence[torch.Tensor], wide: torch.dtype, out: torch.Tensor | None
) -> torch.Tensor:
    """The sum in the dtype `wide`. One fused kernel a term and no temporary: it rounds once, where a product and a sum
    would round twice."""
    first, total = weights[0], arrays[0] if arrays[0].dtype is wide else arrays[0].to(wide)
    owned = total is not arrays[0]
    if not (isinstance(first, float) and first == 1.0):
        total = total.mul_(first) if owned else torch.mul(total, first, out=out)
        owned = True
    for weight, array in zip(weights[1:], arrays[1:], strict=True):
        if owned:
            try:
                total = total.add_(array, alpha=weight) if isinstance(weight, float) else total.addcmul_(array, weight)
                continue
            except RuntimeError:  # under vmap, where the sum so far has no batch and this array has one
                out = None
        if isinstance(weight, float):
            total = torch.add(total, array, alpha=weight, out=out)
        else:
            total = torch.addcmul(total, array.to(wide), weight, out=out)
        owned = True
    return total


BACKEND = TorchBackend()
