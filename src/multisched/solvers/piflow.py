"""Policies: one model call that says x0 for all of its step."""

from dataclasses import dataclass
from typing import Any

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.rows import Rows
from multisched.values import anywhere, check_options, namespace

GRID, SUBSTEPS = 100, 10_000  # parts of an output, and substeps, at most
_WEIGHTS = 5_000_000  # of substeps of a run, on their parts of the output, at most


@dataclass(frozen=True)
class PiFlow(Solver):
    """A rollout of the DX policy of Chen et al. 2025 (pi-Flow, arXiv 2510.14974): the model gives x0 at `n_grid` times
    of its step, and Euler substeps are taken on x0 interpolated linearly between them.

        s_m    share of noise at substep m = 0..M, even in the raw time r of s = shift * r / (1 + (shift - 1) * r)
        w_mj   weight of x0_j there, those of the step's end (j = 0) to its start, even in r
        x_next = s_M / s_0 * x + sum over m, j of  s_M / s_(m + 1) * (1 - s_(m + 1) / s_m) * w_mj * x0_j

    which is one step of `Euler` with a weighted mean of the x0_j.

    Order 1; one call a step.

    Args:
        n_grid: parts of the model's output.
        shift: of the schedule that the policy was made for.
        substeps: of a step as long as all of the raw time.
        eps: raw time that stands for the end of a run.

    Raises:
        ScheduleError: if a number is not positive, or a step begins at eps or rises.

    Example:
        >>> plan = ms.Piflow().plan(4)
        >>> len(plan), plan.sigmas.round(3).tolist()
        (4, [1.0, 0.926, 0.789, 0.455, 0.0])
    """

    n_grid: int = 10
    shift: float = 5.0
    substeps: int = 128
    eps: float = 1e-6

    def __post_init__(self) -> None:
        check_options(self, positive=("shift", "eps"), counts={"n_grid": GRID, "substeps": SUBSTEPS})

    @property
    def outputs(self) -> int:
        return self.n_grid

    def rows(self, grid: Grid, path: Any) -> Rows:
        rows = super().rows(grid, path)
        start, end = self._raw(rows)
        if anywhere(start <= end):
            raise ScheduleError(f"every step must begin above eps = {self.eps!r} of the raw time, and fall.")
        return rows

    def estimate(self, row: Rows, prediction: Prediction, x: Any, outputs: tuple[Any, ...]) -> tuple[Any, Any]:
        weights = self._weights(row)
        x0s = [Solver.estimate(self, row, prediction, x, (output,))[0] for output in outputs]
        x0 = sum(weights[..., j : j + 1] * one for j, one in enumerate(x0s))
        return x0, (x - row.alpha * x0) / row.sigma

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        end = self._shifted(self._raw(row)[1])
        return Next((row.alpha_next + row.sigma_next) * ((1 - end) * model.x0 + end * model.noise))

    def _shifted(self, raw: Any) -> Any:
        return self.shift * raw / (1 + (self.shift - 1) * raw)

    def _raw(self, row: Rows) -> tuple[Any, Any]:
        """Raw times at which the step begins and ends."""
        xp = namespace(row.sigma)
        start, end = (s / (self.shift + (1 - self.shift) * s) for s in (row.here.share, row.next.share))
        return start, xp.where(end > 0, end, self.eps)

    def _weights(self, row: Rows) -> Any:
        """Weights of the x0_j in their mean, along the last axis."""
        xp = namespace(row.sigma)
        start, end = self._raw(row)
        count = xp.round((start - end) * self.substeps)
        count = xp.where(count > 1, count, 1.0)
        most = int(xp.max(count)) if count.shape[0] else 1
        if most * self.n_grid * count.shape[0] > _WEIGHTS:
            raise ScheduleError(
                f"a run of {count.shape[0]} steps of up to {most} substeps on n_grid={self.n_grid} parts is too large; "
                "give fewer steps or substeps."
            )
        done = xp.asarray([float(m) for m in range(most + 1)])
        done = xp.where(done < count, done, count)
        s = self._shifted(start + (end - start) * done / count)
        part = s[..., -1:] / s[..., 1:] * (1 - s[..., 1:] / s[..., :-1])
        place = (1 - done[..., :-1] / count) * (self.n_grid - 1)
        away = xp.abs(place[..., None] - xp.asarray([float(j) for j in range(self.n_grid)]))
        near = xp.where(away < 1, 1 - away, 0.0)
        return xp.sum(part[..., None] * near, axis=-2) / xp.sum(part, axis=-1, keepdims=True)
