"""DPM-Solver and DPM-Solver++ (Lu et al. 2022, arXiv 2206.00927 and 2211.01095) in all their schedulers."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from multisched.paths.discrete import Discrete
from multisched.paths.straight import Straight
from multisched.schedulers.edm import OnEDM
from multisched.schedulers.forward import Parts
from multisched.schedulers.multistep import EitherPredicted, ModelVariance, OnEither, even_of
from multisched.schedulers.options import FINITE, FinalSigmas, Spaced, Thresholded
from multisched.schedulers.vp import CogVideoXDDIM
from multisched.solvers import DPMMultistep, DPMSinglestep, Solver
from multisched.solvers.dpm import Algorithm, Rule
from multisched.spacings.base import Chain, End
from multisched.spacings.change import Round, Rounding
from multisched.spacings.direction import Inverse
from multisched.spacings.placement import Linspace
from multisched.spacings.trained import TimestepSpacing


def _parts(recipe: Any, solver: Solver, spare: bool = True) -> Parts:
    """The parts of a recipe on the discrete path or on the straight one.

    Args:
        spare: whether one timestep more is placed than a run has steps.
    """
    path: Any = Discrete(recipe._betas(), terminal_alpha_bar=FINITE if recipe.rescale_betas_zero_snr else None)
    respace, end = recipe._respace(path), recipe._end()
    if recipe.use_flow_sigmas:
        if end.to == "sigma_min":
            end = End(path.ends[1])
        links = recipe._on_straight(respace, even_of(recipe))
        path, links = Straight(recipe.num_train_timesteps), (*links[:-2], end, links[-1])
    elif respace is None:
        links = (recipe._numbered(spare, True, recipe.lambda_min_clipped), end, Round("down"))
    else:
        how: Rounding = "nearest" if respace.kind in ("karras", "lu") else "down"
        links = (Linspace(), respace, end, Round(how))
    parts: Parts = recipe._parts(path, links, solver)
    return parts


def _learned(recipe: Any) -> int:
    """Parts of the model's output."""
    return 1 + (recipe.variance_type is not None and recipe.prediction_type == "epsilon")


@dataclass(frozen=True, repr=False)
class DPMSolverMultistep(Spaced, OnEither):
    """DPM-Solver multistep, one model call a step; order 2, or 1 with solver_order 1.

    Args:
        prediction_type: what the model's output is: "epsilon", "sample", "v_prediction" or "flow_prediction".
        timestep_spacing: see `Spaced`.
        solver_order: 1 to 3, see `solvers.DPMMultistep`.
        algorithm_type: "dpmsolver", "dpmsolver++", "sde-dpmsolver" or "sde-dpmsolver++".
        solver_type: "midpoint" or "heun".
        euler_at_final: whether the last step has order 1.
        lambda_min_clipped: timesteps whose log(alpha / sigma) is below this are not visited.
        rescale_betas_zero_snr: whether the last timestep is made (almost) pure noise.
        use_lu_lambdas: whether the ratios sigma / alpha are even in half the log-SNR.
        variance_type: "learned" or "learned_range" where a model of the noise also gives a variance, not used here.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> recipe = ms.DPMSolverMultistep(use_karras_sigmas=True)
        >>> plan = recipe.plan(20)
        >>> plan.order, plan.timesteps[:3].tolist()
        (2, [999.0, 971.0, 940.0])
    """

    prediction_type: EitherPredicted = "epsilon"  # type: ignore[assignment]  # wider than on the discrete path
    timestep_spacing: TimestepSpacing = "linspace"
    solver_order: int = 2
    algorithm_type: Algorithm = "dpmsolver++"
    solver_type: Rule = "midpoint"
    euler_at_final: bool = False
    lambda_min_clipped: float = -math.inf
    rescale_betas_zero_snr: bool = False
    use_lu_lambdas: bool = False
    variance_type: ModelVariance | None = None

    def parts(self) -> Parts:
        form = (self.solver_order, self.algorithm_type, self.solver_type, self.lower_order_final)
        solver = DPMMultistep(*form, parts=_learned(self), euler_at_final=self.euler_at_final)
        return _parts(self, solver)


