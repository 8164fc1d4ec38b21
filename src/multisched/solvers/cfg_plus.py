"""CFG++: guidance that keeps the noise of the unguided model."""

from dataclasses import dataclass
from typing import Any

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.euler import Euler
from multisched.solvers.rows import Rows
from multisched.values import check_options, shown

_EULER = Euler()


@dataclass(frozen=True)
class CFGPlusPlus(Solver):
    """Another solver's steps, with the guided estimate of x0 and the unguided noise (Chung et al. 2024, arXiv
    2406.08070, algorithm 2).

        noise = (x - alpha * x0_unguided) / sigma
        moved = alpha * x0_guided + sigma * noise,   from which the solver takes its step with x0_guided

    With `Euler` that is x_next = alpha_next * x0_guided + sigma_next * noise. Values of x0 that the solver keeps for
    later steps are the unguided ones, as in ComfyUI. The model returns two outputs, one behind the other along the
    second axis: the guided one, and the unguided one. The paper's guidance is a share in [0, 1] of the way between
    them; ComfyUI takes the usual weights.

    The steps follow no probability flow, so the order is 0.

    Args:
        solver: of one output.

    Raises:
        ScheduleError: if `solver` is no solver of one output.
    """

    solver: Solver = _EULER

    def __post_init__(self) -> None:
        check_options(self)
        if not isinstance(self.solver, Solver) or self.solver.outputs > 1 or self.solver.inputs:
            raise ScheduleError(f"solver must be a solver of one output; given {shown(self.solver)}.")

    @property
    def order(self) -> int:
        return 0

    @property
    def memory(self) -> tuple[str, ...]:
        return self.solver.memory

    @property
    def outputs(self) -> int:
        return 2

    @property
    def draws(self) -> int:
        return self.solver.draws

    def rows(self, grid: Grid, path: Any) -> Rows:
        return self.solver.rows(grid, path)

    def serves(self, rows: Rows) -> Any:
        return self.solver.serves(rows)

    def estimate(self, row: Rows, prediction: Prediction, x: Any, outputs: tuple[Any, ...]) -> tuple[Any, Any]:
        """(the guided x0, the unguided x0)."""
        guided, unguided = (super(CFGPlusPlus, self).estimate(row, prediction, x, (one,))[0] for one in outputs)
        return guided, unguided

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        unguided = model.raw_noise  # what `estimate` has in its place
        own = (x - row.alpha * unguided) / row.sigma
        moved = row.alpha * model.x0 + row.sigma * own
        after = self.solver.update(row, moved, Estimate(model.x0, own, own), memory, noise)
        return after._replace(memory=self.solver.update(row, moved, Estimate(unguided, own, own), memory, noise).memory)
