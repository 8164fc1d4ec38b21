"""Paths whose levels are a formula in their own time t, which is passed to the model."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from multisched import checks
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.paths.base import Path, Point, Points, variance_preserving
from multisched.paths.lookup import numbers
from multisched.values import TRAINING_TIMESTEPS, check_options, shown


class _Timed(Path):
    num_train_timesteps = 1  # time is continuous
    prior: ClassVar[float | None] = 1.0
    top: float = 1  # the latest time

    @abstractmethod
    def _levels(self, xp: Any, t: Any) -> tuple[Any, Any]:
        """(alpha, sigma) at t."""

    @abstractmethod
    def _time(self, xp: Any, ratio: Any) -> Any:
        """t where sigma / alpha is `ratio`."""

    @property
    def ends(self) -> tuple[float, float]:
        """From one of 1,000 even times to another, since the ratio may be infinite at the latest and 0 at 0."""
        top, bottom = self.trained(np.array([999.0, 0.0])).tolist()
        return top, bottom

    @property
    def training(self) -> int:
        return 1000

    @property
    def _span(self) -> tuple[float, float]:
        """The times between which levels differ."""
        return 0.0, self.top

    def trained(self, number: Any) -> Any:
        first, last = self._span
        alpha, sigma = self._levels(np, first + (np.asarray(number) + 1) / 1001 * (last - first))
        return sigma / alpha

    def time_of(self, share: Any) -> Any:
        return self.top * numbers(share)[1]

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        if backend is not None:
            single = str(timesteps.dtype).endswith(("float32", "float64"))
            return self._levels(backend.xp, timesteps if single else backend.xp.astype(timesteps, backend.xp.float32))
        return self._levels(np, checks.times(timesteps, self.top))

    def point(self, ratio: Any) -> Point:
        xp, ratio = numbers(ratio)
        time = self._time(xp, ratio)
        return Point(time, *self._levels(xp, time), xp.ones_like(time))

    @property
    def clean(self) -> tuple[float, float]:
        alpha, sigma = self._levels(np, np.float64(0.0))
        return float(alpha), float(sigma)

    def timestep_of(self, alpha: float, sigma: float) -> float:
        return 0.0 if (alpha, sigma) == self.clean else super().timestep_of(alpha, sigma)

    def alpha_of(self, sigma: float) -> float:
        return math.sqrt((1 - sigma) * (1 + sigma))

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        return -sigma, alpha

    def read_ratios(self, ratios: Any, end: tuple[float, float]) -> Points:
        return self.read(self.point(ratios).timestep, None, end)

    def read(self, timesteps: Any, sigmas: Any, end: tuple[float, float]) -> Points:
        if sigmas is not None:
            raise ScheduleError(f"{type(self).__name__} takes n or timesteps; given sigmas={shown(sigmas)}.")
        times = checks.trimmed(checks.descending("timesteps", timesteps), self.timestep_of(*end))
        return Points(times=times)


@dataclass(frozen=True)
class Cosine(_Timed):
    """alpha^2 = alpha_bar(t), sigma^2 = 1 - alpha_bar(t), kept within [0.0001, 0.9999], so that a run ends with a
    little noise left (Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17).

        alpha_bar(t) = cos((t + s) / (1 + s) * pi / 2)^2 / cos(s / (1 + s) * pi / 2)^2

    Args:
        scaler: above 1, t is 1 - (1 - t)^scaler; below, t^scaler (Pernias et al. 2023, arXiv 2306.00637, its code).
        s: offset that keeps the first steps from being too small.
        num_train_timesteps: what is passed to the model at t = 1.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> path = ms.paths.Cosine(s=0.0)
        >>> alpha, sigma = path.levels(np.array([0.0, 0.5, 1.0]))
        >>> alpha.round(3).tolist(), sigma.round(3).tolist()
        ([1.0, 0.707, 0.01], [0.01, 0.707, 1.0])
    """

    prior: ClassVar[float | None] = None

    scaler: float = 1.0
    s: float = 0.008
    num_train_timesteps: int = 1

    def __post_init__(self) -> None:
        check_options(self, counts={"num_train_timesteps": TRAINING_TIMESTEPS})
        if not (0 < self.scaler < math.inf and 0 <= self.s < math.inf):
            raise ScheduleError(f"scaler must be above 0 and s at least 0; given {self.scaler!r} and {self.s!r}.")

    @property
    def top(self) -> float:  # type: ignore[override]
        return self.num_train_timesteps

    def point(self, ratio: Any) -> Point:
        xp, ratio = numbers(ratio)
        return Point(self._time(xp, ratio), *variance_preserving(ratio), xp.ones_like(ratio))

    def _warped(self, share: Any, power: float) -> Any:
        return 1 - (1 - share) ** power if self.scaler > 1 else share**power

    @property
    def _span(self) -> tuple[float, float]:
        first, last = self._time(np, np.array([9999**-0.5, 9999**0.5])).tolist()
        return first, last

    @property
    def _norm(self) -> float:
        return math.cos(self.s / (1 + self.s) * math.pi / 2)

    def _levels(self, xp: Any, t: Any) -> tuple[Any, Any]:
        share = self._warped(t / self.num_train_timesteps, self.scaler)
        alpha = xp.cos((share + self.s) * (math.pi / 2 / (1 + self.s))) / self._norm
        alpha_bar = xp.clip(alpha * alpha, 0.0001, 0.9999)
        return alpha_bar**0.5, (1 - alpha_bar) ** 0.5

    def _time(self, xp: Any, ratio: Any) -> Any:
        alpha, _ = variance_preserving(ratio)
        share = xp.acos(xp.clip(alpha * self._norm, 0, 1)) * (2 / math.pi * (1 + self.s)) - self.s
        return self._warped(xp.clip(share, 0, 1), 1 / self.scaler) * self.num_train_timesteps


@dataclass(frozen=True)
class TrigFlow(_Timed):
    """alpha = cos t, sigma = sigma_data * sin t (Lu and Song 2024, arXiv 2410.11081, section 4.1).

    The model's prediction is Prediction("v_prediction", sigma_data). pi / 2, also as 1.5708, is pure noise.

    Args:
        sigma_data: standard deviation of the data.

    Example:
        >>> alpha, sigma = ms.paths.TrigFlow(sigma_data=0.5).levels(np.array([0.0, np.pi / 4]))
        >>> alpha.round(4).tolist(), sigma.round(4).tolist()
        ([1.0, 0.7071], [0.0, 0.3536])
    """

    top = 1.5708

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def prior(self) -> float:  # type: ignore[override]
        """The data's own deviation."""
        return self.sigma_data

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        return -sigma / self.sigma_data, alpha * self.sigma_data

    def _levels(self, xp: Any, t: Any) -> tuple[Any, Any]:
        return xp.maximum(xp.cos(t), 0.0 * t), self.sigma_data * xp.sin(t)

    def _time(self, xp: Any, ratio: Any) -> Any:
        return xp.atan(ratio / self.sigma_data)


