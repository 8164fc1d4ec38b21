"""`multisched show`."""

import argparse
import inspect
import textwrap
from dataclasses import fields
from typing import Any

import numpy as np

from multisched.cli.choosing import Chosen, chosen, lines_of, plan_of, solver_of
from multisched.cli.names import FAMILIES, SAMPLERS
from multisched.cli.text import bold, columns, cut, width, write, write_json
from multisched.errors import ScheduleError
from multisched.options import words_of
from multisched.schedulers.base import SETTINGS, Scheduler
from multisched.table.plan import Plan

INDENT = " " * 4


def act(options: argparse.Namespace) -> None:
    """Print what a scheduler is."""
    if options.options and options.json:
        raise ScheduleError("--json has the options too; leave out --options.")
    found = chosen(options, options.scheduler)
    shown = _of(found)
    if options.options:
        write(explained(shown))
        return
    plan = plan_of(found.recipe, options)
    if options.json:
        write_json(_json(found, shown, plan))
        return
    report = f"{found.recipe.report}\n" if found.recipe.report else ""
    write(
        f"{_head(found, shown)}\n\n{report}{_options(shown)}\n\n{bold('table')}\n{plan}\n\n"
        f"{bold('levels')}\n  {_levels(plan)}"
    )


def _of(found: Chosen) -> Any:
    """What has the options: the recipe, or the solver of a sampler."""
    return solver_of(found.recipe) if type(found.recipe) is Scheduler else found.recipe


def summary(kind: type) -> str:
    """The first paragraph of a docstring in one line."""
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split())


def _family(kind: type) -> str:
    return next((family for family, (_, kinds) in FAMILIES.items() if kind.__name__ in kinds), SAMPLERS)


def _head(found: Chosen, shown: Any) -> str:
    family = _family(type(found.recipe))
    title = (
        f"{type(shown).__name__}, a sampler" if family == SAMPLERS else f"{type(shown).__name__}, {FAMILIES[family][0]}"
    )
    return "\n".join(
        [bold(f"{found.name}: {title}"), *textwrap.wrap(summary(type(shown)), width(), break_on_hyphens=False)]
    )


def _options(shown: Any) -> str:
    """A line for each option: its value, and what it is as far as there is room."""
    lines = lines_of(type(shown))
    rows, changed = [], False
    for one in fields(shown):
        if one.name not in SETTINGS:
            value, text = getattr(shown, one.name), lines[one.name]
            same = repr(value) == repr(one.default)
            changed |= not same
            rows.append((" " if same else "*", one.name, cut(repr(value), 24),
                         text if same else f"(default {cut(repr(one.default), 24)}) {text}"))  # fmt: skip
    if not rows:
        return f"{bold('options')}: none"
    named = columns([row[:3] for row in rows])
    room = width() - max(map(len, named)) - 2
    listed = [f"{line.ljust(max(map(len, named)))}  {cut(row[3], room)}" for line, row in zip(named, rows, strict=True)]
    more = "; * is not the default" if changed else ""
    return "\n".join([f"{bold('options')} (--set OPTION=VALUE; --options has the whole lines{more})", *listed])


def explained(shown: Any) -> str:
    """The options: of each its value, what it is, and the words that it may be."""
    lines, found = lines_of(type(shown)), [type(shown).__name__]
    wrapper = textwrap.TextWrapper(116, initial_indent=INDENT * 2, subsequent_indent=INDENT * 2, break_on_hyphens=False,
                                   break_long_words=False)  # fmt: skip
    for one in fields(shown):
        if one.name not in SETTINGS:
            value = getattr(shown, one.name)
            other = "" if repr(value) == repr(one.default) else f"  (default {one.default!r})"
            found += [f"{INDENT}{one.name}={value!r}{other}", *wrapper.wrap(lines[one.name])]
    return "\n".join(found)


def _levels(plan: Plan) -> str:
    """Where a run begins and ends, in sigma and in lam."""
    (first, *_, last, end) = zip(plan.alphas, plan.sigmas, strict=True) if len(plan.grid) > 1 else _short(plan)
    return f"from {_level(*first)} by {_level(*last)} to {_level(*end)}"


def _short(plan: Plan) -> Any:
    pairs = list(zip(plan.alphas, plan.sigmas, strict=True))
    return [pairs[0], pairs[0], pairs[-1]]


def _level(alpha: float, sigma: float) -> str:
    if sigma == 0:
        return "sigma 0, the clean sample"
    if alpha == 0:
        return f"sigma {sigma:.4g}, pure noise"
    return f"sigma {sigma:.4g} (log alpha / sigma = {np.log(alpha / sigma):.2f})"


def _json(found: Chosen, shown: Any, plan: Plan) -> dict[str, Any]:
    lines, words = lines_of(type(shown)), words_of(type(shown))
    with np.errstate(divide="ignore"):
        lam = np.log(plan.alphas) - np.log(plan.sigmas)
    return {
        "name": found.name,
        "class": type(found.recipe).__name__,
        "family": _family(type(found.recipe)),
        "summary": summary(type(shown)),
        "options": [
            {"name": one.name, "value": getattr(shown, one.name), "default": one.default, "line": lines[one.name],
             "words": words.get(one.name, ())}
            for one in fields(shown) if one.name not in SETTINGS
        ],
        "steps": len(plan.grid),
        "calls": len(plan),
        "order": plan.order,
        "weak_order": plan.weak_order,
        "stochastic": plan.stochastic,
        "levels": {"alpha": plan.alphas, "sigma": plan.sigmas, "lam": lam},
        "table": [
            {"timestep": t, "alpha": alpha, "sigma": sigma, "formula": plan.folded.formula(row)}
            for row, (t, alpha, sigma) in enumerate(
                zip(plan.timesteps, plan.rows.alpha[:, 0], plan.rows.sigma[:, 0], strict=True)
            )
        ],
    }  # fmt: skip
