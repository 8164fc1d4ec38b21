"""Recipes in the space of x0 + sigma * noise: the model sees the sample scaled back to unit variance."""

from dataclasses import dataclass

from multisched import solvers
from multisched.predictions import Prediction
from multisched.schedulers.base import Parts
from multisched.schedulers.options import Respaced
from multisched.schedules import checks

_PREDICTIONS = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True)
class Euler(Respaced):
    """Euler steps on sigma (Karras et al. 2022, arXiv 2206.00364)."""

    prediction_type: str = "epsilon"
    timestep_spacing: str = "linspace"
    steps_offset: int = 0
    rescale_betas_zero_snr: bool = False
    final_sigmas_type: str = "zero"
    sigma_min: float | None = None
    sigma_max: float | None = None

    def parts(self) -> Parts:
        checks.option("prediction_type", self.prediction_type, _PREDICTIONS)
        schedule = self._vp(
            timestep_spacing=self.timestep_spacing,
            steps_offset=self.steps_offset,
            whole_timesteps=False,
            rescale_betas_zero_snr=self.rescale_betas_zero_snr,
            terminal_alpha_bar=2.0**-24,
            final_sigmas_type=self.final_sigmas_type,
            sigma_schedule=self._sigma_schedule(),
            sigma_min=self.sigma_min,
            sigma_max=self.sigma_max,
            space="ve",
        )
        return Parts(schedule, Prediction(self.prediction_type), solvers.Euler())
