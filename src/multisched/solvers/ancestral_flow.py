"""Stochastic steps written for the straight path. On any other, x / (alpha + sigma) stands on it, with the share of
noise s = sigma / (alpha + sigma) (`Level.share`)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.limits import root
from multisched.solvers.rows import Rows
from multisched.values import check_options, namespace

NoiseMode = Literal["1/t", "tan"]


@dataclass(frozen=True)
class AncestralRF(Solver):
    """Euler steps that end below their aim and are noised back up to it: the ancestral step of k-diffusion for
    rectified flow (Liu et al. 2022, arXiv 2209.03003), as ComfyUI samples LTX-Video.

        s_down = s_next * (1 + eta * (s_next / s - 1)),   k = s_down / (1 - s_down)
        x_next = alpha_next * (x0 + k * noise) + s_noise * sqrt(sigma_next^2 - (alpha_next * k)^2) * z

    eta = 0 is `Euler`. Where s_noise is not 1, another amount of noise is put back than a step takes away, and the law
    of the samples has no order.

    No order; weak order 1; one call a step. With eta=0.0: order 1; one call a step.

    Args:
        eta: how far below, from 0 to 1 for all of the way.
        s_noise: the scale of the noise.

    Raises:
        ScheduleError: if a setting is negative or not finite.

    Example:
        >>> solver = ms.solvers.AncestralRF(eta=1.0)
        >>> plan = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", solver).plan(4)
        >>> [plan.needs_noise(row) for row in range(4)], plan.weak_order
        ([True, True, True, False], 1)
    """

    eta: float = 1.0
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, not_negative=("eta", "s_noise"))

    @property
    def order(self) -> int:
        return int(self.eta == 0)

    @property
    def weak_order(self) -> int:
        return 1 if self.s_noise == 1 else super().weak_order

    @property
    def draws(self) -> int:
        return int(self.eta > 0 and self.s_noise > 0)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        aim = row.next.share
        down = aim * (1 + self.eta * (aim / row.here.share - 1))
        ratio = down / (1 - down)
        added = self.s_noise * root(row.sigma_next**2 - (row.alpha_next * ratio) ** 2)
        x_next = (row.alpha_next if noise else self._kept(row, down)) * (model.x0 + ratio * model.noise)
        return Next(x_next + added * noise[0] if noise else x_next)

    def _kept(self, row: Rows, down: Any) -> Any:
        """The weight of the signal where no noise is added."""
        return row.alpha_next


@dataclass(frozen=True)
class RescaledSDE(Solver):
    """Euler-Maruyama steps on the SDE of a flow (Geffner et al. 2025, "Proteina", arXiv 2503.00710), its score rescaled
    in time to sharpen the distribution (Xu et al. 2025, arXiv 2510.01184).

        t = 1 - s,   y = x / (alpha + sigma),   q = (alpha / sigma * tsr_sigma)^2,   rho = (q + 1) / (q / tsr_k + 1)
        v      = (y - rho * noise) / t
        g      = 1 / (t + 0.01), or in the mode "tan" pi / 2 * cos(pi / 2 * t) / (sin(pi / 2 * t) + 0.01), over rho^2;
                 0 outside t_from <= t <= t_to and in the step to sigma = 0
        y_next = y + (v - g * rho / (1 - t) * noise) * dt + sqrt(2 * g * dt) * z

    Where tsr_k is not 1, the law of the samples is another one on purpose.

    No order; weak order 1; one call a step. With tsr_k=2.0: no order; no weak order; one call a step.

    Args:
        noise_mode: "1/t" or "tan".
        tsr_k: inverse temperature, 1 for the model's own.
        tsr_sigma: deviation of the data that are sharpened.
        t_from: the time from which noise is added.
        t_to: the time up to which it is added.

    Raises:
        ScheduleError: if the noise mode is another, or a number is not positive.

    Example:
        >>> plan = ms.RFD4Proteina().plan(100)
        >>> plan.stochastic, plan.weak_order
        (True, 1)
    """

    order: ClassVar[int] = 0
    draws: ClassVar[int] = 1

    noise_mode: NoiseMode = "1/t"
    tsr_k: float = 1.0
    tsr_sigma: float = 1.0
    t_from: float = 0.02
    t_to: float = 0.95

    def __post_init__(self) -> None:
        check_options(self, positive=("tsr_k", "tsr_sigma"))

    @property
    def weak_order(self) -> int:
        return int(self.tsr_k == 1)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        s = row.here.share
        t, dt, angle = 1 - s, s - row.next.share, math.pi / 2 * (1 - s)
        q = (row.alpha / row.sigma * self.tsr_sigma) ** 2
        rho = (q + 1) / (q / self.tsr_k + 1)
        # (rho - 1) / t, without a division by t, which is 0 at pure noise.
        excess = t * (self.tsr_sigma / s) ** 2 * (1 - 1 / self.tsr_k) / (q / self.tsr_k + 1)
        g = math.pi / 2 * xp.cos(angle) / (xp.sin(angle) + 0.01) if self.noise_mode == "tan" else 1 / (t + 0.01)
        noisy = (self.t_from <= t) & (t <= self.t_to) & (dt > 0) & self._noisy(row)
        g = xp.where(noisy, g / rho**2, 0.0)
        drift = model.x0 - (1 + excess + g * rho / s) * model.noise
        y = x / (row.alpha + row.sigma) + drift * dt + xp.sqrt(2 * g * xp.abs(dt)) * noise[0]
        return Next((row.alpha_next + row.sigma_next) * y)

    def _noisy(self, row: Rows) -> Any:
        """Whether a step may add noise."""
        return row.sigma_next > 0
