"""DDIM on the discrete variance-preserving schedule."""

from dataclasses import dataclass

from multisched import solvers
from multisched.predictions import Prediction
from multisched.schedulers.base import Parts, Recipe
from multisched.schedules import DiscreteVP, checks
from multisched.schedules.vp import trained
from multisched.step import Clip, DynamicThreshold, Transform


@dataclass(frozen=True)
class DDIM(Recipe):
    """Denoising diffusion implicit models (Song et al. 2020, arXiv 2010.02502); order 1.

    Option names and defaults are diffusers'; the last three are not options there.

    Args:
        num_train_timesteps, beta_start, beta_end, beta_schedule, trained_betas, rescale_betas_zero_snr,
            timestep_spacing, steps_offset, set_alpha_to_one, previous_timestep: the schedule, see
            `schedules.DiscreteVP`.
        prediction_type: "epsilon", "sample" or "v_prediction".
        clip_sample, clip_sample_range: whether x0 is cut, and to what absolute value.
        thresholding, dynamic_thresholding_ratio, sample_max_value: whether x0 is thresholded instead, see
            `step.DynamicThreshold`.
        eta: 0 is deterministic, 1 is DDPM.
        use_clipped_model_output: whether the noise is taken from the clipped x0.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: tuple[float, ...] | None = None
    clip_sample: bool = True
    set_alpha_to_one: bool = True
    steps_offset: int = 0
    prediction_type: str = "epsilon"
    thresholding: bool = False
    dynamic_thresholding_ratio: float = 0.995
    clip_sample_range: float = 1.0
    sample_max_value: float = 1.0
    timestep_spacing: str = "leading"
    rescale_betas_zero_snr: bool = False
    eta: float = 0.0
    use_clipped_model_output: bool = False
    previous_timestep: str = "list"

    def __post_init__(self) -> None:
        if self.trained_betas is not None:
            object.__setattr__(self, "trained_betas", trained(self.trained_betas))
        checks.option("prediction_type", self.prediction_type, ("epsilon", "sample", "v_prediction"))
        super().__post_init__()

    def parts(self) -> Parts:
        schedule = DiscreteVP(
            num_train_timesteps=self.num_train_timesteps,
            beta_start=self.beta_start,
            beta_end=self.beta_end,
            beta_schedule=self.beta_schedule,
            trained_betas=self.trained_betas,
            rescale_betas_zero_snr=self.rescale_betas_zero_snr,
            timestep_spacing=self.timestep_spacing,
            steps_offset=self.steps_offset,
            final_sigmas_type="zero" if self.set_alpha_to_one else "sigma_min",
            previous_timestep=self.previous_timestep,
        )
        solver = solvers.DDIM(self.eta, self.use_clipped_model_output)
        clip = Clip(self.clip_sample_range)
        threshold = DynamicThreshold(self.dynamic_thresholding_ratio, self.sample_max_value)
        change: Transform | None = threshold if self.thresholding else clip if self.clip_sample else None
        return Parts(schedule, Prediction(self.prediction_type), solver, denoised_transform=change)

    def _get_variance(self, timestep: int, prev_timestep: int) -> float:
        """Variance that eta = 1 gives a step between two timesteps (arXiv 2010.02502, eq. 16); a negative
        `prev_timestep` is the end of a run.

        sigma_prev^2 / sigma^2 * (1 - alpha^2 / alpha_prev^2)
        """
        schedule = self.parts().schedule
        ends = schedule.grid(timesteps=[0])
        alpha, sigma = schedule.levels(timestep)
        next_alpha, next_sigma = (
            schedule.levels(prev_timestep) if prev_timestep >= 0 else (ends.alphas[-1], ends.sigmas[-1])
        )
        return float((next_sigma / sigma) ** 2 * (1 - (alpha / next_alpha) ** 2))
