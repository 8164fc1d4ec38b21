"""Coloured noise: a power law over spatial frequencies."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise.wrapper import Draw, Wrapper


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
    """

    beta: float = 1.0
    axes: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -8 <= self.beta <= 8 or self.axes < 1:
            given = f"{self.beta!r} and {self.axes!r}"
            raise ScheduleError(f"beta must be in [-8, 8] and axes at least 1; given {given}.")

    def shaped(self, backend: Backend[Any], device: Any, white: Any, more: Draw, shape: tuple[int, ...]) -> Any:
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


def _gain(size: tuple[int, ...], beta: float) -> np.ndarray:
    """Per frequency of rfftn, what its amplitude is multiplied with."""
    along = [np.fft.fftfreq(n) for n in size]
    frequency = np.sqrt(sum(f**2 for f in np.meshgrid(*along, indexing="ij")))
    gain = np.maximum(frequency, 1 / max(size)) ** (-beta / 2)
    found: np.ndarray = (gain / np.sqrt(np.mean(gain**2)))[..., : size[-1] // 2 + 1]
    return found
