"""Exponential Adams methods: predictors and correctors whose steps integrate a polynomial, see `polynomial`.

The predictor's polynomial ends at the step's start. The corrector takes the step again, with the same noise, once the
value at its end is there; the next step begins from what it finds.

    DEIS (Zhang and Chen 2022, arXiv 2204.13902, eq. 14)    noise, p values
    UniPC (Zhao et al. 2023, arXiv 2302.04867, section 3)   either, p values and p + 1, rule "bh1" or "bh2"
    SA-Solver (arXiv 2309.05019, algorithm 1)               either, any numbers of values, tau; with data, rule "bh1"
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import PARTS, Estimate, Next, Solver
from multisched.solvers.limits import orders
from multisched.solvers.polynomial import Polynomial, checked, row_before
from multisched.solvers.rows import Rows
from multisched.values import check_options, count, namespace, shown, whole

ORDERS = 10  # values of the model that a step uses at most; published methods use three


@dataclass(frozen=True)
class ExponentialAdams(Solver):
    """Predictor and corrector, as in UniPC (arXiv 2302.04867). Order min(predictor, 2), since the first step of a run
    has one value; with a corrector min(predictor + 1, corrector, 3), since its correction has two, and at most 2 where
    the last step has but one. With noise the weak order is min(predictor + 1, corrector, 2), or min(predictor, 2)
    without a corrector. With data=True, predictor=2, corrector=3: order 2; one call a step. With data=True,
    predictor=2, tau=1.0: no order; weak order 2; one call a step.

    Args:
        data: whether p goes through values of x0.
        predictor: values that it goes through, at most.
        corrector: those that the correction's goes through; 0 for no corrector.
        rule: what integral of (lam - lam_s) * e^... is taken where there are two values: "exact", or as published
            "bh1" for h^2 / 2 and "bh2" for h / 2 * integral of e^... On trained networks, with a corrector and in 5 to
            20 calls, "bh2" was 1.1 to 1.2 times nearer than "exact" and 1.5 to 2 times than "bh1", at any guidance.
        falling: whether fewer values are used towards the end, in runs of fewer steps than this.
        disable_corrector: numbers of the steps, from 0, that are not corrected.
        tau: amount of noise, 0 for the probability flow.
        tau_start: the timestep from which it is added.
        tau_end: the timestep up to which it is added.
        parts: parts of the model's output; the first is used.
        solver_p: another solver, of one model call a step, in place of the predictor.

    Raises:
        ScheduleError: if an option is not one of those named, or the method cannot go along the grid.

    Example:
        >>> unipc = ms.solvers.ExponentialAdams(data=True, predictor=2, corrector=3)
        >>> recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", unipc)
        >>> len(recipe.plan(10)), round(ms.analysis.order(recipe, steps=(24, 48)), 1)
        (10, 2.0)
    """

    data: bool
    predictor: int
    corrector: int = 0
    rule: Literal["exact", "bh1", "bh2"] = "exact"
    falling: float = math.inf
    disable_corrector: tuple[int, ...] = ()
    tau: float = 0.0
    tau_start: float = 0.0
    tau_end: float = math.inf
    solver_p: Solver | None = None
    parts: int = 1

    def __post_init__(self) -> None:
        check_options(self, not_negative=("tau",))
        if not isinstance(self.disable_corrector, (tuple, list)):
            raise ScheduleError(f"disable_corrector must be a list of steps; given {shown(self.disable_corrector)}.")
        disabled = tuple(whole("disable_corrector", step) for step in self.disable_corrector)
        object.__setattr__(self, "disable_corrector", disabled)
        count("parts", self.parts, PARTS)
        count("predictor", self.predictor, ORDERS)
        count("corrector", self.corrector, ORDERS + 1, least=0)
        if self.solver_p is not None and (self.tau or not isinstance(self.solver_p, Solver)):
            raise ScheduleError(
                f"solver_p must be None or a solver of multisched, for tau = 0; given {shown(self.solver_p)}."
            )

    @property
    def order(self) -> int:
        return self.order_after(0)

    def order_after(self, steps: int) -> int:
        if self.tau > 0:
            return 0
        predictor = self.predictor if self.solver_p is None else self.solver_p.order_after(steps)
        falls = self.falling == math.inf and self.solver_p is None
        if not self.corrector:
            return min(predictor, 2 if falls else 2 + steps)
        return min(predictor + 1, self.corrector, 2 if falls else 3 + steps)

    @property
    def weak_order(self) -> int:
        values = min(self.predictor + 1, self.corrector) if self.corrector else self.predictor
        return min(values, 2) if self.tau else super().weak_order

    @property
    def _method(self) -> Polynomial:
        return Polynomial(self.data, self.rule, self.tau, self.tau_start, self.tau_end)

    @property
    def _kept(self) -> tuple[str, ...]:
        """What a correction begins from."""
        return ("anchor", "drawn_before")[: 1 + (self.tau > 0)] if self.corrector else ()

    @property
    def memory(self) -> tuple[str, ...]:
        values = tuple(f"value_before_{k}" for k in range(1, max(self.predictor, self.corrector)))
        theirs = () if self.solver_p is None else self.solver_p.memory
        return self._kept + values + tuple(f"predictor_{name}" for name in theirs)

    @property
    def draws(self) -> int:
        return int(self.tau > 0) if self.solver_p is None else self.solver_p.draws

    @property
    def outputs(self) -> int:
        return self.parts

    def rows(self, grid: Grid, path: Any) -> Rows:
        rows = checked(super().rows(grid, path), self.data, self.corrector > 0, self.tau > 0)
        if self.solver_p is not None and len(self.solver_p.rows(grid, path)) != len(rows):
            raise ScheduleError("solver_p must be a solver of one model call a step.")
        return rows

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, kept, falling = namespace(row.sigma), len(self._kept), row.total < self.falling
        own = len(self.memory) - (0 if self.solver_p is None else len(self.solver_p.memory))
        values = (model.x0 if self.data else model.noise, *memory[kept:own])
        said, method = (model.x0, model.noise), self._method
        if kept:
            last = row_before(row)
            # From pure noise the published rules have a limit in one case.
            again = (row.step > row.opened) & ((last.alpha_start > 0) | (self.data and self.rule != "bh1"))
            for number in self.disable_corrector:
                again = again & (row.grid.first + last.step != number)
            count = xp.where(again, orders(last, self.corrector - 1, falling) + 1, 1)
            before = method.said(last.start, memory[0], values[0])
            x = xp.where(again, method.step(last, before, values[: self.corrector], 1, count, memory[1:kept]), x)
            # The noise's form would leave what was drawn in the sample at sigma = 0.
            again = again & (self.data | (self.tau == 0) | (row.sigma_next > 0))
            said = tuple(
                xp.where(again, *both) for both in zip(method.said(row.start, x, values[0]), said, strict=True)
            )
        after = (x, *noise)[:kept] + values[:-1]
        if self.solver_p is not None:
            theirs = self.solver_p.update(row, x, Estimate(*said, said[1]), memory[own:], noise)
            return Next(theirs.sample, after + theirs.memory)
        count = orders(row, self.predictor, falling)
        return Next(method.step(row, said, values[: self.predictor], 0, count, noise), after)
