"""Options that several recipes share, under diffusers' names, and the parts that follow from them."""

import warnings
from dataclasses import dataclass, field, fields, replace
from typing import Any

from multisched.errors import ScheduleError
from multisched.grid import Clock
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedules import DiscreteVP, checks, ratios
from multisched.solvers import Solver
from multisched.transforms import Clip, DynamicThreshold, Transform

STEP_OPTIONS = ("omega", "eta", "use_clipped_model_output", "s_churn", "s_tmin", "s_tmax", "s_noise")
PREDICTIONS = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True, repr=False)
class Trained(Recipe):
    """A recipe on a discrete training schedule."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: tuple[float, ...] | None = None

    _lists = ("trained_betas",)


@dataclass(frozen=True, repr=False)
class Spaced(Trained):
    """The same on timesteps of a chosen spacing."""

    prediction_type: str = "epsilon"
    timestep_spacing: str = "leading"
    steps_offset: int = 0

    def _parts(self, solver: Solver, kind: type[DiscreteVP] = DiscreteVP, **options: Any) -> Parts:
        """The parts, with further options of the schedule."""
        checks.option("prediction_type", self.prediction_type, PREDICTIONS)
        schedule = self._build(kind, **options)
        return Parts(schedule, Prediction(self.prediction_type), solver, denoised_transform=self._change())


@dataclass(frozen=True, repr=False)
class Clocked(Recipe):
    """A recipe whose timesteps may be computed as another library does (`grid.Clock`); None for exactly."""

    clock: Clock | None = field(default=None, kw_only=True)


@dataclass(frozen=True, repr=False)
class Respaced(Clocked, Trained):
    """The same with sigmas of their own spacing, between the ends of the run, or sigma_min and sigma_max."""

    use_karras_sigmas: bool = False
    use_exponential_sigmas: bool = False
    use_beta_sigmas: bool = False
    prediction_type: str = "epsilon"
    sigma_min: float | None = field(default=None, kw_only=True)
    sigma_max: float | None = field(default=None, kw_only=True)


def spacing_of_sigmas(recipe: Recipe) -> str | None:
    """The kind of `schedules.ratios` that the flags use_... of a recipe ask for."""
    flags = ("karras_sigmas", "exponential_sigmas", "beta_sigmas", "lu_lambdas")
    return ratios.one_kind(**{flag: getattr(recipe, f"use_{flag}", False) for flag in flags})


def final(set_alpha_to_one: bool) -> str:
    """The `final_sigmas_type` of `schedules.DiscreteVP` that this option of diffusers stands for."""
    return "zero" if set_alpha_to_one else "sigma_min"


@dataclass(frozen=True, repr=False)
class Clipped(Recipe):
    """A recipe that may cut x0."""

    clip_sample: bool = True
    clip_sample_range: float = 1.0

    def _change(self) -> Transform | None:
        change = Clip(self.clip_sample_range) if self.clip_sample or self.strict else None
        return change if self.clip_sample else None


@dataclass(frozen=True, repr=False)
class Thresholded(Recipe):
    """A recipe that may threshold x0, in place of any other change."""

    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    sample_max_value: float = 1.0

    def _change(self) -> Transform | None:
        ratio, most = self.dynamic_thresholding_ratio, self.sample_max_value
        if self.strict and not 0 < ratio <= 1:
            raise ScheduleError(f"dynamic_thresholding_ratio must be in (0, 1]; given {ratio!r}.")
        if self.strict and not most >= 1:
            raise ScheduleError(f"sample_max_value must be at least 1; given {most!r}.")
        other = super()._change()
        return DynamicThreshold(ratio, most) if self.thresholding else other


def with_options(recipe: Recipe, **options: Any) -> Recipe:
    """The recipe with other options for a step: those of `STEP_OPTIONS` that are not None.

    Raises:
        ScheduleError: if the recipe does not have an option, but for omega, which it warns of.
    """
    wanted = {name: value for name, value in options.items() if value is not None}
    if not wanted:
        return recipe
    name, known = type(recipe).__name__, {field.name for field in fields(recipe)}
    takes = [option for option in STEP_OPTIONS if option in known]
    if "omega" in wanted and "omega" not in known and wanted.pop("omega"):
        warnings.warn(f"{name} has no omega; the step is taken without.", UserWarning, stacklevel=4)
    if unknown := [option for option in wanted if option not in takes]:
        raise ScheduleError(f"a step of {name} has no option {unknown[0]!r}; it takes {', '.join(takes) or 'none'}.")
    found: Recipe = replace(recipe, **wanted)
    return recipe if found == recipe else found
