"""What a schedule is: the levels (alpha, sigma) of every timestep, and the grids of its sampling runs."""

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from multisched.backends import Backend
from multisched.grid import Grid


class Point(NamedTuple):
    """A point of a schedule's path: what the model is told there, the level, and the scale of what it sees."""

    timestep: Any
    alpha: Any
    sigma: Any
    scale: Any


def variance_preserving(ratio: Any) -> tuple[Any, Any]:
    """(alpha, sigma) with alpha^2 + sigma^2 = 1 where sigma / alpha is `ratio`."""
    with np.errstate(divide="ignore"):
        return 1 / np.sqrt(1 + ratio**2), 1 / np.sqrt(1 + 1 / ratio**2)


class Schedule(ABC):
    """A noise schedule with its inference grids; a subclass is frozen and hashable."""

    num_train_timesteps: int

    @abstractmethod
    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """The grid of a run: of n steps, or over the timesteps or noise levels given, which fall strictly.

        A list may or may not include the end of the run.

        Raises:
            ScheduleError: not exactly one of n, timesteps and sigmas (n may come along if it agrees), one of them or a
                `mu` that the schedule does not take, or values out of range.
        """

    @abstractmethod
    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        """(alpha, sigma) at training timesteps: float64 for host numbers, or on the device for arrays of `backend`."""

    @abstractmethod
    def point(self, ratio: Any) -> Point:
        """The point of the path where sigma / alpha is `ratio`, a float64 array of positive numbers."""

    def grid_of_ratios(self, ratios: Any) -> Grid:
        """The grid over the points where sigma / alpha is `ratios` (steps,), falling and above 0, taken as they are."""
        return self.grid(sigmas=self.point(ratios).sigma)

    def timestep_of(self, alpha: float, sigma: float) -> float:
        """The timestep whose `levels` are (alpha, sigma), where a run ends: exact, and finite at sigma = 0."""
        return float(self.point(sigma / alpha if alpha else math.inf).timestep)

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any] | None:
        """The weights (a, b) of the velocity a * x0 + b * noise that models of the path are trained on: v where it is
        variance preserving, noise - x0 where it is straight. None on other paths."""
        return None

    def scale(self, alpha: Any, sigma: Any) -> Any:
        """What a sample at this level is multiplied with before the model sees it, by operators alone."""
        return 1.0 + 0.0 * sigma
