"""A compiled step over the memory of its own state, one register after the other.

Where a compiler lays several results over their operands (XLA on the CPU), it copies those first, and a step of two
registers takes three times as long as into new arrays. Here each register is a call of its own that overwrites what no
later register reads: nothing is copied, and little or no memory is asked for. Where the compiler makes one loop of
several results, one call serves all registers.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from multisched.backends import Backend
from multisched.backends.base import Terms
from multisched.table.packed import Entry, Layout

Registers = tuple[tuple[Entry, ...], ...]


class Turn(NamedTuple):
    """A call: the registers that it makes, and the operands whose memory they take. What those lack is new memory."""

    registers: tuple[int, ...]
    over: tuple[int, ...]


def turns(sums: Registers, together: bool = False) -> tuple[Turn, ...]:
    """The calls that make the registers of a step.

    Args:
        sums: the entries of each register.
        together: whether one call makes all; else each makes one, in an order in which as many as possible overwrite
            what is no longer read. What may be overwritten are the operands of the state, which come first.
    """
    kept = {register[0].operand for register in sums if taken_over(register)}
    left = {k: {entry.operand for entry in register} for k, register in enumerate(sums) if not taken_over(register)}
    free = set(range(len(sums))) - kept
    if together:
        return (Turn(tuple(left), tuple(sorted(free)[: len(left)])),)
    found: list[Turn] = []
    while left:
        turn = _next(left, free)
        found.append(turn)
        free.difference_update(turn.over)
        del left[turn.registers[0]]
    return tuple(found)


def _next(left: dict[int, set[int]], free: set[int]) -> Turn:
    """A register that overwrites an operand of its own, else one that overwrites another's, else one that needs new
    memory; of the registers that are left, given the operands of each, and those that have not been overwritten."""
    choices = {}
    for k, own in left.items():
        needed = set().union(*(operands for other, operands in left.items() if other != k))
        choices[k] = sorted(free - needed, key=lambda operand: (operand not in own, operand))
    for k, own in left.items():
        if choices[k] and choices[k][0] in own:
            return Turn((k,), (choices[k][0],))
    k = next((k for k in left if choices[k]), next(iter(left)))
    return Turn((k,), tuple(choices[k][:1]))


def taken_over(register: tuple[Entry, ...]) -> bool:
    """Whether a register becomes another array as it is."""
    return len(register) == 1 and register[0].column is None


def served(layout: Layout) -> bool:
    """Whether a layout has several registers, and sums alone."""
    return layout.plain and layout.folded and layout.masked is None and len(layout.sums) > 1 and all(layout.sums)


def of_row(layout: Layout, coefficients: Sequence[float]) -> Layout:
    """The layout of one row, whose sums read only operands that have a weight there; if it is `served`."""
    if not served(layout):
        return layout
    sums: list[tuple[Entry, ...]] = []
    for register in layout.sums:
        weights = [1.0 if entry.column is None else coefficients[entry.column] for entry in register]
        live = [entry.operand for entry, weight in zip(register, weights, strict=True) if weight] or [0]
        as_it_is = (Entry(live[0], None),)
        # A state's arrays are all different, and none of them is the model's output.
        if sum(weights) == 1.0 and len(live) == 1 and live[0] < len(layout.sums) and as_it_is not in sums:
            sums.append(as_it_is)
            continue
        # As many terms as in other rows, in an order as theirs: the roundings depend on it. Where the weight is 0, the
        # operand is one that is read anyway.
        sums.append(tuple(e if w else e._replace(operand=live[-1]) for e, w in zip(register, weights, strict=True)))
    return replace(layout, sums=tuple(sums))


def in_turn(backend: Backend[Any], layout: Layout) -> Callable[..., Any]:
    """As `kernel.compiled`, for a layout that is `served`: f(coefficients, sample, memory, output, noise) -> registers.
    What of the sample and the memory the registers do not need is overwritten."""
    order = turns(layout.sums, backend.fuses_results)
    read = [{entry.operand for k in turn.registers for entry in layout.sums[k]} - {*turn.over} for turn in order]

    def function(coefficients: Any, sample: Any, memory: tuple[Any, ...], output: Any, noise: tuple[Any, ...]) -> Any:
        operands, dtype = (sample, *memory, output, *noise), sample.dtype
        registers = [operands[register[0].operand] if taken_over(register) else None for register in layout.sums]
        for turn, others in zip(order, read, strict=True):
            sums = tuple(layout.sums[k] for k in turn.registers)
            found = _call(backend, sums, dtype)(
                coefficients, {k: operands[k] for k in turn.over}, {k: operands[k] for k in others}
            )
            for k, one in zip(turn.registers, found, strict=True):
                registers[k] = one
        return registers

    return function


@lru_cache(maxsize=256)
def _call(backend: Backend[Any], sums: Registers, dtype: Any) -> Callable[..., Any]:
    """Some registers, compiled: f(coefficients, operands to overwrite by number, others by number)."""

    def function(coefficients: Any, over: dict[int, Any], others: dict[int, Any]) -> Any:
        operands = over | others
        places = {operand: place for place, operand in enumerate(operands)}
        chosen = [
            Terms(
                tuple(1.0 if entry.column is None else coefficients[entry.column] for entry in register),
                tuple(places[entry.operand] for entry in register),
            )
            for register in sums
        ]
        return backend.weighted_sums(chosen, tuple(operands.values()), dtype)

    return backend.compile(function, donate=(1,))
