"""Runs from data to noise over the points of another schedule."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.schedules import checks
from multisched.schedules.base import Point, Schedule
from multisched.schedules.flow import Flow
from multisched.schedules.vp import DiscreteVP


@dataclass(frozen=True)
class Inverse(Schedule):
    """A run of `schedule` with one point more, the other way: the model is asked where each step begins, and the last
    step ends at the noisiest level that the schedule visits.

    Args:
        schedule: the schedule.
        repeated: whether "trailing" and sigmas of their own spacing make no such point, as in diffusers, so that the
            last step stays where it is.
    """

    schedule: DiscreteVP | Flow
    repeated: bool = False

    @property
    def num_train_timesteps(self) -> int:  # type: ignore[override]
        return self.schedule.num_train_timesteps

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        return self.schedule.levels(timesteps, backend)

    def point(self, ratio: Any) -> Point:
        return self.schedule.point(ratio)

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """The grid of n steps; there are no others."""
        if timesteps is not None or sigmas is not None:
            raise ScheduleError("a run to the noise takes a number of steps, not timesteps or sigmas.")
        n, schedule = checks.count("the number of steps", n), self.schedule
        if isinstance(schedule, Flow):
            stays, top = True, None
        else:
            stays = schedule.timestep_spacing == "trailing" or schedule.sigma_schedule is not None
            top = replace(schedule, timestep_spacing="trailing").grid(1)
        down = schedule.grid(n if self.repeated and stays else n + 1, mu=mu)
        pairs = ((getattr(grid, name) for grid in (top or down, down)) for name in ("timesteps", "alphas", "sigmas"))
        timesteps, alphas, sigmas = (np.append(first[:1], rest[-1 - n : -1])[::-1] for first, rest in pairs)
        return Grid(timesteps, alphas, sigmas)
