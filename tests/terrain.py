"""The published network of examples/terrain.py, against its own package. `nox -s terrain` runs it."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from terrain_diffusion import TerrainGenerator

import multisched as ms

EXAMPLE = Path(__file__).parent.parent / "examples" / "terrain.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


@pytest.mark.parametrize("seed", [0, 7])
def test_one_step_is_the_packages_own(example, seed):
    """Bit for bit: the network's output, and the heights that the package makes of it."""
    theirs = TerrainGenerator(device="cpu")
    difficulties = np.array([1, 40, 100])
    labels, _ = theirs._difficulty_labels(difficulties, 3, np.random.default_rng(0))
    noise = np.random.default_rng(seed).standard_normal((3, 1, 128, 128), dtype=np.float32)
    ours = ms.sample(example["model"](labels), example["RECIPE"].plan(1), noise)
    np.testing.assert_array_equal(ours, theirs._sample_native(labels, generator=np.random.default_rng(seed)))
    heights = theirs._resize_output(ours, (128, 128), zero_floor=True)
    np.testing.assert_array_equal(heights, theirs.generate(3, difficulty=difficulties, seed=seed))


def test_a_variation_is_the_packages_own(example):
    """Its `strength` is a level of the same path: x0 + sigma * noise, then one call."""
    theirs, labels = TerrainGenerator(device="cpu"), np.array([0.5, 0.9], np.float32)
    source = np.random.default_rng(1).uniform(-1, 0, (2, 1, 128, 128)).astype(np.float32)
    noise = np.random.default_rng(3).standard_normal(source.shape, dtype=np.float32)
    plan = example["RECIPE"].plan(sigmas=[theirs._strength_sigma(0.6)])
    ours = ms.sample(example["model"](labels), plan, noise, x0=source)
    wanted = theirs._sample_native(labels, generator=np.random.default_rng(3), sources=source, strength=0.6)
    np.testing.assert_allclose(ours, wanted, atol=1e-4)


def test_the_example(monkeypatch, capsys, tmp_path):
    """What is drawn is smooth, what is kept is kept, and the rest is drawn anew."""
    monkeypatch.setattr(sys, "argv", ["terrain", str(tmp_path / "terrain.png")])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    slopes = [float(line[line.index("slope") + 1].rstrip(",")) for line in words]
    assert len(words) == 3 and max(slopes) < 0.02
    assert float(words[2][-1]) == 0 < 0.05 < float(words[2][-3])
    assert (tmp_path / "terrain.png").stat().st_size > 10_000
