"""Schedules whose noise is added to the clean sample as it is, x = x0 + sigma * noise, over a range of sigma."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.schedules import checks, ratios
from multisched.schedules.base import Point, Schedule
from multisched.values import TRAINING_TIMESTEPS, check_options, shown

# What the model is told at a noise level, and the level back from it; on the functions of an array namespace.
TIMESTEPS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "quarter_log": (lambda xp, sigma: 0.25 * xp.log(sigma), lambda xp, t: xp.exp(4.0 * t)),
    "log_1000_4": (lambda xp, sigma: 250.0 * xp.log(sigma), lambda xp, t: xp.exp(t / 250.0)),
    "arctan": (lambda xp, sigma: 2 / math.pi * xp.atan(sigma), lambda xp, t: xp.tan(math.pi / 2 * t)),
    "sigma": (lambda xp, sigma: sigma, lambda xp, t: t),
}
# What stands for sigma = 0 where that is told as its logarithm: exp(-800) is 0 in single and in double precision.
CLEAN = {"quarter_log": -200.0, "log_1000_4": -200_000.0}


@dataclass(frozen=True)
class VE(Schedule):
    """Noise levels between sigma_min and sigma_max (Karras et al. 2022, arXiv 2206.00364, table 1).

    Args:
        sigma_min, sigma_max: ends of the range, 0 < sigma_min < sigma_max.
        sigma_data: the model sees the sample times 1 / sqrt(sigma^2 + sigma_data^2); None for the sample as it is.
        sigma_schedule, rho: a kind of `schedules.ratios` that spaces the levels, and the power of "karras".
        timestep: what the model is told: "quarter_log" (log(sigma) / 4), "log_1000_4" (250 log(sigma)), "arctan"
            (2 / pi * arctan(sigma)) or "sigma".
        final_sigmas_type: where a run ends: at 0 ("zero"), at sigma_min ("sigma_min") or at its last level ("last").
        single_step: where a run of one step begins, at "sigma_max", or at "sigma_min" with the sample of "sigma_max".
        sigmas_as_ramp: whether given sigmas are shares of the way from sigma_max to sigma_min in the powers 1 / rho of
            "karras"; of other kinds only their number counts.
        prior: weight of unit-variance data in a run's first sample, see `Grid`.
        num_train_timesteps: of the training run, for information.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float | None = 0.5
    sigma_schedule: str = "karras"
    rho: float = 7.0
    timestep: str = "quarter_log"
    final_sigmas_type: str = "zero"
    prior: float = 1.0
    num_train_timesteps: int = 1000
    single_step: str = "sigma_max"
    sigmas_as_ramp: bool = False

    def __post_init__(self) -> None:
        check_options(
            self,
            counts={"num_train_timesteps": TRAINING_TIMESTEPS},
            sigma_schedule=tuple(ratios.RATIOS),
            timestep=tuple(TIMESTEPS),
            final_sigmas_type=("zero", "sigma_min", "last"),
            single_step=("sigma_max", "sigma_min"),
        )
        low, high = self.sigma_min, self.sigma_max
        if not 0 < low < high < math.inf:
            raise ScheduleError(f"sigmas must obey 0 < sigma_min < sigma_max; given {low:g} and {high:g}.")
        if not 0.1 <= self.rho < math.inf:
            raise ScheduleError(f"rho must be a number of at least 0.1; given {self.rho!r}.")
        if self.sigma_data is not None and not 0 < self.sigma_data < math.inf:
            raise ScheduleError(f"sigma_data must be a positive number or None; given {self.sigma_data!r}.")

    def scale(self, alpha: Any, sigma: Any) -> Any:
        if self.sigma_data is None:
            return 1.0 + 0.0 * sigma
        return (sigma * sigma + (alpha * self.sigma_data) ** 2) ** -0.5

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        back = TIMESTEPS[self.timestep][1]
        if backend is None:
            with np.errstate(over="ignore"):
                sigma = np.asarray(back(np, np.asarray(timesteps, dtype=np.float64)))
            if not np.all(np.isfinite(sigma) & (sigma >= 0)):
                raise ScheduleError(f"timesteps must belong to noise levels; given {shown(timesteps)}.")
        else:
            sigma = back(backend.xp, timesteps)
        return 1.0 + 0.0 * sigma, sigma

    def grid_of_ratios(self, ratios: Any) -> Grid:
        return replace(self, sigmas_as_ramp=False).grid(sigmas=ratios)

    def timestep_of(self, alpha: float, sigma: float) -> float:
        return float(TIMESTEPS[self.timestep][0](np, sigma)) if sigma else CLEAN.get(self.timestep, 0.0)

    def point(self, ratio: Any) -> Point:
        sigma = np.asarray(ratio, dtype=np.float64)
        one = np.ones_like(sigma)
        return Point(TIMESTEPS[self.timestep][0](np, sigma), one, sigma, self.scale(one, sigma))

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        if mu is not None:
            raise ScheduleError(f"mu belongs to flow schedules with use_dynamic_shifting; given {shown(mu)}.")
        final = self.sigma_min if self.final_sigmas_type == "sigma_min" else 0.0
        if sigmas is None and timesteps is None:
            checks.one_of(n=n, timesteps=timesteps, sigmas=sigmas)
            levels = self._along(np.linspace(0, 1, checks.steps(n)))
        else:
            kind = checks.one_of(timesteps=timesteps, sigmas=sigmas)
            levels = checks.numbers(kind, sigmas if kind == "sigmas" else timesteps)
            if kind == "timesteps":
                levels = self.levels(levels)[1]
            elif self.sigmas_as_ramp:
                levels = self._along(levels)
            levels = levels[:-1] if levels.size > 1 and levels[-1] == final else levels
            if not (np.all(np.diff(levels) < 0) and levels[-1] > 0):
                raise ScheduleError(f"noise levels must fall strictly and stay above 0; given {shown(levels)}.")
            checks.same_length(n, levels.size)
        inner = self.point(levels)
        final = float(levels[-1]) if self.final_sigmas_type == "last" else final
        sigma = np.append(levels, final)
        one = np.ones_like(sigma)
        scales = self.scale(one, np.append(levels, final or self.sigma_min))
        prior = self.prior
        if sigmas is None and timesteps is None and levels.size == 1 and self.single_step == "sigma_min":
            prior = math.sqrt(prior**2 + self.sigma_max**2 - self.sigma_min**2)  # it starts as wide as from sigma_max
        told = np.append(inner.timestep, self.timestep_of(1.0, final))
        return Grid(told, one, sigma, scales=scales, prior=prior)

    def _along(self, ramp: np.ndarray) -> np.ndarray:
        """Levels at shares of the way from sigma_max to sigma_min."""
        if ramp.size == 1 and self.single_step == "sigma_min":
            return np.array([self.sigma_min])
        if self.sigma_schedule != "karras":
            return ratios.between(self.sigma_schedule, self.sigma_max, self.sigma_min, ramp.size)
        ends = [sigma ** (1 / self.rho) for sigma in (self.sigma_max, self.sigma_min)]
        levels: np.ndarray = np.interp(ramp, (0, 1), ends) ** self.rho
        return levels
