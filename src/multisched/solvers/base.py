"""What a solver is: rows (one per model call) and the paper's update, written on arrays.

The update is ordinary arithmetic. Given samples it takes a step; given one-hot operands and columns it yields the
table of its own coefficients (see `multisched.table.tableau`). It knows neither the prediction type nor the backend.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.solvers.rows import Rows, rows_of

PARTS = 16  # of a model's output, at most


class Estimate(NamedTuple):
    """What a model call says of the sample.

    Attributes:
        x0: the denoised estimate, after any clipping.
        noise: the noise that goes with x0, so that x = alpha * x0 + sigma * noise.
        raw_noise: the noise that the model's output implies by itself. Differs from `noise` only under clipping.
        slope: what x0 gains per unit of x, at the same output and before any clipping.

    Example:
        >>> estimate = ms.solvers.Estimate(x0=1.0, noise=0.5, raw_noise=0.5)
        >>> 0.8 * estimate.x0 + 0.6 * estimate.noise
        1.1
    """

    x0: Any
    noise: Any
    raw_noise: Any
    slope: Any = 0.0


class Next(NamedTuple):
    """What an update leaves behind: the next sample and the memory registers.

    Attributes:
        sample: the next sample.
        memory: the registers that the next step finds.

    Example:
        >>> ms.solvers.Next(sample=1.0, memory=(0.5,))
        Next(sample=1.0, memory=(0.5,))
    """

    sample: Any
    memory: tuple[Any, ...] = ()


def on_host(grid: Grid) -> None:
    """Refuse a grid between whose points levels cannot be looked up.

    Raises:
        ScheduleError: if it is not NumPy's.
    """
    if not isinstance(grid.sigmas, np.ndarray):
        raise ScheduleError("levels between those of the grid are looked up on the host; give a grid of NumPy.")


class Solver(ABC):
    """A solver: `rows(grid)` and `update(...)`. One model call a step unless a subclass says otherwise.

    Attributes:
        order: order of convergence to the probability-flow ODE, without any noise added; 0 if there is none.
        weak_order: order at which the law of the samples converges to that of the model's flow; of a solver that draws
            no noise its `order`. 0 if it does not converge, as with an s_noise other than 1, or nothing is known of it.
        memory: names of the registers kept beside the sample.
        inputs: those of them, first in `memory`, that the user gives at the start of a run (`Plan.start`). With
            "mask" and "known" among the memory, a row's sample is blended: known where mask is 1.
        outputs: parts that the model's output is split into along its second axis.
        draws: noise draws per row.

    Example:
        >>> isinstance(ms.solvers.Euler(), ms.solvers.Solver), ms.solvers.Euler().order
        (True, 1)
    """

    @property
    def order(self) -> int:
        return 1

    @property
    def weak_order(self) -> int:
        return 0 if self.draws else self.order

    def order_after(self, steps: int) -> int:
        """The order where the first `steps` steps of a run are those of a better method, see `Started`."""
        return self.order

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

    def rows(self, grid: Grid, path: Any) -> Rows:
        """The model calls of a run over `grid`, in order. `path.point(ratio)` gives points between the grid's."""
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
