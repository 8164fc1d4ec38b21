"""DPM-Solver and DPM-Solver++ (Lu et al. 2022, arXiv 2206.00927 and 2211.01095) in all their schedulers."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from multisched.schedulers.base import Recipe
from multisched.schedulers.edm import OnEDM
from multisched.schedulers.forward import Parts
from multisched.schedulers.multistep import VARIANCES, Multistep
from multisched.schedulers.options import Thresholded, spacing_of_sigmas
from multisched.schedulers.vp import CogVideoXDDIM
from multisched.schedules import DiscreteVP, Inverse, checks
from multisched.solvers import DPMMultistep, DPMSinglestep
from multisched.values import check_options


@dataclass(frozen=True, repr=False)
class _DPM(Recipe):
    solver_order: int = 2
    algorithm_type: str = "dpmsolver++"
    solver_type: str = "midpoint"
    lower_order_final: bool = True
    third_order: str = "exact"


@dataclass(frozen=True, repr=False)
class _Discrete(_DPM, Multistep):
    lambda_min_clipped: float = -math.inf
    rescale_betas_zero_snr: bool = False
    use_lu_lambdas: bool = False
    variance_type: str | None = None

    def _discrete(self, kind: type[DPMMultistep | DPMSinglestep], **options: Any) -> Parts:
        """The parts, with further options of the discrete schedule."""
        check_options(self, variance_type=VARIANCES)
        variance = self.variance_type is not None and self.prediction_type == "epsilon"
        vp: dict[str, Any] = {"terminal_alpha_bar": 2.0**-24, "final_sigmas_type": self.final_sigmas_type}
        flow: dict[str, Any] = {"final_sigmas_type": "zero"}
        if self.final_sigmas_type == "sigma_min":
            flow["final_sigma"] = float(self._build(DiscreteVP, **vp).ratios[0])
        if (spacing := spacing_of_sigmas(self)) is not None:
            # from end to end of the training schedule, whatever timesteps there are
            vp |= {"timestep_spacing": "linspace", "spare_step": False, "lambda_min_clipped": -math.inf}
            vp["timestep_rounding"] = "nearest" if spacing in ("karras", "lu") else "down"
        return self._on_path(self._build(kind, parts=1 + variance), flow, **vp | options)


@dataclass(frozen=True, repr=False)
class DPMSolverMultistep(_Discrete):
    """DPM-Solver multistep, one model call a step; order 2, or 1 with solver_order 1.

    Args: those of `DEISMultistep`, and
        solver_order, algorithm_type, solver_type, lower_order_final, euler_at_final, third_order: the solver, see
            `solvers.DPMMultistep`.
        use_lu_lambdas: another spacing of the ratios sigma / alpha.
        rescale_betas_zero_snr, lambda_min_clipped: of the schedule, see `schedules.DiscreteVP`.
        final_sigmas_type: "zero", or "sigma_min" for the ratio of timestep 0, which is sigma on the straight path.
        variance_type: "learned" or "learned_range" where a model of the noise also gives a variance, not used here.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    euler_at_final: bool = False

    def parts(self) -> Parts:
        # As in diffusers, timesteps of the cosine schedule are cut where those of others are rounded.
        cut = {"timestep_rounding": "down"} if self.beta_schedule == "squaredcos_cap_v2" else {}
        return self._discrete(DPMMultistep, **cut)


@dataclass(frozen=True, repr=False)
class DPMSolverSinglestep(_Discrete):
    """DPM-Solver singlestep, groups of solver_order calls, each at a grid point; order as `solvers.DPMSinglestep` says.
    Options and errors are those of `DPMSolverMultistep`; independent_noise is a defect of diffusers, see there."""

    lower_order_final: bool = False
    independent_noise: bool = False

    def parts(self) -> Parts:
        return self._discrete(DPMSinglestep)


@dataclass(frozen=True, repr=False)
class DPMSolverMultistepInverse(_Discrete):
    """DPM-Solver multistep from data to noise, see `schedules.Inverse`; order as `DPMSolverMultistep`, of which the
    options and errors are, but that a run ends at the noise. The SDE algorithms take no step that way.

    Args:
        diffusers_grid: whether, as in diffusers, the last step stays where it is unless timesteps are spaced by
            "linspace" or "leading", and flow sigmas fall.
    """

    euler_at_final: bool = False
    diffusers_grid: bool = False

    def parts(self) -> Parts:
        checks.option("final_sigmas_type", self.final_sigmas_type, ("zero",))
        parts = self._discrete(DPMMultistep, spare_step=False)
        if self.diffusers_grid and self.use_flow_sigmas:
            return parts._replace(schedule=replace(parts.schedule, final_sigmas_type="last"))  # type: ignore[type-var]
        return parts._replace(schedule=Inverse(parts.schedule, self.diffusers_grid))  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class CogVideoXDPM(CogVideoXDDIM):
    """CogVideoX's SDE-DPM-Solver++(2M). Options and errors are those of `CogVideoXDDIM`; the step to the level of
    timestep 0, with `set_alpha_to_one=False`, has order 1."""

    def parts(self) -> Parts:
        last = not self.set_alpha_to_one
        solver = DPMMultistep(algorithm_type="sde-dpmsolver++", lower_order_final=False, euler_at_final=last)
        return super().parts()._replace(solver=solver)


@dataclass(frozen=True, repr=False)
class EDMDPMSolverMultistep(Thresholded, OnEDM, _DPM):
    """DPM-Solver++ multistep on the noise levels of EDM (Karras et al. 2022, arXiv 2206.00364); order 2, or 1 with
    solver_order 1.

    Args:
        sigma_min, sigma_max, sigma_data, sigma_schedule, rho, prediction_type, final_sigmas_type: as for `EDMEuler`.
        solver_order, algorithm_type, solver_type, lower_order_final, euler_at_final, third_order, thresholding,
            dynamic_thresholding_ratio, sample_max_value: as for `DPMSolverMultistep`.
        diffusers_grid: whether, as in diffusers, a single exponential step begins at sigma_min.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    euler_at_final: bool = False
    final_sigmas_type: str = "zero"
    diffusers_grid: bool = False

    _timestep: ClassVar[str] = "quarter_log"

    def parts(self) -> Parts:
        return self._edm(self._build(DPMMultistep), self.diffusers_grid, timestep=self._timestep)


@dataclass(frozen=True, repr=False)
class CosineDPMSolverMultistep(EDMDPMSolverMultistep):
    """Stable Audio's SDE-DPM-Solver++ multistep, whose model is told 2 / pi * arctan(sigma). Options and errors are
    those of `EDMDPMSolverMultistep`. The noise is independent from step to step."""

    sigma_min: float = 0.3
    sigma_max: float = 500.0
    sigma_data: float = 1.0
    sigma_schedule: str = "exponential"
    prediction_type: str = "v_prediction"
    algorithm_type: str = "sde-dpmsolver++"

    _timestep = "arctan"
