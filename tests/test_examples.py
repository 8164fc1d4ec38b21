"""The examples run on every backend and show what they promise."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PROMISE = {"resume": "equal: True", "log_prob": "log-density of each of the four runs", "compare": "63 model calls"}


def test_every_example_is_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PROMISE)


@pytest.mark.parametrize("name", PROMISE)
def test_an_example(name, backend, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, backend.name])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert PROMISE[name] in capsys.readouterr().out
