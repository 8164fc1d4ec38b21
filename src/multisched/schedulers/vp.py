"""DDIM, DDPM and their kin on variance-preserving schedules, and RePaint on top of them."""

from dataclasses import dataclass

from multisched import solvers
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import Clipped, Spaced, Thresholded, Trained, final
from multisched.schedules import Ascending, Cosine, DiscreteVP, Jumping
from multisched.transforms import Clip
from multisched.values import check_options


@dataclass(frozen=True, repr=False)
class _VP(Spaced):
    rescale_betas_zero_snr: bool = False


@dataclass(frozen=True, repr=False)
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
            `transforms.DynamicThreshold`.
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


@dataclass(frozen=True, repr=False)
class DDIMInverse(Clipped, _VP):
    """DDIM from data to noise on `schedules.Ascending`; order 1. Options as `DDIM`'s.

    It begins where `DDIM` ends. Without noise there, a model that predicts the sample says nothing of the noise, so
    that takes `set_alpha_to_one=False`.
    """

    set_alpha_to_one: bool = True
    previous_timestep: str = "list"

    def parts(self) -> Parts:
        return self._parts(solvers.DDIM(), Ascending, final_sigmas_type=final(self.set_alpha_to_one))


@dataclass(frozen=True, repr=False)
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


@dataclass(frozen=True, repr=False)
class DDPM(Thresholded, Clipped, _VP):
    """Denoising diffusion probabilistic models (Ho et al. 2020, arXiv 2006.11239).

    Options as `DDIM`'s, and `solvers.DDPM`'s. For "learned" and "learned_range" the model's output has twice the
    channels. `final_noise` is a defect of diffusers: with spacings that end above timestep 0 the image keeps it.
    """

    variance_type: str = "fixed_small"
    final_noise: bool = False

    def parts(self) -> Parts:
        return self._parts(self._build(solvers.DDPM))


@dataclass(frozen=True, repr=False)
class UnCLIP(Recipe):
    """DDPM on even steps of the cosine schedule, as unCLIP has it (Ramesh et al. 2022, arXiv 2204.06125).

    Options as `DDPM`'s; variance_type is "fixed_small_log" or "learned_range", prediction_type "epsilon" or "sample".
    table_betas: whether steps of one timestep take the trained betas, rounded apart from the levels; a defect of
    diffusers (`solvers.TableDDPM`).
    """

    num_train_timesteps: int = 1000
    variance_type: str = "fixed_small_log"
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    prediction_type: str = "epsilon"
    table_betas: bool = False

    def parts(self) -> Parts:
        variances = ("fixed_small_log", "learned_range")
        check_options(self, variance_type=variances, prediction_type=("epsilon", "sample"))
        schedule = self._build(DiscreteVP, beta_schedule="squaredcos_cap_v2", timestep_spacing="linspace")
        prediction, change = Prediction(self.prediction_type), Clip(self.clip_sample_range)
        solver = self._build(solvers.TableDDPM if self.table_betas else solvers.DDPM)
        return Parts(schedule, prediction, solver, None, change if self.clip_sample else None)


@dataclass(frozen=True, repr=False)
class DDPMWuerstchen(Recipe):
    """DDPM on the continuous cosine schedule (Pernias et al. 2023, arXiv 2306.00637). Options: `schedules.Cosine`'s."""

    scaler: float = 1.0
    s: float = 0.008

    def parts(self) -> Parts:
        return Parts(self._build(Cosine), Prediction("epsilon"), solvers.DDPM())


@dataclass(frozen=True, repr=False)
class RePaint(Trained):
    """Inpainting (Lugmayr et al. 2022, arXiv 2201.09865). A run is started with `original=`, the image, and `mask=`,
    1 where it is known and 0 where it is to be filled in.

    Options as `DDIM`'s, and `schedules.Jumping`'s; x0 is cut to [-1, 1]. `late_undo` is a defect of diffusers: wherever
    n is not num_train_timesteps, a jump back adds too much noise.
    """

    eta: float = 0.0
    clip_sample: bool = True
    jump_length: int = 10
    jump_n_sample: int = 10
    late_undo: bool = False

    def parts(self) -> Parts:
        change = Clip() if self.clip_sample else None
        solver = self._build(solvers.RePaint)
        return Parts(self._build(Jumping), Prediction("epsilon"), solver, denoised_transform=change)
