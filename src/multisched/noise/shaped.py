"""Noise correlated in space: offset and pyramid noise, which neighbours share a part of, and coloured noise."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise.addresses import OFFSET, PYRAMID
from multisched.noise.base import Shape
from multisched.noise.wrapper import Draw, Wrapper
from multisched.values import check_options


@dataclass(frozen=True)
class OffsetNoise(Wrapper):
    """Noise with a constant added to each channel of each sample, z = (white + strength * c) / sqrt(1 + strength^2).

    N. Guttenberg, "Diffusion with offset noise" (2023), which adds without dividing; here the variance stays 1.

    Args:
        source: anything that `rng=` takes.
        strength: of the constant, >= 0.
        channel_axis: axis of a sample that counts channels, None for one constant per sample.

    Raises:
        ScheduleError: if the strength is negative, or the shape does not have that axis.

    Example:
        >>> z = ms.noise.OffsetNoise(0, strength=1.0).normal([0, 1], 0, 0, (1, 64, 64))
        >>> means = z.mean(axis=(1, 2, 3))
        >>> bool(np.all(np.abs(means) > 0.03)), z.shape
        (True, (2, 1, 64, 64))
    """

    strength: float = 0.1
    channel_axis: int | None = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, not_negative=("strength",))

    def shaped(self, backend: Backend[Any], device: Any, white: Any, more: Draw, shape: Shape) -> Any:
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
    to 4, are interpolated linearly and the sum is divided by its measured deviation. Here the variance is 1 everywhere.

    Args:
        source: anything that `rng=` takes.
        discount: weight of a level relative to the finer one, in [0, 1].
        levels: at most, beside the white one, 1..16.
        channel_axis: axis of a sample that counts channels, or None.

    Raises:
        ScheduleError: if the discount or the number of levels is outside these, or the shape does not have that axis.

    Example:
        >>> z = ms.noise.PyramidNoise(0, discount=0.9).normal([0], 0, 0, (1, 32, 32))
        >>> z.shape, bool(np.corrcoef(z[0, 0, :, :-1].ravel(), z[0, 0, :, 1:].ravel())[0, 1] > 0.2)
        ((1, 1, 32, 32), True)
    """

    discount: float = 0.9
    levels: int = 10
    channel_axis: int | None = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.discount <= 1 and 1 <= self.levels <= 16):
            given = f"{self.discount!r} and {self.levels!r}"
            raise ScheduleError(f"discount must be in [0, 1] and levels in 1..16; given {given}.")

    def shaped(self, backend: Backend[Any], device: Any, white: Any, more: Draw, shape: Shape) -> Any:
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


@dataclass(frozen=True)
class ColouredNoise(Wrapper):
    """White noise filtered to the power spectrum 1 / f^beta over the last axes (Timmer and Koenig 1995, section 4).

        z = F^-1(g F(white)),   g = max(f, f_1)^(-beta / 2) / c,   mean of g^2 over all frequencies = 1

    f is the length of the frequency vector in cycles per element, f_1 the lowest above zero along the longest axis,
    which the mean is given too. The variance of each element is 1. beta = 0 is white, 1 pink, 2 red (Brownian), and
    negative values are blue.

    Args:
        source: anything that `rng=` takes.
        beta: exponent of the power spectrum, -8..8.
        axes: how many of a sample's last axes are space (or time).

    Raises:
        ScheduleError: beta or axes outside these, or a sample of fewer axes.

    Example:
        >>> pink = ms.noise.ColouredNoise(0, beta=1.0).normal([0], 0, 0, (3, 32, 32))
        >>> power = np.abs(np.fft.fft2(pink)) ** 2
        >>> pink.shape, bool(power[:, 0, 1].mean() > 4 * power[:, 0, 16].mean())
        ((1, 3, 32, 32), True)
    """

    beta: float = 1.0
    axes: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -8 <= self.beta <= 8 or self.axes < 1:
            raise ScheduleError(f"beta must be in [-8, 8] and axes at least 1; given {self.beta!r} and {self.axes!r}.")

    def shaped(self, backend: Backend[Any], device: Any, white: Any, more: Draw, shape: Shape) -> Any:
        if len(shape) < self.axes:
            raise ScheduleError(f"axes={self.axes} axes of a sample are filtered; its shape is {shape}.")
        size = shape[len(shape) - self.axes :]
        if 0 in white.shape or math.prod(size) == 1:
            return white
        fft = backend.xp.fft
        axes = tuple(range(white.ndim - self.axes, white.ndim))
        gain = backend.asarray(_gain(size, self.beta), white.dtype, device)
        spectrum = fft.rfftn(white, axes=axes)
        return fft.irfftn(spectrum * gain, s=size, axes=axes)


def _channels(axis: int | None, shape: Shape) -> tuple[int, ...]:
    """The axis that counts channels, if there is one beside others."""
    if axis is None or len(shape) < 2:
        return ()
    if not -len(shape) <= axis < len(shape):
        raise ScheduleError(f"channel_axis is an axis of a sample; given {axis} for the shape {shape}.")
    return (axis % len(shape),)


def _gain(size: tuple[int, ...], beta: float) -> np.ndarray:
    """Per frequency of rfftn, what its amplitude is multiplied with."""
    along = [np.fft.fftfreq(n) for n in size]
    frequency = np.sqrt(sum(f**2 for f in np.meshgrid(*along, indexing="ij")))
    gain = np.maximum(frequency, 1 / max(size)) ** (-beta / 2)
    return np.asarray(gain / np.sqrt(np.mean(gain**2)))[..., : size[-1] // 2 + 1]
