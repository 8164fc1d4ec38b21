"""DEIS, UniPC and SA-Solver on the discrete variance-preserving path, or on the straight path of flow matching."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from multisched.errors import ScheduleError
from multisched.paths.base import Path
from multisched.paths.discrete import Discrete
from multisched.paths.straight import Straight
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import FINITE, FinalSigmas, Spaced, spacing_of_sigmas, threshold
from multisched.solvers import ExponentialAdams, Solver
from multisched.solvers.exponential import ORDERS
from multisched.spacings.base import Chain, DynamicShift, End, Link, TimeShift
from multisched.spacings.change import Cap, Respace, RespaceRatios, Round, Shift, Terminal
from multisched.spacings.placement import Even, Linspace, Numbered
from multisched.spacings.trained import TimestepSpacing
from multisched.table.plan import Plan
from multisched.transforms import Transform
from multisched.values import check_options, count, shown

ModelVariance = Literal["learned", "learned_range"]
"""What a model may give beside the noise."""

VARIANCES = get_args(ModelVariance)
EitherPredicted = Literal["epsilon", "sample", "v_prediction", "flow_prediction"]


@dataclass(frozen=True, repr=False)
class OnEither(Recipe):
    """A multistep recipe on the discrete path or on the straight one.

    Args:
        use_karras_sigmas: whether the ratios sigma / alpha are even in their power 1/7.
        use_exponential_sigmas: whether they are even in their logarithm.
        use_beta_sigmas: whether they are quantiles of a Beta(0.6, 0.6) law.
        thresholding: whether x0 is thresholded (`transforms.DynamicThreshold`).
        dynamic_thresholding_ratio: the quantile of |x0| that it is cut to, in (0, 1].
        sample_max_value: the most that this may be, at least 1.
        lower_order_final: whether the last steps use fewer values of the model.
        use_flow_sigmas: whether the path is the straight one.
        flow_shift: factor of `spacings.Shift` there.
        use_dynamic_shifting: whether each run is shifted there by a `mu` of its own instead.
        time_shift_type: "exponential" or "linear", see `spacings.DynamicShift`.
        final_sigmas_type: where a run ends: at x0 ("zero") or at the level of timestep 0 ("sigma_min").
        sigma_min: the last of spaced ratios; None for that of timestep 0.
        sigma_max: the first of spaced ratios; None for that of timestep T - 1.
    """

    use_karras_sigmas: bool = False
    use_exponential_sigmas: bool = False
    use_beta_sigmas: bool = False
    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    sample_max_value: float = 1.0
    lower_order_final: bool = True
    use_flow_sigmas: bool = False
    flow_shift: float = 1.0
    use_dynamic_shifting: bool = False
    time_shift_type: TimeShift = "exponential"
    final_sigmas_type: FinalSigmas = "zero"
    sigma_min: float | None = field(default=None, kw_only=True)
    sigma_max: float | None = field(default=None, kw_only=True)

    def plan(self, n: int | None = None, **arguments: Any) -> Plan:
        """As `Recipe.plan`; mu is of the straight path, and of no use where its levels are spaced anew."""
        if arguments.get("mu") is not None and not self.use_flow_sigmas:
            raise ScheduleError(
                f"mu={shown(arguments['mu'])} has no use: it shifts the straight path, and use_flow_sigmas is off, "
                "which chooses that."
            )
        if spacing_of_sigmas(self) is not None and self.use_dynamic_shifting:
            arguments["mu"] = None
        return super().plan(n, **arguments)

    def _change(self) -> Transform | None:
        return threshold(self)

    def _parts(self, path: Path, links: tuple[Link, ...], solver: Solver) -> Parts:
        """The parts, with what all of these recipes share."""
        check_options(self, positive=("flow_shift",))
        prediction = Prediction(self.prediction_type)  # type: ignore[attr-defined]
        return Parts(path, Chain(links), prediction, solver, denoised_transform=self._change())

    def _respace(self, trained: Discrete) -> Respace | None:
        """The ratios of their own spacing, between the ends of the training run or sigma_max and sigma_min."""
        check_options(self, positive=("flow_shift",))
        kind, (top, bottom) = spacing_of_sigmas(self), trained.ends
        return None if kind is None else Respace(kind, self.sigma_max or top, self.sigma_min or bottom)

    def _end(self) -> End:
        return End(0.0 if self.final_sigmas_type == "zero" else "sigma_min")

    def _on_discrete(self, path: Discrete, placed: Numbered, respace: Respace | None) -> tuple[Link, ...]:
        """Runs on the discrete path."""
        if respace is None:
            return (placed, self._end(), Round("down"))
        return (placed, respace, self._end(), Round("nearest" if respace.kind == "karras" else "down"))

    def _on_straight(self, respace: Respace | None, even: Even, *more: Link) -> tuple[Link, ...]:
        """Runs on the straight path, from 1 - 1 / T to 0 by default."""
        if respace is not None:
            spaced = RespaceRatios(respace.kind, respace.top, respace.bottom)
            return (even, spaced, *(one for one in more if not isinstance(one, Terminal)), self._end(), Round("down"))
        shift = DynamicShift(self.time_shift_type) if self.use_dynamic_shifting else Shift(self.flow_shift)
        return (even, shift, *more, self._end(), Round("down"))


def placed(recipe: Any, respaced: bool, lambda_min: float = -math.inf) -> Numbered:
    """The timesteps of a run, one more than it has; only their number counts where ratios are spaced anew."""
    return Linspace(True, True, lambda_min=lambda_min) if respaced else recipe._numbered(True, True, lambda_min)


def even_of(recipe: Any) -> Even:
    """Levels from 1 - 1 / T to 0, which is left out."""
    if recipe.num_train_timesteps < 2:
        raise ScheduleError("use_flow_sigmas needs num_train_timesteps of at least 2; given 1.")
    return Even(1 - 1 / recipe.num_train_timesteps, 0.0, True)


@dataclass(frozen=True, repr=False)
class DEISMultistep(Spaced, OnEither):
    """Diffusion exponential integrator sampler (Zhang and Chen 2022, arXiv 2204.13902); order min(solver_order, 2).

    Args:
        prediction_type: what the model's output is: "epsilon", "sample", "v_prediction" or "flow_prediction".
        timestep_spacing: see `Spaced`.
        solver_order: values of the model that a step uses. With `lower_order_final` the last steps use fewer, in runs
            of fewer than 15.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> recipe = ms.DEISMultistep(solver_order=3)
        >>> recipe.plan(20).order, recipe.plan(20).timesteps[:3].tolist()
        (2, [999.0, 949.0, 899.0])
    """

    prediction_type: EitherPredicted = "epsilon"  # type: ignore[assignment]  # wider than on the discrete path
    timestep_spacing: TimestepSpacing = "linspace"
    solver_order: int = 2

    def parts(self) -> Parts:
        check_options(self, counts={"solver_order": ORDERS})
        falling = 15 if self.lower_order_final else 0
        solver = ExponentialAdams(data=False, predictor=self.solver_order, falling=falling)
        path = Discrete(self._betas())
        respace = self._respace(path)
        if self.use_flow_sigmas:
            return self._parts(Straight(self.num_train_timesteps), self._on_straight(respace, even_of(self)), solver)
        return self._parts(path, self._on_discrete(path, placed(self, respace is not None), respace), solver)


def unipc(recipe: Any) -> Solver:
    """The solver of UniPC's options."""
    check_options(recipe, counts={"solver_order": ORDERS})
    return ExponentialAdams(
        data=recipe.predict_x0,
        predictor=recipe.solver_order,
        corrector=recipe.solver_order + 1,
        rule=recipe.solver_type,
        falling=math.inf if recipe.lower_order_final else 0,
        disable_corrector=recipe.disable_corrector,
        solver_p=recipe.solver_p,
    )


