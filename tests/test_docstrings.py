"""What a reader of the API pages finds under each public name: a docstring, an example that runs, lines of options."""

import contextlib
import doctest
import importlib
import inspect
import re
from dataclasses import is_dataclass

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

# Packages that an example needs, by its room.
NEEDED = {"interop.diffusers": "diffusers", "interop.flax": "jax", "interop.mflux": "mlx", "pictures": "matplotlib"}

pytestmark = pytest.mark.host


def _public():
    """(room, name, object) of every public class and function, each once."""
    seen = {}
    for room in ("", *ROOMS):
        module = importlib.import_module(f"multisched.{room}".rstrip("."))
        listed = getattr(module, "__all__", None)
        for name in listed or dir(module):
            found = getattr(module, name, None)
            own = (getattr(found, "__module__", None) or "").startswith("multisched" if listed else module.__name__)
            if own and not name.startswith("_") and (inspect.isclass(found) or inspect.isfunction(found)):
                seen.setdefault(id(found), (room, name, found))
    return list(seen.values())


PUBLIC = _public()
each = pytest.mark.parametrize(("room", "name", "found"), PUBLIC, ids=[f"{room}.{name}" for room, name, _ in PUBLIC])


@each
def test_it_has_a_docstring(room, name, found):
    text = found.__doc__ or ""
    assert len(text) > 20 and not text.startswith(f"{name}("), text  # a dataclass's own is its signature


def _example(found):
    """The examples of an object itself."""
    return doctest.DocTestParser().get_examples(found.__doc__ or "")


@each
def test_it_has_an_example_that_runs(room, name, found, monkeypatch, tmp_path):
    """In a session that has `np` and `ms`, and nothing else."""
    if room in NEEDED:
        pytest.importorskip(NEEDED[room])
    examples = _example(found)
    assert any(one.want for one in examples), f"{name} has no example that shows something"
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTest(examples, {"np": np, "ms": ms}, name, None, None, found.__doc__)
    told = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=told.append).failed == 0, "".join(told)


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


@each
def test_each_option_has_a_line(room, name, found):
    kinds = found.__mro__ if inspect.isclass(found) else (found,)
    lines = set().union(*(_named(kind.__doc__ or "") for kind in kinds))
    if inspect.isclass(found) and is_dataclass(found):
        lines |= set(options_of(found))
    missing = [one for one in _parameters(found) if one not in lines]
    assert not missing, f"{name} has no line for {missing}"
