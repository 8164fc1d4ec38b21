"""Solvers of score-based models: predictor and corrector, Euler and Maruyama's."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.ddpm import DDPM
from multisched.solvers.rows import Rows, rows_of
from multisched.transforms import Langevin, Over
from multisched.values import CALLS, check_options, count, namespace, shown

CORRECTIONS = 1_000  # of a step, at most


@dataclass(frozen=True)
class PredictorCorrector(Solver):
    """Langevin steps at each level, then one down (Song et al. 2020, arXiv 2011.13456, algorithms 2 and 4).

        correct:  x      = x + 2 c^2 * score + 2 c * z,   c = snr * |z| / |score|     (`transforms.Langevin`)
        predict:  x_next = x + (sigma^2 - sigma_next^2) * score + sqrt(sigma^2 - sigma_next^2) * z

    The norms are those of each sample, or with norms = "batch" their means over the batch, as the paper's code has them
    (samples then depend on their batch mates). score = -noise / sigma. The second line, "reverse diffusion", is `DDPM`
    with the variance "fixed_large"; the last step adds no noise. The model is to predict the score for the corrections.
    With corrections the law of the samples does not converge, for their size does not fall with the steps.

    No order; no weak order; two calls a step. With correct_steps=0: no order; weak order 1; one call a step.

    Args:
        snr: the ratio of noise to score that sizes the corrections.
        correct_steps: corrections in a step.
        norms: whether norms are those of each "sample", or their means over the "batch".

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.ScoreSdeVe(correct_steps=1).plan(3)
        >>> plan.timesteps.round(2).tolist()
        [1348.0, 1348.0, 3.67, 3.67, 0.01, 0.01]
    """

    order: ClassVar[int] = 0
    draws: ClassVar[int] = 1

    snr: float = 0.15
    correct_steps: int = 1
    norms: Over = "sample"

    def __post_init__(self) -> None:
        check_options(self, not_negative=("snr",))
        count("correct_steps", self.correct_steps, CORRECTIONS, least=0)

    @property
    def weak_order(self) -> int:
        return int(self.correct_steps == 0)

    def rows(self, grid: Grid, path: Any) -> Rows:
        calls = self.correct_steps + 1
        if calls * len(grid) > CALLS:
            raise ScheduleError(
                f"a run has at most {CALLS} model calls; {len(grid)} steps with correct_steps={self.correct_steps} "
                f"make {calls * len(grid)}."
            )
        step = np.repeat(np.arange(len(grid)), calls)
        return rows_of(grid, step, np.tile(np.arange(calls), len(grid)), point=step)

    def noise_transform(self, row: Rows) -> tuple[Langevin, Any] | None:
        if not self.correct_steps:
            return None
        return Langevin(self.norms), namespace(row.sigma).where(row.stage < self.correct_steps, self.snr, -1.0)

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
    """Euler and Maruyama's method for the reverse process of `paths.LinearVP` (Song et al. 2020, arXiv 2011.13456,
    eq. 6 and 11), in n steps of 1 / n; the last one adds no noise.

        x_next = x + (x / 2 + score) * beta / n + sqrt(beta / n) * z,   beta = beta_min + t * (beta_max - beta_min)

    No order; weak order 1; one call a step.

    Args:
        beta_min: the rate at t = 0.
        beta_max: the rate at t = 1.

    Raises:
        ScheduleError: if a rate is negative.

    Example:
        >>> plan = ms.ScoreSdeVp().plan(1000)
        >>> target = ms.analysis.Gaussian(0.0, 0.5)
        >>> round(float(ms.analysis.moments(plan, target).covariance[0, 0]) ** 0.5, 2)
        0.5
    """

    order: ClassVar[int] = 0
    weak_order: ClassVar[int] = 1
    draws: ClassVar[int] = 1

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        check_options(self, not_negative=("beta_min", "beta_max"))

    def rows(self, grid: Grid, path: Any) -> Rows:
        times = np.asarray(grid.timesteps)
        if np.any((times < 0) | (times > 1)):
            raise ScheduleError(f"Euler and Maruyama's steps are of times in [0, 1]; given {shown(times)}.")
        return super().rows(grid, path)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        rate = (self.beta_min + row.timestep * (self.beta_max - self.beta_min)) / row.total
        score = -model.raw_noise / row.sigma
        return Next(x + (x / 2 + score) * rate + xp.where(row.left > 1, xp.sqrt(rate), 0.0) * noise[0])
