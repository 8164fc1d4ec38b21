"""The command `multisched`: lists, shows, plots and compares schedulers, and draws with them."""

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from multisched.errors import ScheduleError
from multisched.lazy import attached

if TYPE_CHECKING:
    import argparse

    from multisched.cli.choosing import recipe_of as recipe_of, recipes as recipes
    from multisched.cli.parser import Parser
    from multisched.cli.runs import Run as Run
else:
    __getattr__, __dir__, __all__ = attached(__name__, {"choosing": "recipe_of recipes", "runs": "Run"}, "main")

PLACES = {
    "list": "listing",
    "show": "showing",
    "plot": "plotting",
    "compare": "comparing",
    "sample": "sampling",
    "completion": "completion",
}
"""The module of each subcommand, whose `act` does it; it is imported when it is asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Its exit status is 0; 2 if it cannot be done, after one sentence that says why; 1 if its output
    cannot be written; 130 if it is interrupted; 141 if nobody reads its output any more."""
    from multisched.cli.parser import parser

    if "numpy" not in sys.modules:  # the products of a small network are so small that threads slow them down
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    whole, commands = parser()
    if "_ARGCOMPLETE" in os.environ:
        from multisched.cli.completion import complete

        complete(whole)
    try:
        options = _read(list(sys.argv[1:] if arguments is None else arguments), whole, commands)
        try:
            import_module(f"multisched.cli.{PLACES[options.command]}").act(options)
        except ScheduleError as error:
            commands[options.command].error(str(error))
        sys.stdout.flush()
    except SystemExit as stop:
        return _left(stop)
    except KeyboardInterrupt:
        return _ended(130)
    except BrokenPipeError:
        return _ended(141)
    except (OSError, MemoryError, UnicodeError) as error:
        return _unwritten(error)
    return 0


def _read(arguments: list[str], whole: "Parser", commands: "dict[str, Parser]") -> "argparse.Namespace":
    """The options of a command line. What is wrong is told with the usage of the subcommand."""
    from multisched.cli.parser import CURVES

    name = arguments[0] if arguments else ""
    if name and not name.startswith("-") and name not in commands:
        from multisched.values import hint, shown

        whole.error(f"there is no command {shown(name)}{hint(name, commands)}; there are {', '.join(commands)}.")
    curves: list[Any] = []
    if name in CURVES:
        chunks, rest = CURVES[name].split(arguments[1:])
        curves = [_known(whole, commands, [name, *chunk]) for chunk in chunks]
        arguments = [name, *rest]
    options = _known(whole, commands, arguments)
    options.curves = curves
    return options


def _known(whole: "Parser", commands: "dict[str, Parser]", arguments: list[str]) -> "argparse.Namespace":
    options, rest = whole.parse_known_args(arguments)
    if rest:
        commands[options.command].unknown(rest[0])
    return options


def _left(stop: SystemExit) -> int:
    """After a help text, a version or an error, which argparse has printed."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _ended(141)
    except OSError as error:
        return _unwritten(error)
    raise stop


def _unwritten(error: BaseException) -> int:
    reason = getattr(error, "strerror", None) or str(error) or "out of memory"
    with contextlib.suppress(OSError):
        sys.stderr.write(f"multisched: error: {reason[:300]}.\n")
    return _ended(1)


def _ended(status: int) -> int:
    """The status, after dropping what is left to write, on which Python would fail when it exits."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
