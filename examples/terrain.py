"""Heightfields by a published network: the consistency model of adaptive-terrain-diffusion 0.4.2 (PyPI, MIT), through
ONNX Runtime. Drawn in one call and in three, and the right half kept while the left is drawn anew. The network was
distilled for one call: below sigma of about 10 it leaves noise where it was, so the levels stay above that.

pip install onnxruntime && pip install --no-deps adaptive-terrain-diffusion==0.4.2
python examples/terrain.py [terrain.png]
"""

import sys
from importlib import resources

import numpy as np
import onnxruntime

import multisched as ms
from multisched import editing, pictures
from multisched.spacings import End, Respace, Trained

WEIGHTS = "weights/terrain_consistency_unet_difficulty100.onnx"
SESSION = onnxruntime.InferenceSession(str(resources.files("terrain_diffusion") / WEIGHTS))

# The network is D(noisy, sigma, difficulty) -> x0, the heightfield, where noisy = x0 + sigma * z, sigma 0.002 to 80.
RECIPE = ms.Scheduler(
    ms.paths.VarianceExploding(0.002, 80.0, sigma_data=None, timestep="sigma"),
    Trained() | Respace("karras") | End(prior=0.0),
    "sample",
    ms.solvers.PingPong(),
)


def model(difficulty: np.ndarray):
    """The network for difficulties (samples,) from 0, flat, to 1."""

    def denoised(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        sigmas = np.full(len(x), sigma, np.float32)
        return SESSION.run(["denoised"], {"noisy": x, "sigma": sigmas, "difficulty": difficulty})[0]

    return denoised


def main() -> None:
    """Draw the picture."""
    terrain = model(np.linspace(0.2, 1, 4, dtype=np.float32))
    noise = ms.noise.normal((4, 1, 128, 128), rng=0)
    one = ms.sample(terrain, RECIPE.plan(1), noise)
    three = ms.sample(terrain, RECIPE.plan(sigmas=[80, 40, 20]), noise, rng=1)
    edge = np.clip((np.arange(128, dtype=np.float32) - 56) / 16, 0, 1)  # 0 on the left, 1 on the right, soft between
    other = ms.noise.normal(noise.shape, rng=2)
    again = editing.inpaint(terrain, RECIPE.plan(sigmas=[80, 40, 20]), other, one, edge, rng=3)
    for name, found in (("one call", one), ("three calls", three), ("the right half kept", again)):
        slope, apart = np.abs(np.diff(found, axis=-1)).mean(), np.abs(found - one).mean(axis=(0, 1, 2))
        left, right = apart[:56].mean(), apart[72:].mean()
        print(f"{name:20} slope {slope:.4f}, from the first: left {left:.4f} right {right:.4f}")
    if len(sys.argv) > 1:
        pictures.grid(np.concatenate([one, three, again]), columns=4).save(sys.argv[1])


if __name__ == "__main__":
    main()
