"""How near do samplers come to a trained network's own probability flow, in 5 to 50 calls?

    python -m benchmarks.accuracy [--seeds 6 7 8] [--samples 32] [--names vp ...] [--quick] [--resume]
        [--out benchmarks/results/NAME]

Trains small networks on scikit-learn's digits from each seed, or takes them from the cache, see `benchmarks.networks`,
and runs `ms.sampler("auto")` and the samplers of `benchmarks.settings`, with and without guidance. The error of a run
is the root mean square of its last samples' difference from the flow, which Runge and Kutta's method follows in 1,600
calls. Guidance is told to "auto". Of the peers the best is taken for each cell, with hindsight. Exact models stand
beside the networks, whose denoiser is known: mixtures of Gaussians around 64 digits. It takes three quarters of an
hour on one core, half of it training.
"""

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import multisched as ms
from benchmarks import networks, report
from benchmarks.flows import EXACT, Model, kind_of
from benchmarks.machine import facts
from benchmarks.settings import COMMON, OURS, USUAL, peers

CALLS, LONG = (5, 8, 10, 12, 15, 20), (30, 50)
GUIDANCE = (1.0, 3.0, 7.0)
MOST = 12  # peers that are run in long runs too: the best of the longest of CALLS
KEPT = 5  # peers of a cell that the file has, beside the usual ones
PACKAGES = ("multisched-diffusion", "numpy", "torch")


def guidances(name: str) -> tuple[float, ...]:
    """Those that a model is run with: less for what is slow, and none for exact models, which know no classes."""
    return GUIDANCE[: 1 if name in EXACT else 3 if name in networks.RECIPES else 2]


Squares = dict[str, np.ndarray]
"""By the name of a setting: squared error of every sample, a row per seed."""


def measure_cell(models: Sequence[Model], calls: Sequence[int], long: Sequence[int], few: bool) -> dict[int, Squares]:
    """Squared errors of all settings, by the number of calls, over models of several seeds."""
    found: dict[int, Squares] = {}
    like, guidance = models[0].recipe, models[0].guidance
    named = dict(peers(models[0].kind, few))
    for n in (*calls, *long):
        if n in long:
            ranked = sorted(named, key=lambda one: error(found[calls[-1]][one]))[:MOST]
            named = {name: named[name] for name in named if name in ranked or name in USUAL}
        auto = ms.sampler("auto", like=like, calls=n, guidance=guidance)
        recipes = {"auto": auto, "auto, guidance not known": ms.sampler("auto", like=like, calls=n), **named}
        for name, solver in OURS.items():
            recipes[name] = _with(auto, solver)
        found[n] = {name: np.stack([one.squares(recipe, n) for one in models]) for name, recipe in recipes.items()}
    for model in models:
        model.keep()
    return found


def _with(recipe: ms.Recipe, solver: Any) -> ms.Recipe:
    parts = recipe.parts()
    return ms.Scheduler(parts.path, parts.spacing, parts.prediction, solver)


def error(squares: np.ndarray) -> float:
    """Root mean square of a seed's samples, the median over the seeds."""
    return statistics.median(np.sqrt(squares.mean(-1)).tolist())


def middle(squares: np.ndarray) -> float:
    """The median over all samples."""
    return float(np.sqrt(np.median(squares)))


def worst(squares: np.ndarray) -> float:
    """The largest over all samples."""
    return float(np.sqrt(squares.max()))


def best(found: Squares, names: Iterable[str], of: Callable[[np.ndarray], float] = error) -> str:
    """The setting with the smallest error."""
    return min(names, key=lambda name: of(found[name]))


def summary(found: Squares) -> dict[str, Any]:
    """What a file keeps of a cell: errors to three digits, the best peers first."""
    ours = [name for name in found if name.startswith("auto") or name in OURS]
    named = [name for name in found if name not in ours]
    ranked = sorted(named, key=lambda name: error(found[name]))
    common = best(found, [name for name in named if name.partition(", ")[0] in COMMON])
    kept = dict.fromkeys([*ours, common, *ranked[:KEPT], best(found, named, middle), best(found, named, worst)])
    kept |= dict.fromkeys(name for name in USUAL if name in found)
    numbers = {
        name: {
            "rms": _three(error(found[name])),
            "seeds": [_three(math.sqrt(one.mean())) for one in found[name]],
            "median": _three(middle(found[name])),
            "worst": _three(worst(found[name])),
        }
        for name in kept
    }
    return {
        "settings": numbers,
        "best": {
            "rms": ranked[0],
            "common": common,
            "median": best(found, named, middle),
            "worst": best(found, named, worst),
            "on our spacing": best(found, OURS),
        },
    }


def _three(value: float) -> float:
    return float(f"{value:.3g}")


def measure(
    names: Sequence[str],
    seeds: Sequence[int],
    samples: int,
    calls: Sequence[int],
    long: Sequence[int],
    share: float,
    resume: bool,
) -> dict[str, Any]:
    """All cells, by model@guidance, and the sums that `report.choices` needs."""
    torch.set_num_threads(1)
    cells: dict[str, Any] = {}
    logs: list[tuple[str, float, int, dict[str, float]]] = []
    for name in names:
        slow, few = name not in networks.RECIPES, seeds[:1] if name in EXACT else seeds
        for guidance in guidances(name):
            began = time.perf_counter()
            models = [Model(name, guidance, samples, seed, share, resume) for seed in few]
            found = measure_cell(models, calls, () if slow else long, slow)
            key = f"{name}@{guidance:g}"
            cells[key] = {str(n): summary(one) for n, one in found.items()}
            if not slow:
                logs += [(kind_of(name), guidance, n, _logs(found[n])) for n in calls]
            print(f"{key}: {time.perf_counter() - began:.0f} s", report.ratios(cells[key]), flush=True)
    return {"cells": cells, "choices": report.choices(logs)}


def _logs(found: Squares) -> dict[str, float]:
    """Mean over the seeds of log error."""
    return {name: float(np.log(one.mean(-1)).mean() / 2) for name, one in found.items()}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [*networks.DESIGNS, *EXACT]
    parser.add_argument("--seeds", type=int, nargs="+", default=[6, 7, 8], help="of networks and noise")
    parser.add_argument("--samples", type=int, default=32, help="of each seed")
    parser.add_argument("--names", nargs="+", choices=every, default=every, metavar="NAME", help=", ".join(every))
    parser.add_argument("--quick", action="store_true", help="networks hardly trained, to see that all works")
    parser.add_argument("--resume", action="store_true", help="take runs of an earlier call from the cache")
    parser.add_argument("--out", type=Path, help="file to write, less its ending")
    given = parser.parse_args()
    out = given.out or (None if given.quick else Path("benchmarks/results/accuracy"))
    seeds, samples, calls, long, share = given.seeds, given.samples, CALLS, LONG, 1.0
    if given.quick:
        seeds, samples, calls, long, share = seeds[:1], 4, (5, 8), (10,), 0.01
    data: dict[str, Any] = {"machine": facts(PACKAGES), "seeds": seeds, "samples": samples}
    data |= measure(given.names, seeds, samples, calls, long, share, given.resume)
    text = report.page(data)
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
        out.with_suffix(".json").write_text(json.dumps(data, indent=None) + "\n", encoding="utf-8")
        out.with_suffix(".svg").write_text(report.figure(data), encoding="utf-8")


if __name__ == "__main__":
    main()
