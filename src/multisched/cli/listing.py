"""`multisched list`."""

import argparse
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

from multisched.cli.choosing import recipes, solver_of
from multisched.cli.names import FAMILIES, SAMPLERS, named
from multisched.cli.text import bold, columns, width, write, write_json
from multisched.errors import ScheduleError
from multisched.interop import samplers
from multisched.schedulers import Recipe
from multisched.values import option

STEPS = 8  # of the run that is looked at
HEAD = ("name", "class", "order", "calls a step", "stochastic")
TITLE = "samplers of ComfyUI, k-diffusion and A1111, on the path of Stable Diffusion"


def act(options: argparse.Namespace) -> None:
    """Print the list."""
    if options.family is not None:
        option("--family", options.family, (*FAMILIES, SAMPLERS))
    families = list(FAMILIES) if options.family is None else [options.family]
    if options.json:
        everything = [*families, SAMPLERS] if options.family is None else families
        write_json([one for family in everything for one in entries(family)])
        return
    lines = _tables(families)
    if options.family is None:
        text = f"{', '.join(samplers.NAMES)}; auto, the best that was measured, for a number of calls"
        lines += [bold(f"{TITLE} (--family {SAMPLERS})"), *textwrap.wrap(text, width() - 2, initial_indent="  ",
                  subsequent_indent="  ", break_on_hyphens=False)]  # fmt: skip
    write("\n".join(lines).rstrip())


def entries(family: str) -> list[dict[str, Any]]:
    """What is known of each of a family."""
    if family == SAMPLERS:
        return [_entry(name, family, samplers.sampler(name)) for name in samplers.NAMES]
    known = recipes()
    return [_entry(named(kind), family, known[named(kind)]()) for kind in FAMILIES[family][1]]


def _entry(name: str, family: str, recipe: Recipe) -> dict[str, Any]:
    kind = type(solver_of(recipe) if family == SAMPLERS else recipe)
    found: dict[str, Any] = {"name": name, "class": kind.__name__, "family": family}
    try:
        plan = recipe.plan(STEPS)
    except ScheduleError as error:
        return found | {"note": str(error)}
    calls = sorted(Counter(plan.rows.step[:, 0].tolist()).values())
    return found | {
        "order": plan.order,
        "weak_order": plan.weak_order,
        "calls_a_step": [calls[0], calls[-1]],
        "stochastic": plan.stochastic,
        "noise_draws_a_call": plan.noise_draws,
    }


def _tables(families: Sequence[str]) -> list[str]:
    """Of each family a title and a line for each scheduler, all with the same columns."""
    rows: list[Sequence[str]] = [HEAD]
    places: list[tuple[str, int]] = []
    for family in families:
        places.append((family, len(rows)))
        rows += [_cells(one) for one in entries(family)]
    lines = [f"  {line}" for line in columns(rows)]
    found = [lines[0]]
    for (family, first), (_, after) in zip(places, [*places[1:], ("", len(rows))], strict=True):
        title = TITLE if family == SAMPLERS else FAMILIES[family][0]
        found += [bold(f"{title} (--family {family})"), *lines[first:after], ""]
    return found


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    if "note" in one:
        return (one["name"], one["class"], "", "", one["note"])
    least, most = one["calls_a_step"]
    calls = str(most) if least == most else f"{least} to {most}"
    stochastic = f"yes, weak order {one['weak_order']}" if one["weak_order"] else "yes"
    order = str(one["order"] or "-")
    return (one["name"], one["class"], order, calls, stochastic if one["stochastic"] else "no")
