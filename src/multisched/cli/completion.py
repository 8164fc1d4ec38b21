"""Completion in shells, by argcomplete: a shell asks the command itself what may follow."""

import argparse
import sys
from collections.abc import Sequence

from multisched.cli.parser import SHELLS, Parser
from multisched.errors import ScheduleError
from multisched.pictures.files import extra
from multisched.values import option


def act(options: argparse.Namespace) -> None:
    """Print the code for a shell."""
    option("the shell", options.shell, SHELLS)
    code = extra("argcomplete", "argcomplete").shellcode(["multisched"], shell=options.shell)
    sys.stdout.write(f"{code.strip()}\n")


def complete(whole: Parser) -> None:
    """Answer the shell that asks, and leave the process."""
    extra("argcomplete", "argcomplete").autocomplete(whole, always_complete_options=False)


def settings(prefix: str, given: argparse.Namespace) -> Sequence[str]:
    """What may follow --set: the options of the scheduler that was named, or the values of the one that was begun."""
    from multisched.cli.choosing import options_of_name, words_of_name

    names = [getattr(given, "scheduler", None), *(getattr(given, "names", None) or [])]
    name = next((one for one in reversed(names) if one), None) or "flow-match-euler"
    try:
        option_name, equals, _ = prefix.partition("=")
        if equals:
            return [f"{option_name}={word}" for word in words_of_name(name).get(option_name, ())]
        return [f"{one}=" for one in options_of_name(name)]
    except ScheduleError:
        return []
