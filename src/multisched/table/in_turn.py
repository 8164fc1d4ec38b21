"""A compiled step over the memory of its own state, one register after the other.

Where a compiler lays several results over their operands (XLA on the CPU), it copies those first, and a step of two
registers takes three times as long as into new arrays. Here each register is a call of its own that overwrites an
operand which no later register reads: nothing is copied, and no memory is asked for.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from multisched.backends import Backend
from multisched.backends.base import Terms
from multisched.table.packed import Entry, Layout


class Turn(NamedTuple):
    """A call: the register that it makes, and the operand whose memory that takes; None for new memory."""

    register: int
    over: int | None


def turns(sums: tuple[tuple[Entry, ...], ...]) -> tuple[Turn, ...]:
    """The registers that are computed, in an order in which as many as possible overwrite an operand of theirs. The
    operands that may be overwritten are the state's, which come first."""
    kept = {register[0].operand for register in sums if taken_over(register)}
    left = {k: {entry.operand for entry in register} for k, register in enumerate(sums) if not taken_over(register)}
    found: list[Turn] = []
    while left:
        choices = [Turn(k, over) for k in left for over in sorted(_free(k, left, kept, len(sums)))]
        found.append(choices[0] if choices else Turn(next(iter(left)), None))
        del left[found[-1].register]
    return tuple(found)


def _free(k: int, left: dict[int, set[int]], kept: set[int], count: int) -> set[int]:
    """The operands of register k that neither another register that is left, nor the next state, needs."""
    needed = kept.union(*(operands for other, operands in left.items() if other != k))
    return {operand for operand in left[k] if operand < count} - needed


def taken_over(register: tuple[Entry, ...]) -> bool:
    """Whether a register becomes another array as it is."""
    return len(register) == 1 and register[0].column is None


def served(layout: Layout) -> bool:
    """Whether a layout has several registers, and sums alone."""
    return layout.plain and layout.folded and layout.masked is None and len(layout.sums) > 1 and all(layout.sums)


def in_turn(backend: Backend[Any], layout: Layout) -> Callable[..., Any]:
    """As `kernel.compiled`, for a layout that is `served`: f(coefficients, sample, memory, output, noise) -> registers.
    What of the sample and the memory the registers do not need is overwritten."""
    order = turns(layout.sums)

    def function(coefficients: Any, sample: Any, memory: tuple[Any, ...], output: Any, noise: tuple[Any, ...]) -> Any:
        operands, dtype = (sample, *memory, output, *noise), sample.dtype
        registers = [operands[register[0].operand] if taken_over(register) else None for register in layout.sums]
        for turn in order:
            others = {entry.operand: operands[entry.operand] for entry in layout.sums[turn.register]}
            over = None if turn.over is None else others.pop(turn.over)
            registers[turn.register] = _call(backend, layout, turn, dtype)(coefficients, over, others)
        return registers

    return function


@lru_cache(maxsize=256)
def _call(backend: Backend[Any], layout: Layout, turn: Turn, dtype: Any) -> Callable[..., Any]:
    """The register of a turn, compiled: f(coefficients, operand to overwrite, other operands by number)."""

    def function(coefficients: Any, over: Any, others: dict[int, Any]) -> Any:
        weights, chosen, _ = layout.weights_of(backend, coefficients, 0, ending=False).sums[turn.register]
        arrays = [over if operand == turn.over else others[operand] for operand in chosen]
        (found,) = backend.weighted_sums((Terms(weights, tuple(range(len(arrays)))),), arrays, dtype)
        return found

    return backend.compile(function, donate=() if turn.over is None else (1,))
