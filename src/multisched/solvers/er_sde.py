"""ER-SDE: solvers for extended reverse-time SDEs."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.limits import finite, nonzero, orders, root
from multisched.solvers.polynomial import NODES, WEIGHTS
from multisched.solvers.rows import Level, Rows
from multisched.values import check_options, count, namespace

TERMS = 10_000  # of a sum, at most


@dataclass(frozen=True)
class ERSDE(Solver):
    """ER-SDE-Solver-1, -2 and -3 (Cui et al. 2023, arXiv 2309.06169, proposition 4 and algorithms 1 to 3), in
    k = sigma / alpha with the paper's phi(k) = k * (e^(k^0.3) + 10), or phi(k) = k for the probability flow.

        r      = phi(k_next) / phi(k)
        x_next = alpha_next * (r * x / alpha + phi(k_next) * integral from k_next to k of phi' / phi^2 * p
                 + s_noise * sqrt(k_next^2 - r^2 k^2) * z)
        p(q)   = x0 + d * (q - k) + u / 2 * (q - k)^2

    d and u are the divided differences of first order, and twice those of second, of the last three x0. The parabola
    through them has (q - k) * (q - k_before) in place of (q - k)^2, which the `rule` "interpolated" takes: it is
    closer to the law at many steps, by 20 times at 480. The first step has one x0, and a step to sigma = 0 leads to it.

    Order min(most, 2) for the probability flow. Otherwise the law of the samples is of weak order min(most, 2).

    No order; weak order 2; one call a step. With phi="ode": order 2; one call a step.

    Args:
        most: estimates that a step uses, 1 to 3.
        phi: "er_sde" or "ode".
        s_noise: scale of the noise.
        rule: "published" or "interpolated". On trained networks, without noise, both are as near, but for a fifth.
        terms: 0 for exact integrals; n for sums of n terms in their place, 200 in published code: of 1 / phi, and of
            the slope of p over phi, after integration by parts, at even k from k_next on. Both orders are 1 then, with
            an error of about 1 / n of the first order's.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.

    Example:
        >>> solver = ms.solvers.ERSDE(phi="ode")
        >>> recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", solver)
        >>> round(ms.analysis.order(recipe, steps=(24, 48)), 1)
        2.0
    """

    most: int = 3
    phi: Literal["er_sde", "ode"] = "er_sde"
    s_noise: float = 1.0
    rule: Literal["published", "interpolated"] = "published"
    terms: int = 0

    def __post_init__(self) -> None:
        check_options(self, not_negative=("s_noise",))
        count("most", self.most, 3)
        count("terms", self.terms, TERMS, least=0)

    @property
    def order(self) -> int:
        return self._order if self.phi == "ode" else 0

    def order_after(self, steps: int) -> int:
        whole = self.phi == "ode" and self.rule == "interpolated" and not self.terms
        return min(self.most, 2 + steps) if whole else self.order

    @property
    def weak_order(self) -> int:
        return self._order if self.s_noise == 1 else super().weak_order

    @property
    def _order(self) -> int:
        return 1 if self.terms else min(self.most, 2)

    @property
    def memory(self) -> tuple[str, ...]:
        return ("before", "before_that")[: self.most - 1]

    @property
    def draws(self) -> int:
        return int(self.phi == "er_sde" and self.s_noise > 0)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        start, end = row.start, row.next
        shrunk = self._grown(end)[0] / self._grown(start)[0]  # r * k / k_next, which exists at k = infinity
        decay = end.sigma / nonzero(start.sigma) * shrunk
        after = decay * x + (end.alpha - decay * start.alpha) * model.x0 + end.alpha * self._bend(row, model.x0, memory)
        if noise:
            after = after + self.s_noise * end.sigma * root(1 - shrunk**2) * noise[0]
        return Next(after, (model.x0, *memory)[: self.most - 1])

    def _grown(self, level: Any) -> tuple[Any, Any]:
        """phi(k) / k and phi'(k)."""
        k = finite(level.ratio)
        xp = namespace(k)
        if self.phi == "ode":
            return 0.0 * k + 1.0, 0.0 * k + 1.0
        power = xp.where(k > 0, k, 1.0) ** 0.3 * xp.where(k > 0, 1.0, 0.0)
        rise = xp.exp(xp.where(power < 300, power, 300.0))  # beyond that, what was before has no weight
        return rise + 10, rise + 10 + 0.3 * power * rise

    def _bend(self, row: Rows, x0: Any, memory: tuple[Any, ...]) -> Any:
        """What p - x0 adds to x_next / alpha_next."""
        xp, order = namespace(row.sigma), orders(row, self.most)
        bend = 0.0 * order
        if not memory:
            return bend
        k, k_1, k_2 = (finite(row.at(-j).ratio) for j in range(3))
        end = xp.where(order > 1, row.next.ratio, k)  # no integral where there is one value
        start = xp.where(order > 1, k, 1.0)
        end = xp.where(order > 1, end, 1.0)
        slope = (x0 - memory[0]) / nonzero(k - k_1)
        bend = self._integral(start, end, None) * slope
        if self.most > 2:
            before = (memory[0] - memory[1]) / nonzero(k_1 - k_2)
            curve = (slope - before) / nonzero(k - k_2)
            square = self._integral(start, end, start if self.rule == "published" else k_1)
            bend = bend + xp.where(order > 2, square * curve, 0.0)
        return xp.where(order > 1, bend, 0.0)

    def _integral(self, start: Any, end: Any, other: Any) -> Any:
        """phi(end) * integral from end to start of phi' / phi^2 * p, p = q - start, times q - other if there is one."""
        xp = namespace(start)
        top = end * self._grown(Level(0.0 * end + 1.0, end))[0]
        if self.terms:
            at = end + (start - end) * xp.asarray(np.arange(self.terms) / self.terms)
            rise = 1.0 if other is None else 2 * at - start - other  # p'
            sums = xp.sum(rise / (at * self._grown(Level(0.0 * at + 1.0, at))[0]), axis=-1, keepdims=True)
            return (end - start) * (1.0 if other is None else end - other) + top * (start - end) / self.terms * sums
        at = xp.exp(xp.log(end) + xp.log(start / end) * xp.asarray(0.5 + NODES))
        share, rise = self._grown(Level(0.0 * at + 1.0, at))
        weight = xp.log(start / end) * xp.asarray(WEIGHTS) * top * rise / (share**2 * at)
        return xp.sum(weight * (at - start) * (1.0 if other is None else at - other), axis=-1, keepdims=True)
