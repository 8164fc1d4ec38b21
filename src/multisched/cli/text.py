"""Text for terminals, pipes and programs."""

import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np


def write(text: str) -> None:
    """Print it."""
    sys.stdout.write(f"{text}\n")


def write_json(value: Any) -> None:
    """Print it as JSON; infinite numbers as the word "inf"."""
    write(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def bold(text: str) -> str:
    """Bold on a terminal that shows it, unless NO_COLOR asks for none (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain else f"\x1b[1m{text}\x1b[0m"


def width() -> int:
    """Of the terminal in characters; 100 in pipes."""
    return min(max(shutil.get_terminal_size((100, 24)).columns, 60), 140)


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows as lines whose columns stand below each other; those of these numbers are set to the right."""
    wide = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(cell.rjust(wide[k]) if k in right else cell.ljust(wide[k]) for k, cell in enumerate(row)).rstrip()
        for row in rows
    ]


def cut(text: str, most: int) -> str:
    """The beginning of a text, by words, if it is longer than that."""
    if len(text) <= most:
        return text
    return f"{text[: max(most - 3, 8)].rsplit(' ', 1)[0].rstrip(',;:')}..."
