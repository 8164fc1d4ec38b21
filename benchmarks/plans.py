"""What does a plan cost beside `set_timesteps`, and an import?"""

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

import multisched as ms
from benchmarks import peers
from benchmarks.page import Section
from benchmarks.timing import geometric_mean, rounds, timed

NAME = "plans"
STEPS = (50, 1000)
IMPORTS = {
    "numpy": "import numpy",
    "multisched": "import multisched",
    "multisched, a plan": "import multisched as ms; ms.FlowMatchEuler().plan(28)",
    "torch": "import torch",
    "diffusers' schedulers": "from diffusers import DDIMScheduler",
}


def measure(quick: bool) -> Section:
    """Plans and imports."""
    section = Section("Plans and imports")
    rows = {name: measure_one(name, 0.0 if quick else 0.5) for name in peers.NAMES}
    section.data["ms"] = rows
    section.say(
        "Milliseconds of a plan, of a plan with its first step on one number, by which time its table is complete, and",
        "of diffusers' `set_timesteps`, which leaves the coefficients to each step. A dash stands where a class allows",
        f"no such number of steps. {worst(rows)} One plan serves any number of runs, threads and backends.",
    )
    section.show("ms", {name.removesuffix("Scheduler"): row for name, row in rows.items()})
    section.data["import_s"] = imports = import_seconds(3 if quick else 11)
    ratio = imports["diffusers' schedulers"] / imports["multisched, a plan"]
    section.say(
        "Seconds of an import in a fresh interpreter, from compiled files, less the start of the interpreter itself.",
        "multisched imports what it has, NumPy included, when it is first asked for, so a first plan is there too.",
        f"diffusers' schedulers take {ratio:.0f} times as long to import, as they bring torch.",
    )
    section.show("s", {"import": imports})
    return section


def measure_one(name: str, seconds: float) -> dict[str, float]:
    """Milliseconds of both sides for each number of steps that both allow."""
    peer = peers.Peer(name)
    contestants = {}
    for n in STEPS:
        for column, call in (
            (f"plan({n})", lambda n=n: peer.recipe.plan(n)),
            (f"plan({n}), step", lambda n=n: planned_step(peer.recipe, n)),
            (f"set({n})", lambda n=n: peer.set(n)),
        ):
            if allowed(call):
                contestants[column] = timed(call)
    return {column: took * 1e3 for column, took in rounds(contestants, seconds, least=3).items()} if contestants else {}


def allowed(call: Any) -> bool:
    """Whether a class takes so many steps."""
    try:
        call()
    except (ValueError, AssertionError, IndexError, ZeroDivisionError):
        return False
    return True


def planned_step(recipe: ms.Recipe, n: int) -> None:
    """A plan, and its first step."""
    one = np.ones((1, 1))
    made = recipe.plan(n)
    output = np.ones((1, made.tableau.outputs))
    made.step(made.start(one, **dict.fromkeys(made.inputs, one)), output, (one,) * made.noise_draws)


def worst(rows: dict[str, dict[str, float]]) -> str:
    """A sentence about the slowest plans and the ratio of both sides."""
    sentences = []
    for n in STEPS:
        ours = {name: row[f"plan({n})"] for name, row in rows.items() if f"plan({n})" in row}
        both = [row for row in rows.values() if {f"plan({n})", f"set({n})"} <= set(row)]
        ratio = geometric_mean(row[f"plan({n})"] / row[f"set({n})"] for row in both)
        slowest = max(ours, key=lambda name: ours[name])
        sentences.append(
            f"A plan of {n} steps takes {statistics.median(ours.values()):.2g} ms in the median, {ratio:.1f} times "
            f"what `set_timesteps` takes in the geometric mean, and at most {ours[slowest]:.3g} ms "
            f"({slowest.removesuffix('Scheduler')})."
        )
    return " ".join(sentences)


def import_seconds(count: int) -> dict[str, float]:
    """Median seconds of each import, the imports taking turns; the first round, which compiles, does not count."""
    found: dict[str, list[float]] = {name: [] for name in ("start", *IMPORTS)}
    with tempfile.TemporaryDirectory() as compiled:
        settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        settings["PYTHONPYCACHEPREFIX"] = compiled
        for turn in range(count + 1):
            for name, times in found.items():
                command = [sys.executable, "-c", IMPORTS.get(name, "pass")]
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=settings)
                times += [time.perf_counter() - began] * (turn > 0)
    start = statistics.median(found.pop("start"))
    return {name: max(statistics.median(times) - start, math.ulp(1.0)) for name, times in found.items()}
