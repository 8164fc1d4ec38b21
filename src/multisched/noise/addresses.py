"""Addresses: which counter and key of the generator each random word belongs to.

A block of four words stands at

    key      the 64-bit seed                                       two words
    counter  (block of the sample, sample, step - START, draw)     four words

so that two addresses share a word only if they are the same address. A draw's number takes the low 16 bits of its
word; the high bits keep apart what is drawn beside the noise itself: nodes of a Brownian path, levels of a pyramid.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.values import shown

START = -1
"""The step number of the starting noise."""

DRAWS = 1 << 16
"""Draws that a step may have."""

OFFSET, BROWNIAN, UNIFORM, PROBE, PYRAMID = 1, 2, 3, 4, 16
"""What a draw is for, beside the noise itself (0). A pyramid's level k is PYRAMID + k."""

_WORD = 1 << 32


def purpose(kind: int, draw: Any) -> Any:
    """The number of a draw that serves `kind` beside draw `draw`, an int or an integer array.

    Raises:
        ScheduleError: if it is such a draw already: two wrappers of one kind lie around each other.
    """
    if isinstance(draw, int) and not 0 <= draw < DRAWS:
        raise ScheduleError(
            f"a draw is numbered 0..{DRAWS - 1}, and each wrapper goes around noise once; given {draw}."
        )
    return draw + kind * DRAWS


def check_seed(seed: Any) -> Any:
    """A seed as an int, or one per sample as a tuple of them.

    Raises:
        ScheduleError: if it is no whole number in 0..2^64 - 1, nor a sequence of at least one of them.
    """
    if isinstance(seed, (tuple, list, range)) or (isinstance(seed, np.ndarray) and seed.ndim == 1):
        if not len(seed):
            raise ScheduleError("seeds are given one per sample; given none.")
        return tuple(_one(value) for value in seed)
    return _one(seed)


def _one(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ScheduleError(f"a seed is a whole number >= 0; given {shown(seed)}.")
    if seed >= 1 << 64:
        raise ScheduleError(f"a seed is below 2^64, two words of the generator; given {shown(seed)}.")
    return int(seed)


def keys(seed: int | tuple[int, ...], sample_ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """(seed, sample) of each sample: with one seed per sample, sample k is sample 0 of the k-th seed.

    Raises:
        ScheduleError: if a sample has no seed, or lies outside 0..2^32 - 1.
    """
    ids = [int(sample) for sample in sample_ids]
    most = _WORD if isinstance(seed, int) else len(seed)
    if ids and not 0 <= min(ids) <= max(ids) < most:
        raise ScheduleError(f"samples are numbered 0..{most - 1} here; given {min(ids)}..{max(ids)}.")
    if isinstance(seed, int):
        return [seed] * len(ids), ids
    return [seed[sample] for sample in ids], [0] * len(ids)


def check_place(step: Any, draw: Any) -> None:
    """A step and a draw that are numbers of the host have an address.

    Raises:
        ScheduleError: they have none.
    """
    for name, value, least in (("step", step, START), ("draw", draw, 0)):
        if isinstance(value, (int, np.integer)) and not least <= value < 1 << 31:
            raise ScheduleError(f"noise has a {name} in {least}..2^31 - 1; given {value}.")
