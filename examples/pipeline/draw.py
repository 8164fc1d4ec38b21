"""Digits by a trained network, from noise, from another picture, and into a part of one: the same on every library.

python examples/pipeline/draw.py [numpy|torch|jax|mlx] [--sampler auto] [--guidance 2] [--steps 12] [--out digits.png]

The picture has three rows: 3s; what img2img makes 8s of; the same 3s, whose left halves are drawn anew to make 8s.
"""

import argparse
from pathlib import Path

import numpy as np

import multisched as ms
from multisched import digits, editing, pictures

STRENGTH, COUNT = 0.7, 10  # of img2img; pictures of each kind


def recipe_of(name, steps, guidance):
    """A sampler by its name, for the network. All but "auto", which has a spacing of its own, stand on even levels of
    which the last is 1 / steps: FlowMatchEuler's own spacing would spend one call on the last thousandth."""
    more = {"calls": steps, "guidance": guidance} if name == "auto" else {"spacing": "simple"}
    return ms.sampler(name, like=digits.RECIPE, **more)


def draw(backend, sampler="auto", guidance=2.0, steps=12, seed=0, count=COUNT):
    """3s; 8s from them; and 8s that share their right halves."""
    net, recipe = digits.load(backend), recipe_of(sampler, steps, guidance)
    threes, eights = (digits.guided(net, digit, guidance) for digit in (3, 8))
    noise, other = (ms.noise.normal((count, 1, 8, 8), rng=seed + k, backend=backend) for k in range(2))
    drawn = ms.sample(threes, recipe.plan(steps), noise, rng=seed)
    changed = ms.sample(eights, recipe.plan(steps, strength=STRENGTH), other, rng=seed, x0=drawn)
    known = backend.asarray(np.broadcast_to(np.arange(8) >= 4, (1, 1, 8, 8)), "float32")
    completed = editing.inpaint(eights, recipe.plan(steps), other, drawn, known, rng=seed)
    return drawn, changed, completed


def main():
    """Draw, and say what was kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend", nargs="?", default="numpy")
    parser.add_argument("--sampler", default="auto")
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    backend = ms.backends.get(asked.backend)
    drawn, changed, completed = map(backend.to_numpy, draw(backend, asked.sampler, asked.guidance, asked.steps))
    if asked.out is not None:
        pictures.grid(np.concatenate((drawn, changed, completed)), COUNT).save(asked.out)
    kept = np.array_equal(completed[..., 4:], drawn[..., 4:])
    print(f"{backend.name}: {COUNT} threes, {COUNT} eights from them, {COUNT} with their right halves, kept: {kept}")


if __name__ == "__main__":
    main()
