"""What a path is: the levels (alpha, sigma) of every time, and back. Where the steps of a run stand on it is the matter
of a spacing, see `multisched.spacings`."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.paths.lookup import numbers


class Point(NamedTuple):
    """A point of a path: what is passed to the model there, the level, and the scale of what the model sees.

    Attributes:
        timestep: what is passed to the model.
        alpha, sigma: weights of the clean sample and of the noise.
        scale: what the sample is multiplied with before the model sees it.

    Example:
        >>> ms.paths.Point(timestep=250.0, alpha=0.75, sigma=0.25, scale=1.0).alpha
        0.75
    """

    timestep: Any
    alpha: Any
    sigma: Any
    scale: Any


class Points(NamedTuple):
    """Where the steps of a run begin, from the noisiest. Of the three, those that are known.

    Attributes:
        noise: (steps,) the `noise` of a path.
        times: (steps,) what is passed to the model, where it is not that of the levels.
        levels: (alphas, sigmas), (steps,) each.

    Example:
        >>> ms.paths.Points(noise=np.array([1.0, 0.5])).noise.tolist()
        [1.0, 0.5]
    """

    noise: Any = None
    times: Any = None
    levels: tuple[Any, Any] | None = None

    def moved(self, noise: Any) -> "Points":
        """Points at another `noise`, with times that were given beside it."""
        return Points(noise, None if self.noise is None else self.times)


def variance_preserving(ratio: Any) -> tuple[Any, Any]:
    """(alpha, sigma) with alpha^2 + sigma^2 = 1 where sigma / alpha is `ratio`."""
    xp, ratio = numbers(ratio)
    with np.errstate(divide="ignore"):
        return 1 / xp.sqrt(1 + ratio**2), 1 / xp.sqrt(1 + 1 / ratio**2)


class Path(ABC):
    """The levels of x = alpha * x0 + sigma * noise along a time; a subclass is frozen and hashable.

    A spacing moves noise levels in one number, the `noise` of a path: sigma / alpha, or sigma on straight paths.

    Attributes:
        prior: weight of unit-variance data in the first sample of a run, see `Grid`.

    Example:
        >>> path = ms.paths.Straight()
        >>> isinstance(path, ms.paths.Path), [float(one[0]) for one in path.levels(np.array([250.0]))]
        (True, [0.75, 0.25])
    """

    num_train_timesteps: int
    prior: ClassVar[float | None] = None

    @abstractmethod
    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        """(alpha, sigma) at times: float64 for host numbers, or on the device for arrays of `backend`."""

    @abstractmethod
    def point(self, ratio: Any) -> Point:
        """The point where sigma / alpha is `ratio`: positive numbers, in float64, or an array of another library, whose
        values are not read."""

    @property
    @abstractmethod
    def ends(self) -> tuple[float, float]:
        """The `noise` of the noisiest and of the cleanest level that a model is trained on."""

    @abstractmethod
    def trained(self, number: Any) -> Any:
        """The `noise` of training timesteps 0..T-1, counted from the cleanest; also between two of them."""

    @abstractmethod
    def read(self, timesteps: Any, sigmas: Any, end: tuple[float, float]) -> Points:
        """The points of a list of times or of sigmas, decreasing, without the end of the run, which may close it.

        Args:
            timesteps, sigmas: lists or arrays; None for the one that was not given.
            end: (alpha, sigma) at the end of the run.

        Raises:
            ScheduleError: if the path does not take that list, or a value of it.
        """

    def read_ratios(self, ratios: Any, end: tuple[float, float]) -> Points:
        """The points where sigma / alpha is `ratios` (steps,), decreasing and above 0."""
        return Points(noise=self.of_ratio(ratios))

    def time_of(self, share: Any) -> Any:
        """The time that is a share in (0, 1) of the training time, from the cleanest: numbers, or on the paths that
        override this an array of another library, whose values are not read.

        Raises:
            ScheduleError: if the share is an array of a device, on a path that places times on the host alone.
        """
        if hasattr(share, "dtype") and not isinstance(share, (np.ndarray, np.generic)):
            raise ScheduleError(
                f"{type(self).__name__} places training times on the host: draw them there, by a seed, outside of jit."
            )
        return self.at(self.trained((self.training - 1) * np.asarray(share, np.float64))).timestep

    def place(self, number: Any) -> Points:
        """Training timesteps 0..T-1, counted from the cleanest, as points of a run."""
        return Points(noise=self.trained(number))

    def noise_of(self, points: Points) -> Any:
        """The `noise` of points."""
        if points.noise is not None:
            return points.noise
        alphas, sigmas = self.levels(points.times) if points.levels is None else points.levels
        with np.errstate(divide="ignore"):  # infinite at pure noise
            return sigmas / alphas

    def resolved(self, points: Points) -> tuple[Any, Any, Any]:
        """(times, alphas, sigmas) of points.

        Raises:
            ScheduleError: if no step leads from one to the next.
        """
        if points.levels is not None:
            return points.times, *points.levels
        if points.noise is None:
            return points.times, *self.levels(points.times)
        found = self.at(points.noise)
        return found.timestep if points.times is None else points.times, found.alpha, found.sigma

    @property
    def clean(self) -> tuple[float, float]:
        """(alpha, sigma) where runs end."""
        return 1.0, 0.0

    @property
    def training(self) -> int:
        """The number of training timesteps that `trained` counts; 1,000 where time is continuous."""
        return self.num_train_timesteps if self.num_train_timesteps > 1 else 1000

    def at(self, noise: Any) -> Point:
        """The point of a `noise`."""
        return self.point(noise)

    def of_ratio(self, ratio: Any) -> Any:
        """The `noise` where sigma / alpha is `ratio`."""
        return ratio

    def shifted(self, noise: Any, factor: float) -> Any:
        """The `noise` where sigma / alpha is a factor times that of another."""
        return noise * factor

    def alpha_of(self, sigma: float) -> float:
        """alpha where sigma is this."""
        return 1.0

    @property
    def last(self) -> tuple[float, float]:
        """(alpha, sigma) of the cleanest level that a model is trained on."""
        point = self.at(np.array(self.ends[1]))
        return float(point.alpha), float(point.sigma)

    def timestep_of(self, alpha: float, sigma: float) -> float:
        """The time whose `levels` are (alpha, sigma), where a run ends: exact, and finite at sigma = 0."""
        return float(self.point(sigma / alpha if alpha else math.inf).timestep)

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any] | None:
        """The weights (a, b) of the velocity a * x0 + b * noise that models of the path are trained on: v where it is
        variance preserving, noise - x0 where it is straight. None on other paths."""
        return None

    def scale(self, alpha: Any, sigma: Any) -> Any:
        """What a sample at this level is multiplied with before the model sees it, by operators alone."""
        return 1.0 + 0.0 * sigma
