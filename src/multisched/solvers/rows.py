"""The rows of a run: one per model call, with the levels that its step leads from and to."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from multisched import backends
from multisched.grid import Grid
from multisched.solvers.limits import nonzero
from multisched.values import Value, namespace


class Level(NamedTuple):
    """A point of the path x = alpha * x0 + sigma * noise."""

    alpha: Any
    sigma: Any

    @property
    def ratio(self) -> Any:
        """sigma / alpha, the noise level of x / alpha; infinite at pure noise."""
        return namespace(self.alpha).where(self.alpha == 0, math.inf, self.sigma / nonzero(self.alpha))

    @property
    def share(self) -> Any:
        """sigma / (alpha + sigma), from 0, the clean sample, to 1."""
        return self.sigma / (self.alpha + self.sigma)

    @property
    def lam(self) -> Any:
        """log(alpha / sigma), half the log-SNR; infinite at both ends."""
        xp = namespace(self.sigma)
        lam = xp.log(nonzero(self.alpha) / nonzero(self.sigma))
        return xp.where(self.alpha == 0, -math.inf, xp.where(self.sigma == 0, math.inf, lam))


@dataclass(frozen=True, eq=False)
class Rows(Value):
    """One row per model call; each attribute but the last two is a column (rows, 1), float64 unless said otherwise.

    Attributes:
        timestep, alpha, sigma: what is passed to the model, and the level at which it is evaluated.
        scale: what the sample is multiplied with before the model sees it.
        alpha_start, sigma_start: where the step begins.
        alpha_next, sigma_next: where the step ends.
        stage, step: numbers of the call within its step, and of the step within the grid, from 0; int.
        final: whether the call is the last of its step; bool.
        grid: the grid of the run.
        opened: steps that it begins with and that another solver takes, see `Started`.

    Example:
        >>> rows = ms.FlowMatchHeun().plan(2).rows
        >>> rows.stage.ravel().tolist(), rows.step.ravel().tolist(), rows.sigma.ravel().round(3).tolist()
        ([0, 1, 0], [0, 0, 1], [1.0, 0.001, 0.001])
    """

    timestep: Any
    alpha: Any
    sigma: Any
    scale: Any
    alpha_start: Any
    sigma_start: Any
    alpha_next: Any
    sigma_next: Any
    stage: Any
    step: Any
    final: Any
    grid: Grid
    opened: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            values = getattr(self, field.name)
            if isinstance(values, np.ndarray):
                kept = np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape)
                object.__setattr__(self, field.name, kept)  # of bytes, which nobody can write to

    def __len__(self) -> int:
        return int(self.sigma.shape[0])

    def single(self, index: int) -> "Rows":
        """One row by itself, each attribute a number."""
        return replace(self, **{name: column[index, 0] for name, column in self.columns().items()})

    def cut(self, first: int, end: int) -> "Rows":
        """The rows first..end-1, of the same grid."""
        cut = end - first < len(self)
        return replace(self, **{k: one[first:end] for k, one in self.columns().items()}) if cut else self

    def columns(self) -> dict[str, Any]:
        """The attributes that are columns, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("grid", "opened")}

    @property
    def here(self) -> Level:
        """Where the model is evaluated."""
        return Level(self.alpha, self.sigma)

    @property
    def start(self) -> Level:
        """Where the step begins."""
        return Level(self.alpha_start, self.sigma_start)

    @property
    def next(self) -> Level:
        """Where the step ends."""
        return Level(self.alpha_next, self.sigma_next)

    def interval(self, index: int) -> tuple[float, float]:
        """The shares where a row's step begins and where the row ends, on `noise.BrownianNoise`'s path."""
        return float((row := self.single(index)).start.share), float(row.next.share)

    def at(self, offset: int) -> Level:
        """The grid point `offset` steps away from where the step begins; the grid's first or last point beyond them."""
        return Level(self.of(self.grid.alphas, offset), self.of(self.grid.sigmas, offset))

    def of(self, values: Any, offset: int) -> Any:
        """One of the values (steps + 1,) of the grid's points, chosen as by `at`."""
        xp, last = namespace(self.sigma), len(self.grid)
        index = xp.asarray(self.step) + offset
        index = xp.where(index < 0, 0, xp.where(index > last, last, index))  # NumPy's clip takes thrice as long
        return xp.reshape(xp.take(values, xp.reshape(index, (-1,)), axis=0), index.shape)

    @property
    def total(self) -> float:
        """Steps of the whole schedule that the grid is a part of, as a float."""
        return float(self.grid.total)

    @property
    def left(self) -> Any:
        """Steps of the whole schedule from this one on, this one included."""
        return self.grid.total - self.grid.first - self.step


def rows_of(grid: Grid, step: np.ndarray, stage: np.ndarray, point: np.ndarray | None = None) -> Rows:
    """Rows for the given steps; the model is evaluated at the grid point given, or i + k for stage k of step i."""
    xp, constant = namespace(grid.sigmas), backends.of(grid.sigmas).constant
    first, at = constant(step), constant(step + stage if point is None else point)
    return Rows(
        timestep=xp.take(grid.timesteps, at, axis=0)[:, None],
        alpha=xp.take(grid.alphas, at, axis=0)[:, None],
        sigma=xp.take(grid.sigmas, at, axis=0)[:, None],
        scale=xp.take(grid.scales, at, axis=0)[:, None],
        alpha_start=xp.take(grid.alphas, first, axis=0)[:, None],
        sigma_start=xp.take(grid.sigmas, first, axis=0)[:, None],
        alpha_next=xp.take(grid.next_alphas, first, axis=0)[:, None],
        sigma_next=xp.take(grid.next_sigmas, first, axis=0)[:, None],
        stage=constant(stage[:, None]),
        step=constant(step[:, None]),  # sliced there, it would be traced
        final=constant(np.concatenate([step[1:] != step[:-1], np.ones(1, bool)[: step.size]])[:, None]),
        grid=grid,
    )
