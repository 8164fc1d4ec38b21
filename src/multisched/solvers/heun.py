"""Heun's method: two model calls a step, one on the step that ends at sigma = 0; noise before the calls, or after the
first."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Rows, rows_of
from multisched.solvers.euler import Churn
from multisched.values import namespace


@dataclass(frozen=True)
class Heun(Churn):
    """Heun's second-order method (Karras et al. 2022, arXiv 2206.00364, algorithms 1 and 2); order 2, and with churn
    the law of its samples is of weak order 2.

        d(x0, noise) = (alpha_next - alpha) * x0 + (sigma_next - sigma) * noise      what one Euler step adds
        call 1:  x_next = x + d1
        call 2:  x_next = x + (d1 + d2) / 2

    On the straight path d is (sigma_next - sigma) * velocity; no division by alpha or sigma, so it holds on any path.
    The memory holds x and d1: the sample of call 2 is only what the model is asked about.

    Takes the options of `Churn`.

    Raises:
        ScheduleError: if a setting is negative or NaN, or the steps of the grid do not join.
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


class LateHeun(Heun):
    """The same with the noise added after the first call, as ACE-Step and diffusers have it: a defect. The model is not
    asked where the noise leads, and what of it is too much for the path stays, however small the steps are.

        x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z,   sigma_hat as in `Churn`, with 2 * steps - 1 for steps
        call 1:  x_next = x_hat + sigma / sigma_hat * d1
        call 2:  x_next = x_hat + (sigma / sigma_hat * d1 + d2) / 2

    Here d is scaled by (sigma_next - sigma_hat) / (sigma_next - sigma).
    """

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        return rows_of(grid, *self._calls(grid))

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, first = namespace(row.sigma), row.stage == 0
        sigma_hat = row.sigma_start * (1 + self._gamma(row.sigma_start, 2 * row.total - 1))
        stretch = (row.sigma_next - sigma_hat) / (row.sigma_next - row.sigma_start)
        x_hat = x + self.s_noise * xp.sqrt(sigma_hat**2 - row.sigma_start**2) * noise[0] if noise else x
        stretch = stretch * xp.where(first, row.sigma_start / sigma_hat, 1.0)
        moved = model._replace(x0=stretch * model.x0, noise=stretch * model.noise)
        return self._move(row, xp.where(first, x_hat, x), moved, memory)


ChurnedHeun = Heun
"""`Heun`, under the name that says what it does with churn."""
