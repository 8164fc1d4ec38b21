"""How often is a compiled step traced, and how long does compiling take?"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import multisched as ms
from benchmarks import ours
from benchmarks.page import Section
from multisched.table.kernel import compiled

NAME = "compiled"
SHAPE = (1, 4, 64, 64)
STEPS, OTHER_STEPS = 50, 40
SCANNED = (10, 1000)
FAMILIES: dict[str, ms.Recipe] = {
    "Euler": ms.FlowMatchEuler(shift=3.0),
    "DPM++2M": ms.DPMSolverMultistep(),
    "UniPC": ms.UniPCMultistep(),
    "Euler ancestral": ms.EulerAncestral(),
    "DDIM": ms.DDIM(clip_sample=False),
    "DDPM": ms.DDPM(),
    "Heun": ms.Heun(),
    "KDPM2": ms.KDPM2(),
    "LMS": ms.LMS(),
    "PNDM": ms.PNDM(),
    "DPM-Solver singlestep": ms.DPMSolverSinglestep(),
    "DEIS": ms.DEISMultistep(),
    "SA-Solver": ms.SASolver(),
    "LCM": ms.LCM(),
    "Langevin": ms.ScoreSdeVe(),
}
QUICK = ("Euler", "UniPC")


def measure(quick: bool) -> Section:
    """Traces and seconds of each family on each backend that compiles, and of a scan."""
    section = Section("Compiling")
    section.say(
        f"A run of {STEPS} steps with `compile=True`. Traces are what the library itself counts: graphs of torch,",
        "executables of XLA, calls of a function under MLX's `compile`. Seconds are those of the first run less those",
        f"of the second. Another plan of the same recipe, of {OTHER_STEPS} steps, is run after it: 0 more traces say",
        "that both share the graph.",
    )
    if reason := ours.no_compiling():
        section.say(f"Left out: {reason}.")
    else:
        for backend in [name for name in ours.names() if name in COUNTS]:
            families(section, backend, QUICK if quick else tuple(FAMILIES))
    scan(section, SCANNED[:1] if quick else SCANNED)
    return section


def families(section: Section, backend: str, names: tuple[str, ...]) -> None:
    """The table of a backend."""
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            rows[name] = traced(FAMILIES[name], backend)
        except ms.ScheduleError as refused:
            section.say(f"{name} is not compiled on {backend}: {refused}")
    section.data[backend] = rows
    section.show(backend, rows)


def traced(recipe: ms.Recipe, backend: str) -> dict[str, Any]:
    """Traces and seconds of a plan, and of another of the same recipe."""
    compiled.cache_clear()
    outputs = [ours.draw(backend, SHAPE, 10 + k) for k in range(8)]  # more than a solver keeps
    with COUNTS[backend]() as count:
        run = ours.Inputs(recipe.plan(STEPS), backend, SHAPE).contestant(outputs, compile=True)
        other = ours.Inputs(recipe.plan(OTHER_STEPS), backend, SHAPE).contestant(outputs, compile=True)
        start = count()
        first, traces = elapsed(run), count() - start
        second = elapsed(run)
        third = elapsed(other)
        more = count() - start - traces
    return {
        "traces": traces,
        "seconds": first - second,
        "more traces, other plan": more,
        "seconds, other plan": third,
        "first run / second": first / second,
    }


def elapsed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def scan(section: Section, lengths: tuple[int, ...]) -> None:
    """Compile seconds of a whole loop under JAX."""
    if "jax" not in ours.names():
        return
    noise = ours.draw("jax", SHAPE, 0)
    found: dict[str, dict[str, float]] = {}
    for n in lengths:
        plan = ms.FlowMatchEuler(shift=3.0).plan(n)

        def run(plan: ms.Plan = plan) -> None:
            out = ms.sample(lambda x, t: x * 0.5, plan, noise, loop="scan")
            ms.backends.get("jax").synchronize(out)

        try:
            first, second = elapsed(run), elapsed(run)
        except ms.ScheduleError as refused:
            section.say(f'`ms.sample(..., loop="scan")` is left out: {refused}')
            return
        found[f"n = {n}"] = {"first run": first, "second run": second, "compile": first - second}
    section.data["scan"] = found
    section.say(
        '`ms.sample(..., loop="scan")` on JAX, seconds: the compile time is not to grow with the number of steps.',
    )
    section.show("scan", found)


@contextmanager
def torch_count() -> Iterator[Callable[[], int]]:
    """Graphs that torch.compile has made."""
    import torch
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    yield lambda: counters["stats"]["unique_graphs"]


@contextmanager
def jax_count() -> Iterator[Callable[[], int]]:
    """Executables that XLA has made."""
    import jax

    made = 0

    def listen(event: str, *_: Any, **__: Any) -> None:
        nonlocal made
        made += event.endswith("backend_compile_duration")

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield lambda: made
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@contextmanager
def mlx_count() -> Iterator[Callable[[], int]]:
    """Calls of functions that MLX compiles, which are made while it traces."""
    import mlx.core as mx

    calls = 0
    compile_function = mx.compile

    def counting(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        def called(*given: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            return function(*given, **more)

        return compile_function(called, *arguments, **keywords)

    with mock.patch.object(mx, "compile", counting):
        yield lambda: calls


COUNTS = {"torch": torch_count, "jax": jax_count, "mlx": mlx_count}
