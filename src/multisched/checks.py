"""Checks of what a user gives a schedule: each failure is one sentence with the value and what is allowed."""

import math
from typing import Any

import numpy as np

from multisched import backends
from multisched.errors import ScheduleError
from multisched.values import STEPS, count, option, real, shown

__all__ = [
    "count",
    "descending",
    "falling",
    "numbers",
    "one_of",
    "option",
    "ratios",
    "same_length",
    "steps",
    "times",
    "trimmed",
    "within",
]


def numbers(name: str, values: Any, most: int = STEPS + 1) -> np.ndarray:
    """A list, or an array of any backend, as a float64 vector: finite, of 1 to `most` numbers."""
    try:
        size = values.shape[0] if hasattr(values, "shape") else len(values)
        host = values if size > most else _hosted(values)
        array = None if size > most or host.dtype.kind not in "iuf" else host.astype(np.float64)
    except Exception:  # what is no list fails in many ways, that of another library in its own
        raise ScheduleError(f"{name} must be a list of numbers; given {shown(values)}.") from None
    if size > most:
        raise ScheduleError(f"{name} must be a list of at most {most} numbers; given {size}.")
    if array is None:
        raise ScheduleError(f"{name} must be a list of numbers; given {shown(values)}.")
    if array.ndim != 1 or array.size == 0:
        raise ScheduleError(f"{name} must be a list of at least one number; given shape {array.shape}.")
    if not np.all(np.isfinite(array)):
        raise ScheduleError(f"{name} must be finite; given {shown(array)}.")
    return array


def _hosted(values: Any) -> np.ndarray:
    """The numbers of a list or of an array of any library, in a dtype that says what they are."""
    if hasattr(values, "shape") and not isinstance(values, np.ndarray):
        values = backends.of(values).to_numpy(values)
    host = np.asarray(values)
    return np.array([real("one of them", one) for one in host]) if host.dtype.kind == "O" else host


def descending(name: str, values: Any, most: int = STEPS + 1) -> np.ndarray:
    """`numbers`, each below the one before."""
    array = numbers(name, values, most)
    if not np.all(np.diff(array) < 0):
        raise ScheduleError(f"{name} must fall strictly, each below the one before; given {shown(array)}.")
    return array


def ratios(values: Any) -> np.ndarray:
    """`descending` ratios sigma / alpha above 0, without the 0 that may close them."""
    array = descending("ratios", values)
    inner = array[:-1] if array[-1] == 0 else array
    if inner.size == 0 or inner[-1] < 0:
        raise ScheduleError(f"ratios (sigma / alpha) must be above 0, but for a closing 0; given {shown(array)}.")
    return inner


def within(name: str, values: np.ndarray, low: float, high: float) -> None:
    """Every value lies in [low, high]."""
    if not np.all((values >= low) & (values <= high)):
        raise ScheduleError(f"{name} must lie in [{low:g}, {high:g}]; given {values.min():g} to {values.max():g}.")


def times(timesteps: Any, last: float = math.inf, first: float = 0) -> np.ndarray:
    """Numbers of the host as a float64 array of any shape, each in [first, last]."""
    try:
        given = np.asarray(timesteps)
        array = given.astype(np.float64) if given.dtype.kind in "iuf" else None
    except Exception:  # as in `numbers`
        array = None
    if array is None:
        raise ScheduleError(f"timesteps must be a number or an array of them; given {shown(timesteps)}.")
    if not np.all((array >= first) & (array <= last)):
        raise ScheduleError(f"timesteps must lie in [{first}, {last}]; given {shown(array)}.")
    return array


def steps(n: Any, most: int | None = None) -> int:
    """A number of steps as an int in 1..most, and no more than any run may have."""
    return count("the number of steps", n, STEPS if most is None else min(most, STEPS))


def one_of(**given: Any) -> str:
    """The name of the one argument that is not None."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise ScheduleError(f"give exactly one of {', '.join(given)}; given {listed}.")
    return names[0]


def same_length(n: Any, length: int) -> None:
    """A step count that comes along with a list agrees with it."""
    if n is not None and count("n", n) != length:
        raise ScheduleError(f"n = {n} steps, but the list given makes {length}; leave n out.")


def trimmed(values: np.ndarray, *ends: float) -> np.ndarray:
    """A list without the end of the run, if that closes it."""
    return values[:-1] if values.size > 1 and values[-1] in ends else values


def falling(levels: np.ndarray) -> np.ndarray:
    """Noise levels that decrease strictly and stay above 0."""
    if not (np.all(np.diff(levels) < 0) and levels[-1] > 0):
        raise ScheduleError(f"noise levels must fall strictly and stay above 0; given {shown(levels)}.")
    return levels
