"""Docstrings as the site shows them: every option of a dataclass, inherited ones too, with its type and default."""

import ast
import re
import textwrap
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_args

from sphinx.application import Sphinx

from multisched.options import options_of
from multisched.schedulers.base import SETTINGS
from multisched.values import words_in

SECTION = re.compile(r"^(Args|Attributes):$")
GROUP = re.compile(r"^    (\w+(?:, \w+)+): (.*)$")
LINE = re.compile(r"^    (\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", complete, priority=400)  # before napoleon reads it
    app.connect("autodoc-skip-member", skipped)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def complete(app: Sphinx | None, what: str, name: str, found: Any, settings: Any, lines: list[str]) -> None:
    """Replace the section of options by one of all options; else give each of a group of arguments a line."""
    options = isinstance(found, type) and is_dataclass(found) and _options(found, "\n".join(lines))
    before, section, after = _parted(lines)
    section = ["Args:", *options, ""] if options else _ungrouped(section)
    lines[:] = [*_prose(before), *map(_escaped, section), *after]


def _prose(lines: list[str]) -> list[str]:
    """Prose in which an indented block is code, and |x| is no substitution."""
    made: list[str] = []
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if indented and not lines[number - 1].strip() and not _within(made):
            made += [f".. code-block:: {_language(lines[number:])}", ""]
        made.append(line if indented else _escaped(line))
    return made


def _escaped(line: str) -> str:
    """A line whose |x| is no substitution and a * b no emphasis, save in code, which letters may follow."""
    parts = re.split(r"(``.*?``|`[^`]*`)", line)
    shown = [part if part.startswith("`") else re.sub(r"([|*])", r"\\\1", part) for part in parts]
    return "".join(
        f"{part}\\ " if re.match(r"`.*`[a-z]", part + after) else part
        for part, after in zip(shown, [*shown[1:], ""], strict=True)
    )


def _within(made: list[str]) -> bool:
    """Whether the lines so far end in an indented block, or in the head of one."""
    last = next((line for line in reversed(made) if line.strip()), "")
    return last.startswith((" ", ".. ")) or last.endswith("::")


def _language(lines: list[str]) -> str:
    """What a block that the lines begin with is written in."""
    stop = next((number for number, line in enumerate(lines) if line and line[0] != " "), len(lines))
    try:
        ast.parse(textwrap.dedent("\n".join(lines[:stop])))
    except SyntaxError:
        return "text"
    return "python"


def skipped(app: Sphinx, what: str, name: str, found: Any, skip: bool, settings: Any) -> bool | None:
    """Fields of a named tuple, which its docstring tells."""
    return True if "Alias for field number" in (getattr(found, "__doc__", None) or "") else None


def _parted(lines: list[str]) -> tuple[list[str], list[str], list[str]]:
    """The lines before the section of options, of it, and after it; without one it would stand before the next."""
    start = next((i for i, line in enumerate(lines) if SECTION.match(line)), None)
    if start is None:
        start = next((i for i, line in enumerate(lines) if re.match(r"^(Raises|Example|Returns):", line)), len(lines))
        return lines[:start], [], lines[start:]
    stop = next((i for i in range(start + 1, len(lines)) if lines[i] and lines[i][0] != " "), len(lines))
    return lines[:start], lines[start:stop], lines[stop:]


def _ungrouped(section: list[str]) -> list[str]:
    """A section in which `a, b: what they are` is a line for each."""
    made: list[str] = []
    group: list[str] = []

    def close() -> None:
        if group:
            names, first = GROUP.match(group[0]).groups()  # type: ignore[union-attr]
            for name in names.split(", "):
                made.extend([f"    {name}: {first}", *group[1:]])
            group.clear()

    for line in section:
        if not line.startswith("     "):
            close()
        if GROUP.match(line):
            group.append(line)
        elif group:
            group.append(line)
        else:
            made.append(line)
    close()
    return made


def _options(kind: type, docstring: str) -> list[str]:
    """A line for each public field: those that the class adds first, and how numbers are computed last."""
    told = {name: " ".join(text.split()) for name, text in LINE.findall(docstring)} | options_of(kind)
    own = {name for name in kind.__dict__.get("__annotations__", {})}
    shown = [one for one in fields(kind) if one.name in told and not one.name.startswith("_")]
    shown.sort(key=lambda one: (one.name in SETTINGS, one.name not in own))
    return [f"    {one.name} ({_type(one)}): {told[one.name]}" for one in shown]


def _type(option: "Field[Any]") -> str:
    """The words of an option or its type, and its default."""
    kind, words = option.type, words_in(option.type)
    if words:
        nothing = [None] if type(None) in get_args(kind) else []
        text = " | ".join(f"{word!r}" for word in [*words, *nothing])
    else:
        text = getattr(kind, "__name__", None) if isinstance(kind, type) and not get_args(kind) else None
        text = text or re.sub(r"\b(?:multisched|typing|numpy|collections)[\w.]*\.(\w+)", r"\1", str(kind))
    if option.default is not MISSING:
        return f"{text}, default {_shown(option.default)}"
    return text if option.default_factory is MISSING else f"{text}, default {_shown(option.default_factory())}"


def _shown(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)
