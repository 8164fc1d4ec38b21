"""`multisched sample`."""

import argparse
import math
import sys

from multisched import pictures
from multisched.cli.choosing import DEFAULT, chosen
from multisched.cli.models import check_alone, model_of, sampled
from multisched.cli.runs import Drawn, Run
from multisched.cli.text import write
from multisched.pictures.files import check_writable
from multisched.pictures.images import nearest_distance

FRAMES = 10
"""Rows of a trajectory's picture, at most."""


def act(options: argparse.Namespace) -> None:
    """Draw, write the picture, and say what it is."""
    check_alone(options)
    name = options.scheduler or (DEFAULT if options.from_config is None else None)
    found = chosen(options, name)
    title, recipe = sampled(found.name, found.recipe, options)
    frames = FRAMES if options.trajectory else 0
    place, asked = (options.backend, options.device), (options.seed, options.count, frames)
    run = Run(recipe, options.steps, *place, *asked, options.mu, options.noise, options.spacing)
    steps, calls = len(run.plan.grid), len(run.plan)
    check_writable(options.out, figure=False)
    model = model_of(options)
    drawn = run.draw_by(model.denoiser, model.shape, sys.stderr is not None and sys.stderr.isatty())
    said = _written(run, drawn, options)
    nearest = ""
    if model.points is not None:
        distance = nearest_distance(drawn.images, model.points)
        nearest = f"mean distance to the nearest of them {distance:.2g} (RMS per pixel)\n"
    write(
        f"{title}: {steps} steps, {calls} model calls, {drawn.seconds:.3f} s, {drawn.scheduler_seconds:.3f} s in the "
        f"scheduler alone\n{model.told}\n{nearest}{said}"
    )


def _written(run: Run, drawn: Drawn, options: argparse.Namespace) -> str:
    """What was written where."""
    if options.trajectory:
        picture = pictures.trajectory(drawn.frames, [run.label(calls) for calls in drawn.calls])
        what = f"{len(drawn.frames)} levels in rows, {options.count} images in columns"
    else:
        picture = pictures.grid(drawn.images, math.ceil(math.sqrt(options.count)))
        what = f"{options.count} images" if options.count > 1 else "1 image"
    pictures.save(picture, options.out, options.force)
    height, width = drawn.images.shape[2:]
    return f"wrote {options.out}: {what} of {width} x {height} pixels, enlarged to {picture.width} x {picture.height}"
