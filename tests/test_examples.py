"""The examples run on every backend and show what they promise."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PROMISE = {
    "resume": "equal: True",
    "log_prob": "log-density of each of the four runs",
    "compare": "63 model calls",
    "editing": "what is known is kept: True; exact inversion: True",
    "training": "data 0.5 +- 0.3, samples 0.5 +- 0.3",
    "rl": "ratio on policy 1.0 to 1.0",
    "serving": "9 requests in 22 calls instead of 60; apart by",
}
FACES = {
    "k_diffusion": "mean 0.39",
    "jax_loop": "jax: mean 0.39",
    "robot_policy": "chunk 3: 6 calls, actions 0.2",
    "rolling": "prefix kept: True, the rest 0.2",
    "comfyui": "angle_adams: 10 calls, mean 0.39, deviation 0.59",
    "mflux_loop": "DPMpp2M: mean 0.4",
    "hub": "Euler from org/model, 6 keys used",
    "configs": "the same sampler: True",
    "diffusers_pipeline": "",
}  # the last: tests/peers


@pytest.mark.host
def test_every_example_is_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PROMISE, "terrain"}  # tests/terrain.py runs that


@pytest.mark.parametrize("name", PROMISE)
def test_an_example(name, backend, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, backend.name])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert PROMISE[name] in capsys.readouterr().out


@pytest.mark.host
def test_every_face_has_an_example():
    found = {path.stem: len(path.read_text().splitlines()) for path in (EXAMPLES / "faces").glob("*.py")}
    assert found.keys() == FACES.keys() and max(found.values()) < 60


@pytest.mark.parametrize("name", ["k_diffusion", "jax_loop", "robot_policy", "rolling"])
def test_a_face(name, backend, monkeypatch, capsys):
    if name == "jax_loop" and backend.name != "jax":
        pytest.skip("a loop of JAX")
    monkeypatch.setattr(sys, "argv", [name, backend.name])
    runpy.run_path(str(EXAMPLES / "faces" / f"{name}.py"), run_name="__main__")
    assert FACES[name] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "library"), [("comfyui", "torch"), ("mflux_loop", "mlx"), ("hub", ""), ("configs", "")]
)
def test_a_face_with_a_process_of_its_own(name, library, backend):
    """These put stand-ins of other programs, or of a cache, where the process finds them."""
    if backend.name != (library or "numpy"):
        pytest.skip(f"of {library or 'no library'}")
    script = EXAMPLES / "faces" / f"{name}.py"
    found = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert FACES[name] in found.stdout, found.stderr
