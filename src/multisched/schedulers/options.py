"""Groups of options that several recipes share, under diffusers' names."""

import math
from dataclasses import dataclass, field
from typing import Any

from multisched import checks
from multisched.errors import ScheduleError
from multisched.paths.discrete import Betas, Discrete
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.solvers import Solver
from multisched.spacings.base import Chain, End, Link
from multisched.spacings.change import Respace
from multisched.spacings.placement import Numbered, numbered
from multisched.transforms import Clip, DynamicThreshold, Transform

PREDICTIONS = ("epsilon", "sample", "v_prediction")
FINITE = 2.0**-24
"""alpha_bar of the last timestep of paths with zero terminal SNR on which the ratio sigma / alpha must be finite."""


@dataclass(frozen=True, repr=False)
class Trained(Recipe):
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
    beta_schedule: str = "linear"
    trained_betas: tuple[float, ...] | None = None

    _lists = ("trained_betas",)

    def _betas(self, precision: str = "float32") -> Betas:
        ends = (self.num_train_timesteps, self.beta_start, self.beta_end)
        return Betas(*ends, self.beta_schedule, self.trained_betas, precision, self.strict)


@dataclass(frozen=True, repr=False)
class Spaced(Trained):
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
    beta_schedule: str = "linear"
    trained_betas: tuple[float, ...] | None = None
    prediction_type: str = "epsilon"
    timestep_spacing: str = "leading"
    steps_offset: int = 0

    def _numbered(self, spare: bool = False, whole: bool = True, lambda_min: float = -math.inf) -> Numbered:
        return numbered(self.timestep_spacing, self.steps_offset, spare, whole, lambda_min)

    def _prediction(self) -> Prediction:
        checks.option("prediction_type", self.prediction_type, PREDICTIONS)
        return Prediction(self.prediction_type)

    def _on_sigma(self, solver: Solver, *more: Link, terminal: float | None = None, told: str = "discrete") -> Parts:
        """The parts on x0 + sigma * noise, with links before the end, or with another end as the last of them."""
        path = Discrete(self._betas(), 1.0, terminal, "ve", told)  # type: ignore[arg-type]
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


def spacing_of_sigmas(recipe: Any) -> str | None:
    """The kind of `spacings.levels` that the flags use_... of a recipe ask for, or None.

    Raises:
        ScheduleError: if more than one is set.
    """
    flags = {
        "use_karras_sigmas": recipe.use_karras_sigmas,
        "use_exponential_sigmas": recipe.use_exponential_sigmas,
        "use_beta_sigmas": recipe.use_beta_sigmas,
        "use_lu_lambdas": getattr(recipe, "use_lu_lambdas", False),
    }
    chosen = [name for name, on in flags.items() if on]
    if len(chosen) > 1:
        raise ScheduleError(f"a grid has one spacing of its sigmas; given {' and '.join(chosen)}.")
    return chosen[0].removeprefix("use_").partition("_")[0] if chosen else None


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
