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
    """A run of n steps of `schedule` with one point more, the other way: the model is asked at each point where a step
    begins, and the last step ends at the noisiest that the schedule visits.

    Args:
        schedule: the schedule.
        repeated: whether "trailing" and sigmas of their own spacing make only n points, as in diffusers, so that the
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
        """The grid of n steps.

        Raises:
            ScheduleError: timesteps or sigmas given, or what the schedule refuses.
        """
        if timesteps is not None or sigmas is not None:
            raise ScheduleError("an inverse run takes a number of steps, not timesteps or sigmas.")
        n, schedule = checks.count("the number of steps", n), self.schedule
        spaced = isinstance(schedule, Flow) or schedule.timestep_spacing == "trailing" or schedule.sigma_schedule
        down = schedule.grid(n if self.repeated and spaced else n + 1, mu=mu)
        top = down if isinstance(schedule, Flow) else replace(schedule, timestep_spacing="trailing").grid(1)
        asked = slice(len(down) - n, len(down))
        points = (np.append(ends[:1], of[asked])[::-1] for ends, of in zip(_points(top), _points(down), strict=True))
        return Grid(*points)


def _points(grid: Grid) -> tuple[np.ndarray, ...]:
    return grid.timesteps, grid.alphas, grid.sigmas
