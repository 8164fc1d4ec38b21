"""The continuous cosine schedule: alpha^2 = alpha_bar(t), sigma^2 = 1 - alpha_bar(t), for t from 1 to 0."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.schedules import checks
from multisched.schedules.base import Point, Schedule
from multisched.values import check_options, shown


@dataclass(frozen=True)
class Cosine(Schedule):
    """alpha_bar(t) = cos((t + s) / (1 + s) * pi / 2)^2 / cos(s / (1 + s) * pi / 2)^2, kept within [0.0001, 0.9999]
    (Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17), so that a run ends with a little noise left.

    Args:
        scaler: above 1, t is 1 - (1 - t)^scaler; below, t^scaler (Pernias et al. 2023, arXiv 2306.00637, its code).
        s: offset that keeps the first steps from being too small.
        num_train_timesteps: what the model is told at t = 1.

    Raises:
        ScheduleError: a number out of range.
    """

    scaler: float = 1.0
    s: float = 0.008
    num_train_timesteps: int = 1

    def __post_init__(self) -> None:
        check_options(self)
        checks.count("num_train_timesteps", self.num_train_timesteps)
        if not (0 < self.scaler < math.inf and 0 <= self.s < math.inf):
            raise ScheduleError(f"scaler must be above 0 and s at least 0; given {self.scaler!r} and {self.s!r}.")

    def _warped(self, share: Any, power: float) -> Any:
        return 1 - (1 - share) ** power if self.scaler > 1 else share**power

    @property
    def _top(self) -> float:
        return math.cos(self.s / (1 + self.s) * math.pi / 2)

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        xp: Any = np if backend is None else backend.xp
        if backend is None:
            timesteps = np.asarray(timesteps, dtype=np.float64)
            if not np.all((timesteps >= 0) & (timesteps <= self.num_train_timesteps)):
                raise ScheduleError(f"timesteps must lie in [0, {self.num_train_timesteps}]; given {shown(timesteps)}.")
        else:
            timesteps = xp.astype(timesteps, xp.float32)
        share = self._warped(timesteps / self.num_train_timesteps, self.scaler)
        alpha = xp.cos((share + self.s) * (math.pi / 2 / (1 + self.s))) / self._top
        alpha_bar = xp.clip(alpha * alpha, 0.0001, 0.9999)
        return alpha_bar**0.5, (1 - alpha_bar) ** 0.5

    def point(self, ratio: Any) -> Point:
        ratio = np.asarray(ratio, dtype=np.float64)
        alpha, sigma = 1 / np.sqrt(1 + ratio**2), 1 / np.sqrt(1 + 1 / ratio**2)
        share = np.arccos(np.clip(alpha * self._top, 0, 1)) * (2 / math.pi * (1 + self.s)) - self.s
        timestep = self._warped(np.clip(share, 0, 1), 1 / self.scaler) * self.num_train_timesteps
        return Point(timestep, alpha, sigma, np.ones_like(sigma))

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """The grid of n even steps, or over timesteps that fall strictly; a list may or may not include the end, 0.

        Raises:
            ScheduleError: neither n nor timesteps given (n may come along if it agrees), sigmas or mu given, or values
                out of range.
        """
        if sigmas is not None or mu is not None:
            raise ScheduleError(f"the cosine schedule takes n or timesteps; given sigmas={sigmas!r}, mu={mu!r}.")
        if timesteps is None:
            checks.one_of(n=n, timesteps=timesteps)
            times = np.linspace(self.num_train_timesteps, 0, checks.count("the number of steps", n) + 1)
        else:
            given = checks.descending("timesteps", timesteps)
            times = given if given[-1] == 0 and given.size > 1 else np.append(given, 0.0)
            checks.same_length(n, times.size - 1)
        return Grid(times, *self.levels(times))
