"""Laws that training times are drawn from."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from multisched.errors import ScheduleError
from multisched.noise import gaussian
from multisched.spacings.levels import beta_quantile
from multisched.training.times import Density
from multisched.values import check_options


@dataclass(frozen=True)
class Uniform(Density):
    """Even in the training time, as DDPM (Ho et al. 2020, arXiv 2006.11239, algorithm 1).

    Args:
        low: the least time, from 0 on.
        high: the latest, at most 1.

    Raises:
        ScheduleError: if they are not in order, within [0, 1].

    Example:
        >>> ms.training.Uniform(0.2, 0.8).quantile(np.array([0.01, 0.5])).round(3).tolist()
        [0.206, 0.5]
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        _interval(self.low, self.high)

    def _quantile(self, xp: Any, u: Any) -> Any:
        return self.low + (self.high - self.low) * u

    def _pdf(self, xp: Any, values: Any) -> Any:
        inside = (values >= self.low) & (values <= self.high)
        return xp.where(inside, 0.0 * values + 1 / (self.high - self.low), 0.0 * values)


@dataclass(frozen=True)
class LogitNormal(Density):
    """log(t / (1 - t)) ~ N(mean, std^2) (Esser et al. 2024, arXiv 2403.03206, eq. 19). On the straight path it is
    `LogNormal` with the same numbers.

    Args:
        mean: above 0 for more noise.
        std: above 0.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> ms.training.LogitNormal(0.0, 1.0).quantile(np.array([0.5, 0.8413])).round(3).tolist()
        [0.5, 0.731]
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, positive=("std",))
        _finite("mean", self.mean)

    def _quantile(self, xp: Any, u: Any) -> Any:
        return 1 / (1 + xp.exp(-(self.mean + self.std * gaussian.quantile(xp, u))))

    def _pdf(self, xp: Any, values: Any) -> Any:
        return _normal(xp, xp.log(values / (1 - values)), self.mean, self.std) / (values * (1 - values))


@dataclass(frozen=True)
class Mode(Density):
    """The law with heavy tails and a mode in the middle (Esser et al. 2024, arXiv 2403.03206, eq. 20).

        t = f(1 - u) = u + scale * (u - sin(pi u / 2)^2),   f(u) = 1 - u - scale * (cos(pi u / 2)^2 - 1 + u)

    Args:
        scale: above 0 for more in the middle, below for more at the ends; in [-1, 2 / (pi - 2)].

    Raises:
        ScheduleError: if it is out of range, where f is not monotonic.

    Example:
        >>> ms.training.Mode(1.29).quantile(np.array([0.25, 0.5])).round(3).tolist()
        [0.384, 0.5]
    """

    scale: float = 1.29

    def __post_init__(self) -> None:
        check_options(self)
        if not -1 <= self.scale <= 2 / (math.pi - 2):
            raise ScheduleError(f"scale must be in [-1, 2 / (pi - 2)] = [-1, 1.7519]; given {self.scale!r}.")

    def _quantile(self, xp: Any, u: Any) -> Any:
        return u + self.scale * (u - xp.sin(math.pi / 2 * u) ** 2)

    def _pdf(self, xp: Any, values: Any) -> Any:
        low, high = 0.0 * values, 0.0 * values + 1.0
        for _ in range(52):  # bisection, to the last bit
            middle = 0.5 * (low + high)
            above = self._quantile(xp, middle) > values
            low, high = xp.where(above, low, middle), xp.where(above, middle, high)
        return 1 / (1 + self.scale * (1 - math.pi / 2 * xp.sin(math.pi * low)))


@dataclass(frozen=True)
class CosMap(Density):
    """The law on the straight path whose log-SNR is distributed as the cosine schedule's (Esser et al. 2024, arXiv
    2403.03206, eq. 21).

        t = 1 - 1 / (tan(pi u / 2) + 1),   pdf(t) = 2 / (pi - 2 pi t + 2 pi t^2)

    Example:
        >>> ms.training.CosMap().quantile(np.array([0.25, 0.5])).round(3).tolist()
        [0.293, 0.5]
    """

    def _quantile(self, xp: Any, u: Any) -> Any:
        sine = xp.sin(math.pi / 2 * u)
        return sine / (sine + xp.cos(math.pi / 2 * u))

    def _pdf(self, xp: Any, values: Any) -> Any:
        return 2 / (math.pi * (1 - 2 * values + 2 * values * values))


@dataclass(frozen=True)
class Beta(Density):
    """t = low + (high - low) * b, b of the beta law (Black et al. 2024, arXiv 2410.24164, with low = 0.001:
    their time runs the other way).

    Args:
        a: first parameter, above 0; above b for more noise.
        b: second.
        low: the least time, from 0 on.
        high: the latest, at most 1.

    Raises:
        ScheduleError: if a number is out of range; or, of `quantile` of an array of another library than NumPy, if
            neither a nor b is 1.

    Example:
        >>> ms.training.Beta(1.5, 1.0).quantile(np.array([0.25, 0.5])).round(3).tolist()
        [0.397, 0.63]
    """

    a: float = 1.5
    b: float = 1.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, positive=("a", "b"))
        if max(self.a, self.b) > 30:
            raise ScheduleError(f"a and b must be at most 30; given a={self.a:g} and b={self.b:g}.")
        _interval(self.low, self.high)

    def _quantile(self, xp: Any, u: Any) -> Any:
        if self.b == 1:
            share = u ** (1 / self.a)
        elif self.a == 1:
            share = 1 - (1 - u) ** (1 / self.b)
        elif xp is np:
            share = beta_quantile(u, self.a, self.b)
        else:
            raise ScheduleError(
                f"Beta(a={self.a:g}, b={self.b:g}) is drawn on the host, since neither is 1: draw by a seed, "
                "outside of jit."
            )
        return self.low + (self.high - self.low) * share

    def _pdf(self, xp: Any, values: Any) -> Any:
        span = self.high - self.low
        share = (values - self.low) / span
        inside = (share > 0) & (share < 1)
        safe = xp.where(inside, share, 0.0 * share + 0.5)
        norm = math.lgamma(self.a + self.b) - math.lgamma(self.a) - math.lgamma(self.b) - math.log(span)
        found = xp.exp(norm + (self.a - 1) * xp.log(safe) + (self.b - 1) * xp.log(1 - safe))
        return xp.where(inside, found, 0.0 * share)


@dataclass(frozen=True)
class LogNormal(Density):
    """log(sigma / alpha) ~ N(mean, std^2), EDM's noise levels (Karras et al. 2022, arXiv 2206.00364, table 1).

    Args:
        mean: P_mean.
        std: P_std, above 0.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> np.log(ms.training.LogNormal(-1.2, 1.2).quantile(np.array([0.5, 0.9]))).round(3).tolist()
        [-1.2, 0.338]
    """

    of: ClassVar[Literal["time", "ratio"]] = "ratio"

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        check_options(self, positive=("std",))
        _finite("mean", self.mean)

    def _quantile(self, xp: Any, u: Any) -> Any:
        return xp.exp(self.mean + self.std * gaussian.quantile(xp, u))

    def _pdf(self, xp: Any, values: Any) -> Any:
        return _normal(xp, xp.log(values), self.mean, self.std) / values


def _normal(xp: Any, values: Any, mean: float, std: float) -> Any:
    return xp.exp(-0.5 * ((values - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def _interval(low: float, high: float) -> None:
    if not 0 <= low < high <= 1:
        raise ScheduleError(f"low and high must be in order, within [0, 1]; given low={low!r} and high={high!r}.")


def _finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ScheduleError(f"{name} must be a finite number; given {value!r}.")
