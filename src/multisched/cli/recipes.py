"""Recipes from names and options on the command line."""

import json
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from multisched import schedulers
from multisched.errors import ScheduleError
from multisched.interop import samplers
from multisched.options import options_of, words_of
from multisched.schedulers import Recipe
from multisched.schedulers.base import SETTINGS
from multisched.values import hint, near, shown

STEPS = 8  # of the run that `described` looks at
INDENT = " " * 4


def recipes() -> dict[str, type[Recipe]]:
    """The named recipes by their names on the command line, as "flow-match-euler" for FlowMatchEuler."""
    return {named(kind): kind for kind in schedulers.named().values()}


def named(kind: type[Recipe]) -> str:
    """The name of a recipe on the command line."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", kind.__name__).lower()


def recipe_of(name: str, settings: Sequence[str] = ()) -> tuple[str, Recipe]:
    """A recipe and its name on the command line, from that name or the class's in any case, or else from a name of
    `ms.sampler`.

    Args:
        name: of the recipe, or of a sampler on the path of Stable Diffusion.
        settings: option=value; a value is JSON, or a word.

    Raises:
        ScheduleError: if a name or an option is unknown, or the recipe refuses a value.
    """
    known = recipes()
    key = {key.replace("-", ""): key for key in known}.get(name.replace("-", "").lower())
    if key is None and samplers.read(name) is not None:
        return name, samplers.sampler(name, **dict(map(_setting, settings)))
    if key is None:
        meant = near(name.removesuffix("Scheduler").replace("Discrete", ""), known)
        if meant is not None:
            raise ScheduleError(f"there is no scheduler {shown(name)} (did you mean {meant}?).")
        listed = ", ".join(known)
        raise ScheduleError(f"the scheduler must be one of {listed}; given {shown(name)}.")
    allowed = [option.name for option in fields(known[key]) if option.name not in SETTINGS]
    options = dict(map(_setting, settings))
    for option in options:
        if option not in allowed:
            listed = ", ".join(allowed)
            meant = hint(option, allowed)
            raise ScheduleError(f"{key} has no option {shown(option)}{meant}; it has {listed}.")
    return key, known[key](**options)


def described(kind: type[Recipe]) -> str:
    """An entry of the list: order, model calls and noise of a run, and the options with their defaults."""
    options = ", ".join(f"{option.name}={option.default!r}" for option in fields(kind) if option.name not in SETTINGS)
    try:
        plan = kind().plan(STEPS)
        calls = sorted(Counter(plan.rows.step[:, 0].tolist()).values())
        often = " to ".join(str(count) for count in sorted({calls[0], calls[-1]}))
        draws = f"noise draws a call: {plan.noise_draws}, weak order {plan.weak_order}"
        noise = draws if plan.stochastic else "deterministic"
        run = f"order {plan.order}, model calls a step: {often}, {noise}"
    except ScheduleError as error:
        run = str(error)
    return f"{kind.__name__}: {run}\n" + textwrap.fill(options, 116, initial_indent=INDENT, subsequent_indent=INDENT)


def explained(kind: type[Recipe]) -> str:
    """The options of a recipe: of each its default, what it is, and the words that it may be."""
    lines, words, found = options_of(kind), words_of(kind), [kind.__name__]
    for option in fields(kind):
        if option.name not in SETTINGS:
            text, allowed = lines.get(option.name, "").removesuffix("."), words.get(option.name, ())
            if not all(f'"{word}"' in text for word in allowed):
                text += f" ({', '.join(map(repr, allowed))})"
            indents = (INDENT * 2, INDENT * 2)
            wrapper = textwrap.TextWrapper(116, *indents, break_on_hyphens=False, break_long_words=False)
            found += [f"{INDENT}{option.name}={option.default!r}", *wrapper.wrap(text)]
    return "\n".join(found)


def _setting(text: str) -> tuple[str, Any]:
    option, equals, value = text.partition("=")
    if not equals:
        raise ScheduleError(f"--set takes OPTION=VALUE; given {shown(text)}.")
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = {"True": True, "False": False, "None": None, "inf": float("inf")}.get(value, value)
    return option, tuple(found) if isinstance(found, list) else found
