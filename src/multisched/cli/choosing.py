"""Recipes from names and options on the command line."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from multisched import schedulers
from multisched.cli import names
from multisched.errors import ScheduleError
from multisched.interop import samplers
from multisched.interop.diffusers import from_diffusers
from multisched.options import options_of, words_of
from multisched.schedulers import Recipe
from multisched.schedulers.base import SETTINGS
from multisched.table.plan import Plan
from multisched.values import hint, shown

DEFAULT = "flow-match-euler"


class Chosen(NamedTuple):
    """What a command line asks for.

    Attributes:
        name: on the command line.
        recipe: with the options that were given.
        settings: the options that were given, as option=value.
    """

    name: str
    recipe: Recipe
    settings: tuple[str, ...] = ()


def recipes() -> dict[str, type[Recipe]]:
    """The named recipes by their names on the command line, as "flow-match-euler" for FlowMatchEuler."""
    return {name: getattr(schedulers, kind) for name, kind in names.NAMES.items()}


def meant(name: str, samplers_first: bool = False) -> tuple[str, bool]:
    """The name of a scheduler, or of a sampler, and whether it is a scheduler. In this order: a scheduler of that name,
    a sampler of that name, the only scheduler whose name begins with it, a sampler that is written otherwise.

    Args:
        name: as a user writes it.
        samplers_first: whether "euler", "heun" and other names that both have are the sampler's.

    Raises:
        ScheduleError: if it is none of these.
    """
    if samplers_first and name in samplers.NAMES:
        return name, False
    if (known := names.found(name)) is not None:
        return known, True
    if name in samplers.NAMES:
        return name, False
    if (known := names.begun(name)) is not None:
        return known, True
    if name == "auto" or samplers.read(name) is not None:
        return name, False
    raise names.missing(name, tuple(samplers.NAMES))


def recipe_of(
    name: str, settings: Sequence[str] = (), like: Any = None, calls: int | None = None
) -> tuple[str, Recipe]:
    """A recipe and its name on the command line.

    Args:
        name: see `meant`.
        settings: option=value; a value is JSON, or a word. Those of a sampler are options of its solver.
        like: the path of a sampler, as `ms.sampler` takes it, and then samplers come first; None for that of Stable
            Diffusion.
        calls: for the sampler "auto".

    Raises:
        ScheduleError: if a name or an option is unknown, or the recipe refuses a value.
    """
    key, scheduler = meant(name, like is not None)
    options = dict(map(_setting, settings))
    if key == "auto":
        return key, samplers.sampler("auto", like, calls=calls, **options)
    if not scheduler:
        _check(key, options, options_of_name(key, samplers_first=True))
        return key, samplers.sampler(key, like, **options)
    _check(key, options, options_of_name(key))
    return key, recipes()[key](**options)


def options_of_name(name: str, samplers_first: bool = False) -> list[str]:
    """The options that --set takes after a name."""
    return [one.name for one in fields(configured(name, samplers_first)) if one.name not in SETTINGS]


def words_of_name(name: str) -> dict[str, tuple[str, ...]]:
    """Words that these options may be."""
    kind = configured(name)
    return words_of(kind) | {one.name: ("true", "false") for one in fields(kind) if one.type is bool}


def configured(name: str, samplers_first: bool = False) -> Any:
    """The class that has the options: of a scheduler itself, of a sampler its solver."""
    key, scheduler = meant(name, samplers_first)
    if scheduler:
        return recipes()[key]
    return Recipe if key == "auto" else type(solver_of(samplers.sampler(key)))


def solver_of(recipe: Recipe) -> Any:
    """The solver of a sampler that its options belong to, without what is wrapped around it."""
    found = recipe.parts().solver
    while type(found).__name__ in ("Straightened", "CFGPlusPlus"):
        found = found.solver  # type: ignore[attr-defined]
    return found


def _check(name: str, options: dict[str, Any], allowed: Sequence[str]) -> None:
    for one in options:
        if one not in allowed:
            listed = ", ".join(allowed) or "none"
            raise ScheduleError(f"{name} has no option {shown(one)}{hint(one, allowed)}; it has {listed}.")


def chosen(options: argparse.Namespace, name: str | None = None, like: Any = None) -> Chosen:
    """What the options --set, --shift and --from-config say of a scheduler.

    Raises:
        ScheduleError: if there is no such scheduler, or both a name and a configuration are given, or neither.
    """
    shift = getattr(options, "shift", None)
    settings = tuple(options.set) + ((f"shift={shift}",) if shift is not None else ())
    if options.from_config is None:
        if name is None:
            raise ScheduleError(
                "give the name of a scheduler, such as ddim (`multisched list` has all), or --from-config."
            )
        calls = getattr(options, "steps", None)
        return Chosen(*recipe_of(name, settings, like, calls if isinstance(calls, int) else None), settings)
    if name is not None or settings:
        raise ScheduleError("--from-config says the scheduler and all of its options; give it alone.")
    recipe = from_diffusers(options.from_config)
    return Chosen(names.named(type(recipe).__name__), recipe)


def plan_of(recipe: Recipe, options: argparse.Namespace) -> Plan:
    """The plan that --steps, --mu and --spacing ask for."""
    return recipe.plan(options.steps, mu=options.mu, spacing=options.spacing)


def lines_of(kind: type) -> dict[str, str]:
    """Of each option of a class what it is, and the words that it may be."""
    lines, words, found = options_of(kind), words_of(kind), {}
    for one in fields(kind):
        if one.name not in SETTINGS:
            text, allowed = lines.get(one.name, "").removesuffix("."), words.get(one.name, ())
            if not all(f'"{word}"' in text for word in allowed):
                text += f" ({', '.join(map(repr, allowed))})"
            found[one.name] = text
    return found


def _setting(text: str) -> tuple[str, Any]:
    option, equals, value = text.partition("=")
    if not equals:
        raise ScheduleError(f"--set takes OPTION=VALUE; given {shown(text)}.")
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = {"True": True, "False": False, "None": None, "inf": float("inf")}.get(value, value)
    return option, tuple(found) if isinstance(found, list) else found
