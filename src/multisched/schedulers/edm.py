"""Recipes on the noise levels of EDM (Karras et al. 2022, arXiv 2206.00364): the network is preconditioned by
sigma_data."""

import math
from dataclasses import dataclass
from typing import Literal

from multisched import solvers
from multisched.paths.exploding import Timestep, VarianceExploding
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import FinalSigmas
from multisched.spacings.base import Chain, End, Link
from multisched.spacings.change import Karras, Respace
from multisched.spacings.placement import Trained


@dataclass(frozen=True, repr=False)
class OnEDM(Recipe):
    """A recipe on the noise levels of EDM.

    Args:
        sigma_min: the lowest noise level that the model is trained on.
        sigma_max: the highest.
        sigma_data: deviation of the data.
        sigma_schedule: "karras" or "exponential" spacing of the levels.
        prediction_type: "epsilon" for the network F of x0 = c_skip * x + c_out * F, "v_prediction" for -F.
        rho: levels of "karras" are even in sigma^(1/rho).
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    sigma_schedule: Literal["karras", "exponential"] = "karras"
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon"
    rho: float = 7.0

    def _edm(self, solver: solvers.Solver, final: FinalSigmas, timestep: Timestep = "quarter_log") -> Parts:
        """The parts, with a solver and an end."""
        path = VarianceExploding(self.sigma_min, self.sigma_max, self.sigma_data, timestep)
        karras = Karras(self.rho)
        placed: Link = karras if self.sigma_schedule == "karras" else Respace("exponential")
        spacing = Chain((Trained(), placed, End(0.0 if final == "zero" else "sigma_min")))
        prediction = Prediction("edm" if self.prediction_type == "epsilon" else "v_prediction", self.sigma_data)
        return Parts(path, spacing, prediction, solver, denoised_transform=self._change())


@dataclass(frozen=True, repr=False)
class EDMEuler(OnEDM):
    """Euler steps on sigma; order 1 without churn.

    Args:
        final_sigmas_type: where a run ends: at 0 ("zero") or at sigma_min ("sigma_min").
        s_churn: noise added before each step, see `solvers.euler.Churn`.
        s_tmin: the lowest sigma at which it is added.
        s_tmax: the highest.
        s_noise: deviation of the noise added.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.EDMEuler().plan(4)
        >>> plan.sigmas.round(3).tolist(), plan.timesteps.round(3).tolist()
        ([80.0, 9.723, 0.47, 0.002, 0.0], [1.096, 0.569, -0.189, -1.554])
    """

    final_sigmas_type: FinalSigmas = "zero"
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def parts(self) -> Parts:
        solver = solvers.Euler(self.s_churn, self.s_tmin, self.s_tmax, self.s_noise)
        return self._edm(solver, self.final_sigmas_type)
