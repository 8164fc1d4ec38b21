"""Recipes on the noise levels of EDM (Karras et al. 2022, arXiv 2206.00364): the network is preconditioned by
sigma_data."""

import math
from dataclasses import dataclass
from typing import Any

from multisched import solvers
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedules import VE
from multisched.values import check_options


@dataclass(frozen=True, repr=False)
class OnEDM(Recipe):
    """Options of `schedules.VE`, and what the network's output means."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    sigma_schedule: str = "karras"
    prediction_type: str = "epsilon"
    rho: float = 7.0

    def _edm(self, solver: solvers.Solver, diffusers_grid: bool, **options: Any) -> Parts:
        """The parts, with further options of the schedule."""
        kinds: dict[str, Any] = {
            "prediction_type": ("epsilon", "v_prediction"),
            "sigma_schedule": ("karras", "exponential"),
        }
        check_options(self, **kinds, final_sigmas_type=("zero", "sigma_min"))
        single = "sigma_min" if diffusers_grid and self.sigma_schedule == "exponential" else "sigma_max"
        schedule = self._build(VE, single_step=single, **options)
        prediction = Prediction("edm" if self.prediction_type == "epsilon" else "v_prediction", self.sigma_data)
        return Parts(schedule, prediction, solver, denoised_transform=self._change())


@dataclass(frozen=True, repr=False)
class EDMEuler(OnEDM):
    """Euler steps on sigma; order 1 without churn.

    Args: options of `schedules.VE` under their names there, sigma_schedule "karras" or "exponential" alone, and
        prediction_type: "epsilon" for the network F of x0 = c_skip * x + c_out * F, "v_prediction" for -F.
        s_churn, s_tmin, s_tmax, s_noise: noise added before each step, see `solvers.Churn`.
        late_churn: whether it is added after the model's call, a defect of diffusers (`solvers.LateEuler`).
        diffusers_grid: whether, as in diffusers, given sigmas are a ramp (`sigmas_as_ramp`), a run stays at its last
            level where it should end at sigma_min, and a single exponential step begins there.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    final_sigmas_type: str = "zero"
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    late_churn: bool = False
    diffusers_grid: bool = False

    def parts(self) -> Parts:
        solver = self._build(solvers.LateEuler if self.late_churn else solvers.Euler)
        as_diffusers = self.diffusers_grid
        final = "last" if as_diffusers and self.final_sigmas_type == "sigma_min" else self.final_sigmas_type
        return self._edm(solver, as_diffusers, final_sigmas_type=final, sigmas_as_ramp=as_diffusers)
