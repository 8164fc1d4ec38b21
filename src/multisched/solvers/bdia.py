"""BDIA: DDIM's steps, mended so that they can be taken back exactly."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.rows import Rows
from multisched.values import anywhere, check_options, namespace


@dataclass(frozen=True)
class BDIA(Solver):
    """Bi-directional integration approximation of DDIM (Zhang et al. 2023, arXiv 2307.10829, section 4).

        E(l)   = alpha_l * x0 + sigma_l * noise          `Euler`'s step to another level l
        x_next = E(next) + gamma * (x_before - E(before))

    x_before is the sample of the step before, at its level. The first step of a run is `Euler`'s. Towards the noise the
    same equation is solved for the sample of the step before, with 1 / gamma in place of gamma; the first step there is
    DDIM inversion's, at which the time that it leads to is passed to the model. To take a run back, leave it out:

        inverse = recipe.plan_over(plan.grid.mirrored(), history=1)
        state   = inverse.resume(recipe.solver.turned(state))

    and likewise from there, with `plan.grid`. Order 2 is that of grids whose steps change little from one to the next.
    Rounding errors of an inverse run grow by 1 / gamma a step.

    Order 2; one call a step. With gamma=0.9: order 1; one call a step.

    Args:
        gamma: how much of the step before is corrected, in [0, 1]; 0 for `Euler`, which has no inverse.

    Raises:
        ScheduleError: gamma outside [0, 1], or a grid that goes both ways, or to the noise with gamma = 0.

    Example:
        >>> solver = ms.solvers.BDIA()
        >>> plan = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", solver).plan(8)
        >>> len(plan), plan.order, plan.tableau.registers
        (8, 2, ('sample', 'before'))
    """

    memory: ClassVar[tuple[str, ...]] = ("before",)

    gamma: float = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        if not 0 <= self.gamma <= 1:
            raise ScheduleError(f"gamma must be in [0, 1]; given {self.gamma!r}.")

    @property
    def order(self) -> int:
        return 2 if self.gamma == 1 else 1

    def rows(self, grid: Grid, path: Any) -> Rows:
        rows = super().rows(grid, path)
        if not rising(grid):
            return rows
        if self.gamma == 0:
            raise ScheduleError("with gamma = 0 a run has no inverse; give a gamma in (0, 1].")
        told = namespace(grid.sigmas).where(rows.step == 0, grid.timesteps[1], rows.timestep)
        return replace(rows, timestep=told)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, before = namespace(row.sigma), row.at(-1)
        gain = xp.where(row.next.ratio > row.start.ratio, 1 / (self.gamma or 1.0), self.gamma)
        missed = memory[0] - before.alpha * model.x0 - before.sigma * model.noise
        euler = row.alpha_next * model.x0 + row.sigma_next * model.noise
        return Next(euler + xp.where(row.step > 0, gain, 0.0) * missed, (x,))

    def turned(self, state: Any) -> Any:
        """The state at the end of a run as that in which a run the other way takes its second step, see `BDIA`."""
        return state._replace(sample=state.memory[0], memory=(state.sample,))


def rising(grid: Grid) -> bool:
    """Whether a run goes to the noise.

    Raises:
        ScheduleError: if it goes both ways, or its steps do not join.
    """
    up = grid.next_sigmas * grid.alphas[:-1] > grid.sigmas[:-1] * grid.next_alphas
    if not grid.chained or (anywhere(up) and anywhere(~up)):
        raise ScheduleError("a run that can be taken back goes one way, and its steps join.")
    return anywhere(up)
