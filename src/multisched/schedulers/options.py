"""Groups of options that several recipes share, under diffusers' names."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from multisched.errors import ScheduleError
from multisched.paths.betas import BetaSchedule
from multisched.paths.discrete import Betas, Discrete, Precision, TimestepType
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.solvers import Solver
from multisched.spacings.base import Chain, End, Link
from multisched.spacings.change import Respace
from multisched.spacings.levels import Kind
from multisched.spacings.placement import Numbered, numbered
from multisched.spacings.trained import TimestepSpacing
from multisched.transforms import Clip, DynamicThreshold, Transform

Predicted = Literal["epsilon", "sample", "v_prediction"]
FinalSigmas = Literal["zero", "sigma_min"]
FINITE = 2.0**-24
"""alpha_bar of the last timestep of paths with zero terminal SNR on which the ratio sigma / alpha must be finite."""


class OnTraining(Recipe):
    """What recipes on the path of a discrete training run share, whichever of its options they have."""

    num_train_timesteps: int
    beta_start: float
    beta_end: float
    beta_schedule: BetaSchedule
    trained_betas: tuple[float, ...] | None

    _lists = ("trained_betas",)

    def _betas(self, precision: Precision = "float32") -> Betas:
        ends = (self.num_train_timesteps, self.beta_start, self.beta_end)
        return Betas(*ends, self.beta_schedule, self.trained_betas, precision, self.strict)


@dataclass(frozen=True, repr=False)
class Trained(OnTraining):
    """A recipe on the path of a discrete training run.

    Args:
        num_train_timesteps: T, the length of the training run.
        beta_start: the first beta, of schedules that have one.
        beta_end: the last beta, likewise.
        beta_schedule: "linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace" or "exp".
        trained_betas: (T,) custom betas instead.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: BetaSchedule = "linear"
    trained_betas: tuple[float, ...] | None = None


@dataclass(frozen=True, repr=False)
class Spaced(OnTraining):
    """A recipe on timesteps of a discrete training run.

    Args:
        num_train_timesteps: T, the length of the training run.
        beta_start: the first beta, of schedules that have one.
        beta_end: the last beta, likewise.
        beta_schedule: "linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace" or "exp".
        trained_betas: (T,) custom betas instead.
        prediction_type: what the model's output is: "epsilon", "sample" or "v_prediction".
        timestep_spacing: "leading", "trailing", "linspace", "simple", "sgm_uniform" or "ddim_uniform".
        steps_offset: added to the timesteps of "leading".
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: BetaSchedule = "linear"
    trained_betas: tuple[float, ...] | None = None
    prediction_type: Predicted = "epsilon"
    timestep_spacing: TimestepSpacing = "leading"
    steps_offset: int = 0

    def _numbered(self, spare: bool = False, whole: bool = True, lambda_min: float = -math.inf) -> Numbered:
        return numbered(self.timestep_spacing, self.steps_offset, spare, whole, lambda_min)

    def _prediction(self) -> Prediction:
        return Prediction(self.prediction_type)

    def _on_sigma(
        self, solver: Solver, *more: Link, terminal: float | None = None, told: TimestepType = "discrete"
    ) -> Parts:
        """The parts on x0 + sigma * noise, with links before the end, or with another end as the last of them."""
        path = Discrete(self._betas(), 1.0, terminal, "ve", told)
        prior = float(self.timestep_spacing == "leading")
        end = next((one for one in more if isinstance(one, End)), End())
        inner = [one for one in more if not isinstance(one, End)]
        links = [self._numbered(whole=False)] if not any(isinstance(one, Numbered) for one in inner) else []
        before = [one for one in inner if not one.closing]
        after = [one for one in inner if one.closing]
        chain = Chain((*links, *before, End(end.to, prior), *after))
        return Parts(path, chain, self._prediction(), solver, denoised_transform=self._change())


@dataclass(frozen=True, repr=False)
class Respaced(Recipe):
    """A recipe whose sigmas may have a spacing of their own.

    Args:
        use_karras_sigmas: even in sigma^(1/7).
        use_exponential_sigmas: even in log(sigma).
        use_beta_sigmas: quantiles of a Beta(0.6, 0.6) law.
        sigma_min: the last of them; None for the last of the run.
        sigma_max: the first of them; None for the first of the run.
    """

    use_karras_sigmas: bool = False
    use_exponential_sigmas: bool = False
    use_beta_sigmas: bool = False
    sigma_min: float | None = field(default=None, kw_only=True)
    sigma_max: float | None = field(default=None, kw_only=True)

    def _respace(self) -> tuple[Respace, ...]:
        kind = spacing_of_sigmas(self)
        return () if kind is None else (Respace(kind, self.sigma_max, self.sigma_min),)


_KINDS: dict[str, Kind] = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta",
    "use_lu_lambdas": "lu",
}


def spacing_of_sigmas(recipe: Any) -> Kind | None:
    """The kind of `spacings.levels` that the flags use_... of a recipe ask for, or None.

    Raises:
        ScheduleError: if more than one is set.
    """
    chosen = [name for name in _KINDS if getattr(recipe, name, False)]
    if len(chosen) > 1:
        raise ScheduleError(f"a grid has one spacing of its sigmas; given {' and '.join(chosen)}.")
    return _KINDS[chosen[0]] if chosen else None


def end_of(set_alpha_to_one: bool) -> End:
    """The end that this option stands for."""
    return End() if set_alpha_to_one else End("sigma_min")


def clip(recipe: Any) -> Transform | None:
    """The cut that clip_sample and clip_sample_range of a recipe ask for."""
    change = Clip(recipe.clip_sample_range) if recipe.clip_sample or recipe.strict else None
    return change if recipe.clip_sample else None


def threshold(recipe: Any, other: Transform | None = None) -> Transform | None:
    """The thresholding that the options of a recipe ask for, or else another change."""
    ratio, most = recipe.dynamic_thresholding_ratio, recipe.sample_max_value
    if recipe.strict and not 0 < ratio <= 1:
        raise ScheduleError(f"dynamic_thresholding_ratio must be in (0, 1]; given {ratio!r}.")
    if recipe.strict and not most >= 1:
        raise ScheduleError(f"sample_max_value must be at least 1; given {most!r}.")
    return DynamicThreshold(ratio, most) if recipe.thresholding else other


@dataclass(frozen=True, repr=False)
class Thresholded(Recipe):
    """A recipe that may threshold x0.

    Args:
        thresholding: whether x0 is thresholded (`transforms.DynamicThreshold`).
        dynamic_thresholding_ratio: the quantile of |x0| that it is cut to, in (0, 1].
        sample_max_value: the most that this may be, at least 1.
    """

    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    sample_max_value: float = 1.0

    def _change(self) -> Transform | None:
        return threshold(self)


@dataclass(frozen=True, repr=False)
class Cut(Recipe):
    """A recipe that may cut or threshold x0.

    Args:
        clip_sample: whether x0 is cut.
        clip_sample_range: the absolute value it is cut to.
        thresholding: whether x0 is thresholded instead (`transforms.DynamicThreshold`).
        dynamic_thresholding_ratio: the quantile of |x0| that it is thresholded to, in (0, 1].
        sample_max_value: the most that this may be, at least 1.
    """

    clip_sample: bool = True
    clip_sample_range: float = 1.0
    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    sample_max_value: float = 1.0

    def _change(self) -> Transform | None:
        return threshold(self, clip(self))
