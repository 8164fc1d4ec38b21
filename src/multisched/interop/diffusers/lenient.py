"""What `from_diffusers(..., strict=False)` takes: values that diffusers computes with, though no sampler should have
them."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.paths.discrete import Discrete
from multisched.schedulers import DDPM, Recipe
from multisched.schedulers.multistep import VARIANCES, OnEither
from multisched.values import shown

FIXED = ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log")


def read_as(kind: type[Recipe], options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Options as diffusers reads them, and a sentence for each that is another here.

    A flag is whether its value is true to Python; a whole float is an int; orders of DPM-Solver above 3 are 3; a
    shift_terminal of 0 is none; a variance_type that is not known is none.
    """
    read, told = dict(options), {}
    types = {one.name: one.type for one in fields(kind)}
    for name, value in options.items():
        found = _value(kind, name, types.get(name), value)
        if found is not value:
            read[name], told[name] = found, f"{name} {shown(value)} counts as {found!r}."
    return read, told


def _value(kind: type[Recipe], name: str, wanted: Any, value: Any) -> Any:
    if wanted is bool and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return bool(value)
    if wanted is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if (
        name == "solver_order"
        and {"solver_order", "algorithm_type"} <= {one.name for one in fields(kind)}
        and isinstance(value, int)
        and value > 3
    ):
        return 3
    if name == "shift_terminal" and isinstance(value, (int, float)) and value == 0:
        return None
    if name == "variance_type" and isinstance(value, str):
        return _variance(kind, value)
    return value


def _variance(kind: type[Recipe], value: str) -> str | None:
    if kind is DDPM:
        return value if value in FIXED or value in VARIANCES else "fixed_small"
    return None if issubclass(kind, OnEither) and value not in VARIANCES else value


def accepted(make: Callable[[Mapping[str, Any]], Recipe], options: Mapping[str, Any]) -> tuple[str, ...]:
    """One sentence for each option that a strict recipe refuses beside the others.

    Args:
        make: makes the strict recipe of options.
    """
    good: dict[str, Any] = {}
    waiting = dict(options)
    told: dict[str, str] = {}
    for _ in range(2):  # an option may be refused only until another is there
        for name, value in list(waiting.items()):
            try:
                make({**good, name: value})
            except ScheduleError as error:
                told[name] = str(error)
            else:
                good[name] = waiting.pop(name)
    return tuple(told[name] for name in waiting)


def unsteppable(recipe: Recipe) -> tuple[str, ...]:
    """A sentence where the noisiest timestep says nothing of x0, so that runs which visit it are refused."""
    path, _, prediction, *_ = recipe.parts()
    if not isinstance(path, Discrete) or path.space != "vp":
        return ()
    alpha, sigma = np.sqrt(path.alphas_cumprod[-1]), np.sqrt(1 - path.alphas_cumprod[-1])
    if not prediction.singular(alpha, sigma):
        return ()
    last = path.alphas_cumprod.size - 1
    return (f"A run that visits timestep {last} is refused, where the output says nothing of x0: alpha is 0.",)
