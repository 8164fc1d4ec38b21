"""The network that `multisched sample --model` draws with, and the sampler that --sampler names."""

import argparse
from typing import Any

import numpy as np

from multisched import digits
from multisched.errors import ScheduleError
from multisched.interop import samplers
from multisched.schedulers import Recipe
from multisched.values import option, shown

GUIDANCE = 1.5
"""Between 1, which comes nearest to the distribution of the digits, and 2, whose digits are the clearest."""


def check_alone(options: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises:
        ScheduleError: if an option of a network is given without one, one of a data set beside it, or a value is none
            that is allowed.
    """
    if options.model is None:
        for name, value in (("--class", options.digit), ("--guidance", options.guidance)):
            if value is not None:
                raise ScheduleError(f"{name} is for a network; give --model digits too.")
        return
    option("--model", options.model, ("digits",))
    for name, value in (("--data", options.data), ("--size", options.size)):
        if value is not None:
            raise ScheduleError(f"{name} is for a data set of your own; leave it out, or --model.")
    if options.digit is not None and not 0 <= options.digit <= 9:
        raise ScheduleError(f"--class must be a digit, 0 to 9; given {shown(options.digit)}.")
    if options.guidance is not None and not 0 <= options.guidance <= 100:
        raise ScheduleError(f"--guidance must be a number in 0..100; given {options.guidance!r}.")


def sampled(name: str, like: Recipe, options: argparse.Namespace) -> tuple[str, Recipe]:
    """The recipe of --sampler on the path of a scheduler, and its name; the scheduler itself where none is given."""
    if options.sampler is None:
        return name, like
    if options.sampler != "auto":
        return options.sampler, samplers.sampler(options.sampler, like)
    if options.spacing is not None:
        raise ScheduleError("--sampler auto chooses its spacing itself; leave out --spacing.")
    guidance = _guidance(options) if options.model else 1.0
    return "auto", samplers.sampler("auto", like, calls=options.steps, guidance=guidance)


def model_of(options: argparse.Namespace) -> tuple[digits.Denoiser, tuple[int, ...], str]:
    """The network on its backend, the shape of its images, and what is said of them."""
    net = digits.load(options.backend, options.device)
    asked = np.arange(options.count) % 10 if options.digit is None else np.array(options.digit)
    guidance, classes = _guidance(options), digits.conditions(asked, options.backend, options.device)
    what = "digits 0 to 9 in turn" if options.digit is None else f"digit {options.digit}"
    told = f"{what}, guidance {guidance:g}" if guidance else "digits of any class"
    return digits.Denoiser(digits.guided(net, classes, guidance)), (1, 8, 8), told


def _guidance(options: Any) -> float:
    return GUIDANCE if options.guidance is None else float(options.guidance)
