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

    Example:
        >>> class Halved:
        ...     def __call__(self, backend, array):
        ...         return 0.5 * array
        >>> recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "sample", ms.solvers.Euler(), Halved())
        >>> ms.sample(lambda x, t: np.ones((1, 2)), recipe.plan(4), np.zeros((1, 2))).round(3).tolist()
        [[0.5, 0.5]]
    """

    def __call__(self, backend: Backend[Any], array: Any) -> Any:
        """The changed array, of the same shape and dtype."""


def numbers_of(transform: Transform | None) -> tuple[float, ...]:
    """The numbers of a transform that a step takes as operands.

    Args:
        transform: any transform, or None.

    Example:
        >>> ms.transforms.numbers_of(ms.transforms.Clip(3.0)), ms.transforms.numbers_of(None)
        ((3.0,), ())
    """
    return getattr(transform, "numbers", ())


def kind_of(transform: Transform) -> Transform:
    """What is left of a transform without them.

    Args:
        transform: any transform.

    Example:
        >>> ms.transforms.kind_of(ms.transforms.Clip(3.0)) == ms.transforms.kind_of(ms.transforms.Clip(1.0))
        True
    """
    return getattr(transform, "kind", transform)


def apply(transform: Transform, backend: Backend[Any], array: Any, numbers: tuple[Any, ...]) -> Any:
    """The array changed by a transform of this kind with these numbers, each a float or an array that broadcasts.

    Args:
        transform: the kind of change.
        backend: of the array.
        array: what is changed.
        numbers: those of the transform, see `numbers_of`.

    Example:
        >>> ms.transforms.apply(ms.transforms.Clip(), ms.backends.get("numpy"), np.array([2.0]), (1.0,)).tolist()
        [1.0]
    """
    called: Any = transform
    return called(backend, array, numbers) if numbers else called(backend, array)


class NoiseTransform(Protocol):
    """A change made to the output and the noise of a row together, on the device; hashable, without state.

    Example:
        >>> plan = ms.ScoreSdeVe().plan(3)
        >>> plan.noise_transform
        Langevin(over='sample')
    """

    def __call__(
        self, backend: Backend[Any], parameters: tuple[Any, ...], output: Any, noise: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """The output for the estimate of x0, and the noise; `noise` is empty for a row that adds none."""


def split(backend: Backend[Any], output: Any, parts: int) -> tuple[Any, ...]:
    """The output cut into equal parts along its second axis.

    Args:
        backend: of the output.
        output: (samples, parts * channels, ...).
        parts: how many there are.

    Raises:
        ScheduleError: if the axis does not divide into them.

    Example:
        >>> prediction, variance = ms.transforms.split(ms.backends.get("numpy"), np.zeros((1, 6, 8, 8)), 2)
        >>> prediction.shape, variance.shape
        ((1, 3, 8, 8), (1, 3, 8, 8))
    """
    if output.ndim < 2 or output.shape[1] % parts:
        raise ScheduleError(
            f"the model's output is to hold {parts} parts along its second axis; given {tuple(output.shape)}."
        )
    samples, channels, *rest = output.shape
    return tuple(backend.xp.unstack(backend.xp.reshape(output, (samples, parts, channels // parts, *rest)), axis=1))


@dataclass(frozen=True)
class Clip:
    """x0 cut to [-limit, limit].

    Args:
        limit: the largest absolute value that is left.

    Raises:
        ScheduleError: limit is not positive.

    Example:
        >>> ms.transforms.Clip(1.0)(ms.backends.get("numpy"), np.array([-3.0, 0.5])).tolist()
        [-1.0, 0.5]
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

    def bounds(self, numbers: tuple[Any, ...] | None = None) -> tuple[Any, Any]:
        """The least and the largest value that is left.

        Args:
            numbers: such as `numbers`, its own by default.

        Example:
            >>> ms.transforms.Clip(2.0).bounds()
            (-2.0, 2.0)
        """
        (limit,) = self.numbers if numbers is None else numbers
        return -limit, limit

    def __call__(self, backend: Backend[Any], array: Any, numbers: tuple[Any, ...] | None = None) -> Any:
        return backend.clip(array, *self.bounds(numbers))


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

    Example:
        >>> x0 = np.array([[0.5, 1.0, 2.0, 4.0]])
        >>> ms.transforms.DynamicThreshold(ratio=1.0, maximum=10.0)(ms.backends.get("numpy"), x0).tolist()
        [[0.125, 0.25, 0.5, 1.0]]
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

    Example:
        >>> output, z = np.array([[[0.7], [1.0]]]), np.ones((1, 1, 1))
        >>> logs = float(np.log(0.01)), float(np.log(0.04))
        >>> x, (noise,) = ms.transforms.LearnedVariance()(ms.backends.get("numpy"), logs, output, (z,))
        >>> x.ravel().tolist(), noise.ravel().round(3).tolist()
        ([0.7], [0.2])
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

    Example:
        >>> backend, score, z = ms.backends.get("numpy"), np.array([[3.0, 4.0]]), np.array([[0.0, 10.0]])
        >>> output, (noise,) = ms.transforms.Langevin()(backend, (0.5,), score, (0.5 * z,))
        >>> output.tolist(), noise.tolist()
        ([[0.75, 1.0]], [[0.0, 2.5]])
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
        xp, axes = backend.xp, tuple(range(1, output.ndim))
        drawn, score = (xp.sqrt(xp.sum(one * one, axis=axes, keepdims=True)) for one in (*noise, output))
        if self.over == "batch" and drawn.shape[:1] != (1,):  # the mean of one is itself
            drawn, score = xp.mean(drawn), xp.mean(score)
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

    Example:
        >>> shifted = ms.transforms.MeanShift(omega=10.0)(ms.backends.get("numpy"), np.array([[0.0, 2.0]]))
        >>> shifted.round(3).tolist(), round(ms.transforms.MeanShift(10.0).scale, 3)
        ([[-0.046, 2.046]], 1.046)
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
