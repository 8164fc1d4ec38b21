"""Recipes in the space of x0 + sigma * noise: the model sees the sample scaled back to unit variance."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from multisched import solvers
from multisched.predictions import Prediction
from multisched.schedulers.base import Parts
from multisched.schedulers.options import Respaced, Trained, clip
from multisched.schedules import checks
from multisched.transforms import Transform


@dataclass(frozen=True)
class _Sigma(Trained):
    prediction_type: str = "epsilon"
    timestep_spacing: str = "linspace"
    steps_offset: int = 0

    def _sigma(self, solver: solvers.Solver, change: Transform | None = None, **options: Any) -> Parts:
        checks.option("prediction_type", self.prediction_type, ("epsilon", "sample", "v_prediction"))
        schedule = self._vp(
            timestep_spacing=self.timestep_spacing,
            steps_offset=self.steps_offset,
            whole_timesteps=False,
            terminal_alpha_bar=2.0**-24,
            space="ve",
            **options,
        )
        return Parts(schedule, Prediction(self.prediction_type), solver, denoised_transform=change)


@dataclass(frozen=True)
class Euler(_Sigma, Respaced):
    """Euler steps on sigma (Karras et al. 2022, arXiv 2206.00364); order 1 without churn.

    Args: options of `schedules.DiscreteVP` under their names there, and
        use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: how sigmas are spaced anew.
        interpolation_type: "linear", or "log_linear" for sigmas even in the logarithm over the whole training schedule.
        log_linear_spare: whether these are as diffusers has them, which is `DiscreteVP`'s spare_sigma.
        prediction_type: "epsilon", "sample" or "v_prediction".
        s_churn, s_tmin, s_tmax, s_noise: see `solvers.Euler`. As in diffusers, "v_prediction" is not reread.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    interpolation_type: str = "linear"
    sigma_min: float | None = None
    sigma_max: float | None = None
    timestep_type: str = "discrete"
    rescale_betas_zero_snr: bool = False
    final_sigmas_type: str = "zero"
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    sigmas_end: bool = False
    log_linear_spare: bool = False

    def parts(self) -> Parts:
        checks.option("interpolation_type", self.interpolation_type, ("linear", "log_linear"))
        even, kind = self.interpolation_type == "log_linear", self._sigma_schedule()
        spare = even and kind is None and self.log_linear_spare
        names = ["rescale_betas_zero_snr", "final_sigmas_type", "timestep_type", "sigmas_end"]
        names += [] if spare else ["sigma_min", "sigma_max"]
        reread = self.prediction_type != "v_prediction"
        return self._sigma(
            solvers.Euler(self.s_churn, self.s_tmin, self.s_tmax, self.s_noise, reread),
            sigma_schedule="exponential" if even and kind is None else kind,
            sigma_range="table" if even else "run",
            spare_sigma=spare,
            **{name: getattr(self, name) for name in names},
        )


@dataclass(frozen=True)
class EulerAncestral(_Sigma):
    """Euler steps with the noise drawn anew, which is DDIM with eta = 1 on x0 + sigma * noise (Song et al. 2020, arXiv
    2010.02502, eq. 16). Options and errors are those of `Euler`."""

    rescale_betas_zero_snr: bool = False

    def parts(self) -> Parts:
        return self._sigma(solvers.DDIM(eta=1.0), rescale_betas_zero_snr=self.rescale_betas_zero_snr)


@dataclass(frozen=True)
class _TwoCalls(_Sigma, Respaced):
    beta_start: float = 0.00085
    beta_end: float = 0.012

    def _two_calls(self, solver: solvers.Solver, change: Transform | None = None, rounding: str = "none") -> Parts:
        return self._sigma(solver, change, sigma_schedule=self._sigma_schedule(), timestep_rounding=rounding)


@dataclass(frozen=True)
class Heun(_TwoCalls):
    """Heun's method on sigma (Karras et al. 2022, arXiv 2206.00364, algorithm 1), two calls a step; order 2. Options
    and errors are those of `Euler`, and `clip_sample` cuts x0 to the absolute value `clip_sample_range`."""

    clip_sample: bool = False
    clip_sample_range: float = 1.0

    def parts(self) -> Parts:
        return self._two_calls(solvers.Heun(), clip(self.clip_sample, self.clip_sample_range))


@dataclass(frozen=True)
class KDPM2(_TwoCalls):
    """DPM-Solver-2 on sigma (Lu et al. 2022, arXiv 2206.00927, algorithm 1), two calls a step; order 2. Options and
    errors are those of `Euler`. Where steps begin, Karras's sigmas are told as whole timesteps."""

    _eta: ClassVar[float] = 0.0

    def parts(self) -> Parts:
        return self._two_calls(solvers.Midpoint(eta=self._eta), None, "nearest" if self.use_karras_sigmas else "none")


@dataclass(frozen=True)
class KDPM2Ancestral(KDPM2):
    """`KDPM2` with the noise drawn anew at the end of each step."""

    _eta = 1.0


@dataclass(frozen=True)
class DPMSolverSDE(_TwoCalls):
    """DPM-Solver++(2S) on sigma (Lu et al. 2022, arXiv 2211.01095, algorithm 1) with noise drawn anew, independently,
    at the middle and at the end of each step. Options and errors are those of `Euler`; `s_noise` scales the noise."""

    s_noise: float = 1.0

    def parts(self) -> Parts:
        return self._two_calls(solvers.Midpoint("x0", 1.0, True, self.s_noise))
