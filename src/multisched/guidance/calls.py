"""The calls of a model for the branches of guidance: several, or one for all."""

from collections.abc import Callable, Mapping
from typing import Any

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.guidance.trees import join, split
from multisched.values import shown

NONE = object()
"""The condition of a model that is called without one."""


def called(model: Callable[..., Any], x: Any, t: Any, condition: Any) -> Any:
    """The output of one branch."""
    return model(x, t) if condition is NONE else model(x, t, condition)


def outputs_of(
    backend: Backend[Any],
    model: Callable[..., Any],
    models: Mapping[Any, Callable[..., Any]],
    x: Any,
    t: Any,
    conditions: Mapping[Any, Any],
    batched: bool,
) -> dict[Any, Any]:
    """The outputs of the branches that have a condition.

    Args:
        backend: of the arrays.
        model: of every branch but those in `models`.
        models: of some branches, by their names.
        x, t: passed to the model.
        conditions: of the branches, by their names.
        batched: whether the branches of a model are called as one, behind each other along the first axis.
    """
    if not batched:
        return {name: called(models.get(name, model), x, t, one) for name, one in conditions.items()}
    groups: dict[int, tuple[Callable[..., Any], list[Any]]] = {}
    for name in conditions:
        whose = models.get(name, model)
        groups.setdefault(id(whose), (whose, []))[1].append(name)
    found: dict[Any, Any] = {}
    for whose, names in groups.values():
        found |= _together(backend, whose, x, t, {name: conditions[name] for name in names})
    return {name: found[name] for name in conditions}


def _together(
    backend: Backend[Any], model: Callable[..., Any], x: Any, t: Any, conditions: Mapping[Any, Any]
) -> dict[Any, Any]:
    """The outputs of several branches in one call."""
    names, samples = [*conditions], x.shape[0] if x.ndim else 0
    if len(names) == 1:
        return {names[0]: called(model, x, t, conditions[names[0]])}
    if not x.ndim:
        raise ScheduleError("batched=True needs samples with a first axis.")
    output = called(model, backend.xp.concat([x] * len(names), axis=0), t, behind(backend, conditions, samples))
    if not output.shape or output.shape[0] != samples * len(names):
        raise ScheduleError(
            f"a batched call of {len(names)} branches of {samples} samples is to give {samples * len(names)}; "
            f"the model's output has shape {tuple(output.shape)}."
        )
    return {name: output[k * samples : (k + 1) * samples, ...] for k, name in enumerate(names)}


def behind(backend: Backend[Any], conditions: Mapping[Any, Any], samples: int) -> Any:
    """The conditions of several branches behind each other along the first axis of each array.

    Raises:
        ScheduleError: if the conditions differ in more than their arrays, or an array has not one row per sample.
    """
    if any(one is NONE for one in conditions.values()):
        return NONE
    names = [*conditions]
    apart = {name: split(backend, one) for name, one in conditions.items()}
    shape = apart[names[0]][0]
    for name, (other, more) in apart.items():
        if not _alike(other, shape):
            raise ScheduleError(
                f"batched=True needs conditions that differ in their arrays alone; given {shown(conditions[names[0]])} "
                f"for {names[0]!r} and {shown(conditions[name])} for {name!r}."
            )
        for one in more:
            if not one.shape or one.shape[0] != samples:
                raise ScheduleError(
                    f"batched=True needs conditions of one row for each of the {samples} samples; given an array of "
                    f"shape {tuple(one.shape)} for {name!r}."
                )
    rows = zip(*(arrays for _, arrays in apart.values()), strict=True)
    return join(shape, [backends.of(one[0]).xp.concat(list(one), axis=0) for one in rows])


def _alike(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # what an array of another library, say, answers is no truth
        return False
