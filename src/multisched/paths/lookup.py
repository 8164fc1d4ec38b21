"""Levels looked up in a table of whole timesteps, and the numbers that they are looked up by."""

from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import Backend


def numbers(values: Any) -> tuple[Any, Any]:
    """(array-API namespace, array) of numbers: in float64 on the host, or an array of another library as it is."""
    if hasattr(values, "dtype") and not isinstance(values, (np.ndarray, np.generic)):
        return backends.of(values).xp, values
    return np, np.asarray(values, dtype=np.float64)


def between(xp: Any, wanted: Any, places: np.ndarray, values: np.ndarray) -> Any:
    """`np.interp` on the arrays of any library: values at rising places, interpolated linearly; the first or the last
    of them beyond the ends."""
    if xp is np:
        return np.interp(wanted, places, values)
    backend = backends.of(wanted)
    own, table = (backend.asarray(one, wanted.dtype, backend.device(wanted)) for one in (places, values))
    flat = xp.reshape(wanted, (-1,))
    low = xp.sum(xp.astype(own[None, :] < flat[:, None], xp.int32), axis=1) - 1
    low = xp.clip(low, 0, places.size - 2)
    (below, above), (first, last) = ((xp.take(one, low, axis=0), xp.take(one, low + 1, axis=0)) for one in (own, table))
    share = xp.clip((flat - below) / (above - below), 0.0, 1.0)
    return xp.reshape(first + (last - first) * share, wanted.shape)


def interpolated(backend: Backend[Any], timesteps: Any, places: np.ndarray, *tables: np.ndarray) -> tuple[Any, ...]:
    """Tables of values at whole timesteps, interpolated linearly on the device of the timesteps; beyond the ends their
    first or last value. In float64 if the timesteps are, else in float32.

    Args:
        backend: of the timesteps.
        timesteps: of any shape and a floating or whole dtype.
        places: the whole timesteps, each one above the one before.
        tables: values at them.
    """
    xp, device = backend.xp, backend.device(timesteps)
    wide = xp.float64 if str(timesteps.dtype).endswith("float64") else xp.float32
    first, last = int(places[0]), int(places[-1])
    flat = xp.clip(xp.reshape(xp.astype(timesteps, wide), (-1,)), first, last)
    low = xp.astype(xp.floor(flat), xp.int32)
    share = flat - xp.astype(low, wide)
    low = low - first
    high = xp.clip(low + 1, 0, last - first)
    found = []
    for values in tables:
        table = backend.asarray(values, wide, device)
        below, above = xp.take(table, low, axis=0), xp.take(table, high, axis=0)
        found.append(xp.reshape(below + (above - below) * share, timesteps.shape))
    return tuple(found)


def rising(table: np.ndarray) -> np.ndarray:
    """The places of a table's levels that lie below its last, and of that: a terminal_alpha_bar may lie above some
    before it, which are then passed over."""
    return np.flatnonzero((table < table[-1]) | (np.arange(table.size) == table.size - 1))