@dataclass(frozen=True, repr=False)
class UniPCMultistep(Spaced, OnEither):
    """Unified predictor-corrector (Zhao et al. 2023, arXiv 2302.04867); order 2, since the last step has one value, or
    min(solver_order + 1, 3) without `lower_order_final`.

    Args:
        prediction_type: what the model's output is: "epsilon", "sample", "v_prediction" or "flow_prediction".
        timestep_spacing: see `Spaced`.
        solver_order: values of the model that a step uses.
        predict_x0: whether the solver's polynomials are of x0 rather than of the noise.
        solver_type: B(h) of the paper, "bh1" for h or "bh2" for e^h - 1; with more than two values it drops out.
        disable_corrector: steps whose correction is left out.
        solver_p: another solver to predict with, or None.
        rescale_betas_zero_snr: whether the last timestep is made (almost) pure noise.
        shift_terminal: the last level before 0 of the straight path (`spacings.Terminal`), or None.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.UniPCMultistep(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0).plan(4)
        >>> plan.sigmas.round(3).tolist(), plan.order
        ([1.0, 0.9, 0.75, 0.501, 0.0], 2)
    """

    prediction_type: EitherPredicted = "epsilon"  # type: ignore[assignment]  # wider than on the discrete path
    timestep_spacing: TimestepSpacing = "linspace"
    solver_order: int = 2
    predict_x0: bool = True
    solver_type: Literal["bh1", "bh2"] = "bh2"
    disable_corrector: tuple[int, ...] = ()
    solver_p: Solver | None = None
    rescale_betas_zero_snr: bool = False
    shift_terminal: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.disable_corrector, list):
            object.__setattr__(self, "disable_corrector", tuple(self.disable_corrector))
        super().__post_init__()

    def parts(self) -> Parts:
        if self.shift_terminal is not None and not self.use_flow_sigmas:
            raise ScheduleError(f"shift_terminal belongs to use_flow_sigmas; given {self.shift_terminal!r}.")
        path = Discrete(self._betas(), terminal_alpha_bar=FINITE if self.rescale_betas_zero_snr else None)
        respace = self._respace(path)
        if self.use_flow_sigmas:
            more = () if self.shift_terminal is None else (Terminal(self.shift_terminal),)
            links = self._on_straight(respace, Even(1.0, None, True), *more, Cap(1 - 1e-6))
            return self._parts(Straight(self.num_train_timesteps), links, unipc(self))
        return self._parts(path, self._on_discrete(path, placed(self, respace is not None), respace), unipc(self))


