"""Where a model call stands, for guidance that depends on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.predictions import Prediction
from multisched.values import Value, shown

On = Literal["output", "x0", "noise", "velocity"]
"""The quantity that a formula is applied to: the model's output as it is, the estimate of x0 or of the noise, or the
velocity noise - x0."""

_WEIGHTS: dict[str, tuple[float, float]] = {"x0": (1.0, 0.0), "noise": (0.0, 1.0), "velocity": (-1.0, 1.0)}


@dataclass(frozen=True)
class Level:
    """A point of a run.

    Attributes:
        alpha, sigma: of x = alpha * x0 + sigma * noise: floats, or arrays that broadcast against the samples.
        step: number of the solver's step in the whole schedule, from 0: an int, or such an array.
        steps: of the whole schedule.
        prediction: what the model's output means; needed by guidance of a quantity other than the output.
        scale: what the sample is multiplied with before the model sees it.

    Example:
        >>> from multisched.predictions import Prediction
        >>> ms.guidance.Level(0.25, 0.75, prediction=Prediction("flow_prediction")).weights("x0")
        (1.0, -0.75)
    """

    alpha: Any
    sigma: Any
    step: Any = 0
    steps: int = 1
    prediction: Prediction | None = None
    scale: Any = 1.0

    @property
    def hosted(self) -> bool:
        """Whether its numbers are those of the host."""
        return all(isinstance(one, (int, float, np.generic)) for one in (self.alpha, self.sigma, self.step))

    @property
    def progress(self) -> Any:
        """The share of the schedule's steps that lie before this one, from 0."""
        return self.step / self.steps

    def weights(self, on: On) -> tuple[Any, Any]:
        """(u, v) of quantity = u * sample + v * output, from the two equations of `predictions.Prediction`.

        Raises:
            ScheduleError: if the prediction is not known, or the output does not determine the quantity here, or the
                other way round.
        """
        if on == "output":
            return 0.0, 1.0
        if self.prediction is None:
            raise ScheduleError(f"on={on!r} needs a level with a prediction; give one, or on='output'.")
        (a, b), (c, d) = self.prediction.weights(self.scale * self.alpha, self.scale * self.sigma), _WEIGHTS[on]
        of_sample, of_output = c * b - d * a, d * self.alpha - c * self.sigma
        whole = self.alpha * b - self.sigma * a
        if self.hosted and (whole == 0 or of_output == 0):
            raise ScheduleError(
                f"on={on!r} says nothing of the model's output at alpha = {self.alpha:.4g}, sigma = {self.sigma:.4g}: "
                "give another quantity, or keep the guidance out of this level with interval(...)."
            )
        return of_sample / whole, of_output / whole


@dataclass(frozen=True, eq=False)
class Levels(Value):
    """The levels of a run, one for each model call: a sequence, which `levels(plan)` makes.

    Attributes:
        alphas, sigmas: (rows,) where the model is called; float64.
        numbers: (rows,) of the steps in the whole schedule.
        steps: of the whole schedule.
        prediction: of the plan.
        scales: (rows,) of the model's input; None where it is the sample itself.

    Example:
        >>> levels = ms.guidance.levels(ms.FlowMatchEuler().plan(4))
        >>> levels.sigmas.round(3).tolist(), levels.steps
        ([1.0, 0.667, 0.334, 0.001], 4)
    """

    alphas: Any
    sigmas: Any
    numbers: Any
    steps: int
    prediction: Prediction | None = None
    scales: Any = None

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int) -> Level:
        alpha, sigma = float(self.alphas[row]), float(self.sigmas[row])
        scale = 1.0 if self.scales is None else float(self.scales[row])
        return Level(alpha, sigma, int(self.numbers[row]), self.steps, self.prediction, scale)

    def __iter__(self) -> Iterator[Level]:
        return (self[row] for row in range(len(self)))

    def at(self, state: Any) -> Level:
        """The level of a state's row. With an array for index, one row per sample for example, its numbers are looked
        up on the device, and nothing is read.

        Args:
            state: of the plan; where it has ended, the last row's level is taken.
        """
        index, backend = state.index, backends.of(state.sample)
        if isinstance(index, (int, np.integer)) or (isinstance(index, np.ndarray) and index.ndim == 0):
            return self[min(int(index), len(self) - 1)]
        device, dtype = backend.device(state.sample), backend.compute_dtype(state.sample.dtype)
        if backend.compiling():
            self._prepare(backend.name, device, dtype)
        table = backend.beside(self._put(backend, device, dtype), state.sample)
        xp = backend.xp
        flat = backend.clip(xp.reshape(backend.astype(index, backend.dtype("int32")), (-1,)), 0, table.shape[0] - 1)
        found = xp.reshape(
            xp.take(table, flat, axis=0), (*index.shape, *(1,) * (state.sample.ndim - index.ndim), table.shape[1])
        )
        alpha, sigma, step, scale = (found[..., k] for k in range(4))
        return Level(alpha, sigma, step, self.steps, self.prediction, scale)

    @cached_property
    def _on_device(self) -> dict[tuple[str, str, str], Any]:
        return {}

    def _put(self, backend: Backend[Any], device: Any, dtype: Any) -> Any:
        key = (backend.name, str(device), str(dtype))
        if key not in self._on_device:
            scales = np.ones_like(self.sigmas) if self.scales is None else self.scales
            columns = np.stack([self.alphas, self.sigmas, self.numbers, scales], axis=1)
            self._on_device[key] = backend.constant(columns, dtype, device)
        return self._on_device[key]

    def _prepare(self, backend: str, device: Any, dtype: Any) -> None:
        self._put(backends.get(backend), device, dtype)

    # torch.compile runs a function with this attribute and does not read it, as in `table.stepper`.
    _prepare._dynamo_marked_constant = True  # type: ignore[attr-defined]


def levels(plan: Any) -> Levels:
    """The levels at which a plan calls the model, on the host.

    Args:
        plan: from a recipe.

    Raises:
        ScheduleError: if the plan's levels are traced, so that they have no values yet.

    Example:
        >>> [round(one.sigma, 3) for one in ms.guidance.levels(ms.FlowMatchEuler().plan(4))]
        [1.0, 0.667, 0.334, 0.001]
    """
    if not hasattr(plan, "rows"):
        raise ScheduleError(f"levels are those of a plan, which recipe.plan(n) makes; given {shown(plan)}.")
    columns = (plan.rows.alpha, plan.rows.sigma, plan.rows.step, plan.rows.scale)
    if any(backends.of(one).unreadable(one) for one in columns):
        raise ScheduleError(
            "guidance decides on the host, and the levels of this plan are traced: make the plan outside."
        )
    alphas, sigmas, numbers, scales = (np.asarray(backends.of(one).to_numpy(one))[:, 0] for one in columns)
    return Levels(alphas, sigmas, plan.grid.first + numbers, plan.grid.total, plan.prediction, scales)
