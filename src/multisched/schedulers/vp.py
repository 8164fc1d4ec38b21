"""DDIM, DDPM and their kin on variance-preserving paths, and RePaint on top of them."""

from dataclasses import dataclass
from typing import Literal

from multisched import checks, solvers
from multisched.paths.betas import BetaSchedule
from multisched.paths.continuous import Cosine
from multisched.paths.discrete import Betas, Discrete
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import Cut, Spaced, Trained, clip, end_of
from multisched.solvers.ddpm import Variance
from multisched.spacings.base import Asked, End
from multisched.spacings.direction import Jumping, Reversed
from multisched.spacings.placement import Leading, Linspace, Times
from multisched.transforms import Clip, Transform


@dataclass(frozen=True, repr=False)
class DDIM(Spaced, Cut):
    """Denoising diffusion implicit models (Song et al. 2020, arXiv 2010.02502); order 1.

    Args:
        rescale_betas_zero_snr: whether the last timestep is made pure noise.
        set_alpha_to_one: whether a run ends at x0, or else at timestep 0.
        eta: 0 is deterministic, 1 is DDPM.
        use_clipped_model_output: whether the noise is taken from the clipped x0.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> ms.DDIM(timestep_spacing="trailing").plan(4).timesteps.tolist()
        [999.0, 749.0, 499.0, 249.0]
        >>> print(ms.DDIM(clip_sample=False).plan(2))
        DDIM: 2 steps, 2 model calls, order 1, deterministic
         row  timestep     alpha     sigma
           0   500.000  0.278921  0.960314  sample = +3.58507 sample -3.43279 output
           1     0.000  0.999950  0.010001  sample = +1.00005 sample -0.0100013 output
         end            1.000000  0.000000
    """

    rescale_betas_zero_snr: bool = False
    set_alpha_to_one: bool = True
    eta: float = 0.0
    use_clipped_model_output: bool = False

    def parts(self) -> Parts:
        path = Discrete(self._betas(), terminal_alpha_bar=0.0 if self.rescale_betas_zero_snr else None)
        spacing = self._numbered() | end_of(self.set_alpha_to_one)
        solver = solvers.DDIM(eta=self.eta, use_clipped_model_output=self.use_clipped_model_output)
        return Parts(path, spacing, self._prediction(), solver, denoised_transform=self._change())

    def _get_variance(self, timestep: int, prev_timestep: int) -> float:
        """Variance that eta = 1 gives a step between two timesteps (arXiv 2010.02502, eq. 16); a negative
        `prev_timestep` is the end of a run.

        sigma_prev^2 / sigma^2 * (1 - alpha^2 / alpha_prev^2)
        """
        parts = self.parts()
        ends = parts.spacing.grid(parts.path, Asked(timesteps=[0]))
        end = (ends.alphas[-1], ends.sigmas[-1])
        alpha, sigma = parts.path.levels(timestep)
        next_alpha, next_sigma = parts.path.levels(prev_timestep) if prev_timestep >= 0 else end
        return float((next_sigma / sigma) ** 2 * (1 - (alpha / next_alpha) ** 2))


@dataclass(frozen=True, repr=False)
class DDIMInverse(Spaced):
    """DDIM from data to noise (`spacings.Reversed`); order 1.

    It begins where `DDIM` ends. Without noise there, a model that predicts the sample says nothing of the noise, so
    that takes `set_alpha_to_one=False`.

    Args:
        rescale_betas_zero_snr: whether the last timestep is made pure noise.
        clip_sample: whether x0 is cut.
        clip_sample_range: the absolute value it is cut to.
        set_alpha_to_one: whether a run begins at x0, or else at timestep 0.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> ms.DDIMInverse().plan(4).timesteps.tolist()
        [0.0, 250.0, 500.0, 750.0]
    """

    rescale_betas_zero_snr: bool = False
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    set_alpha_to_one: bool = True

    def _change(self) -> Transform | None:
        return clip(self)

    def parts(self) -> Parts:
        path = Discrete(self._betas(), terminal_alpha_bar=0.0 if self.rescale_betas_zero_snr else None)
        spacing = self._numbered() | end_of(self.set_alpha_to_one) | Reversed()
        return Parts(path, spacing, self._prediction(), solvers.DDIM(), denoised_transform=self._change())


