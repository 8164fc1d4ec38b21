"""What a solver is: rows (one per model call) and the paper's update, written on arrays.

The update is ordinary arithmetic. Given samples it takes a step; given one-hot operands and columns it yields the
table of its own coefficients (see `multisched.table.tableau`). It knows neither the prediction type nor the backend.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from multisched import backends
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.values import Value, namespace


class Estimate(NamedTuple):
    """What a model call says of the sample.

    Attributes:
        x0: the denoised estimate, after any clipping.
        noise: the noise that goes with x0, so that x = alpha * x0 + sigma * noise.
        raw_noise: the noise that the model's output implies by itself. Differs from `noise` only under clipping.
        slope: what x0 gains per unit of x, at the same output and before any clipping.
    """

    x0: Any
    noise: Any
    raw_noise: Any
    slope: Any = 0.0


class Next(NamedTuple):
    """What an update leaves behind: the next sample and the memory registers."""

    sample: Any
    memory: tuple[Any, ...] = ()


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
        """sigma / (alpha + sigma): from 0, the clean sample, to 1, pure noise."""
        return self.sigma / (self.alpha + self.sigma)

    @property
    def lam(self) -> Any:
        """log(alpha / sigma), half the log-SNR; infinite at both ends."""
        xp = namespace(self.sigma)
        lam = xp.log(nonzero(self.alpha) / nonzero(self.sigma))
        return xp.where(self.alpha == 0, -math.inf, xp.where(self.sigma == 0, math.inf, lam))


@dataclass(frozen=True, eq=False)
class Rows(Value):
    """One row per model call; each attribute but the last is a column (rows, 1), float64 unless said otherwise.

    Attributes:
        timestep, alpha, sigma: what the model is told, and the level at which it is asked.
        scale: what the sample is multiplied with before the model sees it.
        alpha_start, sigma_start: where the step begins.
        alpha_next, sigma_next: where the step ends.
        stage: number of the call within its step, from 0; int.
        step: number of the step within the grid, from 0; int.
        grid: the grid of the run.
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
    grid: Grid

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
        return type(self)(**{name: column[index, 0] for name, column in self._columns().items()}, grid=self.grid)

    def first(self, count: int) -> "Rows":
        """The first `count` rows, of the same grid."""
        return self if count == len(self) else replace(self, **{k: one[:count] for k, one in self._columns().items()})

    def _columns(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "grid"}

    @property
    def here(self) -> Level:
        """Where the model is asked."""
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
        row = self.single(index)
        return float(row.start.share), float(row.next.share)

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
    """Rows for the given steps; the model is asked at the grid point given, or i + k for stage k of step i."""
    xp, constant = namespace(grid.sigmas), backends.of(grid.sigmas).constant
    first, at = constant(step), constant(step + stage if point is None else point)

    def column(values: Any, index: Any) -> Any:
        return xp.take(values, index, axis=0)[:, None]

    return Rows(
        timestep=column(grid.timesteps, at),
        alpha=column(grid.alphas, at),
        sigma=column(grid.sigmas, at),
        scale=column(grid.scales, at),
        alpha_start=column(grid.alphas, first),
        sigma_start=column(grid.sigmas, first),
        alpha_next=column(grid.next_alphas, first),
        sigma_next=column(grid.next_sigmas, first),
        stage=constant(stage[:, None]),
        step=constant(step[:, None]),  # sliced there, it would be traced
        grid=grid,
    )


def orders(row: Rows, most: int, falling: Any = False) -> Any:
    """Order of each step of a multistep solver: `most`, or what the steps since the start of the run allow; where
    `falling`, also no more than the steps that are left; 1 for the step to sigma = 0, where lam is infinite."""
    xp = namespace(row.sigma)
    order = xp.where(row.step + 1 < most, row.step + 1, most)
    order = xp.where(falling & (row.left < order), row.left, order)
    return xp.where(row.sigma_next == 0, 1, order)


def root(variance: Any) -> Any:
    """The square root; 0 for what is negative, where a step has no noise to add or rounding says so."""
    xp = namespace(variance)
    return xp.sqrt(xp.where(variance > 0, variance, 0.0))


def nonzero(value: Any) -> Any:
    """`value`; 1 for 0, to divide where another choice is made."""
    return namespace(value).where(value == 0, 1.0, value)


def on_host(grid: Grid) -> None:
    """Refuse a grid between whose points levels cannot be looked up.

    Raises:
        ScheduleError: it is not NumPy's.
    """
    if not isinstance(grid.sigmas, np.ndarray):
        raise ScheduleError("levels between those of the grid are looked up on the host; give a grid of NumPy.")


class Solver(ABC):
    """A solver: `rows(grid)` and `update(...)`. One model call a step unless a subclass says otherwise.

    Attributes:
        order: order of convergence to the probability-flow ODE, without any noise added; 0 if there is none.
        memory: names of the registers kept beside the sample.
        inputs: those of them, first in `memory`, that the user gives at the start of a run (`Plan.start`). With
            "mask" and "known" among the memory, a row's sample is blended: known where mask is 1.
        outputs: parts that the model's output is split into along its second axis.
        draws: noise draws per row.
    """

    @property
    def order(self) -> int:
        return 1

    @property
    def memory(self) -> tuple[str, ...]:
        return ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()

    @property
    def outputs(self) -> int:
        return 1

    @property
    def draws(self) -> int:
        return 0

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        """The model calls of a run over `grid`, in order. `schedule.point(ratio)` gives points between the grid's."""
        step = np.arange(len(grid))
        return rows_of(grid, step, np.zeros_like(step))

    def serves(self, rows: Rows) -> Any:
        """Per row, the number of the grid's step that it serves, which a part of the run has or has not: the step that
        it belongs to, unless calls of one step end at grid points of their own."""
        return rows.step

    def estimate(self, row: Rows, prediction: Prediction, x: Any, outputs: tuple[Any, ...]) -> tuple[Any, Any]:
        """(x0, noise) that the model's output implies by itself, or the first part of it. The model saw scale * x, at
        the level scaled alike."""
        seen, alpha, sigma = row.scale * x, row.scale * row.alpha, row.scale * row.sigma
        return prediction.denoised(seen, outputs[0], alpha, sigma), prediction.noise(seen, outputs[0], alpha, sigma)

    def target(self, prediction: Prediction, alpha: Any, sigma: Any, scale: Any) -> tuple[Any, Any]:
        """The weights (a, b) of the model's training target a * x0 + b * noise, the output for which `estimate` gives
        x0. The model sees scale * (alpha * x0 + sigma * noise)."""
        return prediction.weights(scale * alpha, scale * sigma)

    def noise_transform(self, row: Rows) -> Any:
        """(a `transforms.NoiseTransform`, its parameters (rows, any number)) where the noise depends on the model's
        output, else None."""
        return None

    @abstractmethod
    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        """One row's update of the sample `x` and of the memory."""
