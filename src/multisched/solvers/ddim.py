"""DDIM, from the deterministic implicit model (eta = 0) to ancestral sampling (eta = 1), and inpainting by it."""

from dataclasses import dataclass
from typing import Any, ClassVar

from multisched.errors import ScheduleError
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.rows import Rows
from multisched.values import check_options, namespace


@dataclass(frozen=True)
class DDIM(Solver):
    """Denoising diffusion implicit models (Song et al. 2020, arXiv 2010.02502, eq. 12 and 16).

        s      = eta * sigma_next / sigma * sqrt(sigma^2 - (alpha * sigma_next / alpha_next)^2)
        x_next = alpha_next * x0 + sqrt(sigma_next^2 - s^2) * noise + s_noise * s * z,   z ~ N(0, I)

    eta = 0 is `Euler`; eta = 1 is DDPM with the smaller posterior variance (Ho et al. 2020, arXiv 2006.11239, eq. 7).

    Order 1; one call a step. With eta=1.0: order 1; weak order 1; one call a step.

    Args:
        eta: share of the posterior's standard deviation that is drawn anew, in [0, 1].
        use_clipped_model_output: whether the noise is taken from the clipped x0 rather than from the output itself.
        s_noise: scale of the noise that is drawn.

    Raises:
        ScheduleError: eta outside [0, 1], or s_noise is negative.

    Example:
        >>> path, spacing = ms.DDIM().parts().path, ms.spacings.Trailing()
        >>> plans = [ms.Scheduler(path, spacing, "epsilon", ms.solvers.DDIM(eta)).plan(10) for eta in (0.0, 1.0)]
        >>> [(plan.stochastic, plan.order, plan.weak_order) for plan in plans]
        [(False, 1, 1), (True, 1, 1)]
    """

    eta: float = 0.0
    use_clipped_model_output: bool = False
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, not_negative=("s_noise",))
        if not 0.0 <= self.eta <= 1.0:
            raise ScheduleError(f"eta must be in [0, 1]; given {self.eta!r}.")

    @property
    def weak_order(self) -> int:
        return int(self.s_noise == 1 or not self.draws)

    @property
    def draws(self) -> int:
        return int(self.eta > 0)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        direction = model.noise if self.use_clipped_model_output else model.raw_noise
        if not noise:
            return Next(row.alpha_next * model.x0 + row.sigma_next * direction)
        std = self.eta * posterior_std(row)
        rest = namespace(std).sqrt(row.sigma_next**2 - std**2)
        return Next(row.alpha_next * model.x0 + rest * direction + self.s_noise * std * noise[0])


@dataclass(frozen=True)
class RePaint(DDIM):
    """Inpainting by resampling (Lugmayr et al. 2022, arXiv 2201.09865, eq. 8 and algorithm 1). Options of `DDIM`.

        known  = alpha_next * original + sigma_next * z
        x_next = mask * known + (1 - mask) * DDIM(x, z)

    Where the step after this begins at a noisier level (alpha_up, sigma_up), x_next is then noised up to it:

        x_up = a * x_next + sqrt(sigma_up^2 - (a * sigma_next)^2) * z',   a = alpha_up / alpha_next

    No order; no weak order; one call a step.

    Example:
        >>> plan = ms.RePaint().plan(10)
        >>> plan.inputs
        ('original', 'mask')
    """

    order: ClassVar[int] = 0
    weak_order: ClassVar[int] = 0
    memory: ClassVar[tuple[str, ...]] = ("original", "mask", "known")
    inputs: ClassVar[tuple[str, ...]] = ("original", "mask")
    draws: ClassVar[int] = 2

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        original, mask, _ = memory
        z, again = noise
        known = row.alpha_next * original + row.sigma_next * z
        unknown = super().update(row, x, model, (), (z,)).sample

        up = row.at(1)
        noisier = up.sigma * row.alpha_next > row.sigma_next * up.alpha
        a = xp.where(noisier, up.alpha / row.alpha_next, 1.0)
        added = xp.sqrt(xp.where(noisier, up.sigma**2 - (a * row.sigma_next) ** 2, 0.0)) * again
        return Next(a * unknown + added, (original, mask, a * known + added))


def posterior_std(row: Rows) -> Any:
    """Standard deviation of q(x_next | x, x0), sigma_next / sigma * sqrt(forgotten)."""
    return row.sigma_next / row.sigma * namespace(row.sigma).sqrt(forgotten(row))


def forgotten(row: Rows) -> Any:
    """Variance of the noise that leads from x_next to x; zero for a step that adds noise.

    sigma^2 - (alpha * sigma_next / alpha_next)^2
    """
    lost = row.sigma**2 - (row.alpha * row.sigma_next / row.alpha_next) ** 2
    return namespace(lost).where(lost > 0, lost, 0.0)
