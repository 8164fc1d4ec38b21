"""Recipes in the space of x0 + sigma * noise: the model sees the sample scaled back to unit variance."""

import math
from dataclasses import dataclass
from typing import Literal

from multisched import checks, solvers
from multisched.paths.discrete import Discrete, TimestepType
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import FINITE, FinalSigmas, Respaced, Spaced, clip, spacing_of_sigmas
from multisched.spacings.base import End, Link
from multisched.spacings.change import Respace, Round
from multisched.spacings.placement import Linspace
from multisched.spacings.trained import TimestepSpacing
from multisched.transforms import Transform


@dataclass(frozen=True, repr=False)
class Euler(Spaced, Respaced):
    """Euler steps on sigma (Karras et al. 2022, arXiv 2206.00364); order 1 without churn.

    Args:
        timestep_spacing: see `Spaced`.
        interpolation_type: "linear", or "log_linear" for sigmas even in the logarithm over the whole training run.
        timestep_type: whether the timestep is passed to the model ("discrete") or log(sigma) / 4 ("continuous").
        rescale_betas_zero_snr: whether the last timestep is made (almost) pure noise.
        final_sigmas_type: where a run ends: at x0 ("zero") or at timestep 0 ("sigma_min").
        s_churn: noise added before each step, see `solvers.euler.Churn`.
        s_tmin: the lowest sigma at which it is added.
        s_tmax: the highest.
        s_noise: deviation of the noise added.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.Euler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).plan(4)
        >>> (plan.sigmas / plan.alphas).round(3).tolist()
        [14.615, 2.918, 0.932, 0.029, 0.0]
    """

    timestep_spacing: TimestepSpacing = "linspace"
    interpolation_type: Literal["linear", "log_linear"] = "linear"
    timestep_type: TimestepType = "discrete"
    rescale_betas_zero_snr: bool = False
    final_sigmas_type: FinalSigmas = "zero"
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def parts(self) -> Parts:
        respace: tuple[Link, ...] = self._respace()
        if self.interpolation_type == "log_linear":
            kind = spacing_of_sigmas(self) or "exponential"
            low, high = self._table_ends()
            ends = (self.sigma_max or high, self.sigma_min or low)
            respace = (Linspace(False, False), Respace(kind, *ends))  # only the number of points counts
        solver = solvers.Euler(self.s_churn, self.s_tmin, self.s_tmax, self.s_noise)
        end = End(0.0 if self.final_sigmas_type == "zero" else "sigma_min")
        return self._on_sigma(solver, *respace, end, terminal=self._terminal(), told=self.timestep_type)

    def _terminal(self) -> float | None:
        return FINITE if self.rescale_betas_zero_snr else None

    def _table_ends(self) -> tuple[float, float]:
        ratios = Discrete(self._betas(), terminal_alpha_bar=self._terminal()).ratios
        return float(ratios[0]), float(ratios[-1])


@dataclass(frozen=True, repr=False)
class EulerAncestral(Spaced):
    """Euler steps with the noise drawn anew, which is DDIM with eta = 1 on x0 + sigma * noise (Song et al. 2020, arXiv
    2010.02502, eq. 16).

    Args:
        timestep_spacing: see `Spaced`.
        rescale_betas_zero_snr: whether the last timestep is made (almost) pure noise.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.EulerAncestral().plan(4)
        >>> [plan.needs_noise(row) for row in range(4)]
        [True, True, True, False]
    """

    timestep_spacing: TimestepSpacing = "linspace"
    rescale_betas_zero_snr: bool = False

    def parts(self) -> Parts:
        return self._on_sigma(solvers.DDIM(eta=1.0), terminal=FINITE if self.rescale_betas_zero_snr else None)


@dataclass(frozen=True, repr=False)
class Heun(Spaced, Respaced):
    """Heun's method on sigma (Karras et al. 2022, arXiv 2206.00364, algorithm 1), two calls a step; order 2.

    Args:
        beta_start: see `Spaced`.
        beta_end: see `Spaced`.
        timestep_spacing: see `Spaced`.
        clip_sample: whether x0 is cut.
        clip_sample_range: the absolute value it is cut to.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.Heun().plan(5)
        >>> len(plan), plan.order
        (9, 2)
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    timestep_spacing: TimestepSpacing = "linspace"
    clip_sample: bool = False
    clip_sample_range: float = 1.0

    def _change(self) -> Transform | None:
        return clip(self)

    def parts(self) -> Parts:
        return self._on_sigma(solvers.Heun(), *self._respace())


@dataclass(frozen=True, repr=False)
class KDPM2(Spaced, Respaced):
    """DPM-Solver-2 on sigma (Lu et al. 2022, arXiv 2206.00927, algorithm 1), two calls a step; order 2. Where steps
    begin, Karras's sigmas are passed to the model as whole timesteps.

    Args:
        beta_start: see `Spaced`.
        beta_end: see `Spaced`.
        timestep_spacing: see `Spaced`.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.KDPM2().plan(5)
        >>> len(plan), plan.order
        (9, 2)
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    timestep_spacing: TimestepSpacing = "linspace"

    def parts(self) -> Parts:
        rounding = (Round("nearest"),) if self.use_karras_sigmas else ()
        return self._on_sigma(solvers.Midpoint(), *self._respace(), *rounding)


@dataclass(frozen=True, repr=False)
class KDPM2Ancestral(Spaced, Respaced):
    """`KDPM2` with the noise drawn anew at the end of each step.

    Args:
        beta_start: see `Spaced`.
        beta_end: see `Spaced`.
        timestep_spacing: see `Spaced`.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.KDPM2Ancestral().plan(5)
        >>> len(plan), sum(plan.needs_noise(row) for row in range(len(plan)))
        (9, 4)
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    timestep_spacing: TimestepSpacing = "linspace"

    def parts(self) -> Parts:
        rounding = (Round("nearest"),) if self.use_karras_sigmas else ()
        return self._on_sigma(solvers.Midpoint(eta=1.0), *self._respace(), *rounding)


@dataclass(frozen=True, repr=False)
class DPMSolverSDE(Spaced, Respaced):
    """DPM-Solver++(2S) on sigma (Lu et al. 2022, arXiv 2211.01095, algorithm 1) with noise drawn anew, independently,
    at the middle and at the end of each step.

    Args:
        beta_start: see `Spaced`.
        beta_end: see `Spaced`.
        timestep_spacing: see `Spaced`.
        s_noise: what the noise is multiplied with.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.DPMSolverSDE().plan(5)
        >>> len(plan), plan.stochastic
        (9, True)
    """

    beta_start: float = 0.00085
    beta_end: float = 0.012
    timestep_spacing: TimestepSpacing = "linspace"
    s_noise: float = 1.0

    def parts(self) -> Parts:
        return self._on_sigma(solvers.Midpoint("x0", 1.0, True, self.s_noise), *self._respace())


@dataclass(frozen=True, repr=False)
class LMS(Spaced, Respaced):
    """Linear multistep on sigma, with "exact" weights of `solvers.Adams` (Karras et al. 2022, arXiv 2206.00364, for the
    space); order min(order, 2).

    Args:
        timestep_spacing: see `Spaced`.
        order: calls that a step combines, 1 to 4.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.LMS().plan(10)
        >>> len(plan), plan.order
        (10, 2)
    """

    timestep_spacing: TimestepSpacing = "linspace"
    order: int = 4

    def parts(self) -> Parts:
        solver = solvers.Adams("exact", most=checks.count("order", self.order, 4))
        return self._on_sigma(solver, *self._respace())
