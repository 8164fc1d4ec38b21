"""What the options of a class are: the line that its docstring has for each, and the words that it may be."""

import inspect
import re
import sys
from dataclasses import fields
from typing import Any

from multisched.values import words_in

_SECTION = re.compile(r"^Args:\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^    (\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)
_ELSEWHERE = re.compile(r"(?:see|as for) `(\w+)`\.")


def options_of(kind: type) -> dict[str, str]:
    """The line of each option of a dataclass: from the "Args:" section of its docstring, or else of a base class's. A
    line that only names another class is replaced by that class's own.

    Example:
        >>> from multisched.options import options_of
        >>> options_of(ms.spacings.Shift)["factor"]
        'above 1 for more steps at high noise.'
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        for name, line in _lines(base).items():
            other = _ELSEWHERE.fullmatch(line)
            told = None if other is None else found.get(name) or _told(base, other[1], name)
            found[name] = told or line
    return {field.name: found[field.name] for field in fields(kind) if field.name in found}


def _lines(kind: type) -> dict[str, str]:
    """The lines of a docstring."""
    section = _SECTION.search(inspect.cleandoc(kind.__dict__.get("__doc__") or ""))
    return {name: " ".join(line.split()) for name, line in _LINE.findall(section[1])} if section else {}


def _told(base: type, other: str, name: str) -> str | None:
    """The line of an option of another class, which the module of a class knows, or its room."""
    places = (sys.modules.get(place) for place in (base.__module__, base.__module__.rpartition(".")[0]))
    found = next((getattr(place, other) for place in places if hasattr(place, other)), None)
    return None if found is None or found is base else options_of(found).get(name)


def words_of(kind: type) -> dict[str, tuple[str, ...]]:
    """The words of those options that are words, a `typing.Literal`.

    Example:
        >>> from multisched.options import words_of
        >>> words_of(ms.spacings.Round)
        {'how': ('nearest', 'down')}
    """
    types: dict[str, Any] = {field.name: field.type for field in fields(kind)}
    return {name: words for name, found in types.items() if (words := words_in(found))}
