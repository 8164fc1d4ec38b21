"""How time is taken on an accelerator, for each library: what the host and the device spend, and the floor."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

import multisched as ms
from benchmarks.timing import best, rounds

CALLS = 20  # steps that are handed to the device before anything waits
Arrays = Callable[[], Any]


class Board(ABC):
    """A library on a device.

    Attributes:
        name: of the library.
        device: its name, as `--device` of the tests has it.
        lazy: whether a call only notes down what is to be computed.
    """

    name = ""
    lazy = False

    def __init__(self, device: str | None) -> None:
        self.device = device
        self.backend = ms.backends.get(self.name)

    def draw(self, shape: tuple[int, ...], seed: int, dtype: str = "float32") -> Any:
        """Unit normals on the device."""
        values = np.random.default_rng(seed).standard_normal(shape, np.float32)
        array = self.backend.asarray(self.backend.asarray(values, None, self.device), dtype)
        self.wait(array)
        return array

    def wait(self, *arrays: Any) -> None:
        """Until these are computed."""
        self.backend.synchronize(*arrays)

    def host(self, call: Arrays, seconds: float) -> float:
        """Microseconds of the host for one call, while the device works behind."""

        def some() -> float:
            began = time.perf_counter()
            for _ in range(CALLS):
                found = call()
            took = (time.perf_counter() - began) / CALLS
            self.wait(*found)
            return took

        return rounds({"": some}, seconds)[""] * 1e6

    def whole(self, call: Arrays, seconds: float) -> float:
        """Microseconds of one call, host and device together, of many calls one after another."""

        def some() -> None:
            for _ in range(CALLS):
                found = call()
                if self.lazy:
                    self.wait(*found)
            self.wait(*found)

        return best(some, seconds) / CALLS * 1e6

    @abstractmethod
    def copies(self, array: Any) -> list[Arrays]:
        """Ways to write an array into another."""

    def per_byte(self, array: Any, seconds: float) -> float:
        """Microseconds for each byte moved, of the fastest copy."""
        return min(self.whole(copy, seconds) for copy in self.copies(array)) / (2 * array.nbytes)

    def launches(self, call: Arrays) -> tuple[int, float] | None:
        """Kernels of one call and their microseconds, where the library's profiler says so."""
        return None

    def replayed(self, call: Arrays) -> Arrays | None:
        """The call as a graph that the device runs by itself, where there are such graphs."""
        return None

    def silent(self, call: Arrays) -> str:
        """ "yes" where a call reads nothing from the device, else what it said; "-" where nothing can tell."""
        return "-"

    def about(self) -> str:
        """The device's own name."""
        return str(self.device)


class Torch(Board):
    """PyTorch on CUDA, MPS or the processor."""

    name = "torch"

    def copies(self, array: Any) -> list[Arrays]:
        import torch

        other = torch.zeros_like(array)
        return [lambda: (other.copy_(array),), lambda: (torch.neg(array, out=other),)]

    def launches(self, call: Arrays) -> tuple[int, float] | None:
        import torch

        if not str(self.device).startswith("cuda"):
            return None
        call()
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
            call()
            torch.cuda.synchronize()
        kernels = [one for one in seen.events() if one.device_type == torch.autograd.DeviceType.CUDA]
        return len(kernels), float(sum(one.device_time for one in kernels))

    def replayed(self, call: Arrays) -> Arrays | None:
        import torch

        if not str(self.device).startswith("cuda"):
            return None
        for _ in range(3):
            call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found = call()

        def replay() -> Any:
            graph.replay()
            return found

        return replay

    def silent(self, call: Arrays) -> str:
        import torch

        if not str(self.device).startswith("cuda"):
            return "-"
        torch.cuda.set_sync_debug_mode("error")
        try:
            call()
        except RuntimeError as waited:
            return str(waited).splitlines()[0]
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return "yes"

    def about(self) -> str:
        import torch

        return torch.cuda.get_device_name() if str(self.device).startswith("cuda") else str(self.device)


class Jax(Board):
    """JAX on its default device or the one that is named."""

    name = "jax"

    def copies(self, array: Any) -> list[Arrays]:
        import jax

        negative = jax.jit(lambda a: -a)
        return [lambda: (jax.numpy.copy(array),), lambda: (negative(array),)]

    def silent(self, call: Arrays) -> str:
        import jax

        try:
            with jax.transfer_guard_device_to_host("disallow"):
                call()
        except RuntimeError as waited:
            return str(waited).splitlines()[0]
        return "yes"

    def about(self) -> str:
        import jax

        return str(jax.devices(self.device)[0].device_kind)


class Mlx(Board):
    """MLX on its default device."""

    name = "mlx"
    lazy = True

    def copies(self, array: Any) -> list[Arrays]:
        import mlx.core as mx

        return [lambda: (-array,), lambda: (mx.abs(array),)]

    def about(self) -> str:
        import mlx.core as mx

        return str(mx.device_info().get("device_name", self.device))


BOARDS: dict[str, type[Board]] = {"torch": Torch, "jax": Jax, "mlx": Mlx}


def found() -> dict[str, str]:
    """The libraries at hand that have an accelerator, and its name."""
    at_hand = {one.name: one.devices for one in ms.backends.available().values() if one.reason is None}
    named = {name: [one for one in at_hand.get(name, ()) if one.partition(":")[0] != "cpu"] for name in BOARDS}
    return {name: devices[0] for name, devices in named.items() if devices}
