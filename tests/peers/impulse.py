"""Impulse responses: a scheduler fed one-hot vectors answers with its own coefficients.

At every model call the sample, the output and the noise are different basis vectors, so the sample that comes back *is*
the row of the table, whoever computed it. Each step begins with a fresh sample, which keeps an error in the row it
belongs to; later calls of a step of several go on from the sample that the call before left. The sets of vectors take
turns, so that a register which outlives its step shows as a coefficient of its own.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import multisched as ms

TOLERANCE = 1e-5  # of coefficients; diffusers keeps its tables in float32
GRID_TOLERANCE = 1e-6  # of timesteps and noise levels, likewise
DOUBLE_TOLERANCE = 1e-9  # of coefficients, where diffusers computes in float64 from the very same levels

CALLS = 4  # model calls a step, at most
DRAWS = 3  # noise draws a call, at most
TURNS = 8  # steps after which the vectors come round again: longer than any solver looks back
SET = 1 + CALLS * (1 + DRAWS)  # a sample, and for each call an output and its noise draws
BASIS = np.eye(TURNS * SET)[:, None, :]  # each vector has the shape (1, TURNS * SET): one sample, as all take it


def vectors(step: int, stage: int) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """The sample, output and noise draws of one model call."""
    first = (step % TURNS) * SET
    call = first + 1 + stage * (1 + DRAWS)
    return BASIS[first], BASIS[call], tuple(BASIS[call + 1 : call + 1 + DRAWS])


def our_rows(plan: ms.Plan) -> np.ndarray:
    """(rows, basis): the sample after each model call of the plan."""
    state = plan.start(BASIS[0])
    rows, step = [], -1
    for stage in plan.stages:
        step += stage == 0
        sample, output, noise = vectors(step, stage)
        if stage == 0:
            state = state._replace(sample=sample)
        state = plan.step(state, output, noise[: plan.noise_draws] if plan.noise_draws else None)
        rows.append(state.sample[0])
    return np.stack(rows)


def their_rows(
    scheduler: Any, step_once: Callable[..., torch.Tensor], stages: Sequence[int] | None = None
) -> np.ndarray:
    """(rows, basis): the same of a diffusers scheduler; `step_once(output, timestep, sample, noise)` takes one call.

    The vectors are float64, so that where diffusers widens to its operands the rounding left is of its coefficients.

    Args:
        stages: number of each call within its step, as our plan counts them; by default what the scheduler says.
    """
    rows, step, sample = [], -1, None
    for call, timestep in enumerate(scheduler.timesteps):
        stage = int(not getattr(scheduler, "state_in_first_order", True)) if stages is None else stages[call]
        step += stage == 0
        fresh, output, noises = vectors(step, stage)
        given = sample if stage else torch.from_numpy(fresh)
        sample = step_once(torch.from_numpy(output), timestep, given, torch.from_numpy(noises[0]))
        rows.append(sample[0].double().numpy())
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


def relative_error(ours: Any, theirs: Any) -> float:
    """The worst of max|ours - theirs| / max|theirs| along the last axis; infinite where either is not finite."""
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if ours.shape != theirs.shape or not (np.all(np.isfinite(ours)) and np.all(np.isfinite(theirs))):
        return np.inf
    size = np.max(np.abs(theirs), axis=-1)
    error = np.max(np.abs(ours - theirs), axis=-1)
    return float(np.max(error / np.where(size > 0, size, 1.0)))


def elementwise(ours: Any, theirs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors as rows of one element, each to be right for its own size."""
    return np.asarray(ours)[..., None], np.asarray(theirs)[..., None]


class Tally:
    """Counts what was compared and what was set apart, and keeps what disagreed until the end of the draw.

    Args:
        name: class of diffusers that the figures are reported for, if any.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.compared = 0
        self.told = 0  # runs whose timesteps are equal, each one
        self.late = 0.0  # the largest difference of a timestep
        self.own = 0.0  # error of diffusers' own float32 coefficients, where it was measured
        self.apart: dict[str, int] = {}
        self.worst: dict[str, float] = {}
        self.disagreements: list[str] = []

    def compare(self, config: Any, pairs: dict[str, tuple[Any, Any, float]], rounded: str = "") -> None:
        """One configuration: each named (ours, theirs, tolerance) agrees.

        Args:
            config: what tells it from others.
            pairs: what is compared, by name.
            rounded: why timesteps need not be equal bit for bit; "" where those of a named class must.
        """
        self.compared += 1
        for name, (ours, theirs, tolerance) in pairs.items():
            error = relative_error(ours, theirs)
            if name == "timesteps":
                late = np.max(np.abs(np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)))
                self.told, self.late = self.told + (late == 0), max(self.late, float(late))
                if late and self.name and not rounded:
                    self.disagree(f"a timestep off by {late:.3g}", config)
            self.worst[name] = max(self.worst.get(name, 0.0), error)
            if not error <= tolerance:
                self.disagree(f"{name} off by {error:.3g}", config)

    def disagree(self, what: str, config: Any) -> None:
        """The two libraries differ."""
        self.disagreements.append(f"{what}: {config}")

    def set_apart(self, reason: str, config: Any, make_plan: Callable[[], ms.Plan]) -> None:
        """A configuration that diffusers has no answer to: ours is a finite plan, or refused in a sentence."""
        self.apart[reason] = self.apart.get(reason, 0) + 1
        try:
            rows = our_rows(make_plan())
        except ms.ScheduleError:
            return
        if not np.all(np.isfinite(rows)):
            self.disagree("not finite", config)

    def refused(self, config: Any, error: ms.ScheduleError) -> None:
        """Ours refuses what diffusers can do."""
        reason = " ".join(str(error).split())
        self.disagree(f"refused ({reason[:120]})", config)

    def verify(self, least: int, *reasons: str) -> None:
        """Nothing disagreed, enough was compared, and each reason to set apart was met, and no other."""
        logging.getLogger(__name__).info("%d compared, worst %s, apart %s", self.compared, self.worst, self.apart)
        self._report()
        shown = "\n".join(self.disagreements[:5])
        assert not self.disagreements, f"{len(self.disagreements)} of {self.compared} disagree, such as\n{shown}"
        assert self.compared >= least
        assert set(self.apart) == set(reasons), self.apart

    def _report(self) -> None:
        """Leave the figures where the documentation is made from, if the environment names a folder."""
        folder = os.environ.get("PARITY_REPORT")
        if folder and self.name:
            figures = {
                "configurations": self.compared,
                "worst": self.worst,
                "own": self.own,
                "apart": self.apart,
                "told": int(self.told),
                "late": self.late,
            }
            Path(folder, f"{self.name}.json").write_text(json.dumps(figures))
