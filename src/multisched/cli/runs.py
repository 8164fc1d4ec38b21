"""Runs of a scheduler with the exact denoiser of a data set, or with a network."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from multisched import backends, noise
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.predictions import Prediction
from multisched.sampling import sample
from multisched.schedulers import Recipe
from multisched.table.plan import Plan
from multisched.values import option, shown

CLOSE = 0.05
"""How far x0 of an exact output may be off, relative to x0 and the noise. The boundary conditions of consistency models
move it a little."""

VISIBLE = (-2.0, 4.0)
"""log(alpha / sigma) between which one sees an image form."""

IMAGES = 10_000
"""The most images that a run draws."""

SOURCES: dict[str, Callable[[int], noise.NoiseSource]] = {
    "host": noise.HostNoise,
    "philox": noise.PhiloxNoise,
    "native": noise.NativeNoise,
    "brownian": noise.BrownianNoise,
    "torch-cuda": noise.TorchCudaNoise,
}
"""The noise sources by their names on the command line."""


class Denoising(Protocol):
    """What draws: a distribution, or a network."""

    def denoised(self, backend: Backend[Any], x: Any, alpha: Any, sigma: Any) -> Any:
        """The estimate of x0 in x = alpha * x0 + sigma * noise."""


class Drawn(NamedTuple):
    """The result of a run.

    Attributes:
        images: float32 (images, channels, h, w), unclipped.
        frames: the noise and the samples after some of the steps, the last included; each as `images`, divided by
            sqrt(alpha^2 + sigma^2), which is about the deviation of the sample.
        calls: how many model calls were made before each frame.
        seconds: of the whole loop.
        scheduler_seconds: of the loop without the model.
    """

    images: np.ndarray
    frames: tuple[np.ndarray, ...]
    calls: tuple[int, ...]
    seconds: float
    scheduler_seconds: float


@dataclass(frozen=True)
class Run:
    """A run of a scheduler with the exact denoiser of a data set, or with a network.

    Args:
        recipe: the scheduler.
        steps: number of steps.
        backend, device: where to compute, by name.
        seed: of the noise.
        count: number of images.
        frames: how many states to keep on the way at most, the noise and the end included. Their levels are about even
            in log(alpha / sigma) where images form.
        mu: dynamic shift of a flow recipe.
        noise: name of the source, one of `SOURCES`; each but "native" is the same on every backend.
        spacing: name of another spacing, one of `spacings.NAMES`; None for the recipe's own.

    Raises:
        ScheduleError: if there is no such plan, no such source, or the count is out of range.
    """

    recipe: Recipe
    steps: int = 28
    backend: str = "numpy"
    device: Any = None
    seed: int = 0
    count: int = 16
    frames: int = 0
    mu: float | None = None
    noise: str = "host"
    spacing: str | None = None

    def __post_init__(self) -> None:
        option("--noise", self.noise, tuple(SOURCES))
        if not 1 <= self.count <= IMAGES:
            allowed = "at least 1" if self.count < 1 else f"in 1..{IMAGES}"
            raise ScheduleError(f"--count must be {allowed}; given {shown(self.count)}.")

    @cached_property
    def plan(self) -> Plan:
        """The plan of the run."""
        return self.recipe.plan(self.steps, mu=self.mu, spacing=self.spacing)

    def draw_by(self, data: Denoising, shape: tuple[int, ...], progress: bool = False) -> Drawn:
        """Draw images (channels, h, w) = shape by estimates of x0, with arrays on the run's backend and device.

        Raises:
            ScheduleError: if a backend, device, seed or package is not available, or the scheduler needs more than a
                denoiser to lead from noise to images.
        """
        prediction = self.recipe.parts().prediction
        check_drawable(self.plan, prediction)
        backend = backends.get(self.backend)
        source = SOURCES[self.noise](self.seed)
        start = noise.normal((self.count, *shape), source, backend, self.device)
        # By rows, not by timesteps, which some recipes round.
        levels = _seen(self.plan)
        in_model = 0.0

        def timed(x: Any, t: Any) -> Any:
            nonlocal in_model
            backend.synchronize(x)
            began = time.perf_counter()
            alpha, sigma = next(levels)
            x0 = data.denoised(backend, x, alpha, sigma)
            output = prediction.target(x0, (x - alpha * x0) / sigma, alpha, sigma)
            backend.synchronize(output)
            in_model += time.perf_counter() - began
            return output

        def framed(sample: Any, level: Any, row: int) -> Any:
            return sample / float(np.hypot(level.alpha[row, 0], level.sigma[row, 0]))

        kept = [framed(self.plan.start(start).sample, self.plan.rows.start, 0)] if self.frames else []

        def record(row: int, state: Any, _: Any) -> None:
            if row in self._rows_shown:
                kept.append(framed(state.sample, self.plan.rows.next, row))

        began = time.perf_counter()
        drawn = sample(timed, self.plan, start, source, callback=record if self.frames else None, progress=progress)
        backend.synchronize(drawn)
        seconds = time.perf_counter() - began
        frames = tuple(backend.to_numpy(frame) for frame in kept)
        calls = (0, *(row + 1 for row in sorted(self._rows_shown))) if self.frames else ()
        return Drawn(backend.to_numpy(drawn), frames, calls, seconds, seconds - in_model)

    def label(self, calls: int) -> str:
        """What stands beside a state of the run: the timestep that the model is given next, and the level."""
        rows = self.plan.rows
        sigma = float((rows.next.sigma[calls - 1] if calls else rows.start.sigma[0]).item())
        time = f"t = {self.plan.timesteps[calls]:.4g}" if calls < len(self.plan) else "end"
        return f"{time}\nsigma {sigma:.3g}"

    @cached_property
    def _rows_shown(self) -> set[int]:
        """The rows after which a state is kept. A two-call solver ends its steps with every other row only."""
        stages = (*self.plan.stages[1:], 0)
        ends = [row for row, stage in enumerate(stages) if stage == 0]
        after = self.plan.rows.next
        with np.errstate(divide="ignore"):
            lam = np.log(after.alpha[ends, 0]) - np.log(after.sigma[ends, 0])
        places = _even(np.clip(lam, *VISIBLE), min(len(ends), self.frames - 1))
        return {ends[place] for place in places}


def _even(values: np.ndarray, count: int) -> list[int]:
    """As many different places, rising, the last included, about even in the values there."""
    found: list[int] = []
    for k, wanted in enumerate(np.linspace(values[0], values[-1], count).tolist()):
        low, high = found[-1] + 1 if found else 0, len(values) - (count - k)
        found.append(low + int(np.argmin(np.abs(values[low : high + 1] - wanted))) if k < count - 1 else high)
    return found


def check_drawable(plan: Plan, prediction: Prediction) -> None:
    """Refuse a plan that does not lead from noise to images with an exact denoiser.

    Raises:
        ScheduleError: if it needs other arrays or another kind of model, or leads elsewhere.
    """
    if plan.inputs:
        raise ScheduleError(f"{plan.name} needs the arrays {', '.join(plan.inputs)} too, which `sample` does not have.")
    if not plan.sigmas[-1] < plan.sigmas[0]:
        raise ScheduleError(f"{plan.name} leads from images to noise; `sample` draws images from noise.")
    for (p, *q), alpha, sigma, level in zip(plan.tableau.x0_weights, *plan.rows.here, _seen(plan), strict=True):
        a, b = prediction.weights(*level)
        if len(q) > 1 or not max(abs(p * alpha + q[0] * a - 1), abs(p * sigma + q[0] * b)) < CLOSE:
            raise ScheduleError(
                f"{plan.name} asks its model for more than {prediction.name}, which is all a denoiser gives."
            )


def _seen(plan: Plan) -> Iterator[tuple[float, float]]:
    """(alpha, sigma) of what the model sees, row by row."""
    for scale, alpha, sigma in zip(plan.rows.scale, *plan.rows.here, strict=True):
        yield float((scale * alpha)[0]), float((scale * sigma)[0])
