"""Recipes of score-based models, on the stochastic processes of Song et al. 2020 (arXiv 2011.13456)."""

from dataclasses import dataclass

from multisched import solvers
from multisched.errors import ScheduleError
from multisched.predictions import Opposite, Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedules import VE
from multisched.schedules.trig import Geometric, LinearVP
from multisched.values import check_options


@dataclass(frozen=True, repr=False)
class ScoreSdeVe(Recipe):
    """The variance-exploding process, by Langevin steps at each level and a step down. The model is told sigma and
    returns the score. The last step adds no noise. Options: `schedules.trig.Geometric`'s and
    `solvers.PredictorCorrector`'s, whose snr is langevin_snr here. A recipe from diffusers has the norms of the
    batch."""

    sigma_min: float = 0.01
    sigma_max: float = 1348.0
    sampling_eps: float = 1e-5
    langevin_snr: float = 0.15
    correct_steps: int = 1
    norms: str = "sample"

    def parts(self) -> Parts:
        check_options(self, not_negative=("langevin_snr",))
        schedule = self._build(Geometric, sigma_data=None, sigma_schedule="exponential", timestep="sigma", prior=0.0)
        return Parts(schedule, Prediction("score"), self._build(solvers.PredictorCorrector, snr=self.langevin_snr))


@dataclass(frozen=True, repr=False)
class ScoreSdeVp(Recipe):
    """The variance-preserving process, by Euler and Maruyama's method. The model is told t in (0, 1] and returns the
    noise. The last step adds none. Options: `schedules.trig.LinearVP`'s."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    sampling_eps: float = 0.001

    def parts(self) -> Parts:
        return Parts(self._build(LinearVP), Prediction("epsilon"), self._build(solvers.EulerMaruyama))


@dataclass(frozen=True, repr=False)
class KarrasVe(Recipe):
    """Heun's method with churn on geometric noise levels (Karras et al. 2022, arXiv 2206.00364, algorithm 2 and table
    1, column "VE"); order 2 without churn. The model is told sigma and returns sigma times the score.

    Args:
        sigma_min, sigma_max: ends of the noise levels.
        s_churn, s_min, s_max, s_noise: see `solvers.Churn`; s_min, s_max are s_tmin, s_tmax there.
        squared: whether the levels are sigma^2, a defect of diffusers, whose runs yet begin at sigma_max.
    """

    sigma_min: float = 0.02
    sigma_max: float = 100.0
    s_noise: float = 1.007
    s_churn: float = 80.0
    s_min: float = 0.05
    s_max: float = 50.0
    squared: bool = False

    def parts(self) -> Parts:
        check_options(self, not_negative=("s_min",))
        if not self.s_max >= 0:
            raise ScheduleError(f"s_max must be a number >= 0; given {self.s_max!r}.")
        low, high = (end**2 if self.squared else end for end in (self.sigma_min, self.sigma_max))
        schedule = VE(low, high, sigma_data=None, sigma_schedule="exponential", timestep="sigma", prior=0.0)
        solver = solvers.Heun(self.s_churn, self.s_min, self.s_max, self.s_noise)
        return Parts(schedule, Opposite("epsilon"), solver)
