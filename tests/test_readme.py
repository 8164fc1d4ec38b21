"""The code of the README and of CONTRIBUTING runs, on every backend, and prints what stands below it."""

import re
from pathlib import Path

import numpy as np
import pytest

import multisched as ms

ROOT = Path(__file__).parent.parent
README, CONTRIBUTING = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
# A block of Python, and the indented lines that follow it: what it prints.
BLOCK = re.compile(r"^```python\n(.*?)^```$\n*((?:^ {4}[^\n]*\n)*)", re.MULTILINE | re.DOTALL)


def run_page(page, backend, capsys):
    """The names that the blocks of a page leave behind; each block prints what the page says."""
    names = {}
    capsys.readouterr()
    for code, output in BLOCK.findall(page):
        exec(compile(code.replace('"numpy"', f'"{backend.name}"'), "a page", "exec"), names)
        printed = capsys.readouterr().out
        assert "".join(f"    {line}\n" for line in printed.splitlines()) == output, code
    return names


def test_the_readmes_code_runs(backend, capsys):
    names = run_page(README, backend, capsys)
    image = backend.to_numpy(names["image"])
    assert image.shape == (4, 3, 8, 8) and np.all(np.isfinite(image))
    assert names["mended"] == ms.FlowMatchEuler(shift=3.0)


def test_the_rust_examples_twin(backend, capsys):
    """Each line of the Rust example does in Python what it does there."""
    names = run_page(README, backend, capsys)
    sigmas, steps = (backend.to_numpy(names[name]) for name in ("sigmas", "t"))
    np.testing.assert_allclose(sigmas, np.append(np.linspace(1, 0.001, 50), 0), rtol=1e-6)
    np.testing.assert_allclose(steps, np.linspace(1000, 1, 50), rtol=1e-6)
    assert names["t0"] == 1000.0
    assert ms.backends.of(names["next_sample"]) is backend
    assert tuple(names["next_sample"].shape) == (1, 8, 16, 16)
    assert np.all(backend.to_numpy(names["next_sample"]) == 0)
    assert names["count"] == 10 and tuple(names["timesteps"].shape) == (10,)


@pytest.mark.host
def test_the_code_of_contributing_runs(backend, capsys):
    """Its solver is the one of the package that has the same name in the paper."""
    names = run_page(CONTRIBUTING, backend, capsys)
    parts = ms.paths.Discrete(), "karras", "epsilon"
    solvers = names["TwoStep"](), ms.solvers.DPMMultistep(2, lower_order_final=False)
    ours, theirs = (ms.Scheduler(*parts, solver).plan(9).folded.weights for solver in solvers)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.host
def test_what_the_pages_point_to_is_there():
    for page in (README, CONTRIBUTING):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page):
            assert (ROOT / target).exists(), target


@pytest.mark.host
def test_the_table_has_every_recipe():
    table = README.split("| family | recipes |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(ms.schedulers.named())
