"""DEIS, UniPC and SA-Solver on the discrete variance-preserving schedule, or on the straight path of flow matching."""

import math
from dataclasses import dataclass
from typing import Any

from multisched.errors import ScheduleError
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import PREDICTIONS, Respaced, Thresholded, spacing_of_sigmas
from multisched.schedules import DiscreteVP, Flow, Schedule
from multisched.schedules.spacing import SPACINGS
from multisched.solvers import ExponentialAdams, Solver
from multisched.solvers.exponential import ORDERS
from multisched.table.plan import Plan
from multisched.values import check_options, count, shown

VARIANCES = ("learned", "learned_range")  # that a model may give beside the noise


@dataclass(frozen=True, repr=False)
class Multistep(Thresholded, Respaced):
    """Options of the exponential multistep solvers."""

    lower_order_final: bool = True
    use_flow_sigmas: bool = False
    flow_shift: float = 1.0
    timestep_spacing: str = "linspace"
    steps_offset: int = 0
    use_dynamic_shifting: bool = False
    time_shift_type: str = "exponential"
    final_sigmas_type: str = "zero"

    def plan(self, n: int | None = None, **arguments: Any) -> Plan:
        """As `Recipe.plan`; mu is of the straight path."""
        if arguments.get("mu") is not None and not self.use_flow_sigmas:
            raise ScheduleError(
                f"mu={shown(arguments['mu'])} has no use: it shifts the straight path, and use_flow_sigmas is off, "
                "which chooses that."
            )
        return super().plan(n, **arguments)

    def _on_path(self, solver: Solver, flow: dict[str, Any], **vp: Any) -> Parts:
        """The parts, with further options of the two schedules. The straight path is from 1 - 1 / T to 0."""
        words = (*PREDICTIONS, "flow_prediction")
        allowed: dict[str, Any] = {"final_sigmas_type": ("zero", "sigma_min"), "timestep_spacing": SPACINGS}
        check_options(self, positive=("flow_shift",), prediction_type=words, **allowed)
        kind, straight = spacing_of_sigmas(self), self.use_flow_sigmas
        rounding = "nearest" if kind == "karras" and not straight else "down"
        common: dict[str, Any] = {"spare_step": True, "sigma_schedule": kind, "timestep_rounding": rounding}
        if self.final_sigmas_type == "sigma_min" and (straight or kind is not None):
            common["final_sigmas_type"] = "last"
        trained = self._build(DiscreteVP, sigma_range="table", **{**common, **vp})
        schedule: Schedule = trained
        if straight:
            top, bottom = trained.sigma_max or trained.ratios[-1], trained.sigma_min or trained.ratios[0]
            common["ratio_range"] = None if kind is None else (float(top), float(bottom))
            path = {"shift": self.flow_shift, "sigma_max": 1 - 1 / self.num_train_timesteps, "sigma_min": 0.0}
            schedule = self._build(Flow, **{**path, **common, **flow})
        return Parts(schedule, Prediction(self.prediction_type), solver, denoised_transform=self._change())