@dataclass(frozen=True, repr=False)
class CogVideoXDDIM(Spaced):
    """DDIM with a shifted signal-to-noise ratio (Yang et al. 2024, arXiv 2408.06072); order 1.

    Args:
        beta_start: see `Spaced`.
        beta_end: see `Spaced`.
        beta_schedule: see `Spaced`.
        rescale_betas_zero_snr: whether the last timestep is made pure noise.
        set_alpha_to_one: whether a run ends at x0, or else at timestep 0.
        snr_shift_scale: what the signal-to-noise ratio is divided by.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.CogVideoXDDIM().plan(4)
        >>> plan.prediction.name, round(float(plan.sigmas[0]), 6)
        ('epsilon', 0.990226)
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: BetaSchedule = "scaled_linear"
    rescale_betas_zero_snr: bool = False
    set_alpha_to_one: bool = True
    snr_shift_scale: float = 3.0

    def parts(self) -> Parts:
        # Its checkpoints were trained on betas in float64, of this one schedule.
        double = self.beta_schedule == "scaled_linear" and self.trained_betas is None
        terminal = 0.0 if self.rescale_betas_zero_snr else None
        path = Discrete(self._betas("float64" if double else "float32"), self.snr_shift_scale, terminal)
        spacing = self._numbered() | end_of(self.set_alpha_to_one)
        return Parts(path, spacing, self._prediction(), solvers.Euler())


@dataclass(frozen=True, repr=False)
class DDPM(Spaced, Cut):
    """Denoising diffusion probabilistic models (Ho et al. 2020, arXiv 2006.11239).

    Args:
        rescale_betas_zero_snr: whether the last timestep is made pure noise.
        variance_type: of the noise, see `solvers.DDPM`. For "learned" and "learned_range" the model's output has twice
            the channels.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.DDPM(beta_schedule="squaredcos_cap_v2").plan(100)
        >>> len(plan), [plan.needs_noise(row) for row in (0, 99)]
        (100, [True, False])
    """

    rescale_betas_zero_snr: bool = False
    variance_type: Variance = "fixed_small"

    def parts(self) -> Parts:
        path = Discrete(self._betas(), terminal_alpha_bar=0.0 if self.rescale_betas_zero_snr else None)
        solver, change = solvers.DDPM(self.variance_type), self._change()
        return Parts(path, self._numbered() | End(), self._prediction(), solver, denoised_transform=change)


@dataclass(frozen=True, repr=False)
class UnCLIP(Recipe):
    """DDPM on even steps of the cosine path, as unCLIP has it (Ramesh et al. 2022, arXiv 2204.06125).

    Args:
        num_train_timesteps: T, the length of the training run.
        variance_type: "fixed_small_log" or "learned_range", see `solvers.DDPM`.
        clip_sample: whether x0 is cut.
        clip_sample_range: the absolute value it is cut to.
        prediction_type: what the model's output is: "epsilon" or "sample".

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.UnCLIP().plan(4)
        >>> plan.timesteps.tolist(), plan.prediction.name
        ([999.0, 666.0, 333.0, 0.0], 'epsilon')
    """

    num_train_timesteps: int = 1000
    variance_type: Literal["fixed_small_log", "learned_range"] = "fixed_small_log"
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    prediction_type: Literal["epsilon", "sample"] = "epsilon"

    def parts(self) -> Parts:
        path = Discrete(Betas(self.num_train_timesteps, beta_schedule="squaredcos_cap_v2", strict=self.strict))
        prediction, change = Prediction(self.prediction_type), Clip(self.clip_sample_range)
        solver = solvers.DDPM(self.variance_type)
        return Parts(path, Linspace() | End(), prediction, solver, None, change if self.clip_sample else None)


@dataclass(frozen=True, repr=False)
class DDPMWuerstchen(Recipe):
    """DDPM on the continuous cosine path (Pernias et al. 2023, arXiv 2306.00637).

    Args:
        scaler: above 1, t is 1 - (1 - t)^scaler; below, t^scaler.
        s: offset that keeps the first steps from being too small.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> ms.DDPMWuerstchen().plan(4).timesteps.tolist()
        [1.0, 0.75, 0.5, 0.25]
    """

    scaler: float = 1.0
    s: float = 0.008

    def parts(self) -> Parts:
        return Parts(Cosine(self.scaler, self.s), Times() | End(), Prediction("epsilon"), solvers.DDPM())


@dataclass(frozen=True, repr=False)
class RePaint(Trained):
    """Inpainting (Lugmayr et al. 2022, arXiv 2201.09865). A run is started with `original=`, the image, and `mask=`,
    1 where it is known and 0 where it is to be filled in.

    Args:
        eta: as of `DDIM`.
        clip_sample: whether x0 is cut to [-1, 1].
        jump_length: steps of a jump back.
        jump_n_sample: how often these steps are taken.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> ms.RePaint().plan(10).inputs
        ('original', 'mask')
    """

    eta: float = 0.0
    clip_sample: bool = True
    jump_length: int = 10
    jump_n_sample: int = 10

    def parts(self) -> Parts:
        checks.count("jump_length", self.jump_length)
        spacing = Leading() | End() | Jumping(self.jump_length, self.jump_n_sample)
        change = Clip() if self.clip_sample else None
        solver = solvers.RePaint(eta=self.eta)
        return Parts(Discrete(self._betas()), spacing, Prediction("epsilon"), solver, denoised_transform=change)
