"""What does a step, a plan and an import cost, and what do they cost in diffusers?

    python -m benchmarks [--out benchmarks/results/NAME]

Medians of many calls in one process, the peer's beside ours in turn; a table is printed and kept as Markdown and JSON.
torch computes with one thread, as launching is what is measured.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import diffusers
import numpy as np
import torch

import multisched as ms

SHAPE = (1, 4, 64, 64)
STEPS = 50
CALLS = 2000

# Ours, and the peer's scheduler with the arguments of its step that make it the same.
PAIRS: dict[str, tuple[ms.Recipe, Any, dict[str, Any]]] = {
    "FlowMatchEuler": (ms.FlowMatchEuler(shift=3.0), diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), {}),
    "FlowMatchHeun": (ms.FlowMatchHeun(shift=3.0), diffusers.FlowMatchHeunDiscreteScheduler(shift=3.0), {}),
    "FlowMatchPingPong": (
        ms.FlowMatchPingPong(shift=3.0),
        diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, stochastic_sampling=True),
        {},
    ),
    "DDIM": (ms.DDIM(clip_sample=False), diffusers.DDIMScheduler(clip_sample=False), {}),
    "DDIM, clipped": (ms.DDIM(), diffusers.DDIMScheduler(), {}),
}


def median_us(call: Callable[[], object], count: int = CALLS) -> float:
    """Median microseconds of a call."""
    call()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def ours(recipe: ms.Recipe, name: str) -> float:
    """Microseconds per eager step, the noise of a stochastic one drawn beforehand."""
    backend = ms.backends.get(name)
    plan = recipe.plan(STEPS)
    x, output, z = (ms.noise.normal(SHAPE, rng=seed, backend=name) for seed in range(3))
    state = plan.start(x)
    backend.synchronize(state.sample, output, z)

    def run() -> None:
        stepped = state
        for row in range(len(plan)):
            stepped = plan.step(stepped, output, z if plan.needs_noise(row) else None)
            backend.synchronize(stepped.sample)

    with torch.inference_mode():
        return median_us(run, max(3, CALLS // STEPS)) / len(plan)


def theirs(scheduler: Any, arguments: dict[str, Any]) -> float:
    """Microseconds per step of the peer, in the loop that its pipelines have, its noise drawn beforehand likewise."""
    x, output, z = (torch.randn(SHAPE) for _ in range(3))

    def run() -> None:
        scheduler.set_timesteps(STEPS)
        stepped = x
        for t in scheduler.timesteps:
            stepped = scheduler.step(output, t, stepped, return_dict=False, **arguments)[0]

    drawn = mock.patch.object(sys.modules[type(scheduler).__module__], "randn_tensor", return_value=z)
    with torch.inference_mode(), drawn:
        whole = median_us(run, max(3, CALLS // STEPS))
        setting = median_us(lambda: scheduler.set_timesteps(STEPS), 20)
    return (whole - setting) / len(scheduler.timesteps)


def import_seconds(module: str) -> float:
    """Median seconds of an import in a fresh interpreter, less the interpreter's own start."""

    def run(code: str) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    return run(f"import {module}") - run("pass")


def plan_ms(recipe: ms.Recipe, n: int) -> float:
    """Milliseconds of a plan and its first step on one number, with which its table is complete."""
    one = np.zeros(1)

    def make() -> None:
        plan = recipe.plan(n)
        plan.step(plan.start(one), one, one)

    return median_us(make, 30) / 1e3


def measure() -> dict[str, Any]:
    """Everything, as nested dictionaries of numbers."""
    torch.set_num_threads(1)
    names = [found.name for found in ms.backends.available().values() if found.reason is None]
    steps = {}
    for pair, (recipe, scheduler, arguments) in PAIRS.items():
        peer = theirs(scheduler, arguments)
        steps[pair] = {"diffusers": peer, **{name: ours(recipe, name) for name in names}}
    plans = {
        pair: {
            **{f"plan({n})": plan_ms(recipe, n) for n in (50, 1000)},
            **{f"set_timesteps({n})": median_us(lambda: scheduler.set_timesteps(n), 30) / 1e3 for n in (50, 1000)},  # noqa: B023
        }
        for pair, (recipe, scheduler, _) in PAIRS.items()
    }
    imports = {module: import_seconds(module) for module in ("numpy", "multisched", "torch")}
    return {"machine": machine(names), "us_per_step": steps, "ms_per_plan": plans, "import_s": imports}


def machine(names: list[str]) -> dict[str, Any]:
    """What was measured on."""
    versions = {name: ms.backends.get(name).version for name in names}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "diffusers": diffusers.__version__,
        **versions,
    }


def table(title: str, rows: dict[str, dict[str, float]], digits: int) -> str:
    """A Markdown table of rows of the same columns."""
    columns = list(next(iter(rows.values())))
    lines = [f"| {title} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(f'{row[c]:.{digits}f}' for c in columns)} |" for name, row in rows.items()]
    return "\n".join(lines)


def report(found: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    steps = {
        name: {**row, "diffusers / torch": row["diffusers"] / row["torch"]}
        for name, row in found["us_per_step"].items()
    }
    facts = ", ".join(f"{key} {value}" for key, value in found["machine"].items())
    shape = "x".join(map(str, SHAPE))
    return "\n\n".join(
        [
            f"# Benchmarks\n\n{facts}",
            table(f"microseconds per eager step, {shape} float32", steps, 1),
            table("milliseconds", found["ms_per_plan"], 3),
            table("seconds", {"import": found["import_s"]}, 3),
        ]
    )


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/cpu"), help="file to write, less its ending"
    )
    out = parser.parse_args().out
    found = measure()
    text = report(found)
    print(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(text + "\n")
    out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
