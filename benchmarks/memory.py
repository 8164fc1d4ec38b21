"""How much memory does a step need beyond the registers that it fills?"""

import os
import tracemalloc
from collections.abc import Callable
from typing import Any

import torch

import multisched as ms
from benchmarks import ours, peers
from benchmarks.page import Section

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler says on each start that it starts

NAME = "memory"
SHAPE = (1, 4, 512, 512)
STEPS = 10
DTYPES = ("float32", "bfloat16")
CLASSES = {
    "Euler": "FlowMatchEulerDiscreteScheduler",
    "DPM++2M": "DPMSolverMultistepScheduler",
    "UniPC 2": "UniPCMultistepScheduler",
    "Heun": "HeunDiscreteScheduler",
    "Euler ancestral": "EulerAncestralDiscreteScheduler",
    "PNDM": "PNDMScheduler",
    "SA-Solver": "SASolverScheduler",
    "DDIM, clipped": "DDIMScheduler",
}
QUICK = ("Euler", "UniPC 2", "Heun")


def measure(quick: bool) -> Section:
    """A table for each dtype, in multiples of the sample."""
    section = Section("Memory of a step")
    section.say(
        "Peak memory that a step takes beside the arrays it is given, less the registers that it has to fill anew, in",
        "multiples of the sample; the most of the model calls of a step in the middle. NumPy's is what tracemalloc",
        "counts, torch's and diffusers' what the profiler counts, MLX's its own peak. JAX's is XLA's account of the",
        "step compiled as a whole. 0 is what a step written by hand, in one pass, would need. diffusers' schedulers",
        "are credited with as many registers as ours.",
    )
    for dtype in DTYPES:
        rows = {name: measure_one(CLASSES[name], dtype) for name in (QUICK if quick else CLASSES)}
        section.data[dtype] = rows
        section.show(f"{dtype}: samples", rows)
    return section


def measure_one(name: str, dtype: str) -> dict[str, Any]:
    """Multiples of the sample for each contestant."""
    peer = peers.Peer(name, STEPS)
    plan = peer.recipe.plan(STEPS)
    rows = ours.middle(plan)
    found: dict[str, Any] = {"registers": max(len(ours.sums(plan, row)) for row in rows)}
    with torch.inference_mode():
        found["diffusers"] = max(theirs(peer, plan, row, dtype) for row in rows)
        for backend in ours.names():
            try:
                given = ours.Inputs(plan, backend, SHAPE, dtype=dtype)
            except ms.ScheduleError:
                continue
            found[backend] = max(extra(given, row) for row in rows)
    return found


def extra(given: ours.Inputs, row: int) -> float:
    """Samples that one of our rows takes beyond its registers."""
    plan, state = given.plan, given.at(row)
    peak = PEAKS[given.backend.name]

    def step(state: Any = state, output: Any = given.output, noise: Any = given.noise) -> Any:
        after = plan.step(state, output, noise)
        return [one for one in (after.sample, *after.memory) if not any(one is old for old in state.memory)]

    taken = jax_peak(plan, given, state) if given.backend.name == "jax" else peak(step, given)
    return taken / state.sample.nbytes - len(ours.sums(plan, row))


def theirs(peer: peers.Peer, plan: ms.Plan, row: int, dtype: str) -> float:
    """The same of diffusers' call."""
    x, output, z = (ours.draw("torch", SHAPE, seed, dtype) for seed in range(3))
    with peer.drawn(z):
        timesteps, step = peer.ready(output, z)
        for t in timesteps[:row]:
            x = step(t, x)
        taken = torch_peak(lambda: step(timesteps[row], x))
    return taken / x.nbytes - len(ours.sums(plan, row))


def numpy_peak(step: Callable[[], Any], given: ours.Inputs) -> int:
    """Bytes at the peak of a call, as tracemalloc counts them."""
    step()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = step()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    del kept
    return peak


def torch_peak(step: Callable[[], Any], given: Any = None) -> int:
    """Bytes at the peak of a call, as torch's profiler counts them."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        kept = step()
    del kept
    taken = peak = 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        taken += event.nbytes()
        peak = max(peak, taken)
    return peak


def jax_peak(plan: ms.Plan, given: ours.Inputs, state: Any) -> int:
    """Bytes that XLA sets aside for a row compiled as a whole: its results and what lies between."""
    import jax

    def step(sample: Any, memory: Any, output: Any, noise: Any) -> Any:
        after = plan.step(state._replace(sample=sample, memory=memory), output, noise)
        return [one for one in (after.sample, *after.memory) if not any(one is old for old in (*memory, output))]

    lowered = jax.jit(step).lower(state.sample, state.memory, given.output, given.noise)
    found = lowered.compile().memory_analysis()
    return int(found.temp_size_in_bytes + found.output_size_in_bytes)


def mlx_peak(step: Callable[[], Any], given: ours.Inputs) -> int:
    """Bytes at the peak of a call, as MLX counts them."""
    import mlx.core as mx

    given.backend.synchronize(*step())
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    kept = step()
    given.backend.synchronize(*kept)
    peak = mx.get_peak_memory() - before
    del kept
    return int(peak)


PEAKS = {"numpy": numpy_peak, "torch": torch_peak, "jax": numpy_peak, "mlx": mlx_peak}