@dataclass(frozen=True, repr=False)
class DEISMultistep(Multistep):
    """Diffusion exponential integrator sampler (Zhang and Chen 2022, arXiv 2204.13902); order min(solver_order, 2).

    Args:
        num_train_timesteps, beta_start, beta_end, beta_schedule, trained_betas, timestep_spacing, steps_offset: the
            schedule, see `schedules.DiscreteVP`.
        solver_order: values of the model that a step uses.
        lower_order_final: whether the last steps use fewer, in runs of fewer than 15.
        prediction_type: "epsilon", "sample", "v_prediction" or "flow_prediction".
        thresholding, dynamic_thresholding_ratio, sample_max_value: see `transforms.DynamicThreshold`.
        use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: spacing of the ratios sigma / alpha.
        use_flow_sigmas, flow_shift, use_dynamic_shifting, time_shift_type: the straight path, see `schedules.Flow`.
        final_sigmas_type: "zero" for the clean sample. "sigma_min" ends at timestep 0; with a spacing of sigmas or on
            the straight path at the run's last level, where the last step does nothing, a defect of diffusers.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    solver_order: int = 2

    def parts(self) -> Parts:
        check_options(self, counts={"solver_order": ORDERS})
        falling = 15 if self.lower_order_final else 0
        solver = ExponentialAdams(data=False, predictor=self.solver_order, falling=falling)
        return self._on_path(solver, {})


@dataclass(frozen=True, repr=False)
class WithUniPC(Recipe):
    """Options of UniPC."""

    solver_order: int = 2
    predict_x0: bool = True
    solver_type: str = "bh2"
    lower_order_final: bool = True
    disable_corrector: tuple[int, ...] = ()
    solver_p: Solver | None = None

    def __post_init__(self) -> None:
        if isinstance(self.disable_corrector, list):
            object.__setattr__(self, "disable_corrector", tuple(self.disable_corrector))
        super().__post_init__()

    def _unipc(self) -> Solver:
        check_options(self, counts={"solver_order": ORDERS}, solver_type=("bh1", "bh2"))
        return ExponentialAdams(
            data=self.predict_x0,
            predictor=self.solver_order,
            corrector=self.solver_order + 1,
            rule=self.solver_type,
            falling=math.inf if self.lower_order_final else 0,
            disable_corrector=self.disable_corrector,
            solver_p=self.solver_p,
        )


@dataclass(frozen=True, repr=False)
class UniPCMultistep(WithUniPC, Multistep):
    """Unified predictor-corrector (Zhao et al. 2023, arXiv 2302.04867); order 2, since the last step has one value, or
    min(solver_order + 1, 3) without `lower_order_final`.

    Args: those of `DEISMultistep`, and
        rescale_betas_zero_snr, sigma_min, sigma_max: of the schedule, see `schedules.DiscreteVP`.
        predict_x0: whether the solver's polynomials are of x0 rather than of the noise.
        solver_type: B(h) of the paper, "bh1" for h or "bh2" for e^h - 1; with more than two values it drops out.
        disable_corrector, solver_p: see `solvers.ExponentialAdams`.
        shift_terminal, shift_given: of the straight path, see `schedules.Flow`.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    rescale_betas_zero_snr: bool = False
    shift_terminal: float | None = None
    shift_given: bool = False

    def parts(self) -> Parts:
        if self.shift_terminal is not None and not self.use_flow_sigmas:
            raise ScheduleError(f"shift_terminal belongs to use_flow_sigmas; given {self.shift_terminal!r}.")
        flow = {"sigma_limit": 1 - 1e-6, "sigma_max": 1.0, "sigma_min": None}
        return self._on_path(self._unipc(), flow, terminal_alpha_bar=2.0**-24)


@dataclass(frozen=True, repr=False)
class SASolver(Multistep):
    """Stochastic Adams predictor and corrector (Xue et al. 2023, arXiv 2309.05019); with tau = 0 of order
    min(corrector_order, 2), or min(predictor_order + 1, corrector_order, 3) without `lower_order_final`.

    Args: those of `DEISMultistep`, and
        predictor_order: values of the model that a step uses.
        corrector_order: those that its correction uses, the new one included; 0 for none.
        algorithm_type: "data_prediction" or "noise_prediction", which the solver's polynomials are of.
        tau, tau_start, tau_end: amount of noise, at timesteps from and to these; 0 for the probability flow.
        lambda_min_clipped: of the schedule, see `schedules.DiscreteVP`.
        variance_type: "learned" or "learned_range" where a model of the noise also gives a variance, not used here.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    predictor_order: int = 2
    corrector_order: int = 2
    algorithm_type: str = "data_prediction"
    lambda_min_clipped: float = -math.inf
    variance_type: str | None = None
    tau: float = 1.0
    tau_start: float = 200.0
    tau_end: float = 800.0

    def parts(self) -> Parts:
        algorithms = ("data_prediction", "noise_prediction")
        orders = {"predictor_order": ORDERS}
        check_options(self, counts=orders, variance_type=VARIANCES, algorithm_type=algorithms)
        count("corrector_order", self.corrector_order, ORDERS + 1, least=0)
        data = self.algorithm_type == "data_prediction"
        solver = self._build(
            ExponentialAdams,
            data=data,
            predictor=self.predictor_order,
            corrector=self.corrector_order,
            rule="bh1" if data else "exact",
            falling=math.inf if self.lower_order_final else 0,
            parts=2 if self.variance_type and self.prediction_type == "epsilon" else 1,
        )
        return self._on_path(solver, {})
