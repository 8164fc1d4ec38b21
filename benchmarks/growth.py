"""How does the cost of a step grow with the number of steps, the batch and the size of the sample?"""

import gc
import math
import time
from collections.abc import Callable, Iterable

import torch

import multisched as ms
from benchmarks import ours, peers
from benchmarks.machine import free_memory
from benchmarks.page import Section, size
from benchmarks.timing import rounds

NAME = "growth"
CLASS = "DPMSolverMultistepScheduler"
STEPS = (10, 30, 100, 300, 999)  # the class allows no more
BATCHES = (1, 4, 16, 64)
SAMPLE = (4, 64, 64)
STACKED = (1, 10, 100, 1000)
BYTES = tuple(10**power for power in range(3, 10))
ARRAYS = 12  # more samples than are alive at once in a contestant
APART = 10**8  # bytes from which on contestants do not take turns, as memory does not hold all of them
RATIO = "diffusers / torch"
MOST = 10**7  # bytes of a sample in a quick run


def measure(quick: bool) -> Section:
    """Four tables."""
    torch.set_num_threads(1)
    seconds = 0.05 if quick else 2.0
    section = Section("Growth")
    section.say(
        "Microseconds per step of DPM-Solver++(2M), diffusers' and ours, torch on one thread, the contestants taking",
        "turns, of runs of 10 steps unless said otherwise.",
    )
    steps = {str(n): contest(n, (1, *SAMPLE), seconds) for n in STEPS[: 3 if quick else None]}
    add(section, "steps", steps, "More steps in a run leave the cost of one as it is: a row is looked up by its index.")
    batches = {str(count): contest(10, (count, *SAMPLE), seconds) for count in BATCHES[: 3 if quick else None]}
    add(section, "batch", batches, f"A batch of samples of {'x'.join(map(str, SAMPLE))}.")
    stacks = {str(count): stacked(count, seconds) for count in STACKED[: 3 if quick else None]}
    add(
        section,
        "plans in a stack",
        stacks,
        "A batch of 4 samples, each at a row of its own of one of so many plans of 10 to 40 steps that are stacked.",
    )
    sizes = {
        size(count): contest(10, shape(count), seconds, rows=3, least=rounds_of(count)) for count in allowed(quick)
    }
    add(
        section,
        "sample",
        sizes,
        "From bytes where launching is what a step costs to those where memory traffic is. From 100 MB on contestants",
        "follow one another.",
    )
    return section


def add(section: Section, name: str, rows: dict[str, dict[str, float]], *sentences: str) -> None:
    """A table."""
    section.data[name] = rows
    section.say(*sentences)
    section.show(name, rows)


def allowed(quick: bool) -> Iterable[int]:
    """The sizes of a sample that the memory at hand, and patience, allow."""
    most = min(free_memory() // ARRAYS, MOST if quick else BYTES[-1])
    return [count for count in BYTES if count <= most]


def rounds_of(count: int) -> int:
    """Rounds at least for samples of so many bytes: one of a gigabyte takes half a minute."""
    return 3 if count < APART else 1


def shape(count: int) -> tuple[int, ...]:
    """A shape of so many bytes of float32."""
    return (1, 4, count // 16)


def contest(
    n: int, shape: tuple[int, ...], seconds: float, rows: int | None = None, least: int = 3
) -> dict[str, float]:
    """Microseconds of each contestant, and the ratio.

    Args:
        n: steps.
        shape: of the samples.
        seconds: about as long as it may take.
        rows: how many steps of the run to take, all by default.
        least: rounds, however long they take.
    """
    makers: dict[str, Callable[[], Callable[[], float]]] = {"diffusers": lambda: theirs(n, shape, rows)}
    makers |= {backend: lambda backend=backend: mine(n, shape, rows, backend) for backend in ours.names()}  # type: ignore[misc]
    found: dict[str, float] = {}
    with torch.inference_mode():
        if 4 * math.prod(shape) < APART:
            found = rounds({name: make() for name, make in makers.items()}, seconds, least=least)
        else:
            for name, make in makers.items():
                found |= rounds({name: make()}, seconds, least=least)
                give_back()
    found = {name: took * 1e6 for name, took in found.items()}
    return {**found, RATIO: found["diffusers"] / found["torch"]}


def stacked(count: int, seconds: float) -> dict[str, float]:
    """Microseconds of a step of a batch that is spread over a stack of so many plans."""
    stack = ms.stack_plans([peers.Peer(CLASS).recipe.plan(10 + k % 31) for k in range(count)])
    return {
        name: took * 1e6 for name, took in rounds({name: spread(stack, name) for name in ours.names()}, seconds).items()
    }


def spread(stack: ms.Stack, backend: str) -> Callable[[], float]:
    """A run of 8 steps of 4 samples, which begin the stack's last plans."""
    found, last = ms.backends.get(backend), len(stack.plans) - 1
    x, output = (ours.draw(backend, (4, *SAMPLE), seed) for seed in (0, 2))
    start = stack.start(x, [max(0, last - k) for k in range(4)])

    def run() -> float:
        state, began = start, time.perf_counter()
        for _ in range(8):
            state = stack.step(state, output)
            found.synchronize(state.sample, *state.memory)
        return (time.perf_counter() - began) / 8

    return run


def mine(n: int, shape: tuple[int, ...], rows: int | None, backend: str) -> Callable[[], float]:
    """Ours on a backend."""
    return ours.Inputs(peers.Peer(CLASS, n).recipe.plan(n, stop=rows), backend, shape).contestant()


def theirs(n: int, shape: tuple[int, ...], rows: int | None) -> Callable[[], float]:
    """diffusers'."""
    peer = peers.Peer(CLASS, n)
    x, output = (ours.draw("torch", shape, seed) for seed in (0, 2))
    return lambda: peer.run(x, output, output, rows)[1]


def give_back() -> None:
    """Let go of what a backend keeps for later."""
    gc.collect()
    if "mlx" in ours.names():
        import mlx.core as mx

        mx.clear_cache()
