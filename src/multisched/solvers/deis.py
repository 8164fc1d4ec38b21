"""DEIS with polynomials in the time of a variance preserving process."""

from dataclasses import dataclass
from typing import Any

from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.limits import finite, nonzero, orders
from multisched.solvers.polynomial import NODES, WEIGHTS, checked
from multisched.solvers.rows import Rows
from multisched.values import check_options, count, namespace


@dataclass(frozen=True)
class DEIS(Solver):
    """tAB-DEIS (Zhang and Chen 2022, arXiv 2204.13902, eq. 14): a polynomial p in t goes through the last values
    of the noise, on any path.

        x_next / alpha_next = x / alpha + integral from t to t_next of p(t) * k'(t),   k = sigma / alpha
        k(t)^2 = exp(beta_d * t^2 / 2 + beta_min * t) - 1

    The first step of a run has one value, and so has the step to sigma = 0: both are `Euler`'s. Order min(most, 2).
    `ExponentialAdams` has the polynomial in log(alpha / sigma).

    Order 2; one call a step. With most=1: order 1; one call a step.

    Args:
        most: values that p goes through, 1 to 4.
        beta_d: how fast the rate of the process grows with t. The numbers of a process give no other order, and need
            not be those that the model was trained with.
        beta_min: its rate at t = 0.

    Raises:
        ScheduleError: if a number is out of range, or the method cannot go along the grid.

    Example:
        >>> recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", ms.solvers.DEIS(most=3))
        >>> len(recipe.plan(10)), round(ms.analysis.order(recipe, steps=(24, 48)), 1)
        (10, 2.0)
    """

    most: int = 3
    beta_d: float = 19.9
    beta_min: float = 0.1

    def __post_init__(self) -> None:
        check_options(self, positive=("beta_d",))
        count("most", self.most, 4)

    @property
    def order(self) -> int:
        return self.order_after(0)

    def order_after(self, steps: int) -> int:
        return min(self.most, 2 + steps)

    @property
    def memory(self) -> tuple[str, ...]:
        return ("before", "before_that", "first_of_four")[: self.most - 1]

    def rows(self, grid: Grid, path: Any) -> Rows:
        return checked(super().rows(grid, path), data=False, corrected=False, noisy=False)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        euler = row.alpha_next * model.x0 + row.sigma_next * model.noise
        bend = sum(w * (one - model.noise) for w, one in zip(self._weights(row), memory, strict=True))
        return Next(euler + row.alpha_next * bend, (model.noise, *memory)[: self.most - 1])

    def _time(self, ratio: Any) -> Any:
        xp, k = namespace(ratio), finite(ratio)
        t = (xp.sqrt(self.beta_min**2 + 2 * self.beta_d * xp.log1p(k * k)) - self.beta_min) / self.beta_d
        return xp.where(ratio == k, t, k)  # pure noise is so far away that its value has no weight

    def _rise(self, t: Any) -> Any:
        """k'(t)."""
        xp = namespace(t)
        square = xp.expm1(self.beta_d * t * t / 2 + self.beta_min * t)
        return (self.beta_d * t + self.beta_min) * (square + 1) / (2 * xp.sqrt(nonzero(square)))

    def _interval(self, row: Rows) -> tuple[Any, Any]:
        """The time at which a step begins and how much is added to it; none where there is one value."""
        xp, several = namespace(row.sigma), orders(row, self.most) > 1
        start = xp.where(several, self._time(row.start.ratio), 1.0)
        return start, xp.where(several, self._time(row.next.ratio) - start, 0.0)

    def _sum(self, row: Rows) -> tuple[Any, Any]:
        """Times, and weights of k' at them that make its integral."""
        xp, (start, h) = namespace(row.sigma), self._interval(row)
        at = start + h * xp.asarray(0.5 + NODES)
        return at, h * xp.asarray(WEIGHTS) * self._rise(at)

    def _weights(self, row: Rows) -> list[Any]:
        """The integrals of k' times Lagrange's polynomials of the values before."""
        xp, order, (at, weight) = namespace(row.sigma), orders(row, self.most), self._sum(row)
        nodes = [self._time(row.at(-j).ratio) for j in range(self.most)]
        found = []
        for j, node in enumerate(nodes[1:], 1):
            part = weight
            for m, other in enumerate(nodes):
                if m != j:
                    part = xp.where(order > m, part * (at - other) / nonzero(node - other), part)
            found.append(xp.where(order > j, xp.sum(part, axis=-1, keepdims=True), 0.0))
        return found
