"""The command `multisched`: schedulers at work on the exact model of a small data set, on any backend."""

import argparse
import dataclasses
import math
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from multisched import backends, noise, pictures, schedulers
from multisched.analysis import DataSet, model_of
from multisched.errors import ScheduleError
from multisched.plan import Plan
from multisched.sampling import sample
from multisched.schedulers import Recipe, Scheduler

FRAMES = 10
"""Rows of a trajectory's picture, at most."""


class Drawn(NamedTuple):
    """What a run leaves behind.

    Attributes:
        images: float32 (images, channels, h, w), unclipped.
        frames: the noise and the samples after some of the steps, the last included; each as `images`.
        seconds: of the whole loop.
        scheduler_seconds: of the loop without the model.
    """

    images: np.ndarray
    frames: tuple[np.ndarray, ...]
    seconds: float
    scheduler_seconds: float


def recipes() -> dict[str, type[Recipe]]:
    """The named recipes by their names on the command line, as "flow-match-euler" for FlowMatchEuler."""
    named = (getattr(schedulers, name) for name in schedulers.__all__)
    found = (kind for kind in named if issubclass(kind, Recipe) and kind not in (Recipe, Scheduler))
    return {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind.__name__).lower(): kind for kind in found}


def recipe_of(name: str, shift: float | None = None) -> tuple[str, Recipe]:
    """A recipe and its name on the command line, from that name or the class's in any case.

    Raises:
        ScheduleError: an unknown name, or a shift that the recipe has not.
    """
    known = recipes()
    names = {key.replace("-", ""): key for key in known}
    key = names.get(name.replace("-", "").lower())
    if key is None:
        raise ScheduleError(f"--scheduler must be one of {', '.join(known)}; given {name!r}.")
    if shift is None:
        return key, known[key]()
    if "shift" not in {field.name for field in dataclasses.fields(known[key])}:  # type: ignore[arg-type]
        raise ScheduleError(f"{key} has no shift; it belongs to flow matching.")
    return key, known[key](shift=shift)  # type: ignore[call-arg]


@dataclass(frozen=True)
class Run:
    """A run of a scheduler with the exact denoiser of a data set.

    Args:
        recipe: the scheduler.
        steps: number of steps.
        backend, device: where to compute, by name.
        seed: of the noise, which is the same on every backend.
        count: number of images.
        frames: how many states to keep on the way at most, evenly spaced, the noise and the end included.

    Raises:
        ScheduleError: what makes no plan, or a count below 1.
    """

    recipe: Recipe
    steps: int = 28
    backend: str = "numpy"
    device: Any = None
    seed: int = 0
    count: int = 16
    frames: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ScheduleError(f"--count must be at least 1; given {self.count}.")

    @cached_property
    def plan(self) -> Plan:
        """The plan of the run."""
        return self.recipe.plan(self.steps)

    def draw(self, points: np.ndarray, progress: bool = False) -> Drawn:
        """Draw images of the data set `points`, float32 (points, channels, h, w).

        Raises:
            ScheduleError: a backend, device, seed or package that is not to be had.
        """
        backend = backends.get(self.backend)
        start = noise.normal((self.count, *points.shape[1:]), self.seed, backend, self.device)
        exact = model_of(self.recipe, DataSet(backend.asarray(points, "float32", self.device)))
        in_model = 0.0

        def timed(x: Any, t: Any) -> Any:
            nonlocal in_model
            backend.synchronize(x)
            began = time.perf_counter()
            output = exact(x, t)
            backend.synchronize(output)
            in_model += time.perf_counter() - began
            return output

        kept = [self.plan.start(start).sample] if self.frames else []

        def record(row: int, state: Any, _: Any) -> None:
            if row in self._rows_shown:
                kept.append(state.sample)

        began = time.perf_counter()
        drawn = sample(timed, self.plan, start, self.seed, callback=record if self.frames else None, progress=progress)
        backend.synchronize(drawn)
        seconds = time.perf_counter() - began
        frames = tuple(backend.to_numpy(frame) for frame in kept)
        return Drawn(backend.to_numpy(drawn), frames, seconds, seconds - in_model)

    @cached_property
    def _rows_shown(self) -> set[int]:
        """The rows after which a state is kept. A two-call solver ends its steps with every other row only."""
        stages = (*self.plan.stages[1:], 0)
        ends = [row for row, stage in enumerate(stages) if stage == 0]
        places = np.linspace(0, len(ends), min(len(ends) + 1, self.frames))
        return {ends[round(float(place)) - 1] for place in places[1:]}


def _sample(options: argparse.Namespace) -> None:
    name, recipe = recipe_of(options.scheduler, options.shift)
    frames = FRAMES if options.trajectory else 0
    run = Run(recipe, options.steps, options.backend, options.device, options.seed, options.count, frames)
    steps, calls = len(run.plan.grid), len(run.plan)
    pictures.check_writable(options.out)
    points = pictures.digits() if options.data is None else pictures.folder(options.data, options.size)
    drawn = run.draw(points, progress=True)
    images, columns = drawn.images, math.ceil(math.sqrt(options.count))
    if options.trajectory:
        images, columns = np.concatenate(drawn.frames), options.count
    try:
        pictures.grid(images, columns).save(options.out)
    except OSError as error:
        raise ScheduleError(f"{str(options.out)!r} cannot be written: {error.strerror or error}.") from None
    distance = pictures.nearest_distance(drawn.images, points)
    sys.stdout.write(
        f"{name}: {steps} steps, {calls} model calls, {drawn.seconds:.3f} s, {drawn.scheduler_seconds:.3f} s in the "
        f"scheduler alone; mean distance to the nearest training image {distance:.2g} (RMS per pixel)\n"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="multisched", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    add = commands.add_parser(
        "sample",
        help="draw images with the exact denoiser of a data set",
        description="Draw images with the exact denoiser of a data set: handwritten digits, or images of your own.",
    ).add_argument
    add("--scheduler", default="flow-match-euler", help=f"{', '.join(recipes())} (default: %(default)s)")
    add("--steps", type=int, default=28, help="number of steps (default: %(default)s)")
    add("--shift", type=float, help="shift of a flow-matching schedule")
    add("--backend", default="numpy", help="numpy, torch, jax, mlx or another array library (default: %(default)s)")
    add("--device", help="device of that library, such as cpu or cuda")
    add("--seed", type=int, default=0, help="seed of the noise (default: %(default)s)")
    add("--count", type=int, default=16, help="number of images (default: %(default)s)")
    add("--data", type=Path, metavar="FOLDER", help="folder of images to use in place of the digits")
    add("--size", type=int, default=32, help="pixels that the images of --data are resized to (default: %(default)s)")
    add("--out", type=Path, default=Path("grid.png"), help="picture to write (default: %(default)s)")
    add("--trajectory", action="store_true", help="show the steps in rows, the images in columns")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status is 0, or 2 for what cannot be done, which is said in one sentence."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        _sample(options)
    except ScheduleError as error:
        parser.error(str(error))
    return 0
