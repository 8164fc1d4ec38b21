"""`multisched plot`."""

import argparse

from multisched import pictures
from multisched.cli.choosing import Chosen, chosen, plan_of
from multisched.cli.text import write
from multisched.errors import ScheduleError
from multisched.pictures.figures import AXES, MOST
from multisched.pictures.files import check_writable
from multisched.values import option

CONFIG = "scheduler_config.json"


def act(options: argparse.Namespace) -> None:
    """Draw the figure."""
    option("--axis", options.axis, tuple(AXES))
    check_curves(options)
    check_writable(options.out, figure=True)
    plans, labels = [], []
    for curve in options.curves:
        found = chosen(curve, curve.names[0] if curve.names else None)
        plans.append(plan_of(found.recipe, curve))
        labels.append(label(found, curve))
    if len({curve.steps for curve in options.curves}) > 1:
        labels = [f"{name}, {curve.steps} steps" for name, curve in zip(labels, options.curves, strict=True)]
    steps = sorted({len(plan.grid) for plan in plans})
    many = " and ".join(map(str, steps)) if len(steps) < 3 else "several numbers of"
    title = options.title or f"Runs of {many} steps"
    pictures.save(pictures.plot(plans, options.axis, labels=unlike(labels), title=title), options.out, options.force)
    write(f"wrote {options.out}: {len(plans)} curves" if len(plans) > 1 else f"wrote {options.out}")


def check_curves(options: argparse.Namespace) -> None:
    """Refuse no curves, or more than can be told apart."""
    if not 0 < len(options.curves) <= MOST:
        raise ScheduleError(
            f"name 1 to {MOST} schedulers, which is as many as one can tell apart; given {len(options.curves)}."
        )


def label(found: Chosen, curve: argparse.Namespace) -> str:
    """What a curve is called: its name, the options or the configuration that were given, its spacing."""
    config = curve.from_config
    where = [] if config is None else [config.parent.name if config.name == CONFIG else config.name]
    extra = [*where, *found.settings, *([curve.spacing] if curve.spacing else [])]
    return f"{found.name}, {', '.join(extra)}" if extra else found.name


def unlike(labels: list[str]) -> list[str]:
    """The same labels with a number behind those that are there before."""
    return [one if labels.index(one) == k else f"{one} ({labels[:k].count(one) + 1})" for k, one in enumerate(labels)]
