"""Euler's method, and its stochastic cousin that draws the noise anew."""

from dataclasses import dataclass
from typing import Any, ClassVar

from multisched.solvers.base import Estimate, Next, Rows, Solver


@dataclass(frozen=True)
class Euler(Solver):
    """Explicit Euler along the probability flow (Karras et al. 2022, arXiv 2206.00364, eq. 4); order 1.

        x_next = alpha_next * x0 + sigma_next * noise

    On the straight path (alpha = 1 - sigma) this is x + (sigma_next - sigma) * (noise - x0), one Euler step on the
    velocity; on a variance-preserving path it is DDIM with eta = 0 (Song et al. 2020, arXiv 2010.02502, eq. 13).
    """

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        return Next(row.alpha_next * model.x0 + row.sigma_next * model.noise)


@dataclass(frozen=True)
class PingPong(Solver):
    """Denoise, then noise again with fresh draws: multistep consistency sampling (Song et al. 2023, arXiv 2303.01469,
    algorithm 1).

        x_next = alpha_next * x0 + sigma_next * z,   z ~ N(0, I)

    Exact for a consistency model. It does not follow the probability flow, so it has no order of convergence to it.
    With the model's own noise in place of z it is `Euler`.
    """

    order: ClassVar[int] = 0

    @property
    def draws(self) -> int:
        return 1

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        (z,) = noise
        return Next(row.alpha_next * model.x0 + row.sigma_next * z)
