"""Values: frozen dataclasses that hold arrays and yet compare, hash, copy and pickle as numbers do."""

import math
from dataclasses import fields
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from multisched.errors import ScheduleError


def namespace(array: Any) -> Any:
    """The array-API namespace of an array. NumPy's own, which is the standard's from 2.0 on, for NumPy's: it is called
    hundreds of times for a plan, where looking it up would cost more than what is done with it."""
    return np if isinstance(array, (np.ndarray, np.generic)) else array_namespace(array)


def read_only(values: Any) -> Any:
    """A float64 NumPy copy that nobody can write to; arrays of other libraries pass as they are."""
    if not isinstance(values, np.ndarray) and hasattr(values, "shape"):
        return values
    array = np.asarray(values, dtype=np.float64)
    return np.frombuffer(array.tobytes(), dtype=np.float64).reshape(array.shape)


def anywhere(condition: Any) -> bool:
    """Whether a condition holds in some element; False where that is not known, since a function is being traced."""
    if isinstance(condition, np.ndarray):
        return bool(condition.any())
    try:
        return bool(array_namespace(condition).any(condition))
    except TypeError:
        return False


def shown(values: Any) -> str:
    """Numbers for a message: in one line, the middle of a long list left out."""
    with np.printoptions(threshold=6, edgeitems=2, linewidth=1000):
        return " ".join(str(np.asarray(values)).split("\n"))


def real(name: str, value: Any) -> float:
    """`value` as a float.

    Raises:
        ScheduleError: it is no number of the host.
    """
    number = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 else value
    if isinstance(number, bool) or not isinstance(number, Real):
        raise ScheduleError(f"{name} must be a number; given {value!r}.")
    return float(number)


def whole(name: str, value: Any) -> int:
    """`value` as an int.

    Raises:
        ScheduleError: it is no whole number of the host.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ScheduleError(f"{name} must be an int; given {value!r}.")
    return int(value)


def number_of(value: Any) -> float | None:
    """The one number of the host that a value is; None for what is none, and for arrays of devices."""
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 and value.dtype.kind in "biuf":
        return float(value.reshape(()))
    return None


def close(one: float, other: float) -> bool:
    """Whether two numbers are equal up to the rounding of float32, which what a model is given has been through."""
    return abs(one - other) <= 1e-6 * max(1.0, abs(one), abs(other))


def flag(name: str, value: Any) -> bool:
    """`value` as a bool.

    Raises:
        ScheduleError: it is neither True nor False.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ScheduleError(f"{name} must be True or False; given {value!r}.")
    return bool(value)


def word(name: str, value: Any) -> str:
    """`value` as it is.

    Raises:
        ScheduleError: it is no string.
    """
    if not isinstance(value, str):
        raise ScheduleError(f"{name} must be a string; given {value!r}.")
    return value


def count(name: str, value: Any, most: int | None = None) -> int:
    """`value` as an int of at least 1 and at most `most`."""
    number = whole(name, value)
    if number < 1 or (most is not None and number > most):
        allowed = "at least 1" if most is None else f"in 1..{most}"
        raise ScheduleError(f"{name} must be {allowed}; given {number}.")
    return number


def option(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """`value` is one of `allowed`."""
    if value not in allowed:
        raise ScheduleError(f"{name} must be one of {', '.join(map(repr, allowed))}; given {value!r}.")


_KINDS = {float: real, int: whole, bool: flag, str: word}


def check_options(
    options: Any,
    *,
    positive: tuple[str, ...] = (),
    not_negative: tuple[str, ...] = (),
    counts: tuple[str, ...] = (),
    **words: tuple[str, ...],
) -> None:
    """Hold the fields of a frozen dataclass to their types float, int, bool and str, and store them as just that.

    Args:
        options: the dataclass.
        positive, not_negative: names of fields that are finite numbers above 0, or from 0 on.
        counts: names of fields that are whole numbers of at least 1.
        words: the words that a field may be. None passes, where the field may be that.

    Raises:
        ScheduleError: a value of another type, or not allowed.
    """
    for field in fields(options):
        value = getattr(options, field.name)
        kind = field.type
        for plain in (float, int, str):
            kind = plain if kind == plain | None and value is not None else kind
        if kind in _KINDS:
            object.__setattr__(options, field.name, _KINDS[kind](field.name, value))
    for names, least, wanted in ((positive, math.ulp(0.0), "a positive number"), (not_negative, 0.0, "a number >= 0")):
        for name in names:
            value = getattr(options, name)
            if value is not None and not least <= value < math.inf:
                raise ScheduleError(f"{name} must be {wanted}; given {value!r}.")
    for name in counts:
        count(name, getattr(options, name))
    for name, allowed in words.items():
        if getattr(options, name) is not None:
            option(name, getattr(options, name), allowed)


class Value:
    """Base of a frozen dataclass (eq=False) some of whose fields are arrays. Equal if every field is, bit for bit."""

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        found = (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return tuple((v.shape, np.asarray(v).tobytes()) if hasattr(v, "shape") else v for v in found)

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, type(self)) else NotImplemented

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> Any:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
