"""Checks of what a user gives a schedule: each failure is one sentence with the value and what is allowed."""

from typing import Any

import numpy as np

from multisched import backends
from multisched.errors import ScheduleError
from multisched.values import count, option, shown

__all__ = ["count", "descending", "numbers", "one_of", "option", "ratios", "same_length", "times", "within"]


def numbers(name: str, values: Any) -> np.ndarray:
    """A list, or an array of any backend, as a float64 vector: not empty, and finite."""
    try:
        host = backends.of(values).to_numpy(values) if hasattr(values, "shape") else values
        array = np.asarray(host, dtype=np.float64)
    except (TypeError, ValueError):
        raise ScheduleError(f"{name} must be a list of numbers; given {values!r}.") from None
    if array.ndim != 1 or array.size == 0:
        raise ScheduleError(f"{name} must be a list of at least one number; given shape {array.shape}.")
    if not np.all(np.isfinite(array)):
        raise ScheduleError(f"{name} must be finite; given {shown(array)}.")
    return array


def descending(name: str, values: Any) -> np.ndarray:
    """`numbers`, each below the one before."""
    array = numbers(name, values)
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


def times(timesteps: Any, last: float, first: float = 0) -> np.ndarray:
    """Numbers of the host as a float64 array of any shape, each in [first, last]."""
    array = np.asarray(timesteps, dtype=np.float64)
    if not np.all((array >= first) & (array <= last)):
        raise ScheduleError(f"timesteps must lie in [{first}, {last}]; given {shown(timesteps)}.")
    return array


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
