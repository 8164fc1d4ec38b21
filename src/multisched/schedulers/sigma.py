"""Recipes in the space of x0 + sigma * noise: the model sees the sample scaled back to unit variance."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from multisched import solvers
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import Clipped, Clocked, Respaced, Spaced, spacing_of_sigmas
from multisched.schedules import checks


@dataclass(frozen=True, repr=False)
class OnSigma(Clocked, Spaced):
    """A recipe on x0 + sigma * noise, its sigmas of their own spacing if it has the options of `Respaced`."""

    timestep_spacing: str = "linspace"

    def _sigma(self, solver: solvers.Solver, **options: Any) -> Parts:
        """The parts, with further options of the schedule."""
        own = {"whole_timesteps": False, "terminal_alpha_bar": 2.0**-24, "sigma_schedule": spacing_of_sigmas(self)}
        return self._parts(solver, space="ve", **own | options)


@dataclass(frozen=True, repr=False)
class Euler(OnSigma, Respaced):
    """Euler steps on sigma (Karras et al. 2022, arXiv 2206.00364); order 1 without churn.

    Args: options of `schedules.DiscreteVP` under their names there, and
        use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: how sigmas are spaced anew.
        interpolation_type: "linear", or "log_linear" for sigmas even in the logarithm over the whole training schedule.
        log_linear_spare: whether these are as diffusers has them, which is `DiscreteVP`'s spare_sigma.
        prediction_type: "epsilon", "sample" or "v_prediction".
        s_churn, s_tmin, s_tmax, s_noise: noise added before each step, see `solvers.Churn`.
        late_churn: whether it is added after the model's call, a defect of diffusers (`solvers.LateEuler`, which
            rereads the output unless it is of type "v_prediction").

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    interpolation_type: str = "linear"
    timestep_type: str = "discrete"
    rescale_betas_zero_snr: bool = False
    final_sigmas_type: str = "zero"
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    late_churn: bool = False
    sigmas_end: bool = False
    log_linear_spare: bool = False

    def parts(self) -> Parts:
        checks.option("interpolation_type", self.interpolation_type, ("linear", "log_linear"))
        even, kind = self.interpolation_type == "log_linear", spacing_of_sigmas(self)
        spare = even and kind is None and self.log_linear_spare
        options: dict[str, Any] = {"sigma_min": None, "sigma_max": None} if spare else {}
        if even:
            options |= {"sigma_schedule": kind or "exponential", "sigma_range": "table", "spare_sigma": spare}
        late = self._build(solvers.LateEuler, reread=self.prediction_type != "v_prediction")
        return self._sigma(late if self.late_churn else self._build(solvers.Euler), **options)


@dataclass(frozen=True, repr=False)
class EulerAncestral(OnSigma):
    """Euler steps with the noise drawn anew, which is DDIM with eta = 1 on x0 + sigma * noise (Song et al. 2020, arXiv
    2010.02502, eq. 16). Options and errors are those of `Euler`."""

    rescale_betas_zero_snr: bool = False

    def parts(self) -> Parts:
        return self._sigma(solvers.DDIM(eta=1.0))


@dataclass(frozen=True, repr=False)
class _TwoCalls(OnSigma, Respaced):
    beta_start: float = 0.00085
    beta_end: float = 0.012


@dataclass(frozen=True, repr=False)
class Heun(Clipped, _TwoCalls):
    """Heun's method on sigma (Karras et al. 2022, arXiv 2206.00364, algorithm 1), two calls a step; order 2. Options
    and errors are those of `Euler`, and `clip_sample` cuts x0 to the absolute value `clip_sample_range`."""

    clip_sample: bool = False

    def parts(self) -> Parts:
        return self._sigma(solvers.Heun())


@dataclass(frozen=True, repr=False)
class KDPM2(_TwoCalls):
    """DPM-Solver-2 on sigma (Lu et al. 2022, arXiv 2206.00927, algorithm 1), two calls a step; order 2. Options and
    errors are those of `Euler`. Where steps begin, Karras's sigmas are told as whole timesteps."""

    _eta: ClassVar[float] = 0.0

    def parts(self) -> Parts:
        rounding = "nearest" if self.use_karras_sigmas else "none"
        return self._sigma(solvers.Midpoint(eta=self._eta), timestep_rounding=rounding)


@dataclass(frozen=True, repr=False)
class KDPM2Ancestral(KDPM2):
    """`KDPM2` with the noise drawn anew at the end of each step."""

    _eta = 1.0


@dataclass(frozen=True, repr=False)
class DPMSolverSDE(_TwoCalls):
    """DPM-Solver++(2S) on sigma (Lu et al. 2022, arXiv 2211.01095, algorithm 1) with noise drawn anew, independently,
    at the middle and at the end of each step. Options and errors are those of `Euler`; `s_noise` scales the noise."""

    s_noise: float = 1.0

    def parts(self) -> Parts:
        return self._sigma(solvers.Midpoint("x0", 1.0, True, self.s_noise))
