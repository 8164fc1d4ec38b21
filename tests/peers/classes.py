"""Every scheduler class of diffusers, made from any configuration and run on data, each as its pipelines run it."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

import diffusers
import numpy as np
import torch

# Where the classes are that `diffusers.schedulers` does not export; some want torchsde, for a source of noise.
MODULES = {
    "CosineDPMSolverMultistepScheduler": "scheduling_cosine_dpmsolver_multistep",
    "DPMSolverSDEScheduler": "scheduling_dpmsolver_sde",
    "KarrasVeScheduler": "deprecated.scheduling_karras_ve",
    "ScoreSdeVpScheduler": "deprecated.scheduling_sde_vp",
}
# These set the timesteps of the whole training schedule when they are made, which takes a second.
EAGER = ("DPMSolverSDE", "HeunDiscrete", "KDPM2AncestralDiscrete", "KDPM2Discrete", "LMSDiscrete", "IPNDM")
SHAPE = (1, 6, 2, 3)  # of the data: samples, channels, two more axes
PARTS = 10  # of an output of Piflow


def class_of(name: str) -> Any:
    """A scheduler class of diffusers."""
    if name not in MODULES:
        return getattr(diffusers.schedulers, name)
    with mock.patch.dict(sys.modules, {"torchsde": ModuleType("torchsde")}):
        return getattr(importlib.import_module(f"diffusers.schedulers.{MODULES[name]}"), name)


def made(name: str, config: dict[str, Any]) -> Any:
    """The scheduler of a class that diffusers makes of a configuration, of whatever class."""
    kind = class_of(name)
    if name.removesuffix("Scheduler") not in EAGER:
        return kind.from_config(config)
    with mock.patch.object(kind, "set_timesteps", lambda self, *_: setattr(self, "sigmas", torch.zeros(1))):
        return kind.from_config(config)


def noises(step: int, stage: int) -> tuple[np.ndarray, ...]:
    """Noise of a model call, float64."""
    rng = np.random.default_rng((7, step, stage))
    return tuple(rng.standard_normal((2, *SHAPE)))


def data(step: int, stage: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """The sample and the output, of so many parts, of a model call, float64."""
    rng = np.random.default_rng((8, step, stage))
    return rng.standard_normal(SHAPE), rng.standard_normal((SHAPE[0], parts * SHAPE[1], *SHAPE[2:]))


def parts_of(name: str, scheduler: Any) -> int:
    """How many parts a model's output has along its second axis."""
    if name == "PiflowScheduler":
        return int(scheduler.config.n_grid)
    learns = str(getattr(scheduler.config, "variance_type", None)).startswith("learned")
    return 1 + learns


class Run:
    """A run of one scheduler: `timesteps`, and `step(output, row, sample, noise)`."""

    def __init__(self, name: str, scheduler: Any, **arguments: Any) -> None:
        self.name, self.scheduler = name.removesuffix("Scheduler"), scheduler
        scheduler.set_timesteps(**arguments)
        self.every = scheduler.timesteps
        self.timesteps = self.every[: self._count(len(self.every))]
        scheduler.is_scale_input_called = True
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)
        self.before: Any = (None, None)

    def _count(self, listed: int) -> int:
        """Model calls among the timesteps: some schedulers list the end of a run with them."""
        ended = self.name in ("SCM", "DDPMWuerstchen")
        return listed - ended

    def step(self, output: torch.Tensor, row: int, sample: torch.Tensor, noise: Any) -> torch.Tensor:
        t, scheduler = self.timesteps[row], self.scheduler
        if self.name == "CogVideoXDPM":
            back, old = self.before
            after, x0 = scheduler.step(output, old, int(t), back, sample)
            self.before = (int(t), x0)
            return after
        if self.name == "UnCLIP":
            before = None if row == len(self.timesteps) - 1 else self.timesteps[row + 1]
            return scheduler.step(output, t, sample, prev_timestep=before).prev_sample
        if self.name == "LCM":  # as an int, since of a tensor the boundary's weights are made in single precision
            t = int(t)
        if self.name == "DDPMWuerstchen":
            t = t[None]
        if self.name == "RePaint":
            return scheduler.step(
                output, int(t), sample, torch.zeros_like(sample), torch.zeros_like(sample)
            ).prev_sample
        if self.name == "RFD4Proteina":
            flat = (one.reshape(1, SHAPE[1], -1) for one in (output, sample))
            output, sample = flat
            emit = torch.ones(sample.shape[:2], dtype=torch.bool)
            return scheduler.step(output, t, sample, emit).prev_sample.reshape(SHAPE)
        if self.name == "HeliosDMD":
            wide = [one[..., None] for one in (sample, noise, output)]
            more = {"dmd_noisy_tensor": wide[1], "cur_sampling_step": row, "all_timesteps": scheduler.timesteps}
            levels = {"dmd_sigmas": scheduler.sigmas, "dmd_timesteps": scheduler.timesteps}
            return scheduler.step(wide[2], t, wide[0], **more, **levels).prev_sample[..., 0]
        return scheduler.step(output, t, sample).prev_sample


@contextmanager
def giving(name: str) -> Iterator[Callable[[tuple[np.ndarray, ...]], None]]:
    """Let the scheduler of a class draw what the function yielded was last called with."""
    module = sys.modules[class_of(name).__module__]
    given: list[torch.Tensor] = []

    def give(noise: tuple[np.ndarray, ...]) -> None:
        given[:] = [torch.from_numpy(one) for one in noise]

    def randn_tensor(shape: Any, *, dtype: Any = None, **_: Any) -> torch.Tensor:
        return given[0].to(dtype).reshape(tuple(shape))

    names = {"randn_tensor": randn_tensor, "BrownianTreeNoiseSampler": lambda *_, **__: lambda *_: given[0]}
    with mock.patch.multiple(module, **{key: one for key, one in names.items() if hasattr(module, key)}):
        yield give
