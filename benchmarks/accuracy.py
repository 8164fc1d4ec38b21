"""How near do samplers come to a trained network's own probability flow, in 5 to 20 calls?

    python -m benchmarks.accuracy [--seconds 150] [--samples 32] [--seed 0] [--quick] [--out benchmarks/results/NAME]

Trains three small networks on scikit-learn's digits, see `benchmarks.networks`, and runs `ms.sampler("auto")` and the
samplers that are most used on the spacings that they are used with, with and without guidance. The error of a run is
the root mean square of its last sample's difference from the flow, which Runge and Kutta's method follows in 1,600
calls. Guidance is told to "auto". Of the peers the best is taken for each number of calls, with hindsight.
"""

import argparse
import json
import math
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import multisched as ms
from benchmarks import networks
from benchmarks.machine import facts
from benchmarks.page import Section
from benchmarks.timing import geometric_mean
from multisched.solvers import Adams, DPMMultistep, Euler, ExponentialAdams, Solver
from multisched.spacings import End, Even, Named, Shift, SoftLog, Spacing

CALLS = (5, 8, 10, 12, 15, 20)
GUIDANCE = (1.0, 3.0, 7.0)
STEPS = 400  # of the reference, four calls each
BOTTOM = {"vp": None, "flow": 2e-3, "edm": 2e-3}  # sigma / alpha where the reference takes x0; None for that at t = 0
PACKAGES = ("multisched-diffusion", "numpy", "torch", "scikit-learn")


def unipc(order: int) -> Solver:
    """UniPC with its rule bh2, of lower order in the last steps."""
    return ExponentialAdams(True, order, order + 1, "bh2", math.inf)


SOLVERS: dict[str, Solver] = {
    "Euler": Euler(),
    "DPM++ 2M": DPMMultistep(2, lower_order_final=True),
    "DPM++ 3M": DPMMultistep(3, lower_order_final=True),
    "UniPC 2": unipc(2),
    "UniPC 3": unipc(3),
    "DEIS 2": ExponentialAdams(False, 2, falling=15),
    "iPNDM 4": Adams("even", "euler", 4),
}
LEVELS = ("karras", "exponential", "linspace", "trailing", "beta")
SPACINGS: dict[str, dict[str, Spacing]] = {
    "vp": {name: Named(name) for name in LEVELS},
    "flow": {
        "shift 1": Even(1.0, 0.0, True),
        "shift 3": Even(1.0, 0.0, True) | Shift(3.0),
        "beta": Named("beta"),
    },
    "edm": {name: Named(name) for name in ("karras", "exponential")},
}
# The usual solvers on our spacing too, which says what of the gain is the solver's.
OURS = {
    "iPNDM 3, SoftLog": Adams("even", "euler", 3),
    "UniPC 2, SoftLog": unipc(2),
    "DPM++ 2M, SoftLog": SOLVERS["DPM++ 2M"],
}


