"""Scales: a number, one for each sample, or one that changes along the run."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.guidance.level import Level
from multisched.values import check_options, real, shown

Scale: TypeAlias = Any
"""A number; a list or a 1-d array of one for each sample; or a function of a `Level` that gives either."""


def kept(name: str, value: Any) -> Any:
    """A scale as it is kept: a float, a tuple of floats, an array of a device, or a function.

    Raises:
        ScheduleError: if it is none of these, or not finite.
    """
    if callable(value):
        return value
    if hasattr(value, "shape") and not isinstance(value, (np.ndarray, np.generic)):
        if len(value.shape) > 1:
            raise ScheduleError(f"{name} must be a number or one for each sample; given {shown(value)}.")
        return value
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 1):
        numbers = tuple(real(f"each {name}", one) for one in value)
        if not numbers:
            raise ScheduleError(f"{name} must have a number for each sample; given none.")
    elif isinstance(value, np.ndarray) and value.ndim > 1:
        raise ScheduleError(f"{name} must be a number or one for each sample; given {shown(value)}.")
    else:
        numbers = (real(name, value),)
    if not all(map(math.isfinite, numbers)):
        raise ScheduleError(f"{name} must be finite; given {shown(value)}.")
    return numbers if isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) else numbers[0]


def at(name: str, scale: Scale, level: Level | None) -> Any:
    """The scale at a level: a float, or an array of one for each sample.

    Raises:
        ScheduleError: if it is a function and no level is given, or gives what is no scale.
    """
    if callable(scale):
        if level is None:
            raise ScheduleError(f"{name} is a function of the level: give level=, which ms.guidance.levels(plan) has.")
        found = scale(level)
        # What is computed from a level on the device is shaped to broadcast already.
        scale = found if not level.hosted and hasattr(found, "shape") else kept(name, found)
    return np.asarray(scale) if isinstance(scale, tuple) else scale


def column(backend: Backend[Any], name: str, number: Any, like: Any) -> Any:
    """A number as it goes with samples: a float, or an array that broadcasts against them.

    Raises:
        ScheduleError: if there is not one for each sample.
    """
    if not hasattr(number, "shape"):
        return number
    if isinstance(number, np.ndarray) and backend.name != "numpy":
        number = backend.asarray(number, like.dtype, backend.device(like))
    if backends.of(number) is not backend:
        raise ScheduleError(f"{name} is an array of {backends.of(number).name}, the samples of {backend.name}.")
    number = backend.astype(number, like.dtype)
    if number.ndim == 1 != like.ndim or (number.ndim == like.ndim == 1 and number.shape[0] != 1):
        if tuple(number.shape) != tuple(like.shape[:1]):
            raise ScheduleError(
                f"{name} has {number.shape[0]} numbers for {like.shape[0] if like.ndim else 1} samples."
            )
        number = backend.xp.reshape(number, (-1, *(1 for _ in like.shape[1:])))
    return number


@dataclass(frozen=True)
class Dynamic:
    """A scale that rises along the run (Wang et al. 2024, arXiv 2404.13040). With p the `progress` of a level, from 0,

        linear   scale * 2 * p
        cosine   scale * (1 - cos(pi * p))

    and never less than `least`; "clamp-linear" in the paper's figure 1. Both rise from 0 to twice the scale, whose mean
    they keep. The scale is that of the guidance that it is given to.

    Args:
        scale: the mean.
        shape: "linear" or "cosine".
        least: the smallest scale; 1, where guidance is off, leaves out calls of the model at the start.

    Raises:
        ScheduleError: if a number is not finite, or the shape another word.

    Example:
        >>> ramp = ms.guidance.dynamic(4.0, least=1.0)
        >>> [ramp(level) for level in ms.guidance.levels(ms.FlowMatchEuler().plan(4))]
        [1.0, 2.0, 4.0, 6.0]
    """

    scale: float
    shape: Literal["linear", "cosine"] = "linear"
    least: float = 0.0

    def __post_init__(self) -> None:
        check_options(self)
        if not (math.isfinite(self.scale) and math.isfinite(self.least)):
            raise ScheduleError(f"scale and least must be finite; given {self.scale!r} and {self.least!r}.")

    def __repr__(self) -> str:
        return f"dynamic({self.scale!r}, {self.shape!r}, least={self.least!r})"

    def __call__(self, level: Level) -> Any:
        part = level.progress
        if not hasattr(part, "shape"):
            rise = 2 * part if self.shape == "linear" else 1 - math.cos(math.pi * part)
            return max(self.scale * rise, self.least)
        xp = backends.of(part).xp
        rise = 2 * part if self.shape == "linear" else 1 - xp.cos(math.pi * part)
        return xp.maximum(self.scale * rise, self.least + xp.zeros_like(rise))


dynamic: Callable[..., Dynamic] = Dynamic
