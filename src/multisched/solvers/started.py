"""First steps of a better method, so that a multistep solver has its whole order."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.dpm_multistep import DPMMultistep
from multisched.solvers.exponential_rk import ExponentialRK
from multisched.solvers.rows import Rows
from multisched.values import anywhere, check_options, count, namespace, shown

_DPM, _RES = DPMMultistep(3, lower_order_final=False), ExponentialRK("res_3s")


@dataclass(frozen=True)
class Started(Solver):
    """A multistep solver whose first steps are those of another method, of several calls each (Hairer, Norsett and
    Wanner 1993, section III.1). The solver keeps what the model says where each of them begins, as if the steps were
    its own, so that it goes on with all the values that it combines. A corrector leaves them as they are.

    A first step with one value has an error of second order, which the rest of a run cannot mend. Without it the order
    is the least of

        steps + 2, or steps + 3 with a corrector;   the order of `start` + 1;   the order of the solver's later steps

    which is 3 for three values without a corrector after 1 step of "res_3s", 4 for four values after 2, and 5 for
    UniPC of four values and a corrector after 2 steps of `RungeKutta`. This is for long and exact runs: below 50 calls
    the calls are mostly better spent on more steps.

    The calls are the solver's, but for those of the first steps. Order 3; one call a step.

    Args:
        solver: a deterministic solver of one model call a step that begins with fewer values than it has later.
        start: the method of the first steps, deterministic.
        steps: how many there are; one more where the run begins at alpha = 0, whose value lies at lam = -inf and is not
            combined with others. There `Straightened(Started(...))` has the whole order.

    Raises:
        ScheduleError: if they are no such solvers, or one of them cannot go along a grid.

    Example:
        >>> from multisched.solvers import DPMMultistep, ExponentialRK, Started
        >>> DPMMultistep(3).order, ms.solvers.Started(DPMMultistep(3), ExponentialRK("res_2s")).order
        (2, 3)
    """

    solver: Solver = _DPM
    start: Solver = _RES
    steps: int = 1

    def __post_init__(self) -> None:
        check_options(self)
        count("steps", self.steps)
        for name, one in (("solver", self.solver), ("start", self.start)):
            if not isinstance(one, Solver) or one.draws or one.inputs or not one.order:
                raise ScheduleError(f"{name} must be a deterministic solver that has an order; given {shown(one)}.")
        if self.start.outputs > 1:
            raise ScheduleError(f"start must be a solver of one output; given {shown(self.start)}.")

    @property
    def order(self) -> int:
        return self.order_after(0)

    def order_after(self, steps: int) -> int:
        return min(self.solver.order_after(self.steps + steps), self.start.order + 1)

    @property
    def memory(self) -> tuple[str, ...]:
        return (*self.solver.memory, *(f"start_{name}" for name in self.start.memory))

    @property
    def outputs(self) -> int:
        return self.solver.outputs

    def rows(self, grid: Grid, path: Any) -> Rows:
        later, first = self.solver.rows(grid, path), self.start.rows(grid, path)
        if len(later) != len(grid):
            raise ScheduleError(f"solver must be a solver of one model call a step; given {shown(self.solver)}.")
        if anywhere(self.start.serves(first) != first.step):
            raise ScheduleError(f"start must have all calls of a step within it; given {shown(self.start)}.")
        opened = self.steps + int(anywhere(grid.alphas[:1] == 0))
        calls, xp = int(np.sum(np.asarray(first.step) < opened)), namespace(grid.sigmas)
        columns = {
            name: xp.concat([getattr(first, name)[:calls], getattr(later, name)[opened:]]) for name in first.columns()
        }
        return replace(later, **columns, opened=opened)

    def estimate(self, row: Rows, prediction: Prediction, x: Any, outputs: tuple[Any, ...]) -> tuple[Any, Any]:
        return self.solver.estimate(row, prediction, x, outputs)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        where, kept, opening = namespace(row.sigma).where, len(self.solver.memory), row.step < row.opened
        # Calls within a first step lead elsewhere than the step, and are not kept.
        ends = {"alpha_next": row.of(row.grid.next_alphas, 0), "sigma_next": row.of(row.grid.next_sigmas, 0)}
        later = self.solver.update(replace(row, **ends), x, model, memory[:kept], noise)
        first = self.start.update(row, x, model, memory[kept:], noise)
        inside = opening & (row.stage > 0)
        values = (where(inside, old, new) for old, new in zip(memory[:kept], later.memory, strict=True))
        begun = (where(opening, new, old) for old, new in zip(memory[kept:], first.memory, strict=True))
        return Next(where(opening, first.sample, later.sample), (*values, *begun))