@dataclass(frozen=True)
class LinearVP(_Timed):
    """The variance-preserving process with a rate that is linear in t (Song et al. 2020, arXiv 2011.13456, eq. 33).

        log alpha = -t^2 / 4 * (beta_max - beta_min) - t / 2 * beta_min,   sigma^2 = 1 - alpha^2

    Args:
        beta_min: the rate at t = 0.
        beta_max: the rate at t = 1.

    Example:
        >>> alpha, sigma = ms.paths.LinearVP(0.1, 20.0).levels(np.array([1.0]))
        >>> round(float(alpha[0]), 5), round(float(np.exp(-0.25 * (20.0 - 0.1) - 0.5 * 0.1)), 5)
        (0.00657, 0.00657)
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        check_options(self)
        if not 0 < self.beta_min <= self.beta_max < math.inf:
            raise ScheduleError(f"rates must obey 0 < beta_min <= beta_max; given {self.beta_min} and {self.beta_max}.")

    def _levels(self, xp: Any, t: Any) -> tuple[Any, Any]:
        log_alpha = -0.25 * (self.beta_max - self.beta_min) * t * t - 0.5 * self.beta_min * t
        return xp.exp(log_alpha), (-xp.expm1(2 * log_alpha)) ** 0.5

    def _time(self, xp: Any, ratio: Any) -> Any:
        half = 0.5 * xp.log1p(ratio**2)  # -log alpha
        root = xp.sqrt(0.25 * self.beta_min**2 + (self.beta_max - self.beta_min) * half)
        return 2 * half / (0.5 * self.beta_min + root)


@dataclass(frozen=True)
class Circle(_Timed):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2) (Crowson's v-diffusion, its code).

    Example:
        >>> alpha, sigma = ms.paths.Circle().levels(np.array([0.0, 0.5, 1.0]))
        >>> alpha.round(3).tolist(), sigma.round(3).tolist()
        ([1.0, 0.707, 0.0], [0.0, 0.707, 1.0])
    """

    def _levels(self, xp: Any, t: Any) -> tuple[Any, Any]:
        return xp.sin(math.pi / 2 * (1 - t)), xp.sin(math.pi / 2 * t)

    def _time(self, xp: Any, ratio: Any) -> Any:
        return 2 / math.pi * xp.atan(ratio)
