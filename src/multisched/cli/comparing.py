"""`multisched compare`."""

import argparse
import math
from typing import NamedTuple

from multisched import paths, pictures
from multisched.analysis import error
from multisched.cli.choosing import Chosen, chosen, meant
from multisched.cli.parser import CALLS, PATHS
from multisched.cli.plotting import check_curves, label, unlike
from multisched.cli.text import columns, write, write_json
from multisched.errors import ScheduleError
from multisched.interop.samplers import STABLE_DIFFUSION, read
from multisched.pictures.files import check_writable
from multisched.schedulers import Recipe
from multisched.table.plan import Plan
from multisched.values import count, option

SPACINGS = {"flow": "simple", "vp": "karras", "edm": "karras"}
"""On which the samplers of a path run, unless --spacing says another one."""
MOST = 1_000  # model calls


class Curve(NamedTuple):
    """A sampler's errors, by the numbers of calls that were asked for.

    Attributes:
        calls: that a run makes; 0 where there is none.
        errors: root mean square, in x / alpha; nan where there is no run.
    """

    calls: list[int]
    errors: list[float]


def act(options: argparse.Namespace) -> None:
    """Measure, print the table, draw the figure."""
    option("--path", options.path, PATHS)
    if options.calls is not None and options.steps is not None:
        raise ScheduleError("give --calls or --steps, not both.")
    wanted = sorted({count("--calls" if options.steps is None else "--steps", one, MOST)
                     for one in options.steps or options.calls or CALLS})  # fmt: skip
    check_curves(options)
    if options.out is not None:
        check_writable(options.out, figure=True)
    found = [measured(one, options.path, wanted, steps=options.steps is not None) for one in options.curves]
    labels = [label(what, one) for (_, what), one in zip(found, options.curves, strict=True)]
    curves = {name: curve for name, (curve, _) in zip(unlike(labels), found, strict=True)}
    title = options.title or f"Error of samplers, {options.path} path"
    if options.out is not None:
        figure = pictures.compare(curves, title=title, error="distance from the exact end (RMS)")
        pictures.save(figure, options.out, options.force)
    if options.json:
        write_json({"path": options.path, "curves": {name: curve._asdict() for name, curve in curves.items()}})
        return
    kind = "model calls, at most" if options.steps is None else "steps"
    write(f"distance of the last samples from those of the exact flow (RMS), by {kind}; {options.path} path")
    write("\n".join(_table(curves, wanted)))
    write(f"wrote {options.out}" if options.out is not None else "--out errors.svg draws them")


def _table(curves: dict[str, Curve], wanted: list[int]) -> list[str]:
    rows = [("", *map(str, wanted))]
    for name, curve in curves.items():
        rows.append((name, *("-" if math.isnan(one) else f"{one:.2g}" for one in curve.errors)))
    return columns(rows, right=range(1, len(wanted) + 1))


def measured(curve: argparse.Namespace, path: str, wanted: list[int], steps: bool) -> tuple[Curve, Chosen]:
    """The errors of a sampler in runs of so many calls at most, or of so many steps.

    Raises:
        ScheduleError: if there is no run at all, or its samples follow no flow.
    """
    name = curve.names[0] if curve.names else None
    like = {"flow": paths.Straight(), "vp": STABLE_DIFFUSION, "edm": paths.VarianceExploding()}[path]
    unplaced = name is not None and not meant(name, samplers_first=True)[1] and (read(name) or "  ")[1] is None
    spacing = curve.spacing or (SPACINGS[path] if unplaced else None)

    def found(number: int) -> Chosen:
        curve.steps = number
        return chosen(curve, name, like)

    once = found(wanted[0])
    calls, errors, refused = [], [], None
    for number in wanted:
        recipe = found(number).recipe if name == "auto" else once.recipe
        try:
            plan = _run(recipe, spacing, number, steps)
            calls.append(len(plan))
            errors.append(error(plan))
        except ScheduleError as reason:
            refused = reason
            calls = [*calls[: len(errors)], 0]
            errors.append(math.nan)
    if refused is not None and all(map(math.isnan, errors)):
        raise refused
    return Curve(calls, errors), once


def _run(recipe: Recipe, spacing: str | None, number: int, steps: bool) -> Plan:
    """The longest run of at most so many calls, or the run of so many steps."""
    found = recipe.plan(number, spacing=spacing)
    if steps or len(found) <= number:
        return found
    for n in range(max(1, number * number // len(found) + 1), 0, -1):
        if len(found := recipe.plan(n, spacing=spacing)) <= number:
            return found
    raise ScheduleError(f"no run of {found.name} has {number} model calls or less.")
