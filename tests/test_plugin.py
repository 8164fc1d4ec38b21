"""A third-party backend, `tests/plugin`, is found by its entry point, and the suite runs on it by its name."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PLUGIN = HERE / "plugin"
pytestmark = pytest.mark.host


@pytest.fixture
def with_plugin(tmp_path):
    """An environment in which the plug-in is installed, without having built it: its entry points as an installer
    writes them."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [line for group, points in project["entry-points"].items() for line in _section(group, points)]
    record = tmp_path / f"{project['name']}-{project['version']}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (record / "entry_points.txt").write_text("\n".join(lines))
    places = [str(PLUGIN), str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def _section(group, points):
    return [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]


def _run(environment, *arguments):
    """What a new interpreter prints, in the folder of the project."""
    command = [sys.executable, *arguments]
    found = subprocess.run(command, env=environment, cwd=HERE.parent, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    return found.stdout


def test_the_plug_in_is_found_and_computes_what_numpy_does(with_plugin):
    code = """
import boxed, numpy as np, multisched as ms
found = ms.backends.available()["boxed"]
assert (found.version, found.devices, found.reason) == ("1.0", ("cpu",), None), found
noise = ms.noise.normal((2, 3), rng=0, backend="boxed")
assert type(noise) is boxed.Array and ms.backends.of(noise) is ms.backends.get("boxed")
plan = ms.UniPCMultistep().plan(4)
ours = ms.sample(lambda x, t: x * 0.5, plan, noise)
theirs = ms.sample(lambda x, t: x * 0.5, plan, noise.inside)
assert type(ours) is boxed.Array and np.array_equal(ours.inside, theirs)
print("equal")
"""
    assert _run(with_plugin, "-c", code) == "equal\n"


def test_without_the_plug_in_there_is_no_such_backend():
    code = "import multisched as ms; print('boxed' in ms.backends.available())"
    assert _run(dict(os.environ), "-c", code) == "False\n"


def test_the_suite_runs_on_it(with_plugin):
    """The short way of CONTRIBUTING, less the tests that look at plans alone."""
    contributing = (HERE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    command = re.search(r"^pytest (--backend boxed --require-backend tests/\S+)", contributing, re.MULTILINE)
    assert command is not None
    plain = ("-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not host", "-q")
    printed = _run(with_plugin, "-m", "pytest", *command[1].split(), *plain)
    ran = re.search(r"^(\d+) tests ran on boxed$", printed, re.MULTILINE)
    assert ran is not None and int(ran[1]) >= 50
