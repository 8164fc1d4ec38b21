"""Recipes on the noise levels of EDM (Karras et al. 2022, arXiv 2206.00364): the network is preconditioned by
sigma_data."""

import math
from dataclasses import dataclass

from multisched import solvers
from multisched.predictions import Prediction
from multisched.schedulers.base import Parts, Recipe
from multisched.schedules import VE, checks


@dataclass(frozen=True)
class EDMEuler(Recipe):
    """Euler steps on sigma; order 1 without churn.

    Args: options of `schedules.VE` under their names there, sigma_schedule "karras" or "exponential" alone, and
        prediction_type: "epsilon" for the network F of x0 = c_skip * x + c_out * F, "v_prediction" for -F.
        s_churn, s_tmin, s_tmax, s_noise: see `solvers.Euler`.
        diffusers_grid: whether, as in diffusers, given sigmas are a ramp (`sigmas_as_ramp`), a run stays at its last
            level where it should end at sigma_min, and a single exponential step begins there.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    sigma_schedule: str = "karras"
    prediction_type: str = "epsilon"
    rho: float = 7.0
    final_sigmas_type: str = "zero"
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    diffusers_grid: bool = False

    def parts(self) -> Parts:
        checks.option("prediction_type", self.prediction_type, ("epsilon", "v_prediction"))
        checks.option("sigma_schedule", self.sigma_schedule, ("karras", "exponential"))
        checks.option("final_sigmas_type", self.final_sigmas_type, ("zero", "sigma_min"))
        stays = self.diffusers_grid and self.final_sigmas_type == "sigma_min"
        names = ("sigma_min", "sigma_max", "sigma_data", "sigma_schedule", "rho")
        schedule = VE(
            **{name: getattr(self, name) for name in names},
            final_sigmas_type="last" if stays else self.final_sigmas_type,
            single_step="sigma_min" if self.diffusers_grid and self.sigma_schedule == "exponential" else "sigma_max",
            sigmas_as_ramp=self.diffusers_grid,
        )
        prediction = Prediction("edm" if self.prediction_type == "epsilon" else "v_prediction", self.sigma_data)
        return Parts(schedule, prediction, solvers.Euler(self.s_churn, self.s_tmin, self.s_tmax, self.s_noise))
