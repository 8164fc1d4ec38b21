"""Changes made on the way, on the device: to the model's output, to the estimate of x0, to the noise.

Each is a frozen dataclass of numbers, hashable and without state. On the device its numbers are operands, floats or
arrays that broadcast, as is what differs from row to row: so one compiled step serves all values and all rows.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.values import check_options

Over = Literal["sample", "batch"]
"""Whether something is taken of each sample, or of the whole batch."""


class Transform(Protocol):
    """A change made to the model's output or to x0, on the device; hashable, without state.

    One that has `numbers`, a tuple of floats, and `kind`, a transform that is equal for all which differ in their
    numbers alone, is called with such numbers as a third argument, and is compiled once for all of them.
    """

    def __call__(self, backend: Backend[Any], array: Any) -> Any:
        """The changed array, of the same shape and dtype."""


def numbers_of(transform: Transform | None) -> tuple[float, ...]:
    """The numbers of a transform that a step takes as operands."""
    return getattr(transform, "numbers", ())


def kind_of(transform: Transform) -> Transform:
    """What is left of a transform without them."""
    return getattr(transform, "kind", transform)


def apply(transform: Transform, backend: Backend[Any], array: Any, numbers: tuple[Any, ...]) -> Any:
    """The array changed by a transform of this kind with these numbers, each a float or an array that broadcasts."""
    called: Any = transform
    return called(backend, array, numbers) if numbers else called(backend, array)


class NoiseTransform(Protocol):
    """A change made to the output and the noise of a row together, on the device; hashable, without state."""

    def __call__(
        self, backend: Backend[Any], parameters: tuple[Any, ...], output: Any, noise: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """The output for the estimate of x0, and the noise; `noise` is empty for a row that adds none."""


def split(backend: Backend[Any], output: Any, parts: int) -> tuple[Any, ...]:
    """The output cut into equal parts along its second axis.

    Raises:
        ScheduleError: if the axis does not divide into them.
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

    Args:
        limit: the largest absolute value that is left.

    Raises:
        ScheduleError: limit is not positive.
    """

    limit: float = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        if not self.limit > 0:
            raise ScheduleError(f"clip_sample_range must be positive; given {self.limit!r}.")

    @property
    def kind(self) -> "Clip":
        """That of all limits."""
        return Clip()

    @property
    def numbers(self) -> tuple[float, ...]:
        """The limit."""
        return (self.limit,)

    def __call__(self, backend: Backend[Any], array: Any, numbers: tuple[Any, ...] | None = None) -> Any:
        (limit,) = self.numbers if numbers is None else numbers
        return backend.clip(array, -limit, limit)


@dataclass(frozen=True)
class DynamicThreshold:
    """Each sample's x0 cut at the given quantile of its absolute values, at least 1, and scaled back to [-1, 1].

    Saharia et al. 2022 (arXiv 2205.11487, section 2.3). The quantile is interpolated linearly between order
    statistics; it is kept within [1, maximum], and is the maximum where that is below 1. The first axis counts samples.
    The ratio is no operand of a step: the place of an order statistic among millions needs more digits than float32
    has.

    Args:
        ratio: the quantile, in [0, 1].
        maximum: the most that the cut may be.

    Raises:
        ScheduleError: if the ratio is outside [0, 1], or the maximum not positive.
    """

    ratio: float = 0.995
    maximum: float = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        if not 0 <= self.ratio <= 1:
            raise ScheduleError(f"dynamic_thresholding_ratio must be in [0, 1]; given {self.ratio!r}.")
        if not self.maximum > 0:
            raise ScheduleError(f"sample_max_value must be positive; given {self.maximum!r}.")

    @property
    def kind(self) -> "DynamicThreshold":
        """That of all maxima."""
        return replace(self, maximum=1.0)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The maximum."""
        return (self.maximum,)

    def __call__(self, backend: Backend[Any], array: Any, numbers: tuple[Any, ...] | None = None) -> Any:
        if 0 in tuple(array.shape):
            return array
        (maximum,) = self.numbers if numbers is None else numbers
        xp = backend.xp
        samples = array.shape[0] if array.ndim else 1
        ordered = xp.sort(xp.abs(xp.reshape(array, (samples, -1))), axis=1)
        count = math.prod(array.shape) // samples
        position = self.ratio * (count - 1)
        low = min(int(position), count - 1)
        high = min(low + 1, count - 1)
        below, above = ordered[:, low : low + 1], ordered[:, high : high + 1]
        limit = below + (above - below) * (position - low)
        limit = xp.reshape(limit, (samples, *(1 for _ in array.shape[1:])) if array.ndim else ())
        least = xp.ones_like(limit)
        limit = xp.minimum(xp.maximum(limit, least), least * maximum)
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
        if noise and prediction.shape != noise[0].shape:
            whole, sample = tuple(output.shape), tuple(noise[0].shape)
            raise ScheduleError(
                f"the model's output, the prediction and its variance along the second axis, is to have twice the "
                f"channels of the sample; given {whole} for {sample}."
            )
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

    The parameter of a row is snr, the ratio that the step is to have; a negative one leaves a row as it is.

    Args:
        over: "sample" for the norms of each sample, "batch" for their means over the batch.
    """

    over: Over = "sample"

    def __post_init__(self) -> None:
        check_options(self)

    def __call__(
        self, backend: Backend[Any], parameters: tuple[Any, ...], output: Any, noise: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        (snr,) = parameters
        given = isinstance(snr, float)
        if not noise or (given and snr < 0) or 0 in tuple(output.shape):
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
        c = snr * drawn / backend.clip(score, 1e-12, math.inf)
        if not given:
            c = xp.where(snr < 0, xp.ones_like(c), c)
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
    over: Over = "sample"

    def __post_init__(self) -> None:
        check_options(self)
        if not math.isfinite(self.omega):
            raise ScheduleError(f"omega must be a finite number; given {self.omega!r}.")

    @property
    def scale(self) -> float:
        """0.9..1.1."""
        return 0.9 + 0.2 / (1.0 + math.exp(min(-0.1 * self.omega, 700.0)))

    @property
    def kind(self) -> "MeanShift":
        """That of all scales."""
        return replace(self, omega=0.0)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The weights of the output and of its mean."""
        return (self.scale, 1.0 - self.scale)

    def __call__(self, backend: Backend[Any], array: Any, numbers: tuple[Any, ...] | None = None) -> Any:
        scale, rest = self.numbers if numbers is None else numbers
        axes = tuple(range(1 if self.over == "sample" else 0, array.ndim))
        if not axes or 0 in tuple(array.shape):
            return array
        mean = backend.xp.mean(array, axis=axes, keepdims=True)
        return array * scale + mean * rest
