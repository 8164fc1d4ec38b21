"""RePaint: an image filled in around what is known of it."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Rows
from multisched.solvers.ddim import DDIM
from multisched.values import namespace


@dataclass(frozen=True)
class RePaint(DDIM):
    """Inpainting by resampling (Lugmayr et al. 2022, arXiv 2201.09865, eq. 8 and algorithm 1). Options of `DDIM`.

        known  = alpha_next * original + sigma_next * z
        x_next = mask * known + (1 - mask) * DDIM(x, z)

    Where the step after this begins at a noisier level (alpha_up, sigma_up), x_next is then noised up to it:

        x_up = a * x_next + sqrt(sigma_up^2 - (a * sigma_next)^2) * z',   a = alpha_up / alpha_next
    """

    order: ClassVar[int] = 0
    memory: ClassVar[tuple[str, ...]] = ("original", "mask", "known")
    inputs: ClassVar[tuple[str, ...]] = ("original", "mask")
    draws: ClassVar[int] = 2

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        rows = super().rows(grid, schedule)
        if not getattr(schedule, "late_undo", False):
            return rows
        alpha, sigma = schedule.levels(rows.timestep)  # where the model takes the sample to be, which it is not
        return replace(rows, alpha=alpha, sigma=sigma)

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
