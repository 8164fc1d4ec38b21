"""SA-Solver with a second call after the correction, and with orders that fall towards the end as ComfyUI has them."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.polynomial import Polynomial, checked, row_before
from multisched.solvers.rows import Rows, rows_of
from multisched.values import check_options, count, namespace

VALUES = 10  # that a polynomial goes through at most


@dataclass(frozen=True)
class StochasticAdams(Solver):
    """SA-Solver (Xue et al. 2023, arXiv 2309.05019, algorithm 1) on x0, with one call a step ("PEC") or two ("PECE").

        predict     x' from the x before, through the last x0s        (see `polynomial`)
        evaluate    x0 of x'
        correct     x  from the x before, with the same noise, through this x0 too
        evaluate    x0 of x, which takes the place of the other       with two calls

    In runs that end at sigma = 0 the number of values falls, so that the last step but one has one value and its
    correction two; the last leads to x0. `ExponentialAdams` is the method with the orders of the paper's code.

    Order min(predictor + 1, corrector, 3) where tau = 0. Otherwise the law of the samples is of weak order
    min(predictor + 1, corrector, 2).

    No order; weak order 2; two calls a step. With calls=1: no order; weak order 2; one call a step. With tau=0.0: order
    3; two calls a step.

    Args:
        predictor: values that the prediction goes through, at most.
        corrector: those of the correction.
        calls: calls of a step, 1 or 2; the first step of a run has one.
        tau: amount of noise, 0 for the probability flow.
        tau_start: the timestep from which it is added.
        tau_end: the timestep up to which it is added.

    Raises:
        ScheduleError: an option out of range, or a grid that the method cannot go along.

    Example:
        >>> plan = ms.sampler("sa_solver").plan(10)
        >>> len(plan), plan.weak_order
        (10, 2)
    """

    predictor: int = 3
    corrector: int = 4
    calls: int = 2
    tau: float = 1.0
    tau_start: float = -math.inf
    tau_end: float = math.inf

    def __post_init__(self) -> None:
        check_options(self, not_negative=("tau",), counts={"predictor": VALUES, "calls": 2})
        count("corrector", self.corrector, VALUES + 1)

    @property
    def order(self) -> int:
        return self.order_after(0)

    def order_after(self, steps: int) -> int:
        return 0 if self.tau > 0 else min(self.predictor + 1, self.corrector, 3 + steps)

    @property
    def weak_order(self) -> int:
        return min(self.predictor + 1, self.corrector, 2) if self.tau > 0 else self.order

    @property
    def draws(self) -> int:
        return int(self.tau > 0)

    @property
    def memory(self) -> tuple[str, ...]:
        values = tuple(f"value_before_{k}" for k in range(1, max(self.predictor, self.corrector)))
        return (*("anchor", "drawn_before")[: 1 + self.draws], *values)

    def rows(self, grid: Grid, path: Any) -> Rows:
        calls = np.where(np.arange(len(grid)) > 0, self.calls, 1)
        step = np.repeat(np.arange(len(grid)), calls)
        stage = np.arange(step.size) - np.repeat(np.cumsum(calls) - calls, calls)
        rows = rows_of(grid, step, stage, point=step)
        stays = self._first_of_two(rows)
        names = {"alpha_next": rows.alpha_start, "sigma_next": rows.sigma_start}
        where = namespace(rows.sigma).where
        rows = replace(rows, **{name: where(stays, here, getattr(rows, name)) for name, here in names.items()})
        return checked(rows, True, True, self.tau > 0)

    def _first_of_two(self, row: Rows) -> Any:
        """Where a call ends at the correction."""
        return (self.calls > 1) & (row.step > 0) & (row.stage == 0)

    def _count(self, row: Rows, most: int, spare: int) -> Any:
        """Values that a step uses; towards sigma = 0 no more than the steps that are left, and `spare`."""
        xp = namespace(row.sigma)
        order = xp.where(row.step + 1 < most, row.step + 1, most)
        room = xp.where(row.left + spare > 1, row.left + spare, 1)
        return xp.where((row.grid.sigmas[-1] == 0) & (room < order), room, order)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, kept = namespace(row.sigma), 1 + self.draws
        method = Polynomial(True, "exact", self.tau, self.tau_start, self.tau_end)
        values, stays = (model.x0, *memory[kept:]), self._first_of_two(row)
        last, again = row_before(row), (row.step > row.opened) & (row.stage == 0)
        used = xp.where(again, self._count(row, self.corrector, 0), 1)
        before = method.said(last.start, memory[0], values[0])
        corrected = method.step(last, before, values[: self.corrector], 1, used, memory[1:kept])
        x = xp.where(again, corrected, xp.where(row.stage > 0, memory[0], x))

        used = xp.where(row.sigma_next == 0, 1, self._count(row, self.predictor, -1))
        said = method.said(row.start, x, values[0])
        moved = method.step(row, said, values[: self.predictor], 0, used, noise)
        after = (x, *noise, *values[:-1])
        return Next(
            xp.where(stays, x, moved),
            tuple(xp.where(stays, *both) for both in zip((x, *memory[1:]), after, strict=True)),
        )
