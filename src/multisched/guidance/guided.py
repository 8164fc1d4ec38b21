"""A model with guidance, as a loop over a plan calls it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.guidance.base import FIRST, Call, Guidance, Unguided
from multisched.guidance.calls import NONE, outputs_of
from multisched.guidance.level import levels
from multisched.guidance.plus_plus import PlusPlus
from multisched.guidance.trees import Node, Other, join, split
from multisched.transforms import LearnedVariance
from multisched.values import shown


@dataclass(frozen=True)
class Guided:
    """What is the same in every row of a kind: it calls a model, and combines its outputs.

    Attributes:
        guidance: without its numbers.
        shape: of the conditions of all branches, without their arrays.
        models: of single branches.
        batched: whether branches are called as one.
        halved: whether the second half of an output, along the second axis, is a variance, which is not guided.
    """

    guidance: Guidance
    shape: Any
    models: tuple[tuple[Any, Callable[..., Any]], ...]
    batched: bool
    halved: bool

    @property
    def without_model(self) -> "Guided":
        """What of it `combined` depends on."""
        return Guided(self.guidance, Other(None), (), False, self.halved)

    def outputs(
        self, backend: Backend[Any], model: Callable[..., Any], x: Any, t: Any, arrays: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """The outputs of the branches, in order."""
        conditions = join(self.shape, arrays)
        wanted = {name: conditions[name] for name in self.guidance.branches}
        found = outputs_of(backend, model, dict(self.models), x, t, wanted, self.batched)
        for name, output in found.items():
            if backends.of(output) is not backend or output.shape != found[FIRST].shape:
                raise ScheduleError(
                    f"the outputs of all branches are arrays of {backend.name} of one shape; given {shown(output)} for "
                    f"{name!r} and {shown(found[FIRST])} for {FIRST!r}."
                )
        return tuple(found.values())

    def combined(
        self, backend: Backend[Any], outputs: tuple[Any, ...], numbers: Any, sample: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """The guided output, in the dtype of the sums, and the memory."""
        named = dict(zip(self.guidance.branches, outputs, strict=True))
        wide = backend.compute_dtype(sample.dtype)
        named = {name: backend.astype(one, wide) for name, one in named.items()}
        rest: Any = None
        if self.halved:
            size = sample.shape[1] if sample.ndim > 1 else 0
            if named[FIRST].ndim < 2 or named[FIRST].shape[1] != 2 * size:
                raise ScheduleError(
                    "the plan takes outputs of two parts along the second axis; the model's has the shape "
                    f"{tuple(named[FIRST].shape)}, the sample {tuple(sample.shape)}. A plan of "
                    "ms.solvers.CFGPlusPlus() takes guidance=cfg_plus_plus(...)."
                )
            rest = named[FIRST][:, size:, ...]
            named = {name: one[:, :size, ...] for name, one in named.items()}
        call = Call(backend, named, backend.astype(sample, wide))
        found, memory = self.guidance.combine(call, numbers, named[FIRST], memory)
        return (found if rest is None else backend.xp.concat([found, rest], axis=1)), memory


class Part(NamedTuple):
    """Rows one after the other whose guidance is of one kind."""

    guided: Guided
    rows: range
    numbers: tuple[Any, ...]


class Guide(NamedTuple):
    """Guidance of a run: its rows in parts, and the arrays of the conditions."""

    guidance: Guidance
    parts: tuple[Part, ...]
    arrays: tuple[Any, ...]

    def output(
        self,
        backend: Backend[Any],
        model: Callable[..., Any],
        row: int,
        x: Any,
        t: Any,
        sample: Any,
        memory: tuple[Any, ...],
        compile: bool,
    ) -> tuple[Any, tuple[Any, ...]]:
        """The guided output of a row, and the memory after it."""
        part = next(one for one in self.parts if row in one.rows)
        numbers = part.numbers[row - part.rows.start]
        outputs = part.guided.outputs(backend, model, x, t, self.arrays)
        if not compile:
            return part.guided.combined(backend, outputs, numbers, sample, memory)
        function = compiled(backend, part.guided.without_model)
        found: tuple[Any, tuple[Any, ...]] = function(outputs, on_device(backend, numbers, sample), sample, memory)
        return found


def guide(
    plan: Any,
    backend: Backend[Any],
    guidance: Guidance | None,
    conditions: Mapping[Any, Any] | None,
    models: Mapping[Any, Callable[..., Any]] | None,
    batched: bool,
) -> Guide:
    """The guidance of a run.

    Raises:
        ScheduleError: if it does not fit the plan, or a condition is missing.
    """
    found = Unguided() if guidance is None else guidance
    if not isinstance(found, Guidance):
        raise ScheduleError(
            f"guidance is a value of ms.guidance, such as ms.guidance.cfg(3.5); given {shown(guidance)}."
        )
    known, models = _conditions(found, conditions, models or {}), dict(models or {})
    shape, arrays = split(backend, known)
    halved = _halved(plan, found)
    parts: list[Part] = []
    for row, level in enumerate(levels(plan)):
        here = found.at(level)
        kind, numbers = here.kind, here.numbers(level)
        if parts and parts[-1].guided.guidance == kind:
            last = parts.pop()
            parts.append(Part(last.guided, range(last.rows.start, row + 1), (*last.numbers, numbers)))
        else:
            of = tuple((name, models[name]) for name in kind.branches if name in models)
            used = Node(dict, tuple(kind.branches), tuple(shape.parts[shape.keys.index(one)] for one in kind.branches))
            parts.append(Part(Guided(kind, used, of, batched, halved), range(row, row + 1), (numbers,)))
    return Guide(found, tuple(parts), tuple(arrays))


def _conditions(
    guidance: Guidance, conditions: Mapping[Any, Any] | None, models: Mapping[Any, Callable[..., Any]]
) -> dict[Any, Any]:
    """The condition of each branch. A branch with a model of its own has that of the conditional one, unless given."""
    for name, given in (("conditions", conditions), ("models", models)):
        if given is not None and not isinstance(given, Mapping):
            raise ScheduleError(f"{name} is a mapping of branches to theirs; given {shown(given)}.")
    strange = [one for one in models if one not in guidance.branches]
    if strange:
        listed = ", ".join(map(repr, guidance.branches))
        raise ScheduleError(f"{guidance!r} has the branches {listed}; models has {shown(strange[0])}.")
    given = {FIRST: NONE} if conditions is None else dict(conditions)
    for name in guidance.branches:
        if name not in given and name in models and FIRST in given:
            given[name] = given[FIRST]
        if name not in given:
            raise ScheduleError(
                f"{guidance!r} needs a condition for the branch {name!r}: give conditions={{{name!r}: ...}}; "
                f"given {[*given] if conditions is not None else None!r}."
            )
    return {name: given[name] for name in guidance.branches}


def _halved(plan: Any, guidance: Guidance) -> bool:
    """Whether outputs hold a variance too.

    Raises:
        ScheduleError: if the plan takes outputs that the guidance does not make.
    """
    if isinstance(guidance, Unguided):
        return False
    count, double = plan.tableau.outputs, isinstance(guidance, PlusPlus)
    if double and count != 2:
        raise ScheduleError(
            f"cfg_plus_plus(...) is for a plan whose solver is ms.solvers.CFGPlusPlus(); {plan.name} takes one output. "
            "Give ms.Scheduler(path, spacing, prediction, ms.solvers.CFGPlusPlus(solver)), or cfg(...)."
        )
    if count > 2:
        raise ScheduleError(f"{plan.name} takes outputs of {count} parts, which guidance does not combine.")
    return not double and (count == 2 or isinstance(plan.noise_transform, LearnedVariance))


@lru_cache(maxsize=64)
def compiled(backend: Backend[Any], guided: Guided) -> Callable[..., Any]:
    """`Guided.combined`, compiled by the array library: f(outputs, numbers, sample, memory)."""

    def function(outputs: Any, numbers: Any, sample: Any, memory: Any) -> Any:
        return guided.combined(backend, outputs, numbers, sample, memory)

    return backend.compile(function)


def on_device(backend: Backend[Any], numbers: Any, like: Any) -> Any:
    """Numbers as arrays, those of one for each sample too."""
    if isinstance(numbers, tuple):
        return tuple(on_device(backend, one, like) for one in numbers)
    if hasattr(numbers, "shape") and not isinstance(numbers, np.ndarray):
        return backend.astype(numbers, like.dtype)
    return backend.asarray(numbers, like.dtype, backend.device(like))


def stacked(backend: Backend[Any], rows: tuple[Any, ...], like: Any) -> Any:
    """The numbers of several rows, each an array (rows, ...)."""
    if isinstance(rows[0], tuple):
        return tuple(stacked(backend, one, like) for one in zip(*rows, strict=True))
    wide = max((np.ndim(one) if not hasattr(one, "ndim") else one.ndim for one in rows), default=0)
    count = next((one.shape[0] for one in rows if getattr(one, "ndim", 0)), 1)
    if all(isinstance(one, (int, float, np.ndarray, np.generic)) for one in rows):
        full = [np.broadcast_to(one, (count,) if wide else ()) for one in rows]
        return backend.asarray(np.stack(full).astype(np.float64), like.dtype, backend.device(like))
    arrays = [on_device(backend, one, like) for one in rows]
    return backend.xp.stack([backend.xp.broadcast_to(one, (count,) if wide else ()) for one in arrays])
