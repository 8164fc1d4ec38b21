"""EDICT: two coupled samples, whose steps can be taken back exactly."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.bdia import rising
from multisched.solvers.limits import nonzero
from multisched.solvers.rows import Level, Rows, rows_of
from multisched.values import anywhere, check_options, namespace


@dataclass(frozen=True)
class EDICT(Solver):
    """Exact inversion by coupled samples (Wallace et al. 2022, arXiv 2211.12446, section 4): each of two samples, x
    and y, is moved by what the model says of the other, at the time of the step's start for both.

        x' = gain * x + E(y) - gain * y        E(y) = alpha_next * x0 + sigma_next * noise of y
        y' = gain * y + E(x') - gain * x'
        x, y = p * x' + (1 - p) * y', p * y' + (1 - p) * x        between two steps

    Both samples begin alike. At the end `state.sample` is one of them, and the memory holds the other's difference from
    it. They are not mixed after the last step, so that the inverse run begins at them:

        inverse = recipe.plan_over(plan.grid.mirrored())
        state   = inverse.resume(recipe.solver.turned(state))

    and likewise from there, with `plan.grid`. An image begins an inverse run as `inverse.start(image)`.

    Order 1; two calls a step.

    Args:
        p: share of itself that a sample keeps where the two are mixed, in (0, 1].
        alternate: whether x and y change places from step to step, y being the second in the last one.
        held: "noise", with gain = alpha_next / alpha, is DDIM as published; "velocity", with gain = (alpha_next +
            sigma_next) / (alpha + sigma), is Euler's step of a flow, which may begin at alpha = 0.

    Raises:
        ScheduleError: p outside (0, 1], another word for `held`, a grid that goes both ways, or one with alpha = 0
            where the noise is held.

    Example:
        >>> solver = ms.solvers.EDICT(p=0.93, held="velocity")
        >>> plan = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", solver).plan(4)
        >>> len(plan)
        8
    """

    memory: ClassVar[tuple[str, ...]] = ("other",)

    p: float = 0.93
    alternate: bool = True
    held: Literal["noise", "velocity"] = "noise"

    def __post_init__(self) -> None:
        check_options(self)
        if not 0 < self.p <= 1:
            raise ScheduleError(f"p must be in (0, 1]; given {self.p!r}.")

    def rows(self, grid: Grid, path: Any) -> Rows:
        step, stage = np.repeat(np.arange(len(grid)), 2), np.tile(np.arange(2), len(grid))
        if self.held == "noise" and anywhere(grid.alphas == 0):
            raise ScheduleError("held = 'noise' has no step from alpha = 0; give held = 'velocity'.")
        return rows_of(grid, step, stage, point=step + int(rising(grid)))

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        where, last = namespace(row.sigma).where, len(row.grid) - 1
        up = row.next.ratio > row.start.ratio
        clean = Level(*(where(up, *pair) for pair in zip(row.start, row.next, strict=True)))
        begin, end = (row.alpha, clean.alpha) if self.held == "noise" else (sum(row.here), sum(clean))
        gain, euler = end / nonzero(begin), clean.alpha * model.x0 + clean.sigma * model.noise
        moved = where(up, x + (x + memory[0] - euler) / gain, euler + gain * memory[0])
        # Whether x is the first to move, in this step of the run to the data and in the one that comes next.
        left = where(up, row.step, last - row.step)
        first = (left % 2 == 0) | (not self.alternate)
        after = first ^ self.alternate
        one, other = self._between(where(first ^ up, x, moved), where(first ^ up, moved, x), up)
        asked, rest = where(after ^ up, other, one), where(after ^ up, one, other)
        alone = (row.stage == 0) | (row.step == last)
        return Next(where(alone, moved, asked), (where(alone, x - moved, rest - asked),))

    def _between(self, x: Any, y: Any, up: Any) -> tuple[Any, Any]:
        """x and y as they are between two steps: mixed, or taken apart again."""
        where, p = namespace(up).where, self.p
        mixed = p * x + (1 - p) * y
        parted = (y - (1 - p) * x) / p
        return where(up, (x - (1 - p) * parted) / p, mixed), where(up, parted, p * y + (1 - p) * mixed)

    def turned(self, state: Any) -> Any:
        """The state at the end of a run as that in which a run the other way begins, see `EDICT`."""
        return state._replace(sample=state.sample + state.memory[0], memory=(-state.memory[0],))