class Model:
    """A network with a guidance, as a model of a recipe, and the noise that runs begin from."""

    def __init__(self, kind: str, net: networks.Net, guidance: float, samples: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(1000 + seed)
        self.recipe = networks.RECIPES[kind]
        self.noise = torch.randn(samples, networks.PIXELS, generator=generator, dtype=torch.float64)
        self.call = networks.guided(net, torch.arange(samples) % networks.CLASSES, guidance)
        self.kind, self.guidance = kind, guidance

    def x0(self, x: Any, ratio: float) -> Any:
        """The network's estimate at a level, from its recipe's definition alone."""
        path, prediction = self.recipe.parts().path, self.recipe.parts().prediction
        t, alpha, sigma, scale = (float(one) for one in level(path, ratio))
        return prediction.denoised(scale * x, self.call(scale * x, t), scale * alpha, scale * sigma)

    def run(self, recipe: ms.Recipe, n: int) -> Any:
        """The end of a run of n steps."""
        return ms.sample(self.call, recipe.plan(n), self.noise)

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


def peers(kind: str) -> Iterator[tuple[str, ms.Recipe]]:
    """The named settings of a kind of model."""
    parts = networks.RECIPES[kind].parts()
    for solver, update in SOLVERS.items():
        for spacing, place in SPACINGS[kind].items():
            yield f"{solver}, {spacing}", ms.Scheduler(parts.path, place | End(), parts.prediction, update)


def measure_one(model: Model, calls: tuple[int, ...]) -> dict[int, dict[str, Any]]:
    """Errors of "auto", of every peer, and of peers on our spacing, by the number of calls."""
    wanted, found = model.flow(), {}
    parts = model.recipe.parts()
    for n in calls:
        auto = ms.sampler("auto", like=model.recipe, calls=n, guidance=model.guidance)
        blind = ms.sampler("auto", like=model.recipe, calls=n)
        place = auto.parts().spacing
        ours = {name: ms.Scheduler(parts.path, place, parts.prediction, one) for name, one in OURS.items()}
        found[n] = {
            "auto": errors(model.run(auto, n), wanted),
            "auto, guidance not known": errors(model.run(blind, n), wanted),
            "named": {name: errors(model.run(one, n), wanted) for name, one in peers(model.kind)},
            "on our spacing": {name: errors(model.run(one, n), wanted) for name, one in ours.items()},
        }
    return found


def errors(found: Any, wanted: Any) -> dict[str, float]:
    """Root mean square over all values; and the median and the worst of those of the samples."""
    squares = ((found - wanted) ** 2).mean(1).numpy()
    each = np.sqrt(squares)
    return {"rms": float(np.sqrt(squares.mean())), "median": float(np.median(each)), "worst": float(each.max())}


def least(named: dict[str, dict[str, float]], key: str = "rms") -> tuple[str, float]:
    """The best of them and its error."""
    name = min(named, key=lambda one: named[one][key])
    return name, named[name][key]


def measure(seconds: float, samples: int, seed: int, calls: tuple[int, ...] = CALLS) -> Section:
    """All networks, with all guidances."""
    torch.set_num_threads(1)
    section, table, ratios = Section("Accuracy of few calls on trained networks"), {}, {}
    for kind in networks.RECIPES:
        net = networks.trained(kind, seconds, seed)
        for guidance in GUIDANCE:
            cell = f"{kind}@{guidance:g}"
            found = measure_one(Model(kind, net, guidance, samples, seed), calls)
            section.data[cell] = found
            for n, row in found.items():
                (name, error), (moved, on_ours) = least(row["named"]), least(row["on our spacing"])
                table[f"{cell}, {n}"] = _row(row, name, error, moved, on_ours)
                ratios.setdefault(cell, {})[str(n)] = f"{error / row['auto']['rms']:.2f}"
            means = [least(row["named"])[1] / row["auto"]["rms"] for row in found.values()]
            ratios[cell]["mean"] = f"{geometric_mean(means):.2f}"
            print(cell, ratios[cell], flush=True)
    section.say(
        f"Networks trained for {seconds:g} s each from seed {seed}; {samples} samples. Error of the best named peer,",
        'chosen with hindsight for each cell, over that of "auto", which knows the guidance; above 1 "auto" is better.',
    )
    section.show("network@guidance", ratios)
    section.say('Root mean square errors; "worst" is that of one sample. The last two: usual solvers on our spacing.')
    section.show("network@guidance, calls", table)
    return section


def _row(row: dict[str, Any], name: str, error: float, moved: str, on_ours: float) -> dict[str, str]:
    return {
        "auto": f"{row['auto']['rms']:.2e}",
        "guidance not known": f"{row['auto, guidance not known']['rms']:.2e}",
        "best named": f"{error:.2e}",
        "which": name,
        "ratio": f"{error / row['auto']['rms']:.2f}",
        "of medians": f"{least(row['named'], 'median')[1] / row['auto']['median']:.2f}",
        "of worst": f"{least(row['named'], 'worst')[1] / row['auto']['worst']:.2f}",
        "on our spacing": f"{on_ours:.2e}",
        "which of those": moved.partition(",")[0],
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=150.0, help="of training for each network")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="10 seconds and 8 samples, to see that all works")
    parser.add_argument("--out", type=Path, help="file to write, less its ending")
    given = parser.parse_args()
    out = given.out or (None if given.quick else Path("benchmarks/results/accuracy"))
    seconds, samples = (10.0, 8) if given.quick else (given.seconds, given.samples)
    section, machine = measure(seconds, samples, given.seed), facts(PACKAGES)
    text = f"# Accuracy\n\n{', '.join(f'{key} {value}' for key, value in machine.items())}.\n\n{section.markdown()}"
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
        kept = {"machine": machine, "seconds": seconds, "samples": samples, "seed": given.seed, **section.data}
        out.with_suffix(".json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
