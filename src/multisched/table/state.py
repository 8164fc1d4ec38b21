"""The state of a run, and the checks of arrays: nothing here does arithmetic on them, or reads their values.

Each check passes in silence or raises a `ScheduleError` with one sentence.
"""

import operator
from typing import Any, Generic, NamedTuple

import numpy as np

from multisched import backends
from multisched.backends import B, Backend
from multisched.errors import ScheduleError, no_out
from multisched.table.packed import Layout
from multisched.values import shown

_MOST = {f"{sign}int{bits}": 2 ** (bits - (not sign)) - 1 for sign in ("u", "") for bits in (8, 16, 32, 64)}
"""The largest number of each integer dtype."""


class State(NamedTuple, Generic[B]):
    """A run between two rows of its plan: plain arrays, to be saved, sent and resumed.

    Attributes:
        sample: the sample, first axis = samples.
        memory: the solver's registers, each shaped as the sample.
        index: the row that comes next: an int, or an integer array of the library, shaped as the first axes of the
            sample: 0-d for one row, (samples,) for one per sample, (samples, frames) for one per frame or token.

    Example:
        >>> state = ms.FlowMatchEuler().plan(4).start(np.ones((1, 2)))
        >>> state.index, state.memory, state.sample.shape
        (0, (), (1, 2))
    """

    sample: B
    memory: tuple[B, ...]
    index: Any


def check_all(backend: Backend[Any], layout: Layout, state: State[Any], output: Any, noise: tuple[Any, ...]) -> None:
    """The arrays of a step go together.

    Raises:
        ScheduleError: if one is of another library, shape or device than the sample, or not floating.
    """
    sample = state.sample
    kind, shape, dtype = type(sample), sample.shape, sample.dtype
    whole = layout.outputs == 1 and layout.noise_transform is None
    others = (output, *state.memory, *noise)
    for array in others if whole else others[1:]:
        alike = type(array) is kind and ((its := array.dtype) is dtype or its == dtype)
        if not alike or array.shape != shape:
            check_alike(sample, array, _name(array, state, output), "sample")
    if not whole and type(output) is not kind and backends.of(output) is not backend:
        check_alike(sample, output, "the model's output", "sample")
    if not backend.together(sample, others):
        for array in others:
            check_device(sample, array, _name(array, state, output), "sample")


def _name(array: Any, state: State[Any], output: Any) -> str:
    """What an array of a step is called."""
    return "the model's output" if array is output else "memory" if any(array is m for m in state.memory) else "noise"


def check_alike(one: Any, other: Any, other_name: str, one_name: str) -> None:
    """`other` is floating, and of the same library, shape and device as `one`.

    Raises:
        ScheduleError: if it is not; the names say which arrays these are.
    """
    if type(other) is not type(one) and backends.of(other) is not backends.of(one):
        mine, its = backends.of(one).name, backends.of(other).name
        raise ScheduleError(f"{other_name} is an array of {its}, the {one_name} of {mine}.")
    backends.of(other).compute_dtype(other.dtype)  # refuses what is not floating, whose values a cast would change
    if other.shape != one.shape:
        raise ScheduleError(f"{other_name} has shape {tuple(other.shape)}, the {one_name} {tuple(one.shape)}.")
    check_device(one, other, other_name, one_name)


def check_device(one: Any, other: Any, other_name: str, one_name: str) -> None:
    """`other`, an array of the same library, lies where `one` does.

    Raises:
        ScheduleError: if it does not; the names say which arrays these are.
    """
    backend = backends.of(one)
    if not backend.together(one, (other,)):
        mine, its = backend.device(one), backend.device(other)
        raise ScheduleError(f"{other_name} lies on {its}, the {one_name} on {mine}: move one of them.")


def check_out(backend: Backend[Any], state: State[Any], out: State[Any], output: Any, noise: tuple[Any, ...]) -> None:
    """A step can be written to a state."""
    if not isinstance(out, State) or len(out.memory) != len(state.memory):
        raise ScheduleError(no_out("a state of as many memory registers is needed"))
    backend.check_out((out.sample, *out.memory), state.sample, (state.sample, *state.memory, output, *noise))


def donates(state: State[Any], out: State[Any] | None, output: Any, noise: tuple[Any, ...]) -> bool:
    """Whether a state itself may be overwritten.

    Raises:
        ScheduleError: if it may, and one of its arrays is given twice.
    """
    if out is None or out.sample is not state.sample:
        return False
    mine = [id(array) for array in (state.sample, *state.memory)]
    if len(set(mine)) < len(mine) or not {id(output), *map(id, noise)}.isdisjoint(mine):
        raise ScheduleError("with out= as the state itself, its arrays, the model's output and the noise must differ.")
    return True


def host_number(state: State[Any], last: int) -> int | None:
    """The int that a state's index is, if it is a number of the host; None for an array of a device or of several.

    Args:
        state: of the index.
        last: the largest index of a run.

    Raises:
        ScheduleError: if it is neither, or an array of another library or device than the sample, of a shape that the
            sample's does not begin with, or of a dtype that does not reach `last`.
    """
    index, sample = state.index, state.sample
    if isinstance(index, (np.ndarray, np.generic)) and index.ndim == 0 and index.dtype.kind in "iu":
        return int(index)
    if hasattr(index, "shape") and hasattr(index, "dtype"):
        mine, its = backends.of(sample), backends.of(index)
        most = _MOST.get(str(index.dtype).rpartition(".")[2], -1)
        if most < last:
            wanted = "state.index must be an int or an integer array"
            reason = "" if most < 0 else f", which ends at {most}: the run ends at {last}, so use int32"
            raise ScheduleError(f"{wanted}; given {index.dtype}{reason}.")
        if mine is not its:
            raise ScheduleError(f"the index is an array of {its.name}, the sample of {mine.name}.")
        if tuple(index.shape) != tuple(sample.shape[: len(index.shape)]):
            raise ScheduleError(f"the index has shape {tuple(index.shape)}, the sample {tuple(sample.shape)}.")
        check_device(sample, index, "the index", "sample")
        return None
    try:
        if isinstance(index, bool):
            raise TypeError
        return operator.index(index)
    except TypeError:
        raise ScheduleError(f"state.index must be an int or an integer array; given {type(index).__name__}.") from None


def kept_dtype(backend: Backend[Any], dtype: Any) -> Any:
    """The library's dtype for what a user gave as one.

    Raises:
        ScheduleError: if it is none.
    """
    try:
        return backend.asarray(0.0, dtype).dtype
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ScheduleError):
            raise
        raise ScheduleError(f"dtype must be a floating dtype of {backend.name}; given {shown(dtype)}.") from None


def draws_of(name: str, layout: Layout, state: State[Any], noise: Any) -> tuple[Any, ...]:
    """The noise operands of a row of the plan `name` that adds noise."""
    draws: tuple[Any, ...] = noise if isinstance(noise, tuple) else () if noise is None else (noise,)
    if len(draws) != layout.draws:
        row = f"row {state.index}" if isinstance(state.index, int) else "a row"
        raise ScheduleError(
            f"{row} of {name} adds noise: give noise= as {layout.draws} array(s) of unit normals; given {len(draws)}."
        )
    return draws
