"""Euler's method, and its stochastic cousin that draws the noise anew."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from multisched.errors import ScheduleError
from multisched.predictions import Prediction
from multisched.solvers.base import Estimate, Next, Rows, Solver
from multisched.values import check_options, namespace


@dataclass(frozen=True)
class Churn(Solver):
    """Noise that raises the level before a step ("churn", Karras et al. 2022, arXiv 2206.00364, algorithm 2).

        x_hat     = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z
        sigma_hat = sigma * (1 + gamma)
        gamma     = min(s_churn / calls, sqrt(2) - 1)  where s_tmin <= sigma <= s_tmax, else 0

    Here it goes in after the model's call at sigma, as ACE-Step and diffusers have it.

    Args:
        s_churn, s_tmin, s_tmax, s_noise: amount of churn, the noise levels it is used in, and the scale of its noise.

    Raises:
        ScheduleError: a negative or NaN setting.
    """

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        for name in ("s_churn", "s_tmin", "s_tmax", "s_noise"):
            if not getattr(self, name) >= 0:
                raise ScheduleError(f"{name} must be a number >= 0; given {getattr(self, name)!r}.")
        if self.s_noise == math.inf:
            raise ScheduleError("s_noise must be finite; given inf.")

    @property
    def draws(self) -> int:
        return int(self.s_churn > 0)

    def _raised(self, row: Rows, calls: float) -> Any:
        """sigma_hat where the step begins."""
        gamma = min(self.s_churn / max(calls, 1.0), math.sqrt(2) - 1)
        churned = (self.s_tmin <= row.sigma_start) & (row.sigma_start <= self.s_tmax)
        return row.sigma_start * (1 + namespace(row.sigma).where(churned, gamma, 0.0))


@dataclass(frozen=True)
class Euler(Churn):
    """Explicit Euler along the probability flow (Karras et al. 2022, arXiv 2206.00364, eq. 4); order 1.

        x_next = alpha_next * x0 + sigma_next * noise

    On the straight path (alpha = 1 - sigma) this is x + (sigma_next - sigma) * (noise - x0), one Euler step on the
    velocity; on a variance-preserving path it is DDIM with eta = 0 (Song et al. 2020, arXiv 2010.02502, eq. 13).

    Under churn, x0 and noise are those that the model's output implies of x_hat.

    Args: those of `Churn`, and
        reread: whether the output is then taken for one at sigma_hat, else at sigma.

    Raises:
        ScheduleError: a negative or NaN setting.
    """

    reread: bool = True

    def estimate(self, row: Rows, prediction: Prediction, x: Any, outputs: tuple[Any, ...]) -> tuple[Any, Any]:
        if self.s_churn and self.reread:
            sigma = self._raised(row, row.steps)
            # The scale that leaves what the model sees its variance.
            row = replace(row, sigma=sigma, scale=(row.scale**-2 + sigma**2 - row.sigma**2) ** -0.5)
        return super().estimate(row, prediction, x, outputs)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        x0, direction = model.x0, model.noise
        if noise:
            sigma = self._raised(row, row.steps)
            added = self.s_noise * xp.sqrt(sigma**2 - row.sigma**2) * noise[0]
            x0 = x0 + model.slope * added
            churned = sigma > row.sigma
            direction = (x + added - row.alpha * x0) / xp.where(churned, sigma, 1.0)
            direction = xp.where(churned, direction, model.noise)
        return Next(row.alpha_next * x0 + row.sigma_next * direction)


@dataclass(frozen=True)
class PingPong(Solver):
    """Denoise, then noise anew: multistep consistency sampling (Song et al. 2023, arXiv 2303.01469, algorithm 1).

        x_next = alpha_next * x0 + sigma_next * z,   z ~ N(0, I)

    Exact for a consistency model. It does not follow the probability flow, so it has no order of convergence to it.
    With the model's own noise in place of z it is `Euler`.
    """

    order: ClassVar[int] = 0
    draws: ClassVar[int] = 1

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        return Next(row.alpha_next * model.x0 + row.sigma_next * noise[0])


@dataclass(frozen=True)
class SwappedPingPong(PingPong):
    """Ping-pong that keeps the noise and draws the clean sample anew, sigma_next * noise + alpha_next * z: no sampler
    of data, but what diffusers' `stochastic_sampling` computes under `invert_sigmas`."""

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        return Next(row.sigma_next * model.noise + row.alpha_next * noise[0])
