"""Euler's method, and the noise that steps may begin with."""

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver, on_host
from multisched.solvers.limits import root
from multisched.solvers.rows import Rows, rows_of
from multisched.values import check_options, namespace


@dataclass(frozen=True)
class Churn(Solver):
    """Noise that raises the level before a step ("churn", Karras et al. 2022, arXiv 2206.00364, algorithm 2).

        k_hat = k * (1 + gamma)        k = sigma / alpha
        gamma = min(s_churn / steps, sqrt(2) - 1)  where s_tmin <= sigma <= s_tmax, else 0; 0 at pure noise
        x_hat = a * x + s_noise * sqrt(sigma_hat^2 - (a * sigma)^2) * z,   a = alpha_hat / alpha

    The model is evaluated at x_hat, at the raised level, and the step leads to where it would without churn: the grid's
    points are raised, its aims are not. In the table of a run the noise that a step begins with is added at the end of
    the step before, and a run starts from the raised level of its first point, `plan.sigmas[0]`.

    Args:
        s_churn: amount of churn.
        s_tmin: the lowest noise level that it is used in.
        s_tmax: the highest.
        s_noise: scale of its noise.

    Raises:
        ScheduleError: if a setting is negative or NaN, or with churn the grid is not NumPy's.
    """

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        for name in ("s_churn", "s_tmin", "s_tmax", "s_noise"):
            if not getattr(self, name) >= 0:
                raise ScheduleError(f"{name} must be a number >= 0; given {getattr(self, name)!r}.")
        if self.s_noise == math.inf:
            raise ScheduleError("s_noise must be finite; given inf.")

    @property
    def weak_order(self) -> int:
        return self.order if self.s_noise == 1 else super().weak_order

    @property
    def draws(self) -> int:
        return int(self.s_churn > 0)

    def _gamma(self, sigma: Any, steps: float) -> Any:
        """The share that a level is raised by."""
        gamma = min(self.s_churn / max(steps, 1.0), math.sqrt(2) - 1)
        return namespace(sigma).where((self.s_tmin <= sigma) & (sigma <= self.s_tmax), gamma, 0.0)

    def _raised(self, grid: Grid, path: Any) -> Grid:
        """The grid with its points at the raised levels. The steps aim where they did."""
        gamma = self._gamma(grid.sigmas, grid.total)
        # No step begins where the run ends.
        churned = (gamma > 0) & (grid.sigmas * grid.alphas > 0) & (np.arange(len(grid) + 1) < len(grid))
        ratio = np.divide(grid.sigmas, grid.alphas, out=np.ones_like(grid.sigmas), where=churned)
        points = zip(("timesteps", "alphas", "sigmas", "scales"), path.point(ratio * (1 + gamma)), strict=True)
        raised = {name: np.where(churned, point, getattr(grid, name)) for name, point in points}
        return replace(grid, **raised)

    def rows(self, grid: Grid, path: Any) -> Rows:
        if self.s_churn:
            on_host(grid)
        step, stage = self._calls(grid)
        asked = rows_of(grid, step, stage)
        if not self.s_churn:
            return asked
        begun = rows_of(self._raised(grid, path), step, np.zeros_like(stage))
        names = ("timestep", "alpha", "sigma", "scale")
        columns = {name: np.where(asked.stage == 0, getattr(begun, name), getattr(asked, name)) for name in names}
        return replace(begun, stage=asked.stage, **columns)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        after = self._move(row, x, model, memory)
        if not noise:
            return after
        raised = renoise(row, after.sample, noise[0], self.s_noise)
        return after._replace(sample=namespace(row.sigma).where(self._ends(row), raised, after.sample))

    def _calls(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """(step, stage) of each model call; stage k is evaluated at the grid point k after the step's beginning."""
        step = np.arange(len(grid))
        return step, np.zeros_like(step)

    def _ends(self, row: Rows) -> Any:
        """Where a row is the last of its step."""
        return row.stage == 0

    @abstractmethod
    def _move(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...]) -> Next:
        """The update without noise."""


@dataclass(frozen=True)
class Euler(Churn):
    """Explicit Euler along the probability flow (Karras et al. 2022, arXiv 2206.00364, eq. 4).

        x_next = alpha_next * x0 + sigma_next * noise

    On the straight path (alpha = 1 - sigma) this is x + (sigma_next - sigma) * (noise - x0), one Euler step on the
    velocity; on a variance-preserving path it is DDIM with eta = 0 (Song et al. 2020, arXiv 2010.02502, eq. 13).

    Order 1; one call a step. With s_churn=4.0: order 1; weak order 1; one call a step.

    Takes the options of `Churn`.

    Raises:
        ScheduleError: if a setting is negative or NaN, or with churn the grid is not NumPy's.

    Example:
        >>> solver = ms.solvers.Euler()
        >>> recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(bottom=0.5), "flow_prediction", solver)
        >>> print(recipe.plan(2))
        Scheduler: 2 steps, 2 model calls, order 1, deterministic
         row  timestep     alpha     sigma
           0  1000.000  0.000000  1.000000  sample = +1 sample -0.5 output
           1   500.000  0.500000  0.500000  sample = +1 sample -0.5 output
         end            1.000000  0.000000
    """

    def _move(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...]) -> Next:
        return Next(row.alpha_next * model.x0 + row.sigma_next * model.noise)


def renoise(row: Rows, x: Any, z: Any, s_noise: float = 1.0) -> Any:
    """From the level s that a step aims at to the next grid point: a = alpha / alpha_s.

    a * x + s_noise * sqrt(sigma^2 - (a * sigma_s)^2) * z
    """
    point = row.at(1)
    kept = point.alpha / row.alpha_next
    return kept * x + s_noise * root(point.sigma**2 - (kept * row.sigma_next) ** 2) * z
