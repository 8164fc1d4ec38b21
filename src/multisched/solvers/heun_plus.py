"""Heun++: up to three calls a step, each at a point of the grid."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.limits import finite
from multisched.solvers.rows import Rows, rows_of
from multisched.values import STEPS, namespace


@dataclass(frozen=True)
class HeunPlus(Solver):
    """Heun++, which Carzit's sd-webui-samplers-scheduler brought and ComfyUI has under the name "heunpp2". It goes by
    dy/dk = noise of y = x / alpha in k = sigma / alpha (Karras et al. 2022, arXiv 2206.00364, eq. 1).

        call 1, at k:         e_1
        call 2, at k_next:    e_2,   of y_2 = y + (k_next - k) * e_1
        call 3, at k_after:   e_3,   of y_3 = y_2 + (k_after - k_next) * e_2,   k_after of the step after
        y_next = y + (k_next - k) * (e_1 + w_2 * (e_2 - e_1) + w_3 * (e_3 - e_1))
        w_2, w_3 = k_next / (3 k_first), k_after / (3 k_first)

    The last step but one has two calls, with w_2 = k_next / (2 k_first); the last has one. k_first is where the run
    begins. The weights are no quadrature: `Heun` has a higher order with fewer calls.

    Order 1; three calls a step.

    Raises:
        ScheduleError: if the steps of the grid do not join.

    Example:
        >>> plan = ms.sampler("heunpp2").plan(5)
        >>> len(plan), plan.rows.stage.ravel().tolist()
        (12, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 0])
    """

    memory: ClassVar[tuple[str, ...]] = ("euler", "first", "second")

    def rows(self, grid: Grid, path: Any) -> Rows:
        if not grid.chained:
            raise ScheduleError("Heun++ asks the model where later steps end, so the steps of its grid must join.")
        calls = np.minimum(len(grid) - np.arange(len(grid)), 3)
        step = np.repeat(np.arange(len(grid)), calls)
        stage = np.arange(step.size) - np.repeat(np.cumsum(calls) - calls, calls)
        rows = rows_of(grid, step, stage)
        # The second of three calls leads to where the third is asked.
        xp, farther = namespace(rows.sigma), (rows.stage == 1) & (len(grid) - rows.step > 2)
        after = rows.at(2)
        return replace(
            rows,
            alpha_next=xp.where(farther, after.alpha, rows.alpha_next),
            sigma_next=xp.where(farther, after.sigma, rows.sigma_next),
        )

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, e = namespace(row.sigma), model.noise
        first, second, last = (row.stage == k for k in range(3))
        start, end, after = (finite(row.at(k).ratio) for k in range(3))
        top = finite(row.at(-STEPS).ratio)
        euler = xp.where(first, row.alpha_next * model.x0 + row.sigma_next * e, memory[0])
        kept = tuple(xp.where(row.stage == k, e, old) for k, old in enumerate(memory[1:]))
        three = len(row.grid) - row.step > 2
        share = (end / top - start / top) / xp.where(three, 3.0, 2.0)
        alpha = row.at(1).alpha
        bend = end * (kept[1] - kept[0]) + xp.where(last, after, 0.0) * (e - kept[0])
        farther = row.alpha_next / alpha * euler + row.alpha_next * (after - end) * e
        moved = xp.where(second & three, farther, euler + alpha * share * bend)
        return Next(xp.where(first, euler, moved), (euler, *kept))
