"""Options that several recipes share, under diffusers' names, and the parts that follow from them."""

from dataclasses import dataclass
from typing import Any

from multisched.schedulers.base import Recipe
from multisched.schedules import DiscreteVP, ratios
from multisched.schedules.vp import trained
from multisched.transforms import Clip, DynamicThreshold, Transform


@dataclass(frozen=True)
class Trained(Recipe):
    """A recipe on a discrete training schedule."""

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.trained_betas is not None:
            object.__setattr__(self, "trained_betas", trained(self.trained_betas))
        super().__post_init__()

    def _vp(self, **options: Any) -> DiscreteVP:
        """The schedule, with further options of `schedules.DiscreteVP`."""
        names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
        return DiscreteVP(**{name: getattr(self, name) for name in names}, **options)


@dataclass(frozen=True)
class Respaced(Trained):
    """The same with sigmas of their own spacing."""

    use_karras_sigmas: bool = False
    use_exponential_sigmas: bool = False
    use_beta_sigmas: bool = False

    def _sigma_schedule(self, **more: bool) -> str | None:
        """The kind of `schedules.ratios` that the flags ask for."""
        return ratios.one_kind(
            karras_sigmas=self.use_karras_sigmas,
            exponential_sigmas=self.use_exponential_sigmas,
            beta_sigmas=self.use_beta_sigmas,
            **more,
        )


def clip(clip_sample: bool, clip_sample_range: float) -> Transform | None:
    """x0 cut, if so."""
    change = Clip(clip_sample_range)
    return change if clip_sample else None


def threshold(thresholding: bool, dynamic_thresholding_ratio: float, sample_max_value: float) -> Transform | None:
    """x0 thresholded, if so."""
    change = DynamicThreshold(dynamic_thresholding_ratio, sample_max_value)
    return change if thresholding else None
