"""Values: frozen dataclasses that hold arrays and yet compare, hash, copy and pickle as numbers do."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cache, cached_property
from numbers import Real
from types import MappingProxyType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
from array_api_compat import array_namespace

from multisched.errors import ScheduleError
from multisched.messages import hint, near, shown

__all__ = [
    "CALLS",
    "FLOAT32",
    "STEPS",
    "TRAINING_TIMESTEPS",
    "Value",
    "anywhere",
    "arithmetic",
    "check_options",
    "count",
    "flag",
    "hint",
    "namespace",
    "near",
    "option",
    "read_only",
    "real",
    "shown",
    "whole",
    "word",
    "words_in",
]


def namespace(array: Any) -> Any:
    """The array-API namespace of an array. NumPy's own, which is the standard's from 2.0 on, for NumPy's: it is called
    hundreds of times for a plan, where looking it up would cost more than what is done with it."""
    return np if isinstance(array, (np.ndarray, np.generic)) else array_namespace(array)


def read_only(values: Any, name: str = "an array") -> Any:
    """A float64 NumPy copy that nobody can write to; arrays of other libraries pass as they are.

    Raises:
        ScheduleError: if it is no array of numbers.
    """
    if not isinstance(values, (np.ndarray, np.generic)) and hasattr(values, "shape"):
        return values
    array: np.ndarray | None
    try:
        given = np.asarray(values)
        array = given.astype(np.float64, copy=False) if given.dtype.kind in "iufb" else None
    except Exception:  # what is no list fails in many ways
        array = None
    if array is None:
        raise ScheduleError(f"{name} must be an array of numbers; given {shown(values)}.")
    return np.frombuffer(array.tobytes(), dtype=np.float64).reshape(array.shape)


def anywhere(condition: Any) -> bool:
    """Whether a condition holds in some element; False where that is not known, since a function is being traced."""
    if isinstance(condition, np.ndarray):
        return bool(condition.any())
    try:
        return bool(array_namespace(condition).any(condition))
    except TypeError:
        return False


TRAINING_TIMESTEPS = 100_000
"""Timesteps that a training schedule has at most, a hundred times what any model was trained on."""

STEPS = 10_000
"""Steps that a run has at most."""

CALLS = 100_000
"""Model calls that a run has at most: its steps, times those that a solver makes in each."""

FLOAT32 = float(np.finfo(np.float32).max)
"""The largest number of float32."""

_MOST = 1 << 63  # an int that an option may be is below


@contextmanager
def arithmetic() -> Iterator[None]:
    """Float64 arithmetic on options, without warnings: what is not finite is refused where it arrives, in a grid or a
    table.

    Raises:
        ScheduleError: if Python's own numbers overflow or are divided by zero on the way.
    """
    with np.errstate(all="ignore"):
        try:
            yield
        except (OverflowError, ZeroDivisionError):
            raise ScheduleError(
                "these options and arguments make numbers beyond float64; give less extreme ones."
            ) from None


def real(name: str, value: Any) -> float:
    """`value` as a float, which may be NaN or infinite.

    Raises:
        ScheduleError: if it is no number of the host, or beyond float64.
    """
    number = value.item() if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 else value
    if isinstance(number, bool) or not isinstance(number, Real):
        raise ScheduleError(f"{name} must be a number; given {shown(value)}.")
    try:
        return float(number)
    except (OverflowError, ValueError):
        raise ScheduleError(f"{name} must be a number that float64 can hold; given {shown(value)}.") from None


def whole(name: str, value: Any) -> int:
    """`value` as an int.

    Raises:
        ScheduleError: if it is no whole number of the host, or beyond 64 bits.
    """
    number = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
        raise ScheduleError(f"{name} must be an int; given {shown(value)}.")
    if not -_MOST <= number < _MOST:
        raise ScheduleError(f"{name} must be an int of 64 bits; given {shown(value)}.")
    return int(number)


def number_of(value: Any) -> float | None:
    """The one number of the host that a value is; None for what is none, and for arrays of devices."""
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if isinstance(value, (np.ndarray, np.generic)) and value.size == 1 and value.dtype.kind in "biuf":
        return float(value.item())
    return None


def close(one: float, other: float) -> bool:
    """Whether two numbers are equal up to the rounding of float32, which what a model is given has been through."""
    return one == other or abs(one - other) <= 1e-6 * max(1.0, abs(one), abs(other))


def flag(name: str, value: Any) -> bool:
    """`value` as a bool.

    Raises:
        ScheduleError: if it is neither True nor False.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ScheduleError(f"{name} must be True or False; given {shown(value)}.")
    return bool(value)


def word(name: str, value: Any) -> str:
    """`value` as it is.

    Raises:
        ScheduleError: if it is no string.
    """
    if not isinstance(value, str):
        raise ScheduleError(f"{name} must be a string; given {shown(value)}.")
    return value


def count(name: str, value: Any, most: int | None = None, least: int = 1) -> int:
    """`value` as an int of at least `least` and at most `most`.

    Raises:
        ScheduleError: if it is another.
    """
    number = whole(name, value)
    if number < least or (most is not None and number > most):
        allowed = f"at least {least}" if most is None else f"in {least}..{most}"
        raise ScheduleError(f"{name} must be {allowed}; given {number}.")
    return number


def option(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Refuse a value that is none of the allowed words.

    Raises:
        ScheduleError: if it is none of them; the message names the one that is meant where that can be told.
    """
    if not isinstance(value, str) or value not in allowed:
        listed = ", ".join(map(repr, allowed))
        raise ScheduleError(f"{name} must be one of {listed}; given {shown(value)}{hint(value, allowed)}.")


_KINDS: dict[Any, Callable[[str, Any], Any]] = {float: real, int: whole, bool: flag, str: word}


def check_options(
    options: Any,
    *,
    positive: Sequence[str] = (),
    not_negative: Sequence[str] = (),
    counts: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Hold the fields of a frozen dataclass to their types float, int, bool, str and `Literal`, and store them as just
    that.

    Args:
        options: the dataclass.
        positive, not_negative: names of fields that are finite numbers above 0, or from 0 on.
        counts: names of fields that are whole numbers of at least 1, with the most that each may be.

    Raises:
        ScheduleError: if a value has another type, or is not allowed.
    """
    for field in fields(options):
        value = getattr(options, field.name)
        kind: Any = field.type
        for plain in (float, int, str):
            kind = plain if kind == plain | None and value is not None else kind
        if kind in _KINDS:
            object.__setattr__(options, field.name, _KINDS[kind](field.name, value))
        elif (known := words_in(kind)) and (value is not None or get_origin(kind) is Literal):
            option(field.name, value, known)
    for names, least, wanted in ((positive, math.ulp(0.0), "a positive number"), (not_negative, 0.0, "a number >= 0")):
        for name in names:
            value = getattr(options, name)
            if value is not None and not least <= value < math.inf:
                raise ScheduleError(f"{name} must be {wanted}; given {value!r}.")
    for name, most in counts.items():
        count(name, getattr(options, name), most)


@cache
def words_in(kind: Any) -> tuple[str, ...]:
    """The words of a type that is a `typing.Literal`, or that or None; none of any other."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) not in (Union, UnionType):
        return ()
    return tuple(word for part in get_args(kind) for word in words_in(part))


class Value:
    """Base of a frozen dataclass (eq=False) some of whose fields are arrays. Equal if every field that is compared is,
    bit for bit."""

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        found = (getattr(self, field.name) for field in fields(self) if field.compare)  # type: ignore[arg-type]
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
