"""Heun's method: two model calls a step, one on the step that ends at sigma = 0."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Rows, Solver, rows_of
from multisched.values import check_options


@dataclass(frozen=True)
class Heun(Solver):
    """Heun's second-order method (Karras et al. 2022, arXiv 2206.00364, algorithms 1 and 2); order 2.

        d(x0, noise) = (alpha_next - alpha) * x0 + (sigma_next - sigma) * noise      what one Euler step adds
        call 1:  x_hat  = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z
                 x_next = x_hat + d1
        call 2:  x_next = x_hat + (d1 + d2) / 2

    On the straight path d is (sigma_next - sigma) * velocity. The memory holds x_hat; x_hat + d1 is the sample that
    the first call leaves, so call 2 is (x_hat + x) / 2 + d2 / 2. The trapezoidal rule needs no division by alpha or
    sigma, so it holds on any path.

    The noise ("churn") goes in after the model's call at sigma, as ACE-Step and diffusers have it:

        sigma_hat = sigma * (1 + gamma)
        gamma     = min(s_churn / (2 * steps - 1), sqrt(2) - 1)  where s_tmin <= sigma <= s_tmax, else 0

    d1 is then scaled by (sigma_next - sigma_hat) / (sigma_next - sigma) * sigma / sigma_hat, d2 by the first factor.

    Args:
        s_churn, s_tmin, s_tmax, s_noise: amount of churn, the noise levels it is used in, and the scale of its noise.

    Raises:
        ScheduleError: a negative or NaN setting, or a grid whose steps do not join.
    """

    order: ClassVar[int] = 2
    memory: ClassVar[tuple[str, ...]] = ("anchor",)

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        for name in ("s_churn", "s_tmin", "s_tmax", "s_noise"):
            if not getattr(self, name) >= 0:
                raise ScheduleError(f"{name} must be a number >= 0; given {getattr(self, name)!r}.")

    @property
    def draws(self) -> int:
        return int(self.s_churn > 0)

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        if not grid.chained:
            raise ScheduleError("Heun asks the model where each step ends, so the steps of its grid must join.")
        step = np.repeat(np.arange(len(grid)), 2)
        stage = np.tile(np.arange(2), len(grid))
        if len(grid) and bool(grid.sigmas[-1] == 0):
            step, stage = step[:-1], stage[:-1]
        return rows_of(grid, step, stage)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = array_namespace(row.sigma)
        (anchor,) = memory
        first = row.stage == 0

        sigma_hat = row.sigma_start * (1 + self._gamma(row))
        stretch = (row.sigma_next - sigma_hat) / (row.sigma_next - row.sigma_start)

        x_hat = x
        if noise:
            x_hat = x + self.s_noise * xp.sqrt(sigma_hat**2 - row.sigma_start**2) * noise[0]
        d = (row.alpha_next - row.alpha_start) * model.x0 + (row.sigma_next - row.sigma_start) * model.noise
        d = stretch * d
        return Next(
            sample=xp.where(first, x_hat + d * row.sigma_start / sigma_hat, (anchor + x) / 2 + d / 2),
            memory=(xp.where(first, x_hat, anchor),),
        )

    def _gamma(self, row: Rows) -> Any:
        xp = array_namespace(row.sigma)
        gamma = self.s_churn / (2 * row.steps - 1)
        gamma = xp.where(gamma < math.sqrt(2) - 1, gamma, math.sqrt(2) - 1)
        return xp.where((self.s_tmin <= row.sigma_start) & (row.sigma_start <= self.s_tmax), gamma, 0.0)
