"""What a reader of the API pages finds under each public name: a docstring, an example that runs, lines of options."""

import contextlib
import doctest
import importlib
import inspect
import pkgutil
import re
from dataclasses import is_dataclass
from pathlib import Path

import numpy as np
import pytest

import multisched as ms
from multisched.options import options_of

ROOMS = [
    "analysis",
    "backends",
    "digits",
    "editing",
    "guidance",
    "noise",
    "paths",
    "pictures",
    "predictions",
    "rl",
    "schedulers",
    "solvers",
    "spacings",
    "training",
    "transforms",
    "interop.diffusers",
    "interop.flax",
    "interop.k_diffusion",
    "interop.mflux",
]

# Libraries that an example needs, whose session runs it.
NEEDED = {
    "multisched.interop.flax.FlaxScheduler": "jax",
    "multisched.interop.flax.FlaxStep": "jax",
    "multisched.training.consistency.mean_flow_target": "torch",
    "multisched.training.consistency.scm_target": "torch",
}

SOURCE = Path(ms.__file__).parent


def _public():
    """(room, name, object) of every public class and function, each once."""
    seen = {}
    for room in ("", *ROOMS):
        module = importlib.import_module(f"multisched.{room}".rstrip("."))
        # What a room with a list of its own takes from elsewhere is meant to be seen; other imports are for use.
        listed = not {"__all__", "__dir__"}.isdisjoint(vars(module))
        for name in getattr(module, "__all__", None) or dir(module):
            found = inspect.unwrap(getattr(module, name, None))  # what is made of a function has its docstring
            own = (getattr(found, "__module__", None) or "").startswith("multisched" if listed else module.__name__)
            if own and not name.startswith("_") and (inspect.isclass(found) or inspect.isfunction(found)):
                seen.setdefault(id(found), (room, name, found))
    return list(seen.values())


PUBLIC = [pytest.param(*one, id=".".join(one[:2]).lstrip(".")) for one in _public()]
each = pytest.mark.parametrize(("room", "name", "found"), PUBLIC)


def has_a_docstring(name, found):
    text = found.__doc__ or ""
    assert len(text) > 20 and not text.startswith(f"{name}("), text  # a dataclass's own is its signature


def has_an_example(name, found):
    examples = doctest.DocTestParser().get_examples(found.__doc__ or "")
    assert any(one.want for one in examples), f"{name} has no example that shows something"


@pytest.mark.host
@each
def test_it_has_a_docstring(room, name, found):
    has_a_docstring(name, found)


@pytest.mark.host
@each
def test_it_has_an_example(room, name, found):
    has_an_example(name, found)


def _fails(test):
    """What goes wrong in a session that has `np` and `ms`, and nothing else."""
    told = []
    test.globs = {"np": np, "ms": ms}
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append)
    return "".join(told)


# By their texts: what holds diffusers' classes is imported in tests/peers alone.
DOCUMENTED = sorted(
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCE.rglob("*.py")
    if ">>>" in (text := path.read_text(encoding="utf-8")) and "\nfrom diffusers" not in text
)


@pytest.mark.host
@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_run(name, monkeypatch, tmp_path):
    """Those of methods and of what is not public too."""
    monkeypatch.chdir(tmp_path)
    tests = [one for one in doctest.DocTestFinder().find(importlib.import_module(name)) if one.examples]
    assert tests and not "".join(_fails(one) for one in tests if one.name not in NEEDED)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what torch says of itself
@pytest.mark.parametrize("name", NEEDED)
def test_an_example_of_another_library_runs(name, backend):
    if backend.name != NEEDED[name]:
        pytest.skip(f"it is an example of {NEEDED[name]}")
    room, _, short = name.rpartition(".")
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(importlib.import_module(room), short), short)
    assert test.examples and not _fails(test)


def _parameters(found):
    """Names of what a caller gives."""
    with contextlib.suppress(ValueError):
        return [
            name
            for name in inspect.signature(found).parameters
            if not name.startswith("_") and name not in ("self", "args", "kwargs")
        ]
    return []


def _named(text):
    """The names that its sections have lines for; `a, b:` counts for both."""
    sections = re.findall(r"^(?:Args|Attributes):\n((?:[ \t]+.*\n|\n(?=[ \t]))*)", inspect.cleandoc(text) + "\n", re.M)
    lines = [line for section in sections for line in section.splitlines() if re.match(r" {4}[\w*]", line)]
    return {one.strip(" *") for line in lines for one in line.partition(":")[0].split(",")}


def each_option_has_a_line(name, found):
    kinds = found.__mro__ if inspect.isclass(found) else (found,)
    lines = set().union(*(_named(kind.__doc__ or "") for kind in kinds))
    if inspect.isclass(found) and is_dataclass(found):
        lines |= set(options_of(found))
    missing = [one for one in _parameters(found) if one not in lines]
    assert not missing, f"{name} has no line for {missing}"


# Not `guidance`, which is an option's name too.
_ROOMS = "|".join(room for room in ROOMS if room != "guidance" and "." not in room)
_NAMED = re.compile(rf"`(?:ms\.)?((?:{_ROOMS}|schedules)\.[\w.]+)")
TEXTS = [
    pytest.param(path.read_text(encoding="utf-8"), id=str(path.relative_to(SOURCE))) for path in SOURCE.rglob("*.py")
]


@pytest.mark.host
@pytest.mark.parametrize("text", TEXTS)
def test_names_of_rooms_in_backticks_are_there(text):
    missing = []
    for name in set(_NAMED.findall(text)):
        try:
            pkgutil.resolve_name(f"multisched.{name}")
        except (ImportError, AttributeError):
            missing.append(name)
    assert not missing


@pytest.mark.host
@pytest.mark.parametrize("text", TEXTS)
def test_shapes_have_one_notation(text):
    """The first axis of arrays is that of the samples."""
    assert not re.findall(r"\((?:batch|batch_size|b|B|bs),[^()]*\)(?! *[=+*/-])", text)


@pytest.mark.host
@each
def test_each_option_has_a_line(room, name, found):
    each_option_has_a_line(name, found)
