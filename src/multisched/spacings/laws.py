"""Links that place levels by a law of the noise that models are trained with: at its quantiles, or its even times."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from multisched import checks
from multisched.errors import ScheduleError
from multisched.paths.base import Path, Points
from multisched.paths.straight import Straight
from multisched.spacings.base import Asked, Link
from multisched.spacings.levels import decreasing
from multisched.values import check_options

NOISIEST = 1 / (1 + math.exp(-9.0))
"""The first level of `LogitNormal` on the straight path, of log SNR -18."""


@dataclass(frozen=True)
class Laplace(Link):
    """n ratios k = sigma / alpha at quantiles of a Laplace law of log k (Hang et al. 2024, arXiv 2407.03297).

        log k_i = mu - beta * sign(1/2 - x) * log(1 - |1 - 2 x| + 1e-5),   x = i / (n - 1)

    kept between the levels that the model is trained on. These are the levels of ComfyUI's node, whose run ends at the
    last of them; here one more step leads to the clean sample. The paper has the law for log(alpha^2 / sigma^2).

    Args:
        mu: log k of the middle, around which levels crowd.
        beta: how far they spread.

    Raises:
        ScheduleError: if a number is out of range, or so many steps have two at one end of the levels.

    Example:
        >>> ms.EDMEuler().plan(4, spacing=ms.spacings.Laplace()).sigmas.round(3).tolist()
        [80.0, 1.225, 0.817, 0.003, 0.0]
    """

    placing: ClassVar[bool] = True

    mu: float = 0.0
    beta: float = 0.5

    def __post_init__(self) -> None:
        check_options(self, positive=("beta",))
        if not math.isfinite(self.mu):
            raise ScheduleError(f"mu must be a finite number; given {self.mu!r}.")

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        x = np.linspace(0, 1, checks.steps(asked.n))
        away = np.log(1 - np.abs(1 - 2 * x) + 1e-5)
        point = path.at(np.array([path.ends[0], float(path.trained(0))]))
        with np.errstate(divide="ignore", over="ignore"):
            top, bottom = point.sigma / point.alpha  # infinite at pure noise
            found = np.clip(np.exp(self.mu - self.beta * np.sign(0.5 - x) * away), bottom, top)
        return Points(path.of_ratio(decreasing("laplace", x.size, found)))


@dataclass(frozen=True)
class VP(Link):
    """n even times of the variance preserving process from 1 to eps_s, on any path (Karras et al. 2022, arXiv
    2206.00364, table 1).

        k(t) = sqrt(exp(beta_d * t^2 / 2 + beta_min * t) - 1),   k = sigma / alpha

    By default from k = 152. Stable Diffusion's levels end at 14.6; above, its last timestep is passed to the model.

    Args:
        beta_d: how fast the variance that is added grows.
        beta_min: that variance at t = 0.
        eps_s: the last time, in (0, 1).

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> ms.EDMEuler().plan(4, spacing=ms.spacings.VP()).sigmas.round(3).tolist()
        [152.167, 9.403, 1.462, 0.01, 0.0]
    """

    placing: ClassVar[bool] = True

    beta_d: float = 19.9
    beta_min: float = 0.1
    eps_s: float = 1e-3

    def __post_init__(self) -> None:
        check_options(self, positive=("beta_d",), not_negative=("beta_min",))
        if self.beta_d / 2 + self.beta_min > 700:  # exp(700) is about the largest float64
            raise ScheduleError(f"beta_d / 2 + beta_min must be at most 700; given {self.beta_d:g}, {self.beta_min:g}.")
        if not 0 < self.eps_s < 1:
            raise ScheduleError(f"eps_s must be in (0, 1); given {self.eps_s!r}.")

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        t = np.linspace(1, self.eps_s, checks.steps(asked.n))
        return Points(path.of_ratio(np.sqrt(np.expm1(self.beta_d * t**2 / 2 + self.beta_min * t))))


@dataclass(frozen=True)
class LogitNormal(Link):
    """n times u at quantiles of the logit-normal law that flows are trained with (Esser et al. 2024, arXiv 2403.03206,
    eq. 19), as stable-diffusion.cpp places them.

        log(u_i / (1 - u_i)) = mean + std * z(1 - i / n),   z the normal quantile

    On the straight path u is sigma, and begins at 1 / (1 + e^-9) where it would be 1. On others it is the share of the
    training time.

    Args:
        mean: above 0 for more steps at high noise. stable-diffusion.cpp adds log(tokens / 1024) / 2 for images.
        std: above 1 for more steps at both ends.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> ms.FlowMatchEuler().plan(4, spacing=ms.spacings.LogitNormal()).sigmas.round(3).tolist()
        [1.0, 0.765, 0.5, 0.235, 0.0]
    """

    placing: ClassVar[bool] = True

    mean: float = 0.0
    std: float = 1.75

    def __post_init__(self) -> None:
        check_options(self, positive=("std",))
        if not math.isfinite(self.mean):
            raise ScheduleError(f"mean must be a finite number; given {self.mean!r}.")

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        from statistics import NormalDist  # with what it brings it takes longer than any module of a plan

        n = checks.steps(asked.n)
        z = np.array([math.inf, *(-NormalDist().inv_cdf(i / n) for i in range(1, n))])
        with np.errstate(over="ignore"):
            u = 1 / (1 + np.exp(-(self.mean + self.std * z)))
        found = np.minimum(u, NOISIEST) if isinstance(path, Straight) else path.trained((path.training - 1) * u)
        return Points(decreasing("logit_normal", n, np.asarray(found)))
