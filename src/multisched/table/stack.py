"""Stacks: each sample of a batch at its own row of its own plan, in one step (continuous batching)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import B
from multisched.backends.base import Terms
from multisched.errors import ScheduleError
from multisched.table.begin import check_fresh
from multisched.table.packed import Builder, Layout, countable, with_end
from multisched.table.plan import Plan
from multisched.table.state import State, check_alike, check_device, host_number
from multisched.table.stepper import Stepper
from multisched.transforms import MeanShift, kind_of, numbers_of
from multisched.values import shown, whole


def stack_plans(plans: Sequence[Plan]) -> "Stack":
    """Plans of any schedulers and lengths as one table, so that samples at different steps of different plans take
    theirs together. Registers are padded to the widest.

    Args:
        plans: one plan or more, of the same layout.

    Raises:
        ScheduleError: if there are no plans, or one does not step each sample by itself: it has inputs, noise that
            follows the model's output, a mean over the batch, or an output split into other parts than the others'.

    Example:
        >>> stack = ms.stack_plans([ms.DDIM().plan(4), ms.DDIM().plan(10)])
        >>> len(stack.plans)
        2
    """
    try:
        listed = tuple(plans)
    except TypeError:
        raise ScheduleError(f"a stack is made of a list of plans; given {shown(plans)}.") from None
    return Stack(listed)


@dataclass(frozen=True, eq=False)
class Stack(Stepper):
    """Plans whose rows stand in one table, each followed by a row for its end. A state's index is (samples,), counted
    over all of them; a sample whose plan has ended stays as it is until another run takes its place.

        state = stack.start(noise)                            sample k runs plans[k]
        state = stack.step(state, output, noise)              as with a plan; compile=True too
        state = stack.put(state, slot, stack.start(noise, [number]))   a new run in place of one that is done

    Attributes:
        plans: the plans.

    Example:
        >>> stack = ms.stack_plans([ms.FlowMatchEuler().plan(2), ms.FlowMatchEuler().plan(3)])
        >>> state = stack.start(np.ones((2, 1), np.float32))
        >>> state.index.tolist()
        [0, 3]
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

    @cached_property
    def first_rows(self) -> tuple[int, ...]:
        """The index at which each plan begins."""
        return tuple(accumulate((len(plan) + 1 for plan in self.plans[:-1]), initial=0))

    @property
    def _hosted(self) -> bool:
        return True

    @cached_property
    def _packed(self) -> tuple[Layout, Any]:
        weights, folded = self._padded()
        rows = sum(len(plan) + 1 for plan in self.plans)
        ends = np.zeros(rows, dtype=bool)
        ends[[first + len(plan) for first, plan in zip(self.first_rows, self.plans, strict=True)]] = True
        lengths = [len(plan) + 1 for plan in self.plans]
        outputs = [_distinct(self.plans, "output_transform"), _distinct(self.plans, "denoised_transform")]
        builder = Builder(ends, weights)
        x0_weights = np.concatenate([with_end(plan.tableau.x0_weights) for plan in self.plans])
        sums = builder.registers(weights)
        x0 = () if folded else builder.entries(x0_weights)
        first, second = (
            builder.unless_one(np.repeat(places, lengths).astype(np.float64)) if found else None
            for found, places, _ in outputs
        )
        numbers = tuple(builder.numbers([np.repeat(one, lengths, axis=0) for one in each]) for _, _, each in outputs)
        layout = Layout(
            sums=sums,
            choices=(first, second),
            numbers=(numbers[0], numbers[1]),
            end=builder.ends(),
            x0=builder.entries(x0_weights) if folded else x0,
            scale=builder.unless_one(np.concatenate([with_end(plan.rows.scale)[:, 0] for plan in self.plans])),
            timestep=builder.add(
                np.concatenate([with_end(plan.rows.timestep, plan._last_timestep)[:, 0] for plan in self.plans]),
            ),
            outputs=self.plans[0].tableau.outputs,
            draws=max(plan.noise_draws for plan in self.plans),
            output_transforms=outputs[0][0],
            denoised_transforms=outputs[1][0],
        )
        return layout, builder.table()

    def _padded(self) -> tuple[np.ndarray, bool]:
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
            ScheduleError: if there is not one plan for each sample, or as `Plan.start`.
        """
        backend = backends.of(noise)
        backend.compute_dtype(noise.dtype)
        numbers = [whole("the number of a plan", one) for one in (range(len(self.plans)) if plans is None else plans)]
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
        for plan in chosen:
            check_fresh(plan)
        arrays: tuple[Any, ...] = (noise,)
        weights: tuple[Any, ...] = (weight([plan.grid.init_noise_sigma for plan in chosen]),)
        if x0 is not None:
            check_alike(noise, x0, "x0", "noise")
            arrays = (noise, x0)
            weights = (weight([p.sigmas[0] for p in chosen]), weight([p.alphas[0] for p in chosen]))
        (sample,) = backend.weighted_sums((Terms(weights, (0, 1)[: len(arrays)]),), arrays, kept)
        memory = tuple(backend.xp.zeros_like(sample) for _ in self.layout.sums[1:])
        return State(sample, memory, backend.asarray([self.first_rows[k] for k in numbers], "int32", device))

    def done(self, state: State[B]) -> Any:
        """(samples,) bool: whether each sample's plan has ended."""
        backend = self._backend(state.sample)
        self._row_number(state)
        ends = [first + len(plan) for first, plan in zip(self.first_rows, self.plans, strict=True)]
        found = state.index == ends[0]
        for end in ends[1:]:
            found = backend.xp.logical_or(found, state.index == end)
        return found

    def put(self, state: State[B], slot: Any, fresh: State[B]) -> State[B]:
        """The state with one sample replaced by that of a state of one sample.

        Args:
            state: of the batch.
            slot: the sample's place, an int, or a 0-d integer array of the library, whose value is not read: one that
                is no place changes nothing.
            fresh: a state of one sample, as `start` makes it, in the dtype of `state`.

        Raises:
            ScheduleError: if there is no such slot, or the states do not go together.
        """
        backend = self._backend(state.sample)
        self._row_number(state)
        self._row_number(fresh)
        slot = _slot(backend, state, slot)
        if tuple(fresh.sample.shape) != (1, *state.sample.shape[1:]) or fresh.sample.dtype != state.sample.dtype:
            raise ScheduleError(
                f"a sample is replaced by one of shape {(1, *state.sample.shape[1:])} in {state.sample.dtype}; "
                f"given {tuple(fresh.sample.shape)}, {fresh.sample.dtype}."
            )
        for one in (state, fresh):
            for array in one.memory:
                check_alike(one.sample, array, "memory", "sample")
        check_device(state.sample, fresh.sample, "the fresh sample", "sample")
        xp = backend.xp
        number: Any = xp.cumulative_sum(xp.ones_like(countable(backend, state.index))) - 1
        here = number == slot
        wide = xp.reshape(here, (*state.sample.shape[:1], *(1,) * (len(state.sample.shape) - 1)))

        def placed(new: Any, old: Any) -> Any:
            return xp.where(wide, new, old)

        memory = tuple(map(placed, fresh.memory, state.memory))
        index = backend.astype(fresh.index, state.index.dtype)
        return State(placed(fresh.sample, state.sample), memory, xp.where(here, index, state.index))

    def _row_number(self, state: State[Any]) -> int | None:
        if host_number(state, self._last_row) is not None or len(state.index.shape) != 1:
            raise ScheduleError(f"the state of a stack has one index for each sample; given {shown(state.index)}.")
        self._check_memory(state)
        return None

    @cached_property
    def _last_row(self) -> int:
        """The index of the last plan's end."""
        return len(self) + len(self.plans) - 1

    def warm(self) -> None:
        super().warm()
        _ = self._last_row, self.first_rows

    def __len__(self) -> int:
        """Rows of all plans, without those of their ends."""
        return sum(map(len, self.plans))


