"""Solvers of distilled models: consistency functions, which jump to the clean sample from any level."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from multisched.predictions import Prediction
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.euler import Euler, renoise
from multisched.solvers.limits import root
from multisched.solvers.rows import Rows
from multisched.values import check_options, namespace


@dataclass(frozen=True)
class PingPong(Solver):
    """Denoise, then noise anew: multistep consistency sampling (Song et al. 2023, arXiv 2303.01469, algorithm 1).

        x_next = alpha_next * x0 + sigma_next * z,   z ~ N(0, I)

    Exact for a consistency model. It does not follow the probability flow, so it has no order of convergence to it, and
    with the model of such a flow the law of the samples does not converge: half of the variance is lost, however many
    the steps are. With the model's own noise in place of z it is `Euler`.

    No order; no weak order; one call a step.

    Example:
        >>> plan = ms.FlowMatchPingPong().plan(4)
        >>> [plan.needs_noise(row) for row in range(4)]
        [True, True, True, False]
    """

    order: ClassVar[int] = 0
    draws: ClassVar[int] = 1

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        return Next(row.alpha_next * model.x0 + row.sigma_next * noise[0])


@dataclass(frozen=True)
class LCM(PingPong):
    """Latent consistency models (Luo et al. 2023, arXiv 2310.04378, eq. 9 and algorithm 3).

        f      = c_skip * x + c_out * x0
        x_next = alpha_next * f + sigma_next * z,   z ~ N(0, I)
        c_skip = 1 / (4 s^2 + 1),   c_out = 2 s / sqrt(4 s^2 + 1),   s = timestep_scaling * t

    `PingPong` as timestep_scaling grows. Exact for a consistency model, and as `PingPong` of no order otherwise.

    No order; no weak order; one call a step.

    Args:
        timestep_scaling: what the timestep is multiplied with in c_skip and c_out.

    Raises:
        ScheduleError: if it is negative.

    Example:
        >>> plan = ms.LCM().plan(4)
        >>> plan.noise_draws, [plan.needs_noise(row) for row in range(4)]
        (1, [True, True, True, False])
    """

    timestep_scaling: float = 10.0

    def __post_init__(self) -> None:
        check_options(self, not_negative=("timestep_scaling",))

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        scaled = 2 * self.timestep_scaling * abs(row.timestep)
        size = scaled**2 + 1
        f = x / size + scaled / size**0.5 * model.x0
        return super().update(row, x, model._replace(x0=f), memory, noise)


@dataclass(frozen=True)
class Consistency(PingPong):
    """Consistency models, whose function is the identity at sigma_min = m (Song et al. 2023, arXiv 2303.01469,
    algorithm 1, and appendix C for the weights).

        f      = c_skip * x / alpha + c_out * F,   k = sigma / alpha,   d = sigma_data
        x_next = alpha_next * (f + s_noise * sqrt(k_next^2 - m^2) * z),   z ~ N(0, I)
        c_skip = d^2 / ((k - m)^2 + d^2),   c_out = (k - m) * d / sqrt(k^2 + d^2)

    Written with x0, which would be f if m were 0: f = (1 - m / k) * x0 + (c_skip - (1 - m / k) * c_0) * x / alpha with
    c_0 = d^2 / (k^2 + d^2). `PingPong` at m = 0. Exact for a consistency model; as `PingPong` of no order otherwise.

    No order; no weak order; one call a step.

    Args:
        sigma_min: the level m at which the function is the identity.
        sigma_data: standard deviation of the data.
        s_noise: what the noise is multiplied with.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> plan = ms.CMStochasticIterative(clip_denoised=False).plan(2)
        >>> [plan.needs_noise(row) for row in range(2)], plan.sigmas.round(3).tolist()
        ([True, False], [80.0, 2.24, 0.002])
    """

    sigma_min: float = 0.002
    sigma_data: float = 0.5
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, positive=("sigma_data",), not_negative=("sigma_min", "s_noise"))

    def estimate(self, row: Rows, prediction: Prediction, x: Any, outputs: tuple[Any, ...]) -> tuple[Any, Any]:
        x0, _ = super().estimate(row, prediction, x, outputs)
        near = row.sigma - self.sigma_min * row.alpha
        data = self.sigma_data**2 * row.alpha
        left = near / row.sigma
        f = left * x0 + (data / (near**2 + data * row.alpha) - left * data / (row.sigma**2 + data * row.alpha)) * x
        return f, (x - row.alpha * f) / row.sigma

    def target(self, prediction: Prediction, alpha: Any, sigma: Any, scale: Any) -> tuple[Any, Any]:
        """F = (x0 - c_skip * x / alpha) / c_out, which is infinite at sigma_min, and where only rounding parts it."""
        k, d = sigma / alpha, self.sigma_data
        near = k - self.sigma_min
        near = namespace(near).where(near > 1e-6 * self.sigma_min, near, 0.0 * near)
        size = (k**2 + d**2) ** 0.5 / ((near**2 + d**2) * d)
        return near * size, -(d**2) * k / near * size

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        added = self.s_noise * root(row.sigma_next**2 - (self.sigma_min * row.alpha_next) ** 2)
        return super().update(replace(row, sigma_next=added), x, model, memory, noise)


@dataclass(frozen=True)
class TCD(Euler):
    """Trajectory consistency (Zheng et al. 2024, arXiv 2402.19159, algorithm 4): a step to below the next grid point,
    then noise up to it. `Euler` where the step aims at the next point itself.

        x_s    = alpha_s * x0 + sigma_s * noise
        x_next = renoise(x_s)

    Order 1; weak order 1; one call a step.

    Example:
        >>> plan = ms.TCD().plan(4)
        >>> [plan.needs_noise(row) for row in range(4)]
        [True, True, True, False]
    """

    draws: ClassVar[int] = 1

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        return Next(renoise(row, self._move(row, x, model, memory).sample, noise[0]))
