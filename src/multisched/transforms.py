"""Changes made on the way, on the device: to the model's output, to the estimate of x0, to the noise.

Each is a frozen dataclass of numbers, hashable and without state. What differs from row to row comes as parameters,
floats or arrays that broadcast, so that one compiled step serves all rows.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.values import check_options, shown


class Transform(Protocol):
    """A change made to the model's output or to x0, on the device; hashable, without state."""

    def __call__(self, backend: Backend[Any], array: Any) -> Any:
        """The changed array, of the same shape and dtype."""


class NoiseTransform(Protocol):
    """A change made to the output and the noise of a row together, on the device; hashable, without state."""

    def __call__(
        self, backend: Backend[Any], parameters: tuple[Any, ...], output: Any, noise: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """The output for the estimate of x0, and the noise; `noise` is empty for a row that adds none."""


def split(backend: Backend[Any], output: Any, parts: int) -> tuple[Any, ...]:
    """The output cut into equal parts along its second axis.

    Raises:
        ScheduleError: the axis does not divide into them.
    """
    if output.ndim < 2 or output.shape[1] % parts:
        raise ScheduleError(
            f"the model's output is to hold {parts} parts along its second axis; given {tuple(output.shape)}."
        )
    size = output.shape[1] // parts
    return tuple(output[:, k * size : (k + 1) * size, ...] for k in range(parts))


@dataclass(frozen=True)
class Clip:
    """x0 cut to [-limit, limit].

    Raises:
        ScheduleError: limit is not positive.
    """

    limit: float = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        if not self.limit > 0:
            raise ScheduleError(f"clip_sample_range must be positive; given {self.limit!r}.")

    def __call__(self, backend: Backend[Any], array: Any) -> Any:
        return backend.xp.clip(array, -self.limit, self.limit)


@dataclass(frozen=True)
class DynamicThreshold:
    """Each sample's x0 cut at the given quantile of its absolute values, at least 1, and scaled back to [-1, 1].

    Saharia et al. 2022 (arXiv 2205.11487, section 2.3). The quantile is interpolated linearly between order
    statistics; it is kept within [1, maximum]. The first axis counts samples.

    Raises:
        ScheduleError: ratio outside (0, 1], or maximum below 1.
    """

    ratio: float = 0.995
    maximum: float = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        if not 0 < self.ratio <= 1:
            raise ScheduleError(f"dynamic_thresholding_ratio must be in (0, 1]; given {self.ratio!r}.")
        if not self.maximum >= 1:
            raise ScheduleError(f"sample_max_value must be at least 1; given {self.maximum!r}.")

    def __call__(self, backend: Backend[Any], array: Any) -> Any:
        if 0 in tuple(array.shape):
            return array
        xp = backend.xp
        samples = array.shape[0] if array.ndim else 1
        ordered = xp.sort(xp.abs(xp.reshape(array, (samples, -1))), axis=1)
        count = math.prod(array.shape) // samples
        position = self.ratio * (count - 1)
        low = min(int(position), count - 1)
        high = min(low + 1, count - 1)
        below, above = ordered[:, low : low + 1], ordered[:, high : high + 1]
        limit = xp.clip(below + (above - below) * (position - low), 1.0, float(self.maximum))
        limit = xp.reshape(limit, (samples, *(1 for _ in array.shape[1:])) if array.ndim else ())
        # A product, since XLA divides by a broadcast array in a way of its own, and the bits would differ.
        return xp.maximum(xp.minimum(array, limit), -limit) * (1.0 / limit)


@dataclass(frozen=True)
class LearnedVariance:
    """Noise whose variance is the second half of the model's output, cut along its second axis.

        log variance = share * log large + (1 - share) * log small,   share = (output + 1) / 2

    Nichol and Dhariwal 2021 (arXiv 2102.09672, eq. 15). The output reaches from -1 to 1.

    The parameters of a row are (log small, log large); none where the output is the variance itself.
    """

    def __call__(
        self, backend: Backend[Any], parameters: tuple[Any, ...], output: Any, noise: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        xp = backend.xp
        prediction, learned = split(backend, output, 2)
        if not parameters:
            std = xp.sqrt(xp.maximum(learned, xp.zeros_like(learned)))
        else:
            small, large = parameters
            std = xp.exp(learned * ((large - small) / 4) + (large + small) / 4)
        return prediction, tuple(std * z for z in noise)


@dataclass(frozen=True)
class Langevin:
    """A Langevin step's size follows from the norms of the noise and of the score (Song et al. 2020, arXiv 2011.13456,
    algorithm 4): the score is returned times c^2, the noise times c.

        c = snr * |z| / |score|

    The parameter of a row is snr, the ratio that the step is to have; 0 leaves a row as it is.

    Args:
        over: "sample" for the norms of each sample, "batch" for their means over the batch.
    """

    over: str = "sample"

    def __call__(
        self, backend: Backend[Any], parameters: tuple[Any, ...], output: Any, noise: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        (snr,) = parameters
        given = isinstance(snr, float)
        if not noise or (given and snr == 0) or 0 in tuple(output.shape):
            return output, noise
        xp = backend.xp
        samples = output.shape[0] if output.ndim else 1
        flat = (xp.reshape(array, (samples, -1)) for array in (*noise, output))
        drawn, score = (xp.sqrt(xp.sum(array * array, axis=1)) for array in flat)
        if self.over == "batch":
            drawn, score = xp.mean(drawn), xp.mean(score)
        elif output.ndim:
            shape = (samples, *(1 for _ in output.shape[1:]))
            drawn, score = xp.reshape(drawn, shape), xp.reshape(score, shape)
        c = snr * drawn / xp.maximum(score, 1e-12 + 0.0 * score)
        if not given:
            c = xp.where(snr == 0, xp.ones_like(c), c)
        return output * (c * c), tuple(z * c for z in noise)


@dataclass(frozen=True)
class MeanShift:
    """ACE-Step's omega: the output scaled about its mean, mean + scale * (output - mean).

        scale = 0.9 + 0.2 / (1 + exp(-0.1 * omega))

    so omega = 0 is neutral and the scale stays within 0.9..1.1 (Gong et al. 2025, arXiv 2506.00045, and its code).

    Args:
        omega: any finite number.
        over: "sample" for the mean of each sample (the first axis counts samples), "batch" for that of the whole array.

    Raises:
        ScheduleError: omega is not finite, or `over` is another word.
    """

    omega: float
    over: str = "sample"

    def __post_init__(self) -> None:
        check_options(self)
        if not math.isfinite(self.omega):
            raise ScheduleError(f"omega must be a finite number; given {self.omega!r}.")
        if self.over not in ("sample", "batch"):
            raise ScheduleError(f"omega_mean must be 'sample' or 'batch'; given {shown(self.over)}.")

    @property
    def scale(self) -> float:
        """0.9..1.1."""
        return 0.9 + 0.2 / (1.0 + math.exp(min(-0.1 * self.omega, 700.0)))

    def __call__(self, backend: Backend[Any], array: Any) -> Any:
        axes = tuple(range(1 if self.over == "sample" else 0, array.ndim))
        if not axes or 0 in tuple(array.shape):
            return array
        mean = backend.xp.mean(array, axis=axes, keepdims=True)
        return array * self.scale + mean * (1.0 - self.scale)