@dataclass(frozen=True, repr=False)
class DPMSolverSinglestep(Spaced, OnEither):
    """DPM-Solver singlestep, groups of solver_order calls, each at a grid point; order as `solvers.DPMSinglestep` says.

    Args:
        prediction_type: what the model's output is: "epsilon", "sample", "v_prediction" or "flow_prediction".
        timestep_spacing: see `Spaced`.
        lower_order_final: whether the last group is shorter.
        solver_order: calls of a group, 1 to 3.
        algorithm_type: as for `DPMSolverMultistep`.
        solver_type: as for `DPMSolverMultistep`.
        lambda_min_clipped: as for `DPMSolverMultistep`.
        rescale_betas_zero_snr: as for `DPMSolverMultistep`.
        use_lu_lambdas: as for `DPMSolverMultistep`.
        variance_type: as for `DPMSolverMultistep`.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.DPMSolverSinglestep(solver_order=3).plan(6)
        >>> plan.rows.stage.ravel().tolist(), plan.order
        ([0, 1, 2, 0, 1, 0], 3)
    """

    prediction_type: EitherPredicted = "epsilon"  # type: ignore[assignment]  # wider than on the discrete path
    timestep_spacing: TimestepSpacing = "linspace"
    lower_order_final: bool = False
    solver_order: int = 2
    algorithm_type: Algorithm = "dpmsolver++"
    solver_type: Rule = "midpoint"
    lambda_min_clipped: float = -math.inf
    rescale_betas_zero_snr: bool = False
    use_lu_lambdas: bool = False
    variance_type: ModelVariance | None = None

    def parts(self) -> Parts:
        form = (self.solver_order, self.algorithm_type, self.solver_type, self.lower_order_final)
        return _parts(self, DPMSinglestep(*form, parts=_learned(self)))


@dataclass(frozen=True, repr=False)
class DPMSolverMultistepInverse(Spaced, OnEither):
    """DPM-Solver multistep from data to noise (`spacings.Inverse`). The SDE algorithms cannot run in this direction.

    Args:
        prediction_type: what the model's output is: "epsilon", "sample", "v_prediction" or "flow_prediction".
        timestep_spacing: see `Spaced`.
        final_sigmas_type: "zero" alone.
        solver_order: as for `DPMSolverMultistep`.
        algorithm_type: as for `DPMSolverMultistep`.
        solver_type: as for `DPMSolverMultistep`.
        euler_at_final: as for `DPMSolverMultistep`.
        lambda_min_clipped: as for `DPMSolverMultistep`.
        rescale_betas_zero_snr: as for `DPMSolverMultistep`.
        use_lu_lambdas: as for `DPMSolverMultistep`.
        variance_type: as for `DPMSolverMultistep`.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> ms.DPMSolverMultistepInverse().plan(4).timesteps.tolist()
        [0.0, 250.0, 500.0, 749.0]
    """

    prediction_type: EitherPredicted = "epsilon"  # type: ignore[assignment]  # wider than on the discrete path
    timestep_spacing: TimestepSpacing = "linspace"
    final_sigmas_type: Literal["zero"] = "zero"
    solver_order: int = 2
    algorithm_type: Algorithm = "dpmsolver++"
    solver_type: Rule = "midpoint"
    euler_at_final: bool = False
    lambda_min_clipped: float = -math.inf
    rescale_betas_zero_snr: bool = False
    use_lu_lambdas: bool = False
    variance_type: ModelVariance | None = None

    def parts(self) -> Parts:
        form = (self.solver_order, self.algorithm_type, self.solver_type, self.lower_order_final)
        solver = DPMMultistep(*form, parts=_learned(self), euler_at_final=self.euler_at_final)
        parts = _parts(self, solver, spare=False)
        return parts._replace(spacing=Inverse(Chain(parts.spacing.links)))


