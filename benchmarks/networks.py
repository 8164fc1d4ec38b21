"""Small networks, trained here from a seed, that samplers are measured on.

A class-conditional residual MLP of 1.0 million weights on scikit-learn's digits (8 x 8, scaled to [-1, 1]). 15 % of
classes are dropped, so that it can be guided.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import multisched as ms

CACHE = Path(__file__).parent / "weights"
CLASSES, PIXELS, WIDTH, BLOCKS, FREQUENCIES = 10, 64, 320, 4, 32
DATA = 0.75  # deviation of the digits
DROPPED, BATCH = 0.15, 256

RECIPES: dict[str, ms.Recipe] = {
    "vp": ms.Scheduler(
        ms.paths.Discrete(ms.paths.Betas(1000, 0.00085, 0.012, "scaled_linear")), "normal", "epsilon", ms.solvers.DDIM()
    ),
    "flow": ms.Scheduler(ms.paths.Straight(), "normal", "flow_prediction", ms.solvers.Euler()),
    "edm": ms.Scheduler(
        ms.paths.VarianceExploding(0.002, 80.0, DATA), "karras", ms.Prediction("edm", DATA), ms.solvers.Euler()
    ),
}


class Net(nn.Module):
    """Output of the kind that a recipe expects, from what its path shows to a model.

    Args:
        unit: what times are divided by, so that they are of size 1.
    """

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.unit = unit
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(100.0), FREQUENCIES)))
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES + 1, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.label = nn.Embedding(CLASSES + 1, WIDTH)
        self.enter, self.leave = nn.Linear(PIXELS, WIDTH), nn.Linear(WIDTH, PIXELS)
        self.blocks = nn.ModuleList(
            nn.ModuleList((nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)))
            for _ in range(BLOCKS)
        )

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        share = t[:, None] / self.unit
        angles = share * self.frequencies
        told = nn.functional.silu(self.time(torch.cat((share, angles.sin(), angles.cos()), 1)) + self.label(label))
        h = self.enter(x)
        for norm, inner, outer in self.blocks:  # type: ignore[misc]
            h = h + outer(nn.functional.silu(inner(norm(h)) + told))
        return self.leave(h)  # type: ignore[no-any-return]


def digits() -> tuple[Tensor, Tensor]:
    """Images (1797, 64) in [-1, 1] and their classes."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return torch.tensor(found.data / 8 - 1, dtype=torch.float32), torch.tensor(found.target)


def _times(kind: str, count: int, random: np.random.Generator) -> np.ndarray:
    """Training times: even on the VP and straight paths, normal in log sigma on EDM's."""
    if kind == "edm":
        return np.clip(random.normal(-0.6, 1.6, count), math.log(0.002), math.log(80.0)) / 4
    return random.uniform(0.0, {"vp": 999.0, "flow": 1000.0}[kind], count)


def trained(kind: str, seconds: float, seed: int = 0) -> Net:
    """The network of a kind, from the cache where it was trained as long before."""
    torch.manual_seed(seed)
    net = Net(0.5 if kind == "edm" else 1000.0)
    place = CACHE / f"{kind}-{seed}-{seconds:g}s.pt"
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        torch.save(_train(net, RECIPES[kind], kind, seconds, seed), place)
    net.load_state_dict(torch.load(place, weights_only=True))
    return net.eval().requires_grad_(False)


def _train(net: Net, recipe: ms.Recipe, kind: str, seconds: float, seed: int) -> dict[str, Tensor]:
    """The running mean of the weights, after so many seconds of Adam under a cosine rate."""
    images, labels = digits()
    optimizer, random = torch.optim.Adam(net.parameters(), 2e-3), np.random.default_rng(seed)
    mean = {name: one.clone() for name, one in net.state_dict().items()}
    began, share, step = time.perf_counter(), 0.0, 0
    while share < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (0.5 + 0.5 * math.cos(math.pi * share)) + 1e-5
        loss = _loss(net, recipe, kind, images, labels, random)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        keep = min(0.999, (1 + step) / (10 + step))
        for name, one in net.state_dict().items():
            mean[name].lerp_(one, 1 - keep)
        share, step = (time.perf_counter() - began) / seconds, step + 1
    print(f"{kind}: {step} steps, loss {loss.item():.4f}", flush=True)
    return mean


def _loss(
    net: Net, recipe: ms.Recipe, kind: str, images: Tensor, labels: Tensor, random: np.random.Generator
) -> Tensor:
    chosen = torch.tensor(random.integers(0, len(images), BATCH))
    x0, label, noise = images[chosen], labels[chosen], torch.randn(BATCH, PIXELS)
    label = torch.where(torch.rand(BATCH) < DROPPED, CLASSES, label)
    t = _times(kind, BATCH, random)
    alpha, sigma = recipe.levels(t)
    scale = torch.tensor(recipe.parts().path.scale(alpha, sigma), dtype=torch.float32)[:, None]
    output = net(scale * recipe.add_noise(x0, noise, t), torch.tensor(t, dtype=torch.float32), label)
    return (output - recipe.target(x0, noise, t)).square().mean()


def guided(net: Net, labels: Tensor, guidance: float) -> Callable[[Any, Any], Tensor]:
    """model(x, t) -> output: that without a class, and `guidance` times the way from there to that with it. Computed in
    float32, handed back as x."""

    def model(x: Tensor, t: Any) -> Tensor:
        count, seen = len(x), x.to(torch.float32)
        time = torch.full((count,), float(t))
        with torch.no_grad():
            if guidance == 1:
                return net(seen, time, labels).to(x.dtype)
            none = torch.full_like(labels, CLASSES)
            both = net(torch.cat((seen, seen)), torch.cat((time, time)), torch.cat((none, labels)))
        return torch.lerp(both[:count].to(x.dtype), both[count:].to(x.dtype), guidance)

    return model
