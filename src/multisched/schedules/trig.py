"""Paths whose levels are a formula in their own time t, which is what the model is told."""

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.schedules import checks
from multisched.schedules.base import Point, Schedule, variance_preserving
from multisched.schedules.ve import VE
from multisched.values import TRAINING_TIMESTEPS, check_options, shown


class _Timed(Schedule):
    num_train_timesteps = 1  # time is continuous
    top: float = 1  # the latest time
    end: float = 0.0  # of a run
    sigma_data: float | None = 1.0  # of what a run begins with; None where that is unit normals

    @abstractmethod
    def _times(self, n: int) -> np.ndarray:
        """The times of n steps, falling; a run ends at `end`."""

    @abstractmethod
    def _levels(self, xp: Any, t: Any) -> tuple[Any, Any]:
        """(alpha, sigma) at t."""

    @abstractmethod
    def _time(self, ratio: Any) -> Any:
        """t where sigma / alpha is `ratio`."""

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        if backend is not None:
            single = str(timesteps.dtype).endswith(("float32", "float64"))
            return self._levels(backend.xp, timesteps if single else backend.xp.astype(timesteps, backend.xp.float32))
        return self._levels(np, checks.times(timesteps, self.top))

    def point(self, ratio: Any) -> Point:
        time = self._time(np.asarray(ratio, dtype=np.float64))
        return Point(time, *self._levels(np, time), np.ones_like(time))

    def grid_of_ratios(self, ratios: Any) -> Grid:
        return self.grid(timesteps=self.point(ratios).timestep)

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        return -sigma, alpha

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        if sigmas is not None or mu is not None:
            raise ScheduleError(
                f"{type(self).__name__} takes n or timesteps; given sigmas={shown(sigmas)}, mu={shown(mu)}."
            )
        if timesteps is None:
            checks.one_of(n=n, timesteps=timesteps)
            times = self._times(checks.steps(n))
        else:
            times = checks.descending("timesteps", timesteps)
            times = times[:-1] if times.size > 1 and times[-1] == self.end else times
            checks.same_length(n, times.size)
        times = np.append(times, self.end)
        return Grid(times, *self.levels(times), prior=self.sigma_data)


@dataclass(frozen=True)
class Cosine(_Timed):
    """alpha^2 = alpha_bar(t), sigma^2 = 1 - alpha_bar(t), kept within [0.0001, 0.9999], so that a run ends with a
    little noise left (Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17).

        alpha_bar(t) = cos((t + s) / (1 + s) * pi / 2)^2 / cos(s / (1 + s) * pi / 2)^2

    Args:
        scaler: above 1, t is 1 - (1 - t)^scaler; below, t^scaler (Pernias et al. 2023, arXiv 2306.00637, its code).
        s: offset that keeps the first steps from being too small.
        num_train_timesteps: what the model is told at t = 1.

    Raises:
        ScheduleError: a number out of range.
    """

    sigma_data = None
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
        ratio = np.asarray(ratio, dtype=np.float64)
        return Point(self._time(ratio), *variance_preserving(ratio), np.ones_like(ratio))

    def _times(self, n: int) -> np.ndarray:
        return np.linspace(self.num_train_timesteps, 0, n + 1)[:-1]

    def _warped(self, share: Any, power: float) -> Any:
        return 1 - (1 - share) ** power if self.scaler > 1 else share**power

    @property
    def _norm(self) -> float:
        return math.cos(self.s / (1 + self.s) * math.pi / 2)

    def _levels(self, xp: Any, t: Any) -> tuple[Any, Any]:
        share = self._warped(t / self.num_train_timesteps, self.scaler)
        alpha = xp.cos((share + self.s) * (math.pi / 2 / (1 + self.s))) / self._norm
        alpha_bar = xp.clip(alpha * alpha, 0.0001, 0.9999)
        return alpha_bar**0.5, (1 - alpha_bar) ** 0.5

    def _time(self, ratio: Any) -> Any:
        alpha, _ = variance_preserving(ratio)
        share = np.arccos(np.clip(alpha * self._norm, 0, 1)) * (2 / math.pi * (1 + self.s)) - self.s
        return self._warped(np.clip(share, 0, 1), 1 / self.scaler) * self.num_train_timesteps


@dataclass(frozen=True)
class TrigFlow(_Timed):
    """alpha = cos t, sigma = sigma_data * sin t (Lu and Song 2024, arXiv 2410.11081, section 4.1).

    The model's prediction is Prediction("v_prediction", sigma_data). pi / 2, also as 1.5708, is pure noise.

    Args:
        sigma_data: standard deviation of the data.
        max_timesteps: where runs begin, in (0, pi / 2].
        intermediate_timesteps: where a run of two steps asks the second time; None for half of the first.
    """

    top = 1.5708

    sigma_data: float = 0.5
    max_timesteps: float = 1.5708
    intermediate_timesteps: float | None = 1.3

    def __post_init__(self) -> None:
        check_options(self)
        middle, most = self.intermediate_timesteps, self.max_timesteps
        if not 0 < (most / 2 if middle is None else middle) < most <= self.top:
            wanted = "0 < intermediate_timesteps < max_timesteps <= pi / 2"
            raise ScheduleError(f"timesteps must obey {wanted}; given {middle!r} and {most!r}.")

    def _times(self, n: int) -> np.ndarray:
        if n == 2 and self.intermediate_timesteps is not None:
            return np.array([self.max_timesteps, self.intermediate_timesteps])
        return np.linspace(self.max_timesteps, 0, n + 1)[:-1]

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        return -sigma / self.sigma_data, alpha * self.sigma_data

    def _levels(self, xp: Any, t: Any) -> tuple[Any, Any]:
        return xp.maximum(xp.cos(t), 0.0 * t), self.sigma_data * xp.sin(t)

    def _time(self, ratio: Any) -> Any:
        return np.arctan(ratio / self.sigma_data)


