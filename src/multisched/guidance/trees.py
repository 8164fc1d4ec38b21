"""Conditions taken apart into their arrays and the rest, so that a compiled loop is given the arrays."""

from typing import Any, NamedTuple

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError


class Leaf(NamedTuple):
    """The place of an array."""

    number: int


class Other(NamedTuple):
    """Anything else."""

    value: Any


class Node(NamedTuple):
    """A dictionary, a tuple or a list."""

    kind: type
    keys: tuple[Any, ...]
    parts: tuple[Any, ...]


def is_array(backend: Backend[Any], value: Any) -> bool:
    """Whether a value is an array of the library, or of NumPy."""
    if isinstance(value, np.ndarray):
        return True
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return False
    try:
        return backends.of(value) is backend
    except ScheduleError:
        return False


def split(backend: Backend[Any], tree: Any) -> tuple[Any, list[Any]]:
    """What a tree is without its arrays, and the arrays in order."""
    found: list[Any] = []

    def apart(one: Any) -> Any:
        if is_array(backend, one):
            found.append(one)
            return Leaf(len(found) - 1)
        if isinstance(one, dict):
            return Node(type(one), tuple(one), tuple(apart(one[key]) for key in one))
        if isinstance(one, (tuple, list)):
            return Node(type(one), (), tuple(map(apart, one)))
        return Other(one)

    return apart(tree), found


def join(shape: Any, arrays: Any) -> Any:
    """The tree of both."""
    if isinstance(shape, Leaf):
        return arrays[shape.number]
    if isinstance(shape, Other):
        return shape.value
    parts = [join(one, arrays) for one in shape.parts]
    if shape.keys or issubclass(shape.kind, dict):
        return shape.kind(zip(shape.keys, parts, strict=True))
    return shape.kind(*parts) if hasattr(shape.kind, "_fields") else shape.kind(parts)
