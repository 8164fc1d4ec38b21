"""Train the network of digits that `multisched.digits` ships: flow matching, in torch, with the forward pass that every
library runs. A seed gives the same weights again on the same machine, and with the defaults the shipped ones. Another
number of threads sums in another order, so it gives other last bits: one thread takes 187 s (hash 9924670c14e86a56, the
shipped weights), two take 142 s (7b751e8bb7ba02da).

python examples/pipeline/train.py [--steps 1600] [--seed 0] [--threads 1] [--out src/multisched/digits/weights.npz]

Every fifth digit of the 1,797 is held out: the loss on those says whether the network generalises.
"""

import argparse
import hashlib
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from multisched import digits
from multisched.digits.network import forward, initial

BATCH, RATE, DECAY, DROPPED = 128, 2e-3, 0.02, 0.15
ROUNDS = 8  # levels and noises of each image that a loss is measured at


class Trained(NamedTuple):
    """The result.

    Attributes:
        weights: float16, by name: the running mean of the last thousand steps or so.
        first, last: mean training loss of the first and the last tenth of the steps.
        seen, held_out: loss of `weights` on 359 digits trained on, and on those held out; of the same noise and levels.
    """

    weights: dict[str, np.ndarray]
    first: float
    last: float
    seen: float
    held_out: float

    @property
    def hash(self) -> str:
        """Of the weights."""
        return hashlib.sha256(b"".join(self.weights[name].tobytes() for name in sorted(self.weights))).hexdigest()[:16]


def data():
    """Digits in [-1, 1] and their classes, to train on and held out."""
    images, labels = torch.tensor(digits.images()), torch.tensor(digits.labels())
    held = torch.arange(len(images)) % 5 == 4
    return (images[~held], labels[~held]), (images[held], labels[held])


def loss(weights, images, labels, random):
    """Mean squared error of the velocity at timesteps of a logit-normal density (arXiv 2403.03206, eq. 19)."""
    t = 1000 / (1 + np.exp(-random.standard_normal(len(images))))
    noise = torch.tensor(random.standard_normal(images.shape), dtype=torch.float32)
    x = digits.RECIPE.add_noise(images, noise, t)
    output = forward(weights, x, torch.tensor(t, dtype=torch.float32), labels)
    return (output - digits.RECIPE.target(images, noise, t)).square().mean()


def measured(weights, images, labels):
    """The mean loss of images, the noise and the levels of each round drawn from the same seed."""
    random = np.random.default_rng(1)
    with torch.no_grad():
        return sum(loss(weights, images, labels, random).item() for _ in range(ROUNDS)) / ROUNDS


def train(steps, seed=0, batch=BATCH):
    """Adam with decoupled weight decay (arXiv 1711.05101) under a cosine rate; some classes are dropped, so that the
    network can be guided (arXiv 2207.12598)."""
    (images, labels), held = data()
    random = np.random.default_rng(seed)
    weights = {name: torch.tensor(values, requires_grad=True) for name, values in initial(seed).items()}
    mean = {name: values.detach().clone() for name, values in weights.items()}
    optimizer = torch.optim.AdamW(weights.values(), RATE, weight_decay=DECAY)
    losses, rising = [], max(1, min(50, steps // 5))
    for step in range(steps):
        for group in optimizer.param_groups:
            warm, cooled = min(1.0, (step + 1) / rising), 0.5 + 0.5 * math.cos(math.pi * step / steps)
            group["lr"] = RATE * warm * cooled + 1e-6
        chosen = torch.tensor(random.integers(0, len(images), batch))
        dropped = torch.tensor(random.random(batch) < DROPPED)
        found = loss(weights, images[chosen], torch.where(dropped, digits.NONE, labels[chosen]), random)
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
        losses.append(found.item())
        with torch.no_grad():
            for name, values in mean.items():
                values.lerp_(weights[name], 1 - min(0.998, (1 + step) / (10 + step)))
        if step % 200 == 199:
            print(f"step {step + 1}: loss {np.mean(losses[-200:]):.4f}", flush=True)
    kept = {name: values.numpy().astype(np.float16) for name, values in mean.items()}
    final = {name: torch.tensor(values.astype(np.float32)) for name, values in kept.items()}
    tenth = max(1, steps // 10)
    ends = float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:]))
    return Trained(kept, *ends, measured(final, images[: len(held[0])], labels[: len(held[0])]), measured(final, *held))


def main():
    """Train, say how it went, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch; the shipped weights are of one")
    parser.add_argument("--out", type=Path, help="where to write the weights")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    began = time.perf_counter()
    found = train(asked.steps, asked.seed)
    print(
        f"{asked.steps} steps in {time.perf_counter() - began:.0f} s: training loss {found.first:.4f} to "
        f"{found.last:.4f}; on digits trained on {found.seen:.4f}, held out {found.held_out:.4f}; hash {found.hash}"
    )
    if asked.out is not None:
        np.savez_compressed(asked.out, **found.weights)


if __name__ == "__main__":
    main()
