"""Offset and pyramid noise: normals that neighbours share a part of."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise.addresses import OFFSET, PYRAMID
from multisched.noise.wrapper import Draw, Wrapper


@dataclass(frozen=True)
class OffsetNoise(Wrapper):
    """Noise with a constant added to each channel of each sample, z = (white + strength * c) / sqrt(1 + strength^2).

    N. Guttenberg, "Diffusion with offset noise" (2023), which adds without dividing; here the variance stays 1.

    Args:
        source: anything that `rng=` takes.
        strength: of the constant, >= 0.
        channel_axis: axis of a sample that counts channels, None for one constant per sample.

    Raises:
        ScheduleError: a negative strength, or a shape without that axis.
    """

    strength: float = 0.1
    channel_axis: int | None = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.strength < math.inf:
            raise ScheduleError(f"strength must be a number >= 0; given {self.strength!r}.")

    def shaped(self, backend: Backend[Any], device: Any, white: Any, more: Draw, shape: tuple[int, ...]) -> Any:
        channels = _channels(self.channel_axis, shape)
        constant = more(OFFSET, tuple(size if axis in channels else 1 for axis, size in enumerate(shape)))
        scale = 1 / math.sqrt(1 + self.strength**2)
        return white * scale + constant * (self.strength * scale)


@dataclass(frozen=True)
class PyramidNoise(Wrapper):
    """Noise of several resolutions, z = sum of discount^k * level_k, over its deviation.

    Level 0 is white; level k has half the size of the one before along every axis but the channels', each number spread
    over 2^k neighbours along each. It ends where one number spreads over all.

    J. Whitaker, "Multi-resolution noise for diffusion model training" (2023). There sizes shrink by random factors of 2
    to 4, are interpolated linearly and the sum is divided by its measured deviation; here by the exact one, so that the
    variance is 1 everywhere.

    Args:
        source: anything that `rng=` takes.
        discount: weight of a level relative to the finer one, in [0, 1].
        levels: at most, beside the white one, 1..16.
        channel_axis: axis of a sample that counts channels, or None.

    Raises:
        ScheduleError: a discount or number of levels outside these, or a shape without that axis.
    """

    discount: float = 0.9
    levels: int = 10
    channel_axis: int | None = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.discount <= 1 and 1 <= self.levels <= 16):
            given = f"{self.discount!r} and {self.levels!r}"
            raise ScheduleError(f"discount must be in [0, 1] and levels in 1..16; given {given}.")

    def shaped(self, backend: Backend[Any], device: Any, white: Any, more: Draw, shape: tuple[int, ...]) -> Any:
        channels = _channels(self.channel_axis, shape)
        spread = [axis for axis in range(len(shape)) if axis not in channels]
        longest = max((shape[axis] for axis in spread), default=1)
        levels = min(self.levels, max(longest - 1, 0).bit_length())
        total = white
        for level in range(1, levels + 1):
            size = tuple(-(-n // 2**level) if axis in spread else n for axis, n in enumerate(shape))
            drawn = more(PYRAMID + level, size)
            for axis in spread:
                index = backend.asarray(np.arange(shape[axis]) // 2**level, "int32", device)
                drawn = backend.xp.take(drawn, index, axis=axis + 1)
            total = total + drawn * self.discount**level
        return total * (1 / math.sqrt(sum(self.discount ** (2 * level) for level in range(levels + 1))))


def _channels(axis: int | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axis that counts channels, if there is one beside others."""
    if axis is None or len(shape) < 2:
        return ()
    if not -len(shape) <= axis < len(shape):
        raise ScheduleError(f"channel_axis is an axis of a sample; given {axis} for the shape {shape}.")
    return (axis % len(shape),)
