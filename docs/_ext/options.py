"""Docstrings as the site shows them: every option of a dataclass, inherited ones too, with its type and default."""

import ast
import inspect
import re
import textwrap
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import pairwise
from typing import Any, get_args

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from multisched.options import options_of
from multisched.schedulers.base import SETTINGS
from multisched.values import words_in

OPTIONS = re.compile(r"^(Args|Attributes):$")
NEXT = re.compile(r"^(Raises|Returns|Example|Examples):$")
ENTRY = re.compile(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it."""
    app.connect("autodoc-process-docstring", complete, priority=400)  # before napoleon reads it
    app.connect("autodoc-process-docstring", rejoined, priority=600)  # after it
    app.connect("autodoc-skip-member", skipped)
    app.connect("doctree-read", unloaded)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def complete(app: Sphinx | None, what: str, name: str, found: Any, settings: Any, lines: list[str]) -> None:
    """Replace the section of options by one of all options, and give each of a group of arguments an entry."""
    before, section, after = _parted(lines)
    if isinstance(found, type) and is_dataclass(found):
        section = _options(found, section) or section
    else:
        section = [f"    {name}: {text}" for name, text in _entries(section)]
    head = ["Args:"] if section else []
    lines[:] = [*_prose(before), *head, *section, "", *after]


def rejoined(app: Sphinx, what: str, name: str, found: Any, settings: Any, lines: list[str]) -> None:
    """Of a property, put what napoleon takes for its type back in front: `(rows,) float64: what they are`."""
    kind = next((line for line in lines if what == "property" and line.startswith(":type: ")), None)
    if kind is not None:
        lines.remove(kind)
        lines[0] = f"{kind.removeprefix(':type: ')}: {lines[0]}"


def skipped(app: Sphinx, what: str, name: str, found: Any, skip: bool, settings: Any) -> bool | None:
    """Leave out the fields of a named tuple, which its docstring describes."""
    return True if "Alias for field number" in (getattr(found, "__doc__", None) or "") else None


def unloaded(app: Sphinx, document: nodes.document) -> None:
    """Of a function with overloads, show the last signature, without types, as functions without them are shown."""
    for described in document.findall(addnodes.desc):
        *others, last = [one for one in described.children if isinstance(one, addnodes.desc_signature)]
        if others and described["objtype"] in ("function", "method"):
            for one in (*others, *last.findall(addnodes.desc_returns)):
                one.parent.remove(one)
            last["ids"] = last["ids"] or others[0]["ids"]
            for given in list(last.findall(addnodes.desc_parameter)):
                name = next((i for i, one in enumerate(given.children) if isinstance(one, addnodes.desc_sig_name)), 0)
                value = [one for one in given.children if "default_value" in one.get("classes", ())]
                equal = [addnodes.desc_sig_operator("", "=")] if value else []
                given.children[:] = [*given.children[: name + 1], *equal, *value]


def _parted(lines: list[str]) -> tuple[list[str], list[str], list[str]]:
    """The prose, the lines of the section of options, and the sections after it."""
    start = next((i for i, line in enumerate(lines) if OPTIONS.match(line)), None)
    if start is None:
        start = next((i for i, line in enumerate(lines) if NEXT.match(line)), len(lines))
        return lines[:start], [], lines[start:]
    stop = next((i for i in range(start + 1, len(lines)) if lines[i] and lines[i][0] != " "), len(lines))
    return lines[:start], lines[start + 1 : stop], lines[stop:]


def _entries(section: list[str]) -> list[tuple[str, str]]:
    """(name, text) of a section; `a, b: what they are` is two entries."""
    found = ENTRY.findall("\n".join(section))
    return [(name, _escaped(" ".join(text.split()))) for names, text in found for name in names.split(", ")]


def _options(kind: type, section: list[str]) -> list[str]:
    """An entry for each field: those that the class adds come first, and how numbers are computed last."""
    inherited = {name: _escaped(text) for name, text in options_of(kind).items()}
    told, own = dict(_entries(section)) | inherited, inspect.get_annotations(kind)
    shown = [one for one in fields(kind) if one.name in told]
    shown.sort(key=lambda one: (one.name in SETTINGS, one.name not in own))
    return [f"    {one.name} ({_type(one)}): {told[one.name]}" for one in shown]


def _type(option: "Field[Any]") -> str:
    """The words of an option, or else its type; and its default."""
    kind = option.type
    if words := words_in(kind):
        text = " | ".join(map(repr, [*words, *([None] if type(None) in get_args(kind) else [])]))
    elif isinstance(kind, type) and not get_args(kind):
        text = kind.__name__
    else:
        text = re.sub(r"[\w.]+\.(\w+)", r"\1", str(kind))  # without the modules
    if option.default is not MISSING:
        return f"{text}, default {getattr(option.default, '__name__', repr(option.default))}"
    return text if option.default_factory is MISSING else f"{text}, default {option.default_factory()!r}"


def _prose(lines: list[str]) -> list[str]:
    """Prose in which an indented block is code."""
    made: list[str] = []
    code = False
    for number, (last, line) in enumerate(pairwise(["", *lines])):
        indented = line.startswith("    ")
        if indented and not last.strip() and not code and not _opened(made):
            made += [f".. code-block:: {_language(lines[number:])}", ""]
        code = indented or (code and not line.strip())
        made.append(line if code else _escaped(line))
    return made


def _opened(made: list[str]) -> bool:
    """Whether the lines so far end in a directive or a list, to which an indented block belongs."""
    last = next((line for line in reversed(made) if line.strip()), "")
    return last.endswith("::") or last.startswith((".. ", "   :", "- "))


def _language(lines: list[str]) -> str:
    """What the block that begins here is written in."""
    stop = next((number for number, line in enumerate(lines) if line and line[0] != " "), len(lines))
    try:
        ast.parse(textwrap.dedent("\n".join(lines[:stop])))
    except SyntaxError:
        return "text"
    return "python"


def _escaped(line: str) -> str:
    """A line whose |x| is no substitution and a * b no emphasis, save in code, which letters may follow."""
    parts = re.split(r"(``.*?``|`[^`]*`)", line)
    shown = [part if part.startswith("`") else re.sub(r"([|*])", r"\\\1", part) for part in parts]
    return "".join(one + r"\ " * bool(re.match(r"`.*`\w", one + after[:1])) for one, after in pairwise([*shown, ""]))
