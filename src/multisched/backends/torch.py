"""PyTorch: CPU, CUDA, MPS, and the data-less meta device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from array_api_compat import torch as xp
from torch._higher_order_ops.while_loop import while_loop

from multisched.backends.base import ArrayAPIBackend
from multisched.errors import ScheduleError


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


BACKEND = TorchBackend()
