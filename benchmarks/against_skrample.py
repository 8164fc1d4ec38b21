"""What does a step cost beside skrample's, on NumPy arrays, for every structured sampler that it has?

    python -m benchmarks.against_skrample [--quick] [--out benchmarks/results/skrample]

skrample needs Python 3.12, so this is a run of its own: `nox -s bench_skrample`.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from skrample.sampling import models, structured
from skrample.scheduling import Scaled

import multisched as ms
from benchmarks import ours
from benchmarks.__main__ import write
from benchmarks.machine import facts
from benchmarks.page import Section
from benchmarks.timing import geometric_mean, rounds
from multisched.interop.diffusers.solvers import HalfCurved

SHAPES = ((1, 4, 8, 8), (1, 4, 64, 64))
STEPS = 12  # few enough for our solvers to lower their order at the end, as skrample's always do
RATIO = "ours / skrample"
SCHEDULE, MODEL = Scaled(), models.NoiseModel()

# skrample's sampler, and our solver of the same method and order.
PAIRS: dict[str, tuple[structured.StructuredSampler, ms.solvers.Solver]] = {
    "Euler": (structured.Euler(), ms.solvers.Euler()),
    "Euler, stochastic": (structured.Euler(stochasticity=1), ms.solvers.DDIM(eta=1.0)),
    "DPM 1": (structured.DPM(order=1), ms.solvers.DPMMultistep(1)),
    "DPM 2": (structured.DPM(order=2), ms.solvers.DPMMultistep(2)),
    "DPM 2, stochastic": (
        structured.DPM(order=2, stochasticity=1),
        ms.solvers.DPMMultistep(2, "sde-dpmsolver++"),
    ),
    "DPM 3": (structured.DPM(order=3), HalfCurved(3)),
    "Adams 2": (
        structured.Adams(order=2, derivative_transform=None),
        ms.solvers.Adams(weights="even", most=2),
    ),
    "Adams 4": (
        structured.Adams(order=4, derivative_transform=None),
        ms.solvers.Adams(weights="even", most=4),
    ),
    "UniP 2": (structured.UniP(order=2), ms.solvers.ExponentialAdams(True, 2)),
    "UniP 3": (structured.UniP(order=3), ms.solvers.ExponentialAdams(True, 3)),
    "UniPC 2": (structured.UniPC(order=2), ms.solvers.ExponentialAdams(True, 2, 3)),
    "UniPC 3": (structured.UniPC(order=3), ms.solvers.ExponentialAdams(True, 3, 4)),
}
LEFT_OUT = (
    "Left out: SPC, which blends the sample with a corrected one by a rule of skrample's own, and the samplers that",
    "call the model themselves (RKUltra, DynasauRK, RKMoire), whose steps cannot be timed without it.",
)


def measure(quick: bool) -> Section:
    """A table for each shape."""
    section = Section("A step beside skrample's, on NumPy arrays")
    section.say(
        f"Microseconds per step, median of many runs of {STEPS} steps that take turns, outputs and noise drawn",
        "beforehand. Both run over the levels of skrample's `Scaled` schedule, on a model of the noise. skrample",
        "computes the coefficients in each step; ours come from the plan, which is not counted.",
        f"`{RATIO}` below 1 says that ours is faster. The last column is by how much the two ends differ, as a share",
        "of the largest value, where every step has its own output: next to nothing where both are one method, more",
        "where they are cousins, as Adams is, whose order skrample lowers at the end.",
    )
    for shape in SHAPES:
        rows = {name: measure_one(*pair, shape, 0.1 if quick else 3.0) for name, pair in PAIRS.items()}
        mean = geometric_mean(row[RATIO] for row in rows.values())
        name = "x".join(map(str, shape))
        section.data[name] = {"us_per_step": rows, "geometric mean": mean}
        section.say(f"### {name}\n\nOurs takes {mean:.2f} of skrample's time in the geometric mean.")
        section.show("microseconds", {key: shown(row) for key, row in rows.items()})
    section.say(*LEFT_OUT)
    return section


def shown(row: dict[str, float]) -> dict[str, Any]:
    """A row with its difference as a power of ten."""
    return {**row, "difference": f"{row['difference']:.0e}"}


def measure_one(
    sampler: structured.StructuredSampler, solver: ms.solvers.Solver, shape: tuple[int, ...], seconds: float
) -> dict[str, float]:
    """Microseconds of both, their ratio, and how far apart they end."""
    plan = ms.Scheduler(ms.paths.Discrete(), "normal", "epsilon", solver).plan_over(grid())
    mine = ours.Inputs(plan, "numpy", shape)
    noise = ours.draw("numpy", shape, 1)
    x, drawn = mine.state.sample, noise if sampler.require_noise else None
    varied = [ours.draw("numpy", shape, 10 + step) for step in range(STEPS)]
    own, other = ends(mine, varied), theirs(sampler, x, varied, drawn)[0]
    same = [mine.output] * STEPS
    contestants: dict[str, Callable[[], float]] = {
        "skrample": lambda: theirs(sampler, x, same, drawn)[1],
        "ours": mine.contestant(),
    }
    found = {name: took * 1e6 for name, took in rounds(contestants, seconds).items()}
    difference = float(np.max(np.abs(own - other)) / np.max(np.abs(own)))
    return {**found, RATIO: found["ours"] / found["skrample"], "difference": difference}


def grid() -> ms.Grid:
    """skrample's levels as a grid, from all noise to none."""
    timesteps, sigmas, alphas = SCHEDULE.ipoints_np(np.linspace(0, 1, STEPS + 1)).T
    return ms.Grid(timesteps, alphas, sigmas)


def ends(mine: ours.Inputs, outputs: list[Any]) -> Any:
    """Where ours end, each step with its output."""
    state = mine.state
    for output in outputs:
        state = mine.plan.step(state, output, mine.noise)
    return state.sample


def theirs(sampler: structured.StructuredSampler, x: Any, outputs: list[Any], noise: Any) -> tuple[Any, float]:
    """The end of a run of skrample's, and seconds per step."""
    before: list[Any] = []
    keep = sampler.require_previous
    began = time.perf_counter()
    for step, output in enumerate(outputs):
        done = sampler.sample(
            x, output, (step / STEPS, (step + 1) / STEPS), MODEL, SCHEDULE, noise=noise, previous=before
        )
        x = done.final
        if keep:
            before = [*before, done][-keep:]
    return x, (time.perf_counter() - began) / STEPS


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that all works")
    parser.add_argument("--out", type=Path, help="file to write, less its ending")
    given = parser.parse_args()
    out = given.out or (None if given.quick else Path("benchmarks/results/skrample"))
    machine = facts(("multisched-diffusion", "numpy", "skrample"))
    print(write({"skrample": measure(given.quick)}, machine, given.quick, out))


if __name__ == "__main__":
    main()
