"""Heun's method: two model calls a step, one on the step that ends at sigma = 0; noise after the call, or before it."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Rows, on_host, rows_of
from multisched.solvers.consistency import renoise
from multisched.solvers.euler import Churn
from multisched.values import namespace


@dataclass(frozen=True)
class Heun(Churn):
    """Heun's second-order method (Karras et al. 2022, arXiv 2206.00364, algorithms 1 and 2); order 2.

        d(x0, noise) = (alpha_next - alpha) * x0 + (sigma_next - sigma) * noise      what one Euler step adds
        call 1:  x_hat  = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z
                 x_next = x_hat + d1
        call 2:  x_next = x_hat + (d1 + d2) / 2

    On the straight path d is (sigma_next - sigma) * velocity; no division by alpha or sigma, so it holds on any path.
    The memory holds x_hat; call 1 leaves x = x_hat + d1, so call 2 is (x_hat + x) / 2 + d2 / 2.

    Under churn d2 is scaled by (sigma_next - sigma_hat) / (sigma_next - sigma), d1 by that and by sigma / sigma_hat.

    Args:
        s_churn, s_tmin, s_tmax, s_noise: see `Churn`, with 2 * steps - 1 calls.

    Raises:
        ScheduleError: a negative or NaN setting, or a grid whose steps do not join.
    """

    order: ClassVar[int] = 2
    memory: ClassVar[tuple[str, ...]] = ("anchor",)

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        if not grid.chained:
            raise ScheduleError("Heun asks the model where each step ends, so the steps of its grid must join.")
        step = np.repeat(np.arange(len(grid)), 2)
        stage = np.tile(np.arange(2), len(grid))
        if len(grid) and bool(grid.sigmas[-1] == 0):
            step, stage = step[:-1], stage[:-1]
        return rows_of(grid, step, stage)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        (anchor,) = memory
        first = row.stage == 0
        sigma_hat = self._raised(row, 2 * row.steps - 1)
        stretch = (row.sigma_next - sigma_hat) / (row.sigma_next - row.sigma_start)
        x_hat = x
        if noise:
            x_hat = x + self.s_noise * xp.sqrt(sigma_hat**2 - row.sigma_start**2) * noise[0]
        d = (row.alpha_next - row.alpha_start) * model.x0 + (row.sigma_next - row.sigma_start) * model.noise
        d = stretch * d
        x_next = xp.where(first, x_hat + d * row.sigma_start / sigma_hat, (anchor + x) / 2 + d / 2)
        return Next(x_next, (xp.where(first, x_hat, anchor),))


@dataclass(frozen=True)
class ChurnedHeun(Churn):
    """Heun's method with churn as published: the model is asked at the raised level (Karras et al. 2022, arXiv
    2206.00364, algorithm 2); order 2 without churn, where it is `Heun`.

    The noise that a step begins with is added at the end of the step before, and a run starts from the raised level.

    Args:
        s_churn, s_tmin, s_tmax, s_noise: see `Churn`, with as many calls as steps.
    """

    order: ClassVar[int] = 2
    memory: ClassVar[tuple[str, ...]] = ("anchor",)

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        if not self.s_churn:
            return Heun().rows(grid, schedule)
        on_host(grid)
        asked = Heun().rows(grid, schedule)
        step = asked.step[:, 0]
        begun = rows_of(self._raised_grid(grid, schedule), step, np.zeros_like(step))
        names = ("timestep", "alpha", "sigma", "scale")
        columns = {name: np.where(asked.stage == 0, getattr(begun, name), getattr(asked, name)) for name in names}
        return replace(begun, stage=asked.stage, **columns)

    def _raised_grid(self, grid: Grid, schedule: Any) -> Grid:
        """The grid with its points at the raised levels. The steps aim where they did."""
        gamma = min(self.s_churn / grid.total, 2**0.5 - 1)
        churned = (grid.sigmas >= self.s_tmin) & (grid.sigmas <= self.s_tmax) & (grid.sigmas * grid.alphas > 0)
        ratio = np.divide(grid.sigmas, grid.alphas, out=np.ones_like(grid.sigmas), where=churned)
        points = zip(("timesteps", "alphas", "sigmas", "scales"), schedule.point(ratio * (1 + gamma)), strict=True)
        raised = {name: np.where(churned, point, getattr(grid, name)) for name, point in points}
        return replace(grid, **raised)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        after = Heun().update(row, x, model, memory, ())
        if not noise:
            return after
        raised = renoise(row, after.sample, noise[0], self.s_noise)
        return after._replace(sample=xp.where(row.stage == 1, raised, after.sample))
