"""Small networks, trained here from a seed, that samplers are measured on.

Class-conditional networks on handwritten digits (8 x 8, scaled to [-1, 1]): a residual MLP of 1.0 million weights,
and a convolutional U-Net of 0.2 million with attention. 15 % of classes are dropped, so that they can be guided.
Training takes a fixed number of steps, so a seed gives the same network on the same machine however busy that is.
Weights are kept in benchmarks/weights, or in the folder that MULTISCHED_WEIGHTS names.

    python -m benchmarks.networks [--seeds 6 7 8] [--names vp flow edm vp-conv flow-conv]
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import multisched as ms
from multisched import digits as scans

CACHE = Path(os.environ.get("MULTISCHED_WEIGHTS") or Path(__file__).parent / "weights")
CLASSES, PIXELS, SIDE, WIDTH, BLOCKS, FREQUENCIES = 10, 64, 8, 320, 4, 32
DATA = 0.75  # deviation of the digits
DROPPED, RATE = 0.15, 2e-3

RECIPES: dict[str, ms.Recipe] = {
    "vp": ms.Scheduler(
        ms.paths.Discrete(ms.paths.Betas(1000, 0.00085, 0.012, "scaled_linear")), "normal", "epsilon", ms.solvers.DDIM()
    ),
    "flow": ms.Scheduler(ms.paths.Straight(), "normal", "flow_prediction", ms.solvers.Euler()),
    "edm": ms.Scheduler(
        ms.paths.VarianceExploding(0.002, 80.0, DATA), "karras", ms.Prediction("edm", DATA), ms.solvers.Euler()
    ),
}


class Told(nn.Module):
    """What a network is told of time and class, as one vector.

    Args:
        unit: what times are divided by, so that they are of size 1.
        width: numbers of the vector.
    """

    def __init__(self, unit: float, width: int) -> None:
        super().__init__()
        self.unit = unit
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(100.0), FREQUENCIES)))
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES + 1, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(CLASSES + 1, width)

    def forward(self, t: Tensor, label: Tensor) -> Tensor:
        share = t[:, None] / self.unit
        angles = share * self.frequencies
        return functional.silu(self.time(torch.cat((share, angles.sin(), angles.cos()), 1)) + self.label(label))


class Net(nn.Module):
    """A residual MLP: output of the kind that a recipe expects, from what its path shows to a model."""

    batch, steps = 256, 4000

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.told = Told(unit, WIDTH)
        self.enter, self.leave = nn.Linear(PIXELS, WIDTH), nn.Linear(WIDTH, PIXELS)
        self.blocks = nn.ModuleList(
            nn.ModuleList((nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)))
            for _ in range(BLOCKS)
        )

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        told, h = self.told(t, label), self.enter(x)
        for norm, inner, outer in self.blocks:  # type: ignore[misc]
            h = h + outer(functional.silu(inner(norm(h)) + told))
        return self.leave(h)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Two convolutions around a channel's shift by what the network is told, and the way past them."""

    def __init__(self, before: int, after: int, told: int) -> None:
        super().__init__()
        self.first, self.second = nn.GroupNorm(8, before), nn.GroupNorm(8, after)
        self.inner, self.outer = (nn.Conv2d(c, after, 3, padding=1) for c in (before, after))
        self.shift = nn.Linear(told, after)
        self.past = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.inner(functional.silu(self.first(x))) + self.shift(told)[:, :, None, None]
        return self.outer(functional.silu(self.second(h))) + self.past(x)  # type: ignore[no-any-return]


class UNet(nn.Module):
    """A convolutional U-Net of two sizes, 8 x 8 and 4 x 4, with attention between the places of the smaller."""

    batch, steps = 128, 1800

    def __init__(self, unit: float, wide: int = 24, deep: int = 48, told: int = 96) -> None:
        super().__init__()
        self.told = Told(unit, told)
        self.enter, self.leave = nn.Conv2d(1, wide, 3, padding=1), nn.Conv2d(wide, 1, 3, padding=1)
        self.down, self.up = Block(wide, wide, told), Block(wide + deep, wide, told)
        self.smaller = nn.Conv2d(wide, deep, 3, stride=2, padding=1)
        self.middle = nn.ModuleList((Block(deep, deep, told), Block(deep, deep, told)))
        self.norm, self.last = nn.GroupNorm(8, deep), nn.GroupNorm(8, wide)
        self.query, self.joined = nn.Conv2d(deep, 3 * deep, 1), nn.Conv2d(deep, deep, 1)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        told, wide = self.told(t, label), self.enter(x.reshape(-1, 1, SIDE, SIDE))
        wide = self.down(wide, told)
        deep = self.middle[0](self.smaller(wide), told)
        q, k, v = self.query(self.norm(deep)).flatten(2).transpose(1, 2).chunk(3, 2)
        seen = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(deep.shape)
        deep = self.middle[1](deep + self.joined(seen), told)
        h = self.up(torch.cat((functional.interpolate(deep, scale_factor=2.0), wide), 1), told)
        return self.leave(functional.silu(self.last(h))).reshape(x.shape)  # type: ignore[no-any-return]


