"""The command draws one picture per seed: on any backend, and each image alone or in a batch."""

import numpy as np
import pytest

from multisched import cli, digits
from multisched.cli import Run

POINTS = np.random.default_rng(0).random((20, 1, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("noise", ["host", "philox"])
def test_one_picture_per_seed(noise, backend, device, tmp_path, monkeypatch):
    """Of batches of 1 and 16: the bytes of NumPy's, and the first image of the batch is the image alone."""
    monkeypatch.setattr(digits, "images", lambda: POINTS)

    def picture(name, count, *place):
        out = tmp_path / f"{name}-{count}.png"
        arguments = f"sample --model exact --scheduler euler-ancestral --seed 7 --steps 8 --count {count} --noise {noise} --out {out}"
        assert cli.main([*arguments.split(), "--backend", name, *place]) == 0
        return out.read_bytes()

    place = () if device is None or backend.name != "torch" else ("--device", str(device))
    for count in (1, 16):
        assert picture(backend.name, count, *place) == picture("numpy", count)
    _, recipe = cli.recipe_of("euler-ancestral")
    one, batch = (Run(recipe, 8, backend.name, device, 7, count, noise=noise).draw(POINTS).images for count in (1, 16))
    np.testing.assert_allclose(batch[:1], one, atol=2e-5)  # a model's matrix products may add in another order
