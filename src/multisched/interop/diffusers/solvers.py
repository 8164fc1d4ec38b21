"""Solvers that do as diffusers 0.42.1 does where it departs from their papers."""

from dataclasses import replace
from typing import Any, ClassVar

from multisched.grid import Grid
from multisched.solvers import Adams, RePaint, Rows, VelocityAdams


class LateRePaint(RePaint):
    """The same after jumps back that add too much noise: the model takes the sample to be where its timestep is."""

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        rows = super().rows(grid, schedule)
        alpha, sigma = schedule.levels(rows.timestep)
        return replace(rows, alpha=alpha, sigma=sigma)


class StridedAdams(Adams):
    """The same on steps of a fixed stride, whatever the grid is: a defect of diffusers' PNDM."""

    strided: ClassVar[bool] = True


class StridedVelocityAdams(VelocityAdams):
    """`VelocityAdams` on steps of a fixed stride."""

    strided: ClassVar[bool] = True
