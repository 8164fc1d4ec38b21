"""Stacks: each sample of a batch at its own row of its own plan, in one step (continuous batching)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import B
from multisched.errors import ScheduleError
from multisched.plan import Plan
from multisched.step import State, check_alike
from multisched.steps import Steps, host_number
from multisched.table import Builder, Layout, Terms, with_end
from multisched.transforms import MeanShift
from multisched.values import shown


def stack_plans(plans: Sequence[Plan]) -> "Stack":
    """Plans of any schedulers and lengths as one table, so that samples at different steps of different plans take
    theirs together. Registers are padded to the widest.

    Raises:
        ScheduleError: no plans, or one whose step is not that of each sample by itself: with inputs, with noise that
            follows the model's output, with a mean over the batch, or with other parts of the output than the others.
    """
    try:
        listed = tuple(plans)
    except TypeError:
        raise ScheduleError(f"a stack is made of a list of plans; given {shown(plans)}.") from None
    return Stack(listed)


@dataclass(frozen=True, eq=False)
class Stack(Steps):
    """Plans whose rows stand in one table, each followed by a row for its end. A state's index is (batch,), counted
    over all of them; a sample whose plan has ended stays as it is until another run takes its place.

        state = stack.start(noise)                            sample k runs plans[k]
        state = stack.step(state, output, noise)              as with a plan; compile=True too
        state = stack.put(state, slot, stack.start(noise, [number]))   a new run in place of one that is done

    Attributes:
        plans: the plans.
    """

    plans: tuple[Plan, ...]

    def __post_init__(self) -> None:
        if not self.plans or not all(isinstance(plan, Plan) for plan in self.plans):
            raise ScheduleError(f"a stack is made of one plan or more; given {shown(self.plans)}.")
        for plan in self.plans:
            shift = plan.output_transform
            reason = (
                "inputs of its own"
                if plan.inputs
                else "noise that follows the model's output"
                if plan.noise_transform is not None
                else "a mean over the batch"
                if isinstance(shift, MeanShift) and shift.over == "batch"
                else f"a model whose output has {plan.tableau.outputs} parts, not {self.plans[0].tableau.outputs}"
                if plan.tableau.outputs != self.plans[0].tableau.outputs
                else "a grid that is not NumPy's"
                if not isinstance(plan.sigmas, np.ndarray)
                else None
            )
            if reason is not None:
                raise ScheduleError(f"{plan.name} has {reason}, so its samples cannot be stepped with others'.")

    @property
    def name(self) -> str:  # type: ignore[override]
        """For messages."""
        return f"a stack of {len(self.plans)} plans"

    @property
    def noise_draws(self) -> int:
        """Noise draws of a step; a plan that needs fewer uses the first of them."""
        return self.layout.draws

    @property
    def stochastic(self) -> bool:
        """Whether any plan adds noise."""
        return self.layout.noisy

    @cached_property
    def first_rows(self) -> tuple[int, ...]:
        """The index at which each plan begins."""
        return tuple(accumulate((len(plan) + 1 for plan in self.plans[:-1]), initial=0))

    @property
    def _hosted(self) -> bool:
        return True

    @cached_property
    def _built(self) -> tuple[Layout, Any]:
        weights, folded = self._weights()
        rows = sum(len(plan) + 1 for plan in self.plans)
        ends = np.zeros(rows, dtype=bool)
        ends[[first + len(plan) for first, plan in zip(self.first_rows, self.plans, strict=True)]] = True
        outputs = [_distinct(self.plans, "output_transform"), _distinct(self.plans, "denoised_transform")]
        builder = Builder(ends, weights)
        x0_weights = np.concatenate([with_end(plan.tableau.x0_weights) for plan in self.plans])
        sums = builder.registers(weights)
        x0 = () if folded else builder.entries(x0_weights)
        first, second = (
            builder.unless_one(np.repeat(numbers, [len(plan) + 1 for plan in self.plans]).astype(np.float64))
            if found
            else None
            for found, numbers in outputs
        )
        layout = Layout(
            sums=sums,
            choices=(first, second),
            end=builder.ends(),
            x0=builder.entries(x0_weights) if folded else x0,
            scale=builder.unless_one(np.concatenate([with_end(plan.rows.scale)[:, 0] for plan in self.plans])),
            timestep=builder.add(
                np.concatenate([with_end(plan.rows.timestep, plan._told_last)[:, 0] for plan in self.plans]),
            ),
            outputs=self.plans[0].tableau.outputs,
            draws=max(plan.noise_draws for plan in self.plans),
            output_transforms=outputs[0][0],
            denoised_transforms=outputs[1][0],
        )
        return layout, builder.table()

    def _weights(self) -> tuple[np.ndarray, bool]:
        """(rows, registers, operands) of all plans, padded with zeros, and whether x0 is folded in all."""
        folded = all(plan.denoised_transform is None for plan in self.plans)
        registers = max(len(plan.tableau.registers) for plan in self.plans)
        outputs, draws = self.plans[0].tableau.outputs, max(plan.noise_draws for plan in self.plans)
        count = registers + outputs + (not folded) + draws
        parts = []
        for plan in self.plans:
            table = plan.folded
            own = len(table.registers)
            places = [*range(own), *range(registers, registers + outputs)]
            places += [] if table.folded else [registers + outputs]
            places += range(count - draws, count - draws + table.draws)
            wide = np.zeros((len(plan) + 1, registers, count))
            wide[:-1, :own, places] = table.weights
            parts.append(wide)
        return np.concatenate(parts), folded

    def start(self, noise: B, plans: Sequence[int] | None = None, x0: B | None = None, dtype: Any = None) -> State[B]:
        """The state before the first row of each sample's plan, as `Plan.start`.

        Args:
            noise: unit normals (samples, ...), floating.
            plans: number of the plan of each sample; 0, 1, 2... by default.
            x0: clean samples of the same shape, where they start from those.
            dtype: that the state keeps; the noise's by default.

        Raises:
            ScheduleError: other than one plan for each sample, or as `Plan.start`.
        """
        backend = backends.of(noise)
        numbers = list(range(len(self.plans)) if plans is None else plans)
        samples = noise.shape[0] if noise.ndim else 0  # type: ignore[attr-defined]
        if len(numbers) != samples or not all(0 <= number < len(self.plans) for number in numbers):
            raise ScheduleError(
                f"each of the {samples} samples has the number of one of the {len(self.plans)} plans; given {numbers}."
            )
        kept: Any = noise.dtype if dtype is None else backend.asarray(0.0, dtype).dtype
        device, shape = backend.device(noise), (samples, *(1,) * (noise.ndim - 1))  # type: ignore[attr-defined]

        def weight(levels: list[float]) -> Any:
            return backend.asarray(np.reshape(levels, shape), backend.compute_dtype(kept), device)

        chosen = [self.plans[number] for number in numbers]
        arrays: tuple[Any, ...] = (noise,)
        weights: tuple[Any, ...] = (weight([plan.grid.init_noise_sigma for plan in chosen]),)
        if x0 is not None:
            check_alike(noise, x0, "x0", "noise")
            arrays = (noise, x0)
            weights = (weight([p.sigmas[0] for p in chosen]), weight([p.alphas[0] for p in chosen]))
        (sample,) = backend.weighted_sums((Terms(weights, (0, 1)[: len(arrays)]),), arrays, kept)
        if backend.traces_late:
            self._table_for(backend, sample)
        memory = tuple(backend.xp.zeros_like(sample) for _ in self.layout.sums[1:])
        return State(sample, memory, backend.asarray([self.first_rows[k] for k in numbers], "int32", device))

    def done(self, state: State[B]) -> Any:
        """(batch,) bool: whether each sample's plan has ended."""
        backend = backends.of(state.sample)
        self._number(state)
        ends = [first + len(plan) for first, plan in zip(self.first_rows, self.plans, strict=True)]
        found = state.index == ends[0]
        for end in ends[1:]:
            found = backend.xp.logical_or(found, state.index == end)
        return found

    def put(self, state: State[B], slot: Any, fresh: State[B]) -> State[B]:
        """The state with the sample in `slot` (an int, or a 0-d array) replaced by that of a state of one sample."""
        xp = backends.of(state.sample).xp
        number: Any = xp.cumulative_sum(xp.ones_like(state.index)) - 1
        here = number == slot
        wide = xp.reshape(here, (*state.sample.shape[:1], *(1,) * (len(state.sample.shape) - 1)))

        def placed(new: Any, old: Any) -> Any:
            return xp.where(wide, new, old)

        memory = tuple(map(placed, fresh.memory, state.memory))
        return State(placed(fresh.sample, state.sample), memory, xp.where(here, fresh.index, state.index))

    def _number(self, state: State[Any]) -> int | None:
        if host_number(state) is not None or len(np.shape(state.index)) != 1:
            raise ScheduleError(f"the state of a stack has one index for each sample; given {state.index!r}.")
        self._check_memory(state)
        return None

    def __len__(self) -> int:
        """Rows of all plans, without those of their ends."""
        return sum(map(len, self.plans))


def _distinct(plans: Sequence[Plan], name: str) -> tuple[tuple[Any, ...], list[int]]:
    """The transforms that plans have under a name, and the number of each plan's, from 1; 0 for none."""
    own = [getattr(plan, name) for plan in plans]
    found = tuple(dict.fromkeys(transform for transform in own if transform is not None))
    return found, [0 if transform is None else 1 + found.index(transform) for transform in own]
