"""DDIM and its kin on the discrete variance-preserving schedule."""

from dataclasses import dataclass

from multisched import solvers
from multisched.schedulers.base import Parts
from multisched.schedulers.options import Clipped, Spaced, Thresholded, final
from multisched.schedules import Ascending


@dataclass(frozen=True)
class _VP(Spaced):
    rescale_betas_zero_snr: bool = False


@dataclass(frozen=True)
class DDIM(Thresholded, Clipped, _VP):
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

    set_alpha_to_one: bool = True
    eta: float = 0.0
    use_clipped_model_output: bool = False
    previous_timestep: str = "list"

    def parts(self) -> Parts:
        return self._parts(self._build(solvers.DDIM), final_sigmas_type=final(self.set_alpha_to_one))

    def _get_variance(self, timestep: int, prev_timestep: int) -> float:
        """Variance that eta = 1 gives a step between two timesteps (arXiv 2010.02502, eq. 16); a negative
        `prev_timestep` is the end of a run.

        sigma_prev^2 / sigma^2 * (1 - alpha^2 / alpha_prev^2)
        """
        schedule = self.parts().schedule
        ends = schedule.grid(timesteps=[0])
        end = (ends.alphas[-1], ends.sigmas[-1])
        alpha, sigma = schedule.levels(timestep)
        next_alpha, next_sigma = schedule.levels(prev_timestep) if prev_timestep >= 0 else end
        return float((next_sigma / sigma) ** 2 * (1 - (alpha / next_alpha) ** 2))


@dataclass(frozen=True)
class DDIMInverse(Clipped, _VP):
    """DDIM from data to noise on `schedules.Ascending`; order 1. Options as `DDIM`'s.

    It begins where `DDIM` ends. Without noise there, a model that predicts the sample says nothing of the noise, so
    that takes `set_alpha_to_one=False`.
    """

    set_alpha_to_one: bool = True
    previous_timestep: str = "list"

    def parts(self) -> Parts:
        return self._parts(solvers.DDIM(), Ascending, final_sigmas_type=final(self.set_alpha_to_one))


@dataclass(frozen=True)
class CogVideoXDDIM(_VP):
    """DDIM with a shifted signal-to-noise ratio (Yang et al. 2024, arXiv 2408.06072); order 1. Options as `DDIM`'s, and
    `snr_shift_scale`, see `schedules.DiscreteVP`."""

    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "scaled_linear"
    set_alpha_to_one: bool = True
    snr_shift_scale: float = 3.0
    previous_timestep: str = "list"

    def parts(self) -> Parts:
        # Its checkpoints were trained on betas in float64, of this one schedule.
        double = self.beta_schedule == "scaled_linear" and self.trained_betas is None
        return self._parts(
            solvers.Euler(),
            final_sigmas_type=final(self.set_alpha_to_one),
            precision="float64" if double else "float32",
        )
