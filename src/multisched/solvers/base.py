"""What a solver is: rows (one per model call) and the paper's update, written on arrays.

The update is ordinary arithmetic. Given samples it takes a step; given one-hot operands and columns it yields the
table of its own coefficients (see `multisched.tableau`). It knows neither the prediction type nor the backend.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from multisched.grid import Grid


class Estimate(NamedTuple):
    """What a model call says of the sample.

    Attributes:
        x0: the denoised estimate, after any clipping.
        noise: the noise that goes with x0, so that x = alpha * x0 + sigma * noise.
        raw_noise: the noise that the model's output implies by itself. Differs from `noise` only under clipping.
    """

    x0: Any
    noise: Any
    raw_noise: Any


class Next(NamedTuple):
    """What an update leaves behind: the next sample and the memory registers."""

    sample: Any
    memory: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Rows:
    """One row per model call; each attribute is a float64 column (rows, 1).

    Attributes:
        timestep, alpha, sigma: the point at which the model is asked.
        alpha_start, sigma_start: where the step begins.
        alpha_next, sigma_next: where the step ends.
        stage: number of the call within its step, from 0.
        steps: steps of the whole schedule, the same in every row.
    """

    timestep: Any
    alpha: Any
    sigma: Any
    alpha_start: Any
    sigma_start: Any
    alpha_next: Any
    sigma_next: Any
    stage: Any
    steps: Any

    def __len__(self) -> int:
        return int(self.sigma.shape[0])

    def row(self, index: int) -> "Rows":
        """One row, each attribute a number."""
        return Rows(**{field.name: getattr(self, field.name)[index, 0] for field in fields(self)})


def rows_of(grid: Grid, step: np.ndarray, stage: np.ndarray) -> Rows:
    """Rows for the given steps; stage k of step i asks the model at grid point i + k."""
    xp = array_namespace(grid.sigmas)

    def column(values: Any, index: np.ndarray) -> Any:
        return xp.take(values, xp.asarray(index), axis=0)[:, None]

    at = step + stage
    return Rows(
        timestep=column(grid.timesteps, at),
        alpha=column(grid.alphas, at),
        sigma=column(grid.sigmas, at),
        alpha_start=column(grid.alphas, step),
        sigma_start=column(grid.sigmas, step),
        alpha_next=column(grid.next_alphas, step),
        sigma_next=column(grid.next_sigmas, step),
        stage=xp.asarray(stage[:, None]),
        steps=xp.asarray(np.full((step.size, 1), float(grid.total))),
    )


class Solver(ABC):
    """A solver: `rows(grid)` and `update(...)`. One model call a step unless a subclass says otherwise.

    Attributes:
        order: order of convergence to the probability-flow ODE, without any noise added; 0 if there is none.
        memory: names of the registers kept beside the sample.
        draws: noise draws per row.
    """

    order: ClassVar[int] = 1
    memory: ClassVar[tuple[str, ...]] = ()

    @property
    def draws(self) -> int:
        return 0

    def rows(self, grid: Grid) -> Rows:
        """The model calls of a run over `grid`, in order."""
        step = np.arange(len(grid))
        return rows_of(grid, step, np.zeros_like(step))

    @abstractmethod
    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        """One row's update of the sample `x` and of the memory."""
