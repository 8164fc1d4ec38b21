"""What is looked at before a step: its index, and the arrays that it writes to."""

import operator
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError, no_out
from multisched.step import State, check_place
from multisched.values import shown

_MOST = {f"{sign}int{bits}": 2 ** (bits - (not sign)) - 1 for sign in ("u", "") for bits in (8, 16, 32, 64)}
"""The largest number of each integer dtype."""


def check_out(backend: Backend[Any], state: State[Any], out: State[Any], output: Any, noise: tuple[Any, ...]) -> None:
    """A step can be written to a state."""
    if not isinstance(out, State) or len(out.memory) != len(state.memory):
        raise ScheduleError(no_out("a state of as many memory registers is needed"))
    backend.check_out((out.sample, *out.memory), state.sample, (state.sample, *state.memory, output, *noise))


def check_donated(state: State[Any], output: Any, noise: tuple[Any, ...]) -> None:
    """No array of a state that is overwritten is given twice."""
    mine = [id(array) for array in (state.sample, *state.memory)]
    if len(set(mine)) < len(mine) or not {id(output), *map(id, noise)}.isdisjoint(mine):
        raise ScheduleError("with out= as the state itself, its arrays, the model's output and the noise must differ.")


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
        check_place(sample, index, "the index", "sample")
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
