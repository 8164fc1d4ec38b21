"""Recipes of score-based models, on the stochastic processes of Song et al. 2020 (arXiv 2011.13456)."""

from dataclasses import dataclass

import numpy as np

from multisched import checks, solvers
from multisched.errors import ScheduleError
from multisched.paths.continuous import LinearVP
from multisched.paths.exploding import VarianceExploding
from multisched.predictions import Opposite, Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.spacings.base import End
from multisched.spacings.change import Respace
from multisched.spacings.placement import Times, Trained
from multisched.spacings.singular import Descent
from multisched.values import check_options


@dataclass(frozen=True, repr=False)
class ScoreSdeVe(Recipe):
    """The variance-exploding process, by Langevin steps at each level and a step down. Sigma is passed to the model,
    which returns the score. The last step adds no noise.

    Args:
        sigma_min: the lowest noise level.
        sigma_max: the highest.
        sampling_eps: the last time, in [0, 1].
        langevin_snr: size of the Langevin steps, the snr of `solvers.PredictorCorrector`.
        correct_steps: how many of them there are at each level.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> plan = ms.ScoreSdeVe().plan(3)
        >>> len(plan), plan.timesteps.round(2).tolist()
        (6, [1348.0, 1348.0, 3.67, 3.67, 0.01, 0.01])
    """

    sigma_min: float = 0.01
    sigma_max: float = 1348.0
    sampling_eps: float = 1e-5
    langevin_snr: float = 0.15
    correct_steps: int = 1

    def parts(self) -> Parts:
        check_options(self, not_negative=("langevin_snr",))
        path = VarianceExploding(self.sigma_min, self.sigma_max, None, "sigma")
        spacing = Trained() | Respace("exponential") | End(prior=0.0) | Descent(self.sampling_eps)
        return Parts(
            path, spacing, Prediction("score"), solvers.PredictorCorrector(self.langevin_snr, self.correct_steps)
        )


@dataclass(frozen=True, repr=False)
class ScoreSdeVp(Recipe):
    """The variance-preserving process, by Euler and Maruyama's method. The model is given t in (0, 1] and returns
    the noise. The last step adds none.

    Args:
        beta_min: the rate at t = 0.
        beta_max: the rate at t = 1.
        sampling_eps: the last time, in [0, 1].

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> ms.ScoreSdeVp().plan(4).timesteps.round(3).tolist()
        [1.0, 0.667, 0.334, 0.001]
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    sampling_eps: float = 0.001

    def parts(self) -> Parts:
        checks.within("sampling_eps", np.array(self.sampling_eps), 0, 1)
        spacing = Times(1.0, self.sampling_eps, False) | End()
        path, solver = LinearVP(self.beta_min, self.beta_max), solvers.EulerMaruyama(self.beta_min, self.beta_max)
        return Parts(path, spacing, Prediction("epsilon"), solver)


@dataclass(frozen=True, repr=False)
class KarrasVe(Recipe):
    """Heun's method with churn on geometric noise levels (Karras et al. 2022, arXiv 2206.00364, algorithm 2 and table
    1, column "VE"); order 2 without churn. Sigma is passed to the model, which returns sigma times the score. With its
    s_noise other than 1 the law of the samples stays 1.5 % off in its variance; with 1 it is of weak order 2.

    Args:
        sigma_min: the lowest noise level.
        sigma_max: the highest.
        s_noise: deviation of the noise added.
        s_churn: noise added before each step, see `solvers.euler.Churn`.
        s_min: the lowest sigma at which it is added.
        s_max: the highest.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> plan = ms.KarrasVe().plan(5)
        >>> len(plan), plan.stochastic
        (9, True)
    """

    sigma_min: float = 0.02
    sigma_max: float = 100.0
    s_noise: float = 1.007
    s_churn: float = 80.0
    s_min: float = 0.05
    s_max: float = 50.0

    def parts(self) -> Parts:
        check_options(self, not_negative=("s_min",))
        if not self.s_max >= 0:
            raise ScheduleError(f"s_max must be a number >= 0; given {self.s_max!r}.")
        path = VarianceExploding(self.sigma_min, self.sigma_max, None, "sigma")
        solver = solvers.Heun(self.s_churn, self.s_min, self.s_max, self.s_noise)
        return Parts(path, Trained() | Respace("exponential") | End(prior=0.0), Opposite("epsilon"), solver)
