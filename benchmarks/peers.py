"""The schedulers of diffusers as contestants: how each class is set, stepped and given its noise."""

import contextlib
import importlib
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import diffusers
import torch

import multisched as ms
from benchmarks.stepping import STEPPING, StepOnce, plain
from multisched.interop.diffusers import PEERS

diffusers.utils.logging.set_verbosity_error()  # its warnings are of options that change no time

NAMES = tuple(sorted(PEERS))
STEPS = {"ConsistencyDecoderScheduler": 2, "HeliosDMDScheduler": 3}  # where a class allows no other number
ARGUMENTS: dict[str, dict[str, Any]] = {
    "RFD4ProteinaScheduler": {"schedule_mode": "log", "noise_mode": "tan", "tsr_k": 2.0, "tsr_sigma": 1.0}
}
# Arguments of `set_timesteps`, and the options of ours that say the same. RePaint goes forward only: its jumps back are
# no steps, and diffusers takes them one timestep at a time.
SET: dict[str, dict[str, Any]] = {
    "HeliosScheduler": {"stage_index": 0},
    "HeliosDMDScheduler": {"stage_index": 0},
    "RePaintScheduler": {"jump_length": 1, "jump_n_sample": 1},
    "SCMScheduler": {"intermediate_timesteps": None},
}
OPTIONS: dict[str, dict[str, Any]] = {**SET, "HeliosScheduler": {"stage": 0}, "HeliosDMDScheduler": {"stage": 0}}
# Where other shapes are needed: residues with coordinates, videos, and rows of which the model gives ten.
SHAPES: dict[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "RFD4ProteinaScheduler": lambda s: (s[0], s[1], s[2] * s[3]),
    "HeliosDMDScheduler": lambda s: (s[0], s[1], 1, s[2], s[3]),
    "PiflowScheduler": lambda s: (s[0], s[1] * s[2] * s[3]),
}
PARTS = {"PiflowScheduler": 10}
FROM_MODULES = {  # which diffusers shows only where torchsde is installed
    "CosineDPMSolverMultistepScheduler": "scheduling_cosine_dpmsolver_multistep",
    "DPMSolverSDEScheduler": "scheduling_dpmsolver_sde",
}


def module_of(name: str) -> Any:
    """The module of a class of diffusers; torchsde, which is only a source of noise, is not needed for it."""
    if name not in FROM_MODULES:
        return sys.modules[getattr(diffusers.schedulers, name).__module__]
    with mock.patch.dict(sys.modules, torchsde=types.ModuleType("torchsde")):
        return importlib.import_module(f"diffusers.schedulers.{FROM_MODULES[name]}")


class Peer:
    """A class with its defaults, and our recipe of the same configuration."""

    def __init__(self, name: str, steps: int = 20) -> None:
        self.name, self.steps = name, STEPS.get(name, steps)
        self.module = module_of(name)
        self.scheduler = getattr(self.module, name)(**ARGUMENTS.get(name, {}))
        recipe: Any = ms.from_diffusers({"_class_name": name, **self.scheduler.config})
        self.recipe = replace(recipe, **OPTIONS.get(name, {}))

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of samples that this class takes for four axes."""
        return SHAPES.get(self.name, tuple)(shape)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the model's output for those."""
        batch, channels, *rest = self.shape(shape)
        return (batch, channels * PARTS.get(self.name, 1), *rest)

    def set(self, steps: int | None = None) -> None:
        """`set_timesteps`, with what the pipelines do beside it."""
        self.scheduler.set_timesteps(steps or self.steps, **SET.get(self.name, {}))
        if self.name == "ScoreSdeVeScheduler":
            self.scheduler.set_sigmas(steps or self.steps)

    def ready(self, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
        """A run set anew: its timesteps, one for each model call, and the function that takes a step."""
        self.set()
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(0)
        if hasattr(self.scheduler, "is_scale_input_called"):
            self.scheduler.is_scale_input_called = True
        return STEPPING.get(self.name, plain)(self.scheduler, output, z)

    def run(
        self, x: torch.Tensor, output: torch.Tensor, z: torch.Tensor, calls: int | None = None
    ) -> tuple[torch.Tensor, float]:
        """The samples after so many calls, or at the end, and seconds per model call, the setting excluded."""
        timesteps, step = self.ready(output, z)
        timesteps = timesteps[:calls]
        began = time.perf_counter()
        for t in timesteps:
            x = step(t, x)
        return x, (time.perf_counter() - began) / len(timesteps)

    @contextlib.contextmanager
    def drawn(self, z: torch.Tensor) -> Iterator[None]:
        """Let the scheduler draw this."""
        if not hasattr(self.module, "randn_tensor"):
            yield
            return

        def randn_tensor(*_: Any, **__: Any) -> torch.Tensor:  # a Mock would take longer than a step
            return z

        with mock.patch.object(self.module, "randn_tensor", randn_tensor):
            yield