@dataclass(frozen=True, repr=False)
class SASolver(Spaced, OnEither):
    """Stochastic Adams predictor and corrector (Xue et al. 2023, arXiv 2309.05019); with tau = 0 of order
    min(corrector_order, 2), or min(predictor_order + 1, corrector_order, 3) without `lower_order_final`.

    Args:
        prediction_type: what the model's output is: "epsilon", "sample", "v_prediction" or "flow_prediction".
        timestep_spacing: see `Spaced`.
        predictor_order: values of the model that a step uses.
        corrector_order: those that its correction uses, the new one included; 0 for none.
        algorithm_type: "data_prediction" or "noise_prediction", which the solver's polynomials are of.
        lambda_min_clipped: timesteps whose log(alpha / sigma) is below this are not visited.
        variance_type: "learned" or "learned_range" where a model of the noise also gives a variance, not used here.
        tau: amount of noise; 0 for the probability flow.
        tau_start: the timestep from which it is added.
        tau_end: the timestep up to which it is added.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.SASolver().plan(10)
        >>> plan.stochastic, plan.weak_order
        (True, 2)
    """

    prediction_type: EitherPredicted = "epsilon"  # type: ignore[assignment]  # wider than on the discrete path
    timestep_spacing: TimestepSpacing = "linspace"
    predictor_order: int = 2
    corrector_order: int = 2
    algorithm_type: Literal["data_prediction", "noise_prediction"] = "data_prediction"
    lambda_min_clipped: float = -math.inf
    variance_type: ModelVariance | None = None
    tau: float = 1.0
    tau_start: float = 200.0
    tau_end: float = 800.0

    def parts(self) -> Parts:
        check_options(self, counts={"predictor_order": ORDERS})
        count("corrector_order", self.corrector_order, ORDERS + 1, least=0)
        path = Discrete(self._betas())
        respace = self._respace(path)
        if self.use_flow_sigmas:
            links = self._on_straight(respace, even_of(self))
            return self._parts(Straight(self.num_train_timesteps), links, self._solver())
        numbers = placed(self, respace is not None, self.lambda_min_clipped)
        return self._parts(path, self._on_discrete(path, numbers, respace), self._solver())

    def _solver(self) -> Solver:
        data = self.algorithm_type == "data_prediction"
        return ExponentialAdams(
            data=data,
            predictor=self.predictor_order,
            corrector=self.corrector_order,
            rule="bh1" if data else "exact",
            falling=math.inf if self.lower_order_final else 0,
            tau=self.tau,
            tau_start=self.tau_start,
            tau_end=self.tau_end,
            parts=2 if self.variance_type and self.prediction_type == "epsilon" else 1,
        )
