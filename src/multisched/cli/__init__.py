"""The command `multisched`: lists, shows and plots schedulers, and samples from a data set or a small network."""

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from multisched import pictures
from multisched.cli.models import GUIDANCE, check_alone, model_of, sampled
from multisched.cli.recipes import described, explained, named, recipe_of, recipes
from multisched.cli.runs import SOURCES, Run
from multisched.errors import ScheduleError
from multisched.interop.diffusers import from_diffusers
from multisched.schedulers import Recipe

__all__ = ["Run", "main", "recipe_of", "recipes"]

SPACING = "another spacing, such as karras, beta57 or bong_tangent (default: that of the scheduler)"
FRAMES = 10
"""Rows of a trajectory's picture, at most."""
SIZE = 32
"""Pixels that the images of --data are resized to."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Its exit status is 0; 2 if it cannot be done, after one sentence that says why; 1 if its output
    cannot be written; 130 if it is interrupted; 141 if nobody reads its output any more."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
        options.act(options)
        sys.stdout.flush()
    except ScheduleError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return _ended(130)
    except BrokenPipeError:
        return _ended(141)
    except (OSError, MemoryError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "out of memory"
        with contextlib.suppress(OSError):
            sys.stderr.write(f"multisched: error: {reason[:300]}.\n")
        return _ended(1)
    return 0


def _ended(status: int) -> int:
    """The status, after dropping what is left to write, on which Python would fail when it exits."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _list(options: argparse.Namespace) -> None:
    sys.stdout.write("\n".join(described(kind) for kind in recipes().values()) + "\n")


def _show(options: argparse.Namespace) -> None:
    _, recipe = _chosen(options)
    if options.options:
        sys.stdout.write(f"{explained(type(recipe))}\n")
        return
    plan = recipe.plan(options.steps, mu=options.mu, spacing=options.spacing)
    report = f"{recipe.report}\n" if recipe.report else ""
    sys.stdout.write(f"{report}{plan}\n")


def _plot(options: argparse.Namespace) -> None:
    pictures.check_writable(options.out)
    plans = [recipe_of(name)[1].plan(options.steps, spacing=options.spacing) for name in options.names]
    _save(pictures.plot(plans).savefig, options)


def _sample(options: argparse.Namespace) -> None:
    check_alone(options)
    name, recipe = sampled(*_chosen(options), options)
    frames = FRAMES if options.trajectory else 0
    place, asked = (options.backend, options.device), (options.seed, options.count, frames)
    run = Run(recipe, options.steps, *place, *asked, options.mu, options.noise, options.spacing)
    steps, calls = len(run.plan.grid), len(run.plan)
    pictures.check_writable(options.out)
    progress = sys.stderr is not None and sys.stderr.isatty()
    if options.model is None:
        points = (
            pictures.digits()
            if options.data is None
            else pictures.folder(options.data, SIZE if options.size is None else options.size)
        )
        drawn = run.draw(points, progress)
        distance = pictures.nearest_distance(drawn.images, points)
        told = f"mean distance to the nearest training image {distance:.2g} (RMS per pixel)"
    else:
        model, shape, told = model_of(options)
        drawn = run.draw_by(model, shape, progress)
    images, columns = drawn.images, math.ceil(math.sqrt(options.count))
    if options.trajectory:
        images, columns = np.concatenate(drawn.frames), options.count
    _save(pictures.grid(images, columns).save, options)
    sys.stdout.write(
        f"{name}: {steps} steps, {calls} model calls, {drawn.seconds:.3f} s, {drawn.scheduler_seconds:.3f} s in the "
        f"scheduler alone; {told}\n"
    )


def _save(write: Callable[..., object], options: argparse.Namespace) -> None:
    """Write a picture. An existing file is overwritten if its content is the same, or with --force."""
    pictures.save(write, options.out, options.force)


def _chosen(options: argparse.Namespace) -> tuple[str, Recipe]:
    """The recipe that a command line asks for, and its name there."""
    settings = options.set + ([f"shift={options.shift}"] if getattr(options, "shift", None) is not None else [])
    if options.from_config is None:
        return recipe_of(options.scheduler or "flow-match-euler", settings)
    if options.scheduler is not None or settings:
        raise ScheduleError("--from-config says the scheduler and all of its options; give it alone.")
    recipe = from_diffusers(options.from_config)
    return named(type(recipe)), recipe


def _version() -> str:
    """The version of the package."""
    import multisched

    return multisched.__version__


def _sampling(add: Callable[..., object]) -> None:
    add("--backend", default="numpy", help="numpy, torch, jax, mlx or another array library (default: %(default)s)")
    add("--device", help="device of that library, such as cpu or cuda")
    add("--seed", type=int, default=0, help="seed of the noise (default: %(default)s)")
    add("--noise", default="host", help=f"source of the noise: {', '.join(SOURCES)} (default: %(default)s)")
    add("--count", type=int, default=16, help="number of images (default: %(default)s)")
    add("--data", type=Path, metavar="FOLDER", help="folder of images to use in place of the digits")
    add("--size", type=int, help=f"pixels that the images of --data are resized to (default: {SIZE})")
    add("--model", metavar="digits", help="draw with the network of digits that multisched ships")
    add("--class", dest="digit", type=int, metavar="DIGIT", help="that --model draws (default: 0 to 9 in turn)")
    add("--guidance", type=float, help=f"classifier-free guidance of --model (default: {GUIDANCE:g}; 0: no class)")
    add("--out", type=Path, default=Path("grid.png"), help="picture to write (default: %(default)s)")
    add("--force", action="store_true", help="overwrite an existing file")
    add("--trajectory", action="store_true", help="show the steps in rows, the images in columns")


def _plotting(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("names", nargs="+", metavar="NAME", help="as `multisched list` names it")
    add("--steps", type=int, default=20, help="number of steps (default: %(default)s)")
    add("--spacing", help=SPACING)
    add("--out", type=Path, default=Path("plot.png"), help="picture to write (default: %(default)s)")
    add("--force", action="store_true", help="overwrite an existing file")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="multisched", description=__doc__)
    parser.add_argument("--version", action="version", version=f"multisched {_version()}")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, act: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(act=act)
        return added

    command("list", _list, "list every scheduler: order, model calls a step, noise, options and their defaults")
    for name, act, text in (
        ("show", _show, "print the table of a scheduler: one row per model call"),
        (
            "sample",
            _sample,
            "draw images with the exact denoiser of a data set, digits or your own images, or with a network of digits",
        ),
    ):
        add = command(name, act, text).add_argument
        if name == "show":
            add("scheduler", nargs="?", help="as `multisched list` names it")
            add("--options", action="store_true", help="print its options instead: defaults, words, what they mean")
        else:
            add("--scheduler", help="as `multisched list` names it (default: flow-match-euler)")
            add("--shift", type=float, help="the same as --set shift=...")
            add("--sampler", help="by the name of ms.sampler, auto too, in place of the scheduler's solver and spacing")
        add("--set", nargs="+", action="extend", default=[], metavar="OPTION=VALUE", help="options of the scheduler")
        add("--from-config", type=Path, metavar="PATH", help="scheduler_config.json of diffusers, or its folder")
        add("--steps", type=int, default=20 if name == "show" else 28, help="number of steps (default: %(default)s)")
        add("--spacing", help=SPACING)
        add("--mu", type=float, help="dynamic shift of a flow recipe")
    _sampling(add)
    _plotting(command("plot", _plot, "draw noise levels and timesteps of schedulers"))
    return parser
