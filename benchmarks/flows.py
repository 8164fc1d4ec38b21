"""A model with a guidance, and the probability flow that it has: what runs of few calls are compared with."""

import hashlib
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch

import multisched as ms
from benchmarks import networks
from multisched.spacings import SoftLog

STEPS = 400  # of the reference, four calls each
BOTTOM = {"vp": None, "flow": 2e-3, "edm": 2e-3}  # sigma / alpha where the reference takes x0; None for that at t = 0
EXACT = {"vp-exact": "vp", "flow-exact": "flow"}
CENTRES, BLUR = 64, 0.2

_plans: dict[str, ms.Plan] = {}


def kind_of(name: str) -> str:
    """The key of `networks.RECIPES` of a network or an exact model."""
    return EXACT[name] if name in EXACT else networks.DESIGNS[name].kind


class Model:
    """A network with a guidance, or an exact model, as a model of a recipe, and the noise that runs begin from.

    Args:
        name: a key of `networks.DESIGNS` or of `EXACT`.
        guidance: of a network; 1 for none.
        samples: how many.
        seed: of the network and of the noise.
        share: of the network's training.
        resume: whether to take runs of an earlier process from the cache, and to leave them there.
    """

    def __init__(
        self, name: str, guidance: float, samples: int, seed: int, share: float = 1.0, resume: bool = False
    ) -> None:
        generator = torch.Generator().manual_seed(1000 + seed)
        self.kind, self.guidance = kind_of(name), guidance
        self.recipe = networks.RECIPES[self.kind]
        self.noise = torch.randn(samples, networks.PIXELS, generator=generator, dtype=torch.float64)
        if name in EXACT:
            self.call = ms.analysis.model_of(self.recipe, _blurred(seed))
        else:
            net = networks.trained(name, seed, share)
            self.call = networks.guided(net, torch.arange(samples) % networks.CLASSES, guidance)
        self.place = networks.CACHE / f"runs-{name}-{guidance:g}-{seed}-{samples}-{share:g}.npz" if resume else None
        self.known: dict[str, np.ndarray] = {}
        if self.place is not None and self.place.exists():
            self.known = dict(np.load(self.place))

    def squares(self, recipe: ms.Recipe, n: int) -> np.ndarray:
        """Mean squared difference of every sample from the flow, after n steps."""
        key = hashlib.sha1(f"{n} {recipe!r}".encode()).hexdigest()
        if key not in self.known:
            plan = _plans[key] if key in _plans else _plans.setdefault(key, recipe.plan(n))
            self.known[key] = (ms.sample(self.call, plan, self.noise) - self.end).square().mean(-1).numpy()
        return self.known[key]

    def keep(self) -> None:
        """Leave the runs in the cache."""
        if self.place is not None:
            np.savez(self.place, **self.known)  # type: ignore[arg-type]

    @cached_property
    def end(self) -> Any:
        """The end of the flow, from the cache where it is there."""
        if "end" not in self.known:
            self.known["end"] = self.flow().numpy()
        return torch.tensor(self.known["end"])

    def x0(self, x: Any, ratio: float) -> Any:
        """The model's estimate at a level, from its recipe's definition alone."""
        path, prediction = self.recipe.parts().path, self.recipe.parts().prediction
        t, alpha, sigma, scale = (float(one) for one in level(path, ratio))
        return prediction.denoised(scale * x, self.call(scale * x, t), scale * alpha, scale * sigma)

    def flow(self, steps: int = STEPS) -> Any:
        """The end of the flow: d(x / m) / d theta = -(m x0 - alpha / m x) / sigma by Runge and Kutta's fourth-order
        method, m = hypot(alpha, sigma) and theta = atan2(sigma, alpha), and x0 from the last level."""
        path = self.recipe.parts().path
        bottom = BOTTOM[self.kind] or float(path.ratios[0])
        theta = np.arctan(path_levels(path, bottom, steps))
        _, alpha, sigma, _ = level(path, np.tan(theta[0]) if theta[0] < np.pi / 2 else np.inf)
        # A run begins from as much noise as `Plan.start` gives.
        start = self.recipe.plan(1, spacing=SoftLog(bottom=0.08)).start(self.noise).sample
        y = start / float(np.hypot(alpha, sigma))
        for begin, end in pairwise(theta):
            h = end - begin
            k1 = self._slope(y, begin)
            k2 = self._slope(y + h / 2 * k1, begin + h / 2)
            k3 = self._slope(y + h / 2 * k2, begin + h / 2)
            k4 = self._slope(y + h * k3, end)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        _, alpha, sigma, _ = level(path, bottom)
        return self.x0(y * float(np.hypot(alpha, sigma)), bottom)

    def _slope(self, y: Any, theta: float) -> Any:
        path, ratio = self.recipe.parts().path, np.inf if theta >= np.pi / 2 else float(np.tan(theta))
        _, alpha, sigma, _ = (float(one) for one in level(path, ratio))
        m = float(np.hypot(alpha, sigma))
        return -(m * self.x0(y * m, ratio) - alpha * y) / sigma


def level(path: Any, ratio: float) -> Any:
    """The point of a path, pure noise included."""
    return path.at(np.array(1.0)) if np.isinf(ratio) else path.point(np.array(ratio))


def path_levels(path: Any, bottom: float, steps: int) -> np.ndarray:
    """steps + 1 ratios from the path's noisiest to `bottom`."""
    grid = SoftLog(0.1, 10.0, bottom).grid(path, ms.spacings.Asked(steps + 1))
    with np.errstate(divide="ignore"):
        ratios: np.ndarray = grid.sigmas[:-1] / grid.alphas[:-1]
    return ratios


def _blurred(seed: int) -> ms.analysis.Mixture:
    """A mixture of Gaussians around as many digits."""
    images = networks.digits()[0].numpy().astype(np.float64)
    return ms.analysis.Mixture(images[np.random.default_rng(seed).permutation(len(images))[:CENTRES]], BLUR)
