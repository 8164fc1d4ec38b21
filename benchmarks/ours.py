"""Runs of our plans, as contestants."""

import inspect
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import multisched as ms

PERIOD = 1 << 20
"""Numbers after which those of a large array repeat: to draw all of a gigabyte takes longer than the steps with it."""
LAZY = ("jax", "mlx")  # return before the arrays are computed


def names() -> list[str]:
    """The backends at hand."""
    return [found.name for found in ms.backends.available().values() if found.reason is None]


def draw(backend: str, shape: tuple[int, ...], seed: int, dtype: str | None = None) -> Any:
    """Unit normals of a backend, computed; see `PERIOD`."""
    found = ms.backends.get(backend)
    few = ms.noise.normal((1, min(PERIOD, math.prod(shape))), rng=seed)
    array = found.asarray(np.resize(few, shape), dtype)
    found.synchronize(array)
    return array


class Inputs:
    """The arrays that steps of a plan are given, drawn beforehand.

    Args:
        plan: whose they are.
        backend: its name.
        shape: of the samples; `output_shape` that of the model's output, where it is another.
        dtype: of the arrays, float32 by default.
    """

    def __init__(
        self,
        plan: ms.Plan,
        backend: str,
        shape: tuple[int, ...],
        output_shape: tuple[int, ...] | None = None,
        dtype: str | None = None,
    ) -> None:
        self.plan, self.backend = plan, ms.backends.get(backend)
        x, z = (draw(backend, shape, seed, dtype) for seed in (0, 1))
        self.output = draw(backend, output_shape or shape, 2, dtype)
        self.noise = (z,) * plan.noise_draws
        self.state = plan.start(x, **dict.fromkeys(plan.inputs, z))
        self.settle(self.state)

    def settle(self, state: ms.State[Any]) -> None:
        """Wait until a state is computed."""
        self.backend.synchronize(state.sample, *state.memory)

    def at(self, row: int) -> ms.State[Any]:
        """A state at a row, its registers filled with normals, each an array of its own."""
        shape, dtype = tuple(self.state.sample.shape), str(self.state.sample.dtype).rpartition(".")[2]
        sample, *memory = (draw(self.backend.name, shape, 3 + k, dtype) for k in range(1 + len(self.state.memory)))
        return ms.State(sample, tuple(memory), row)

    def run(self) -> Any:
        """All rows of the plan; the samples at the end."""
        state = self.state
        for _ in range(len(self.plan)):
            state = self.plan.step(state, self.output, self.noise)
        return state.sample

    def contestant(self, outputs: Sequence[Any] = (), **keywords: Any) -> Callable[[], float]:
        """Seconds per row of a whole run, each row waited for where the library computes later; `outputs` of the model
        in turn, if one is not to serve all rows."""
        step, noise, rows = self.plan.step, self.noise, range(len(self.plan))
        outputs = outputs or (self.output,)
        lazy, settle = self.backend.name in LAZY, self.settle

        def run() -> float:
            state = self.state
            began = time.perf_counter()
            for row in rows:
                state = step(state, outputs[row % len(outputs)], noise, **keywords)
                if lazy:
                    settle(state)
            return (time.perf_counter() - began) / len(rows)

        return run


def no_compiling() -> str | None:
    """Why there are no compiled steps, or None where there are."""
    there = "compile" in inspect.signature(ms.Plan.step).parameters
    return None if there else "`Plan.step` has no keyword `compile`"


def middle(plan: ms.Plan) -> range:
    """The rows of a step in the middle, where a solver has its full order."""
    first = next(row for row in range(len(plan) // 2, len(plan)) if plan.stages[row] == 0)
    return range(first, next(row for row in range(first + 1, len(plan)) if plan.stages[row] == 0))


def sums(plan: ms.Plan, row: int) -> list[set[int]]:
    """The operands of each weighted sum of a row; a register that takes over another array as it is has none."""
    registers = [{k: w for k, w in enumerate(register) if w} for register in plan.folded.weights[row].tolist()]
    return [set(register) for register in registers if register and list(register.values()) != [1.0]]


def moved(plan: ms.Plan, row: int) -> int:
    """Arrays that a row has to move: the operands of its sums, each once, and their results."""
    made = sums(plan, row)
    return len(set().union(*made)) + len(made)
