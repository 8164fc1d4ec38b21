"""How far above the floor is a step of a large video latent, and does compiling it help?

The floor of a backend is a copy by that backend, scaled to the bytes that the step has to move.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch

import multisched as ms
from benchmarks import ours
from benchmarks.page import Section
from benchmarks.timing import best, rounds, timed
from multisched.backends import fused

NAME = "large"
SHAPE, QUICK_SHAPE = (4, 16, 21, 60, 104), (1, 16, 5, 60, 104)
DTYPES = ("float32", "bfloat16")
STEPS = 10
RECIPES: dict[str, Any] = {
    "Euler": ms.FlowMatchEuler(shift=3.0),
    "DPM++2M": ms.DPMSolverMultistep(),
    "UniPC 2": ms.UniPCMultistep(solver_order=2),
    "Heun": ms.Heun(),
    "Euler ancestral": ms.EulerAncestral(),
    "DDIM, clipped": ms.DDIM(clip_sample=True),
}
FUSED = "numpy, numba"


def measure(quick: bool) -> Section:
    """A table of ratios for each dtype."""
    shape = QUICK_SHAPE if quick else SHAPE
    section = Section("A large step over its floor")
    section.say(
        f"Latents {'x'.join(map(str, shape))}. Time of a step, the mean of its model calls, over the floor: what the",
        "same backend takes to copy one array into another, times the bytes that the step has to move over those that",
        "the copy moves. A step has to read each operand of its sums once and to write each result once; a register",
        "that only takes over another array moves nothing. The copy is the fastest of several kinds and of many runs;",
        "into memory that is there go copies of NumPy and torch, their eager steps (`out=`) and, given their state,",
        "compiled steps of JAX. 1 is the floor itself.",
        "torch has one thread where nothing is said; the other backends do as they please. NumPy's copy has one.",
        f"`{FUSED}` has the extra `numba`, which sums of float32 and float64 use.",
    )
    plans = {name: recipe.plan(STEPS) for name, recipe in RECIPES.items()}
    if reason := ours.no_compiling():
        section.say(f"Compiled steps are left out: {reason}.")
    settings = [(name, None) for name in ours.names()]
    settings += [("torch", os.cpu_count())] if (os.cpu_count() or 1) > 1 else []
    with_numba = find_spec("numba") is not None
    for dtype in DTYPES:
        rows: dict[str, dict[str, Any]] = {name: {} for name in plans}
        floors: dict[str, float] = {}
        columns = (
            one
            for backend, threads in settings
            for one in measure_backend(plans, backend, threads, shape, dtype, reason is None, quick)
        )
        with without_numba():
            found = list(columns)
        if with_numba and dtype == "float32":
            found += [(FUSED, row) for _, row in measure_backend(plans, "numpy", None, shape, dtype, False, quick)]
        for column, row in found:
            floors[column] = row.pop("floor")
            for name, ratio in row.items():
                rows[name][column] = ratio
        report(section, dtype, rows, floors, plans)
    return section


def measure_backend(
    plans: dict[str, ms.Plan],
    backend: str,
    threads: int | None,
    shape: tuple[int, ...],
    dtype: str,
    compiling: bool,
    quick: bool,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(column, ratio of each plan and the floor in GB/s), eager and compiled."""
    seconds = 0.1 if quick else 0.8
    name = f"{backend}, {threads} threads" if threads else backend
    with torch_threads(threads or 1), torch.inference_mode():
        try:
            array = ours.draw(backend, shape, 0, dtype)
        except ms.ScheduleError:
            return
        per_byte = floor(backend, array, seconds)
        for compile_it in (False, True)[: 1 + (compiling and backend != "numpy")]:
            found: dict[str, Any] = {"floor": 1e-9 / per_byte}
            for key, plan in plans.items():
                try:
                    took, arrays = step_seconds(plan, backend, shape, dtype, compile_it, seconds)
                except ms.ScheduleError:
                    continue
                found[key] = took / (per_byte * arrays * array.nbytes)
            yield f"{name}, compiled" if compile_it else name, found


def step_seconds(
    plan: ms.Plan, backend: str, shape: tuple[int, ...], dtype: str, compile_it: bool, seconds: float
) -> tuple[float, float]:
    """Seconds of a row and arrays that it moves, the means over the rows of one step in the middle."""
    given = ours.Inputs(plan, backend, shape, dtype=dtype)
    rows = ours.middle(plan)

    def step(row: int) -> Callable[[], None]:
        state = given.at(row)
        spare = given.at(row) if backend in ("numpy", "torch") and not compile_it else None

        def once() -> None:
            nonlocal state
            donated = state if backend == "jax" and compile_it else spare
            after = plan.step(state, given.output, given.noise, compile=compile_it, out=donated)
            given.settle(after)
            if donated is state:
                state = after._replace(index=row)

        return once

    found = rounds({str(row): timed(step(row)) for row in rows}, seconds * len(rows))
    return sum(found.values()) / len(rows), sum(ours.moved(plan, row) for row in rows) / len(rows)


def floor(backend: str, array: Any, seconds: float) -> float:
    """Seconds for each byte moved, of the fastest copy."""
    synchronize = ms.backends.get(backend).synchronize
    times = [best(lambda copy=copy: synchronize(copy()), seconds) for copy in copies(backend, array)]  # type: ignore[misc]
    return min(times) / (2 * array.nbytes)


def copies(backend: str, array: Any) -> list[Callable[[], Any]]:
    """Ways to write an array into another."""
    if backend == "numpy":
        import numpy as np

        out = np.empty_like(array)
        np.copyto(out, array)
        return [lambda: np.copyto(out, array)]
    if backend == "torch":
        other = torch.zeros_like(array)
        return [lambda: other.copy_(array), lambda: torch.neg(array, out=other)]
    if backend == "jax":
        import jax

        negative = jax.jit(lambda a: -a)
        return [lambda: jax.numpy.copy(array), lambda: negative(array)]
    import mlx.core as mx

    return [lambda: -array, lambda: mx.abs(array)]


@contextmanager
def without_numba() -> Iterator[None]:
    """NumPy's sums as they are where numba is not installed. It has not been imported yet."""
    before, fused.LARGE = fused.LARGE, sys.maxsize
    try:
        yield
    finally:
        fused.LARGE = before


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """torch on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def report(
    section: Section,
    dtype: str,
    rows: dict[str, dict[str, Any]],
    floors: dict[str, float],
    plans: dict[str, ms.Plan],
) -> None:
    """The table of a dtype."""
    arrays = {name: [ours.moved(plan, row) for row in ours.middle(plan)] for name, plan in plans.items()}
    section.data[dtype] = {"over_floor": rows, "floor_GB_per_s": floors, "arrays_moved": arrays}
    shown = {name: {"arrays moved": " + ".join(map(str, arrays[name])), **row} for name, row in rows.items()}
    shown["copy, GB/s"] = dict(floors)
    section.show(f"{dtype}: time / floor", shown)