def _distinct(plans: Sequence[Plan], name: str) -> tuple[tuple[Any, ...], list[int], list[np.ndarray]]:
    """The kinds of the transforms that plans have under a name; the number of each plan's kind, from 1; 0 for none; and
    for each kind the plans' numbers (plans, numbers), those of the kind itself for plans that have another."""
    own = [getattr(plan, name) for plan in plans]
    kinds = [None if transform is None else kind_of(transform) for transform in own]
    found = tuple(dict.fromkeys(kind for kind in kinds if kind is not None))
    numbers = [
        np.array([numbers_of(mine if kind == one else one) for mine, kind in zip(own, kinds, strict=True)], np.float64)
        for one in found
    ]
    return found, [0 if kind is None else 1 + found.index(kind) for kind in kinds], numbers


def _slot(backend: Any, state: State[Any], slot: Any) -> Any:
    """A place of the batch, an int or an array.

    Raises:
        ScheduleError: if it is neither, or there is no such place.
    """
    if isinstance(slot, (int, np.integer)) or (isinstance(slot, np.ndarray) and slot.ndim == 0):
        number, batch = whole("the slot", slot[()] if isinstance(slot, np.ndarray) else slot), state.sample.shape[0]
        if not 0 <= number < batch:
            raise ScheduleError(f"the batch has slots 0..{batch - 1}; given {number}.")
        return number
    if not hasattr(slot, "dtype") or "int" not in str(slot.dtype) or tuple(slot.shape):
        raise ScheduleError(f"the slot must be an int or a 0-d integer array; given {slot!r:.60}.")
    if backends.of(slot) is not backend:
        raise ScheduleError(f"the slot is an array of {backends.of(slot).name}, the sample of {backend.name}.")
    check_device(state.sample, slot, "the slot", "sample")
    return slot
