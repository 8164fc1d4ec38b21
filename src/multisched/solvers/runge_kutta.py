"""Runge and Kutta's classical method."""

from dataclasses import dataclass
from typing import Any, ClassVar

from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.limits import nonzero
from multisched.solvers.rows import Rows
from multisched.solvers.staged import staged, whole
from multisched.values import namespace


@dataclass(frozen=True)
class RungeKutta(Solver):
    """The classical method of fourth order (Kutta 1901) on dy/dk = noise of y = x / alpha in k = sigma / alpha
    (Karras et al. 2022, arXiv 2206.00364, eq. 1).

        call 1, at k, 2 and 3, at (k + k_next) / 2, and 4, at k_next:   y + (k_next - k) * (0, e_1 / 2, e_2 / 2, e_3)
        y_next = y + (k_next - k) * (e_1 + 2 e_2 + 2 e_3 + e_4) / 6

    A step from alpha = 0 or to sigma = 0 is one call, `Euler`'s. Flow models have it in their own time with
    `Straightened(RungeKutta())`.

    Order 4; four calls a step.

    Raises:
        ScheduleError: if the grid is not NumPy's.

    Example:
        >>> recipe = ms.sampler("rk4")
        >>> len(recipe.plan(5)), round(ms.analysis.order(recipe, steps=(24, 48)), 1)
        (17, 4.0)
    """

    order: ClassVar[int] = 4
    memory: ClassVar[tuple[str, ...]] = ("anchor", "total")

    def rows(self, grid: Grid, path: Any) -> Rows:
        return staged(grid, path, (0.0, 0.5, 0.5, 1.0), even="ratio")

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, first, last = namespace(row.sigma), row.stage == 0, row.stage == 3
        several = whole(row)[1]
        x = xp.where(first, x, memory[0])
        said = model.noise / xp.where(first | last, 6.0, 3.0)
        total = said + xp.where(first, 0.0, 1.0) * memory[1]
        mean = xp.where(last, total, model.noise)
        grow = row.alpha_next / nonzero(row.alpha_start)
        moved = grow * x + (row.sigma_next - grow * row.sigma_start) * mean
        euler = row.alpha_next * model.x0 + row.sigma_next * model.noise
        return Next(xp.where(several, moved, euler), (x, total))