@dataclass(frozen=True)
class LinearVP(_Timed):
    """The variance-preserving process with a rate that is linear in t (Song et al. 2020, arXiv 2011.13456, eq. 33).

        log alpha = -t^2 / 4 * (beta_max - beta_min) - t / 2 * beta_min,   sigma^2 = 1 - alpha^2

    Args:
        beta_min, beta_max: the rate at t = 0 and at t = 1.
        sampling_eps: runs have even steps from t = 1 to here, and the last goes on to 0.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    sampling_eps: float = 0.001

    def __post_init__(self) -> None:
        check_options(self)
        if not 0 < self.beta_min <= self.beta_max < math.inf:
            raise ScheduleError(f"rates must obey 0 < beta_min <= beta_max; given {self.beta_min} and {self.beta_max}.")
        checks.within("sampling_eps", np.array(self.sampling_eps), 0, 1)

    def _times(self, n: int) -> np.ndarray:
        return np.linspace(1, self.sampling_eps, n)

    def _levels(self, xp: Any, t: Any) -> tuple[Any, Any]:
        log_alpha = -0.25 * (self.beta_max - self.beta_min) * t * t - 0.5 * self.beta_min * t
        return xp.exp(log_alpha), (-xp.expm1(2 * log_alpha)) ** 0.5

    def _time(self, ratio: Any) -> Any:
        half = 0.5 * np.log1p(ratio**2)  # -log alpha
        root = np.sqrt(0.25 * self.beta_min**2 + (self.beta_max - self.beta_min) * half)
        return 2 * half / (0.5 * self.beta_min + root)


@dataclass(frozen=True)
class Crash(_Timed):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2), even in arcsin(sqrt(sigma)) (Crowson's v-diffusion, its code).

        sigma_i = sin(pi / 2 * (1 - i / n))^2,   t_i = 2 / pi * arcsin(sigma_i)

    Args:
        trained_betas: (n + 1,) sigmas of the one run that there is instead, falling within [0, 1].

    Raises:
        ScheduleError: such sigmas that do not fall there.
    """

    trained_betas: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.trained_betas is not None:
            checks.within("trained_betas", checks.descending("trained_betas", self.trained_betas), 0.0, 1.0)

    @property
    def end(self) -> float:  # type: ignore[override]
        return 0.0 if self.trained_betas is None else 2 / math.pi * math.asin(self.trained_betas[-1])

    def _times(self, n: int) -> np.ndarray:
        sigma = np.cos(math.pi / 2 * np.arange(n) / n) ** 2
        if self.trained_betas is not None:
            checks.same_length(n, len(self.trained_betas) - 1)
            sigma = np.array(self.trained_betas[:-1])
        times: np.ndarray = np.minimum(2 / math.pi * np.arcsin(sigma), 1.0)  # arcsin(1) may be rounded up
        return times

    def _levels(self, xp: Any, t: Any) -> tuple[Any, Any]:
        return xp.sin(math.pi / 2 * (1 - t)), xp.sin(math.pi / 2 * t)

    def _time(self, ratio: Any) -> Any:
        return 2 / math.pi * np.arctan(ratio)


@dataclass(frozen=True)
class Geometric(VE):
    """The discrete process of n levels that are even in log sigma (Song et al. 2020, arXiv 2011.13456, appendix C).

        sigma_i = sigma_min * (sigma_max / sigma_min)^(i / (n - 1)),   i = floor(t * (n - 1))

    for n even times t from 1 to sampling_eps. Each step goes down to sigma_(i-1), the last one to 0, while the model is
    told sigma at t itself.

    Args: those of `VE`, and sampling_eps, the last time, in [0, 1].
    """

    sampling_eps: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.within("sampling_eps", np.array(self.sampling_eps), 0, 1)

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        grid = super().grid(n, timesteps, sigmas, mu)
        if timesteps is not None or sigmas is not None:
            return grid
        times = np.linspace(1, self.sampling_eps, len(grid))
        place = len(grid) - 1 - np.trunc(times * (len(grid) - 1)).astype(int)
        aims = grid.sigmas[place + 1]
        end = self.timestep_of(1.0, float(aims[-1]))
        told = np.append(self.sigma_min * (self.sigma_max / self.sigma_min) ** times, end)
        return replace(grid, timesteps=told, sigmas=np.append(grid.sigmas[place], aims[-1]), next_sigmas=aims)
