"""The README's code runs, on every backend, and says what it says."""

import re
from pathlib import Path

import numpy as np

import multisched as ms

README = (Path(__file__).parent.parent / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _run(backend):
    names = {}
    for block in PYTHON:
        exec(compile(block.replace('"numpy"', f'"{backend.name}"'), "README.md", "exec"), names)
    return names


def test_the_readmes_code_runs(backend, capsys):
    names = _run(backend)
    image = backend.to_numpy(names["image"])
    assert image.shape == (4, 3, 8, 8) and np.all(np.isfinite(image))
    printed = capsys.readouterr().out.rstrip("\n")
    assert "\n".join(f"    {line}" for line in printed.splitlines()) in README


def test_the_rust_examples_twin(backend):
    """Each line of the Rust example does in Python what it does there."""
    names = _run(backend)
    sigmas, steps = (backend.to_numpy(names[name]) for name in ("sigmas", "t"))
    np.testing.assert_allclose(sigmas, np.append(np.linspace(1, 0.001, 50), 0), rtol=1e-6)
    np.testing.assert_allclose(steps, np.linspace(1000, 1, 50), rtol=1e-6)
    assert names["t0"] == 1000.0
    assert ms.backends.of(names["next_sample"]) is backend
    assert tuple(names["next_sample"].shape) == (1, 8, 16, 16)
    assert np.all(backend.to_numpy(names["next_sample"]) == 0)
    assert names["count"] == 10 and tuple(names["timesteps"].shape) == (10,)
