"""Values: frozen dataclasses that hold arrays and yet compare, hash, copy and pickle as numbers do."""

from dataclasses import fields
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import is_numpy_array


def read_only(values: Any) -> Any:
    """A float64 NumPy copy that nobody can write to; arrays of other libraries pass as they are."""
    if not is_numpy_array(values) and hasattr(values, "shape"):
        return values
    array = np.asarray(values, dtype=np.float64)
    return np.frombuffer(array.tobytes(), dtype=np.float64).reshape(array.shape)


def shown(values: Any) -> str:
    """Numbers for a message: in one line, the middle of a long list left out."""
    with np.printoptions(threshold=6, edgeitems=2, linewidth=1000):
        return str(np.asarray(values))


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
