"""Impulse responses: a scheduler fed one-hot vectors answers with its own coefficients.

At every model call the sample, the output and the noise are different basis vectors, so the sample that comes back *is*
the row of the table, whoever computed it. Each step begins with a fresh sample, which keeps an error in the row it
belongs to; only the second call of a two-call step goes on from the sample that the first one left. Even and odd steps
use two separate sets of vectors, so that a register which outlives its step shows as a coefficient of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch

import multisched as ms

TOLERANCE = 1e-5
TIMESTEP_TOLERANCE = 1e-6
CALLS = 2  # model calls a step, at most
SET = 1 + 2 * CALLS  # a sample, and an output and a noise draw for each call
BASIS = np.eye(2 * SET)[:, None, :]  # each vector (1, 2 * SET): one sample, as every scheduler takes it


def vectors(step: int, stage: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sample, output and noise of one model call."""
    first = (step % 2) * SET
    return BASIS[first], BASIS[first + 1 + stage], BASIS[first + 1 + CALLS + stage]


def our_rows(plan: ms.Plan) -> np.ndarray:
    """(rows, basis): the sample after each model call of the plan."""
    state = plan.start(BASIS[0])
    rows, step = [], -1
    for stage in plan.stages:
        step += stage == 0
        sample, output, noise = vectors(step, stage)
        if stage == 0:
            state = state._replace(sample=sample)
        state = plan.step(state, output, noise if plan.noise_draws else None)
        rows.append(state.sample[0])
    return np.stack(rows)


def their_rows(scheduler: Any, step_once: Callable[..., torch.Tensor]) -> np.ndarray:
    """(rows, basis): the same of a diffusers scheduler; `step_once(output, timestep, sample, noise)` takes one step.

    Vectors go in as float64: where diffusers keeps that, the only rounding left is of its own coefficients.
    """
    rows, step, chained = [], -1, None
    for timestep in scheduler.timesteps:
        stage = int(not getattr(scheduler, "state_in_first_order", True))
        step += stage == 0
        sample, output, noise = map(torch.from_numpy, vectors(step, stage))
        chained = step_once(output, timestep, sample if stage == 0 else chained, noise)
        rows.append(chained[0].double().numpy())
    return np.stack(rows)


@contextmanager
def drawn(module: Any) -> Iterator[Callable[[torch.Tensor], None]]:
    """Give the schedulers of a diffusers module their noise: what the yielded function was last called with."""
    given: list[torch.Tensor] = []

    def randn_tensor(shape: Any, *, dtype: Any = None, **_: Any) -> torch.Tensor:
        assert given[-1].shape == torch.Size(shape)
        return given[-1].to(dtype)

    with mock.patch.object(module, "randn_tensor", randn_tensor):
        yield given.append


def excess(ours: Any, theirs: Any) -> float:
    """max|ours - theirs| over the last axis, relative to the largest of theirs there; the worst of all rows."""
    ours, theirs = np.atleast_1d(ours), np.atleast_1d(theirs)
    if ours.shape != theirs.shape:
        return np.inf
    size = np.max(np.abs(theirs), axis=-1)
    error = np.max(np.abs(ours - theirs), axis=-1)
    return float(np.max(np.where(size > 0, error / np.where(size > 0, size, 1), error)))


class Tally:
    """Counts what was compared, what was set apart and why, and keeps what disagreed."""

    def __init__(self) -> None:
        self.compared = 0
        self.apart: dict[str, int] = {}
        self.worst: dict[str, float] = {}
        self.failures: list[str] = []

    def compare(self, config: Any, tolerance: float = TOLERANCE, **pairs: tuple[Any, Any]) -> None:
        """One configuration: each named pair (ours, theirs) agrees."""
        self.compared += 1
        for name, (ours, theirs) in pairs.items():
            error = excess(ours, theirs)
            self.worst[name] = max(self.worst.get(name, 0.0), error)
            limit = TIMESTEP_TOLERANCE if name == "timesteps" else tolerance
            if not error <= limit:
                self.failures.append(f"{name} off by {error:.3g}: {config}")

    def set_apart(self, reason: str, config: Any, make_plan: Callable[[], ms.Plan]) -> None:
        """A configuration that diffusers has no answer to: ours is a finite plan or a ScheduleError."""
        self.apart[reason] = self.apart.get(reason, 0) + 1
        try:
            rows = our_rows(make_plan())
        except ms.ScheduleError:
            return
        if not np.all(np.isfinite(rows)):
            self.failures.append(f"not finite: {config}")

    def verify(self, least: int, reasons: tuple[str, ...] = ()) -> None:
        """Nothing disagreed, enough was compared, and every reason to set apart was met."""
        print(f"{self.compared} compared, worst {self.worst}, apart {self.apart}")
        shown = "\n".join(self.failures[:5])
        assert not self.failures, f"{len(self.failures)} disagreements in {self.compared} configurations:\n{shown}"
        assert self.compared >= least
        assert sorted(self.apart) == sorted(reasons)