class Design(NamedTuple):
    """The kind of model that a network is, a key of RECIPES, and how it is built."""

    kind: str
    build: type[Net] | type[UNet]


DESIGNS = {
    "vp": Design("vp", Net),
    "flow": Design("flow", Net),
    "edm": Design("edm", Net),
    "vp-conv": Design("vp", UNet),
    "flow-conv": Design("flow", UNet),
}


def digits() -> tuple[Tensor, Tensor]:
    """Images (1797, 64) in [-1, 1] and their classes."""
    return torch.tensor(scans.images().reshape(-1, 64)), torch.tensor(scans.labels())


def _times(kind: str, count: int, random: np.random.Generator) -> np.ndarray:
    """Training times: even on the VP and straight paths, normal in log sigma on EDM's."""
    if kind == "edm":
        return np.clip(random.normal(-0.6, 1.6, count), math.log(0.002), math.log(80.0)) / 4
    return random.uniform(0.0, {"vp": 999.0, "flow": 1000.0}[kind], count)


def trained(name: str, seed: int = 0, share: float = 1.0) -> nn.Module:
    """A network by its name, from the cache where it was trained before; with `share` of its steps."""
    torch.manual_seed(seed)
    design = DESIGNS[name]
    net, steps = design.build(0.5 if design.kind == "edm" else 1000.0), max(1, round(share * design.build.steps))
    place = CACHE / f"{name}-{seed}-{steps}.pt"
    if not place.exists():
        place.parent.mkdir(exist_ok=True, parents=True)
        torch.save(_train(net, name, steps, seed), place)
    net.load_state_dict(torch.load(place, weights_only=True))
    return net.eval().requires_grad_(False)


def _train(net: Net | UNet, name: str, steps: int, seed: int) -> dict[str, Tensor]:
    """The running mean of the weights, after so many steps of Adam under a cosine rate."""
    images, labels = digits()
    optimizer, random = torch.optim.Adam(net.parameters(), RATE), np.random.default_rng(seed)
    mean, latest = ([one.clone() for one in net.state_dict().values()], list(net.state_dict().values()))
    began, total = time.perf_counter(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-5
        loss = _loss(net, DESIGNS[name].kind, images, labels, random)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(mean, latest, 1 - min(0.999, (1 + step) / (10 + step)))
        total += loss.item() if step >= 0.9 * steps else 0.0
    loss_at_end, took = total / max(1, steps - math.ceil(0.9 * steps)), time.perf_counter() - began
    print(f"{name}, seed {seed}: {steps} steps in {took:.0f} s, loss {loss_at_end:.4f}", flush=True)
    return dict(zip(net.state_dict(), mean, strict=True))


def _loss(net: Net | UNet, kind: str, images: Tensor, labels: Tensor, random: np.random.Generator) -> Tensor:
    recipe, batch = RECIPES[kind], net.batch
    chosen = torch.tensor(random.integers(0, len(images), batch))
    x0, label, noise = images[chosen], labels[chosen], torch.randn(batch, PIXELS)
    label = torch.where(torch.rand(batch) < DROPPED, CLASSES, label)
    t = _times(kind, batch, random)
    alpha, sigma = recipe.levels(t)
    scale = torch.tensor(recipe.parts().path.scale(alpha, sigma), dtype=torch.float32)[:, None]
    output = net(scale * recipe.add_noise(x0, noise, t), torch.tensor(t, dtype=torch.float32), label)
    return (output - recipe.target(x0, noise, t)).square().mean()


def guided(net: nn.Module, labels: Tensor, guidance: float) -> Callable[[Any, Any], Tensor]:
    """model(x, t) -> output: that without a class, and `guidance` times the way from there to that with it. Computed in
    float32, handed back as x."""

    def model(x: Tensor, t: Any) -> Tensor:
        count, seen = len(x), x.to(torch.float32)
        time = torch.full((count,), float(t))
        with torch.no_grad():
            if guidance == 1:
                return net(seen, time, labels).to(x.dtype)  # type: ignore[no-any-return]
            none = torch.full_like(labels, CLASSES)
            both = net(torch.cat((seen, seen)), torch.cat((time, time)), torch.cat((none, labels)))
        return torch.lerp(both[:count].to(x.dtype), both[count:].to(x.dtype), guidance)

    return model


def main(given: Sequence[str] | None = None) -> None:
    """Train what is not in the cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[6, 7, 8])
    parser.add_argument("--names", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    asked = parser.parse_args(given)
    torch.set_num_threads(1)
    for seed in asked.seeds:
        for name in asked.names:
            trained(name, seed)


if __name__ == "__main__":
    main()
