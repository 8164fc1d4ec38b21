"""Heun's method: two model calls a step, one on the step that ends at sigma = 0; noise before the calls, or after the
first."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next
from multisched.solvers.euler import Churn
from multisched.solvers.rows import Rows
from multisched.values import namespace


@dataclass(frozen=True)
class Heun(Churn):
    """Heun's second-order method (Karras et al. 2022, arXiv 2206.00364, algorithms 1 and 2).

        d(x0, noise) = (alpha_next - alpha) * x0 + (sigma_next - sigma) * noise      what one Euler step adds
        call 1:  x_next = x + d1
        call 2:  x_next = x + (d1 + d2) / 2

    On the straight path d is (sigma_next - sigma) * velocity; no division by alpha or sigma, so it holds on any path.
    A step to sigma = 0 is one call. The memory holds x and d1: the sample of call 2 is what the model is evaluated on.

    Order 2; two calls a step. With s_churn=4.0: order 2; weak order 2; two calls a step.

    Takes the options of `Churn`.

    Raises:
        ScheduleError: if a setting is negative or NaN, or the steps of the grid do not join.

    Example:
        >>> solver = ms.solvers.ChurnedHeun(s_churn=4.0)
        >>> recipe = ms.Scheduler(ms.paths.VarianceExploding(), ms.spacings.Ramp() | ms.spacings.End(), "edm", solver)
        >>> plan = recipe.plan(8)
        >>> len(plan), plan.stochastic, round(float(plan.sigmas[0]), 3)
        (15, True, 113.137)
    """

    order: ClassVar[int] = 2
    memory: ClassVar[tuple[str, ...]] = ("anchor", "slope")

    def _calls(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        if not grid.chained:
            raise ScheduleError("Heun asks the model where each step ends, so the steps of its grid must join.")
        step, stage = np.repeat(np.arange(len(grid)), 2), np.tile(np.arange(2), len(grid))
        one = len(grid) > 0 and bool(grid.sigmas[-1] == 0)
        return (step[:-1], stage[:-1]) if one else (step, stage)

    def _ends(self, row: Rows) -> Any:
        return (row.stage == 1) | (row.sigma_next == 0)

    def _move(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...]) -> Next:
        xp, first = namespace(row.sigma), row.stage == 0
        d = (row.alpha_next - row.alpha_start) * model.x0 + (row.sigma_next - row.sigma_start) * model.noise
        anchor, slope = (xp.where(first, new, old) for new, old in zip((x, d), memory, strict=True))
        return Next(anchor + xp.where(first, d, (slope + d) / 2), (anchor, slope))


ChurnedHeun = Heun
"""`Heun`, under the name that says what it does with churn."""
