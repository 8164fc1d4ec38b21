"""Steps inside torch.compile: one graph for all rows, and for all runs of samples of one shape."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.fx.experimental.symbolic_shapes import has_static_value

from multisched import backends
from multisched.interop.diffusers.manners import INPUTS
from multisched.table.plan import Plan
from multisched.table.state import State


@dataclass
class Traced:
    """A run as compiled steps go through it.

    Attributes:
        plan: of the run.
        row: the row that comes next, a tensor, so that one graph serves all rows.
        memory: the solver's registers; zeros before the first step, so that a graph serves that one too.
        begun: whether a step has been taken.
        placed: shape, dtype and device of the samples; None before they are known.
    """

    plan: Plan
    row: torch.Tensor
    memory: tuple[torch.Tensor, ...] = ()
    begun: bool = False
    placed: tuple[Any, ...] | None = None

    def like(self, before: "Traced | None") -> "Traced":
        """This run, ready for the graphs of the one before it."""
        if before is not None and before.placed is not None:
            self.place(*before.placed)
        return self

    def place(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        """Put what a graph reads where it reads it."""
        self.plan.prepare(backends.of(self.row).name, device, dtype)
        self.row = self.row.to(device)
        if not self.begun and self.placed != (shape, dtype, device) and not self.plan.inputs:
            registers = self.plan.tableau.registers[1:]
            self.memory = tuple(torch.zeros(shape, dtype=dtype, device=device) for _ in registers)
        self.placed = shape, dtype, device

    # torch.compile runs this function while it traces a step, and does not read it.
    place._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def step(
        self, row: Any, sample: torch.Tensor, output: torch.Tensor, noise: Any, options: dict[str, Any]
    ) -> tuple[State[Any], State[Any]]:
        """The states before and after a row, by default the one after the last."""
        plan = self.plan
        if all(map(has_static_value, sample.shape)):
            self.place((*sample.shape,), sample.dtype, sample.device)
            memory = self.memory
        else:  # a graph for all shapes, which takes another to begin
            memory = self.memory if self.begun else tuple(torch.zeros_like(sample) for _ in plan.tableau.registers[1:])
        if plan.inputs:
            given = {name: options[key] for name, key in INPUTS.items()}
            memory = tuple(given.get(name, torch.zeros_like(sample)) for name in plan.tableau.registers[1:])
        state = State(sample, memory, (self.row if row is None else row).to(sample.device))
        if noise is None and plan.noise_draws:
            noise = torch.randn_like(output)
        after = plan.step(state, output, (noise,) * plan.noise_draws)
        self.memory, self.row, self.begun = after.memory, after.index, True
        return state, after
