"""The command draws one picture per seed: on any backend, and each image alone or in a batch."""

import numpy as np
import pytest

from multisched import cli, digits
from multisched.analysis import DataSet
from multisched.cli import Run

POINTS = np.random.default_rng(0).random((20, 1, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("noise", ["host", "philox"])
def test_one_picture_per_seed(noise, backend, device, tmp_path, monkeypatch):
    """Of batches of 1 and 16: the bytes of NumPy's, and the first image of the batch is the image alone."""
    monkeypatch.setattr(digits, "images", lambda: POINTS)

    def picture(name, count, *place):
        out = tmp_path / f"{name}-{count}.png"
        asked = f"sample --model exact --scheduler euler-ancestral --seed 7 --steps 8 --count {count}"
        arguments = f"{asked} --noise {noise} --out {out}"
        assert cli.main([*arguments.split(), "--backend", name, *place]) == 0
        return out.read_bytes()

    place = () if device is None or backend.name != "torch" else ("--device", str(device))
    for count in (1, 16):
        assert picture(backend.name, count, *place) == picture("numpy", count)
    _, recipe = cli.recipe_of("euler-ancestral")
    data = DataSet(backend.asarray(POINTS, "float32", device))
    runs = (Run(recipe, 8, backend.name, device, 7, count, noise=noise) for count in (1, 16))
    one, batch = (run.draw_by(data, POINTS.shape[1:]).images for run in runs)
    np.testing.assert_allclose(batch[:1], one, atol=2e-5)  # a model's matrix products may add in another order