@dataclass(frozen=True, repr=False)
class CogVideoXDPM(CogVideoXDDIM):
    """CogVideoX's SDE-DPM-Solver++(2M). The step to the level of timestep 0, with `set_alpha_to_one=False`, has order
    1.

    Example:
        >>> plan = ms.CogVideoXDPM().plan(4)
        >>> plan.stochastic, plan.noise_draws, plan.weak_order
        (True, 1, 2)
    """

    def parts(self) -> Parts:
        last = not self.set_alpha_to_one
        solver = DPMMultistep(algorithm_type="sde-dpmsolver++", lower_order_final=False, euler_at_final=last)
        return super().parts()._replace(solver=solver)


@dataclass(frozen=True, repr=False)
class EDMDPMSolverMultistep(OnEDM, Thresholded):
    """DPM-Solver++ multistep on the noise levels of EDM (Karras et al. 2022, arXiv 2206.00364); order 2, or 1 with
    solver_order 1.

    Args:
        solver_order: as for `DPMSolverMultistep`.
        algorithm_type: as for `DPMSolverMultistep`.
        solver_type: as for `DPMSolverMultistep`.
        lower_order_final: whether the last steps use fewer values of the model.
        euler_at_final: whether the last step has order 1.
        final_sigmas_type: where a run ends: at 0 ("zero") or at sigma_min ("sigma_min").

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.EDMDPMSolverMultistep().plan(4)
        >>> plan.sigmas.round(3).tolist(), plan.order
        ([80.0, 9.723, 0.47, 0.002, 0.0], 2)
    """

    solver_order: int = 2
    algorithm_type: Algorithm = "dpmsolver++"
    solver_type: Rule = "midpoint"
    lower_order_final: bool = True
    euler_at_final: bool = False
    final_sigmas_type: FinalSigmas = "zero"

    def parts(self) -> Parts:
        form = (self.solver_order, self.algorithm_type, self.solver_type, self.lower_order_final)
        return self._edm(DPMMultistep(*form, euler_at_final=self.euler_at_final), self.final_sigmas_type)


@dataclass(frozen=True, repr=False)
class CosineDPMSolverMultistep(OnEDM, Thresholded):
    """Stable Audio's SDE-DPM-Solver++ multistep; 2 / pi * arctan(sigma) is passed to the model. Each step draws noise
    of its own.

    Args:
        sigma_min: see `OnEDM`.
        sigma_max: see `OnEDM`.
        sigma_data: see `OnEDM`.
        sigma_schedule: see `OnEDM`.
        prediction_type: see `OnEDM`.
        solver_order: as for `DPMSolverMultistep`.
        algorithm_type: as for `DPMSolverMultistep`.
        solver_type: as for `DPMSolverMultistep`.
        lower_order_final: whether the last steps use fewer values of the model.
        euler_at_final: whether the last step has order 1.
        final_sigmas_type: where a run ends: at 0 ("zero") or at sigma_min ("sigma_min").

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.CosineDPMSolverMultistep().plan(4)
        >>> plan.sigmas.round(2).tolist(), plan.stochastic
        ([500.0, 42.17, 3.56, 0.3, 0.0], True)
    """

    sigma_min: float = 0.3
    sigma_max: float = 500.0
    sigma_data: float = 1.0
    sigma_schedule: Literal["karras", "exponential"] = "exponential"
    prediction_type: Literal["epsilon", "v_prediction"] = "v_prediction"
    solver_order: int = 2
    algorithm_type: Algorithm = "sde-dpmsolver++"
    solver_type: Rule = "midpoint"
    lower_order_final: bool = True
    euler_at_final: bool = False
    final_sigmas_type: FinalSigmas = "zero"

    def parts(self) -> Parts:
        form = (self.solver_order, self.algorithm_type, self.solver_type, self.lower_order_final)
        solver = DPMMultistep(*form, euler_at_final=self.euler_at_final)
        return self._edm(solver, self.final_sigmas_type, "arctan")
