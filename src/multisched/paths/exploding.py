"""The path whose noise is added to the clean sample as it is, x = x0 + sigma * noise, over a range of sigma."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from multisched import checks
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.paths.base import Path, Point, Points
from multisched.paths.lookup import numbers
from multisched.values import TRAINING_TIMESTEPS, check_options, shown

Timestep = Literal["quarter_log", "log_1000_4", "arctan", "sigma"]
# What is passed to the model at a noise level, and the level back from it; on the functions of an array namespace.
TIMESTEPS: dict[Timestep, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "quarter_log": (lambda xp, sigma: 0.25 * xp.log(sigma), lambda xp, t: xp.exp(4.0 * t)),
    "log_1000_4": (lambda xp, sigma: 250.0 * xp.log(sigma), lambda xp, t: xp.exp(t / 250.0)),
    "arctan": (lambda xp, sigma: 2 / math.pi * xp.atan(sigma), lambda xp, t: xp.tan(math.pi / 2 * t)),
    "sigma": (lambda xp, sigma: sigma, lambda xp, t: t),
}
# What stands for sigma = 0 where its logarithm is passed to the model: exp(-800) is 0 in single and double precision.
CLEAN = {"quarter_log": -200.0, "log_1000_4": -200_000.0}


@dataclass(frozen=True)
class VarianceExploding(Path):
    """Noise levels between sigma_min and sigma_max (Karras et al. 2022, arXiv 2206.00364, table 1).

    Args:
        sigma_min: the lowest level that the model is trained on, above 0.
        sigma_max: the highest, above sigma_min.
        sigma_data: the model sees the sample times 1 / sqrt(sigma^2 + sigma_data^2); None for the sample as it is.
        timestep: what is passed to the model: "quarter_log" (log(sigma) / 4), "log_1000_4" (250 log(sigma)), "arctan"
            (2 / pi * arctan(sigma)) or "sigma".
        num_train_timesteps: of the training run, for information.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> path = ms.paths.VarianceExploding()
        >>> float(path.levels(np.array([0.25 * np.log(80.0)]))[1].round(3)[0])
        80.0
    """

    prior: ClassVar[float | None] = 1.0

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float | None = 0.5
    timestep: Timestep = "quarter_log"
    num_train_timesteps: int = 1000

    def __post_init__(self) -> None:
        check_options(self, counts={"num_train_timesteps": TRAINING_TIMESTEPS})
        low, high = self.sigma_min, self.sigma_max
        if not 0 < low < high < math.inf:
            raise ScheduleError(f"sigmas must obey 0 < sigma_min < sigma_max; given {low:g} and {high:g}.")
        if self.sigma_data is not None and not 0 < self.sigma_data < math.inf:
            raise ScheduleError(f"sigma_data must be a positive number or None; given {self.sigma_data!r}.")

    @property
    def ends(self) -> tuple[float, float]:
        return self.sigma_max, self.sigma_min

    @property
    def training(self) -> int:
        return 1000

    def trained(self, number: Any) -> Any:
        """Of 1,000 levels that are even in log(sigma)."""
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return np.exp(low + np.asarray(number) / 999 * (high - low))

    def scale(self, alpha: Any, sigma: Any) -> Any:
        if self.sigma_data is None:
            return 1.0 + 0.0 * sigma
        return (sigma * sigma + (alpha * self.sigma_data) ** 2) ** -0.5

    def time_of(self, share: Any) -> Any:
        """Of levels that are even in log(sigma)."""
        xp, share = numbers(share)
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return TIMESTEPS[self.timestep][0](xp, xp.exp(low + share * (high - low)))

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

    def timestep_of(self, alpha: float, sigma: float) -> float:
        return float(TIMESTEPS[self.timestep][0](np, sigma)) if sigma else CLEAN.get(self.timestep, 0.0)

    def point(self, ratio: Any) -> Point:
        xp, sigma = numbers(ratio)
        one = xp.ones_like(sigma)
        return Point(TIMESTEPS[self.timestep][0](xp, sigma), one, sigma, self.scale(one, sigma))

    def read_ratios(self, ratios: Any, end: tuple[float, float]) -> Points:
        return self.read(None, ratios, end)

    def read(self, timesteps: Any, sigmas: Any, end: tuple[float, float]) -> Points:
        kind = checks.one_of(timesteps=timesteps, sigmas=sigmas)
        levels = checks.numbers(kind, sigmas if kind == "sigmas" else timesteps)
        levels = checks.trimmed(self.levels(levels)[1] if kind == "timesteps" else levels, end[1])
        return Points(noise=checks.falling(levels))
