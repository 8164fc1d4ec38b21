"""Solvers of score-based models: predictor and corrector, Euler and Maruyama's, Heun's with noise before the call."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.solvers.base import Estimate, Next, Rows, Solver, rows_of
from multisched.solvers.consistency import renoise
from multisched.solvers.ddpm import DDPM
from multisched.solvers.euler import Churn
from multisched.solvers.heun import Heun
from multisched.transforms import Langevin
from multisched.values import check_options, namespace, option, shown


@dataclass(frozen=True)
class PredictorCorrector(Solver):
    """Langevin steps at each level, then one down (Song et al. 2020, arXiv 2011.13456, algorithms 2 and 4).

        correct:  x      = x + 2 c^2 * score + 2 c * z,   c = snr * |z| / |score|     (`transforms.Langevin`)
        predict:  x_next = x + (sigma^2 - sigma_next^2) * score + sqrt(sigma^2 - sigma_next^2) * z

    The norms are those of each sample, or with norms = "batch" their means over the batch, as the paper's code has them
    (samples then depend on their batch mates). score = -noise / sigma. The second line, "reverse diffusion", is `DDPM`
    with the variance "fixed_large"; the last step adds no noise. There are correct_steps corrections in a step, and the
    model is to predict the score for them.
    """

    order: ClassVar[int] = 0
    draws: ClassVar[int] = 1

    snr: float = 0.15
    correct_steps: int = 1
    norms: str = "sample"

    def __post_init__(self) -> None:
        check_options(self)
        option("norms", self.norms, ("sample", "batch"))
        if not (self.snr >= 0 and self.correct_steps >= 0):
            raise ScheduleError(f"snr, correct_steps must be at least 0; given {self.snr!r}, {self.correct_steps!r}.")

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        calls = self.correct_steps + 1
        step = np.repeat(np.arange(len(grid)), calls)
        return rows_of(grid, step, np.tile(np.arange(calls), len(grid)), point=step)

    def noise_transform(self, row: Rows) -> tuple[Langevin, Any] | None:
        corrects = row.stage < self.correct_steps
        return (
            (Langevin(self.norms), namespace(row.sigma).where(corrects, self.snr, 0.0)) if self.correct_steps else None
        )

    def estimate(self, row: Rows, prediction: Prediction, x: Any, outputs: tuple[Any, ...]) -> tuple[Any, Any]:
        if self.correct_steps and prediction.name != "score":
            raise ScheduleError(f"Langevin steps are measured by the score; given prediction_type {prediction.name!r}.")
        return super().estimate(row, prediction, x, outputs)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        corrected = x - 2 * model.raw_noise / row.sigma + 2 * noise[0]
        predicted = DDPM("fixed_large").update(row, x, model, memory, noise).sample
        return Next(xp.where(row.stage < self.correct_steps, corrected, predicted))


@dataclass(frozen=True)
class EulerMaruyama(Solver):
    """Euler and Maruyama's method for the reverse process of `schedules.LinearVP` (Song et al. 2020, arXiv 2011.13456,
    eq. 6 and 11), in n steps of 1 / n; the last one adds no noise.

        x_next = x + (x / 2 + score) * beta / n + sqrt(beta / n) * z,   beta = beta_min + t * (beta_max - beta_min)
    """

    order: ClassVar[int] = 0
    draws: ClassVar[int] = 1

    beta_min: float = 0.1
    beta_max: float = 20.0

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        times = np.asarray(grid.timesteps)
        if np.any((times < 0) | (times > 1)):
            raise ScheduleError(f"Euler and Maruyama's steps are of times in [0, 1]; given {shown(times)}.")
        return super().rows(grid, schedule)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        rate = (self.beta_min + row.timestep * (self.beta_max - self.beta_min)) / row.steps
        score = -model.raw_noise / row.sigma
        return Next(x + (x / 2 + score) * rate + xp.where(row.left > 1, xp.sqrt(rate), 0.0) * noise[0])


@dataclass(frozen=True)
class ChurnedHeun(Churn):
    """Heun's method with churn as published: the model is asked at the raised level (Karras et al. 2022, arXiv
    2206.00364, algorithm 2); order 2 without churn, where it is `Heun`.

    The noise that a step begins with is added at the end of the step before, and a run starts from the raised level.

    Args:
        s_churn, s_tmin, s_tmax, s_noise: see `Churn`, with as many calls as steps.
    """

    order: ClassVar[int] = 2
    memory: ClassVar[tuple[str, ...]] = ("anchor",)

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        asked = Heun().rows(grid, schedule)
        if not self.s_churn:
            return asked
        xp = namespace(asked.sigma)
        step = np.asarray(asked.step[:, 0])
        begun = rows_of(self._raised_grid(grid, schedule), step, np.zeros_like(step))
        names = ("timestep", "alpha", "sigma", "scale")
        columns = {name: xp.where(asked.stage == 0, getattr(begun, name), getattr(asked, name)) for name in names}
        return replace(begun, stage=asked.stage, **columns)

    def _raised_grid(self, grid: Grid, schedule: Any) -> Grid:
        """The grid with its points at the raised levels. The steps aim where they did."""
        gamma = min(self.s_churn / grid.total, 2**0.5 - 1)
        churned = (grid.sigmas >= self.s_tmin) & (grid.sigmas <= self.s_tmax) & (grid.sigmas * grid.alphas > 0)
        ratio = np.divide(grid.sigmas, grid.alphas, out=np.ones_like(grid.sigmas), where=churned)
        points = zip(("timesteps", "alphas", "sigmas", "scales"), schedule.point(ratio * (1 + gamma)), strict=True)
        raised = {name: np.where(churned, point, getattr(grid, name)) for name, point in points}
        return replace(grid, **raised)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        after = Heun().update(row, x, model, memory, ())
        if not noise:
            return after
        return after._replace(
            sample=xp.where(row.stage == 1, renoise(row, after.sample, noise[0], self.s_noise), after.sample)
        )
