"""Every scheduler class of diffusers, made from a configuration of whatever class."""

import importlib
import inspect
import sys
from functools import cache
from types import ModuleType
from typing import Any
from unittest import mock

import diffusers
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


@cache
def class_of(name: str) -> Any:
    """A scheduler class of diffusers."""
    if name not in MODULES:
        return getattr(diffusers.schedulers, name)
    with mock.patch.dict(sys.modules, {"torchsde": ModuleType("torchsde")}):
        return getattr(importlib.import_module(f"diffusers.schedulers.{MODULES[name]}"), name)


def defaults_of(name: str) -> dict[str, Any]:
    """The keys of a class, with their defaults."""
    parameters = inspect.signature(class_of(name).__init__).parameters
    return {key: one.default for key, one in parameters.items() if key not in ("self", "kwargs")}


def made(name: str, config: dict[str, Any]) -> Any:
    """The scheduler of a class that diffusers makes of a configuration, of whatever class."""
    kind = class_of(name)
    if name.removesuffix("Scheduler") not in EAGER:
        return kind.from_config(config)
    with mock.patch.object(kind, "set_timesteps", lambda self, *_: setattr(self, "sigmas", torch.zeros(1))):
        return kind.from_config(config)
