"""CFG++: guidance that keeps the noise of the unguided model."""

from dataclasses import dataclass
from typing import Any, Literal

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.euler import Euler
from multisched.solvers.rows import Level, Rows
from multisched.values import check_options, namespace, shown

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

    For solvers of higher order there are two other forms, which ComfyUI has. With guided = "end" the solver takes the
    whole step with the unguided model, and the guidance of its first call is added where it ends:

        x_next = step(x, x0_unguided) + alpha_next * (x0_guided - x0_unguided)

    With guided = "start" it takes its step from `moved`, but with x0_unguided; the first step of a run and one to
    sigma = 0 are those of "x0". For `Euler` and `DDIM` "end" is the same as "x0", while "start" guides less by the
    factor alpha * sigma_next / (alpha_next * sigma).

    The steps follow no probability flow. Neither do the samples of a stochastic solver have the law of the data. The
    calls are the solver's, by default those of `Euler`.

    No order; one call a step.

    Args:
        solver: of one output.
        guided: "x0", "start" or "end".
        keeps: what is kept of the unguided model, its "noise" or its "velocity", noise - x0. With the velocity,
            x0_guided - x0_unguided has the weight alpha + sigma in place of alpha wherever it is added: for a solver
            that follows the velocity, such as `Straightened`.

    Raises:
        ScheduleError: if `solver` is no solver of one output, or another word is given.

    Example:
        >>> solver = ms.solvers.CFGPlusPlus()
        >>> plan = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", solver).plan(4)
        >>> plan.tableau.operands
        ('sample', 'output_0', 'output_1', 'x0')
    """

    solver: Solver = _EULER
    guided: Literal["x0", "start", "end"] = "x0"
    keeps: Literal["noise", "velocity"] = "noise"

    def __post_init__(self) -> None:
        check_options(self)
        if not isinstance(self.solver, Solver) or self.solver.outputs > 1 or self.solver.inputs:
            raise ScheduleError(f"solver must be a solver of one output; given {shown(self.solver)}.")

    @property
    def order(self) -> int:
        return 0

    @property
    def memory(self) -> tuple[str, ...]:
        return self.solver.memory + ("guidance",) * (self.guided == "end")

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
        plain, guidance = Estimate(unguided, own, own), model.x0 - unguided
        if self.guided == "end":
            return self._at_the_end(row, self.solver.update(row, x, plain, memory[:-1], noise), guidance, memory[-1])

        xp, weight = namespace(row.sigma), self._weight(row.here)
        moved = x + weight * guidance
        x0 = model.x0
        if self.guided == "start":
            x0 = xp.where((row.step == 0) | (row.sigma_next == 0), x0, unguided)
        kept = (moved - row.alpha * x0) / row.sigma
        after = self.solver.update(row, moved, Estimate(x0, kept, kept), memory, noise)
        return after._replace(memory=self.solver.update(row, moved, plain, memory, noise).memory)

    def _at_the_end(self, row: Rows, after: Next, guidance: Any, first: Any) -> Next:
        """The guidance of the first call of a step, added in its last."""
        xp = namespace(row.sigma)
        first = xp.where(row.stage == 0, guidance, first)
        return Next(after.sample + xp.where(row.final, self._weight(row.next), 0.0) * first, (*after.memory, first))

    def _weight(self, level: Level) -> Any:
        """Of x0_guided - x0_unguided."""
        return level.alpha if self.keeps == "noise" else level.alpha + level.sigma
