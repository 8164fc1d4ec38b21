"""DPM-Solver++ multistep for the SDE, with any amount of noise: "DPM++ 3M SDE"."""

from dataclasses import dataclass
from typing import Any, Literal

from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.limits import gap, nonzero, one_over, orders, root
from multisched.solvers.rows import Level, Rows
from multisched.values import check_options, count, namespace


@dataclass(frozen=True)
class DPMMultistepSDE(Solver):
    """DPM-Solver++ multistep for the SDE (Lu et al. 2022, arXiv 2211.01095, section 5) of third order, which
    k-diffusion calls "DPM++ 3M SDE".

        x_next = sigma_next / sigma * e^(-eta h) * x + alpha_next * [(1 - e^-H) * x0 + p1 * h * x0' + p2 * h^2 * x0'']
                 + s_noise * sigma_next * sqrt(1 - e^(-2 eta h)) * z
        h = lam_next - lam,   H = (1 + eta) * h,   p1 = 1 - (1 - e^-H) / H,   p2 = 1/2 - p1 / H

    x0' is the slope of the parabola through the last three estimates. x0'' is its second derivative, or half of that as
    published. The first step has order 1, the second order 2; a step to sigma = 0 is x0. By the rule "midpoint" a step
    of order 2 has (1 - e^-H) / 2 in place of p1. With eta = 1, and two estimates, this is `DPMMultistep`'s
    "sde-dpmsolver++" by the same rule.

    Order min(most, 2) where eta = 0. Else the law of the samples is of weak order min(most, 2).

    No order; weak order 2; one call a step. With eta=0.0: order 2; one call a step.

    Args:
        most: estimates that a step uses, 1 to 3.
        eta: amount of noise; 0 for the probability flow, 1 for the SDE of the paper.
        s_noise: scale of the noise.
        halved: whether x0'' is halved, as published; False is closer at many steps.
        solver_type: rule of the steps of order 2, "heun" or "midpoint".

    Raises:
        ScheduleError: if a setting is negative or not finite, or `solver_type` is another word.

    Example:
        >>> recipe = ms.sampler("dpmpp_2m_sde")
        >>> plan = recipe.plan(10)
        >>> len(plan), plan.weak_order, plan.noise_draws
        (10, 2, 1)
    """

    most: int = 3
    eta: float = 1.0
    s_noise: float = 1.0
    halved: bool = True
    solver_type: Literal["midpoint", "heun"] = "heun"

    def __post_init__(self) -> None:
        check_options(self, not_negative=("eta", "s_noise"))
        count("most", self.most, 3)

    @property
    def order(self) -> int:
        return 0 if self.eta > 0 else min(self.most, 2)

    def order_after(self, steps: int) -> int:
        return self.order if self.eta > 0 or self.halved else min(self.most, 2 + steps)

    @property
    def weak_order(self) -> int:
        return min(self.most, 2) if self.s_noise == 1 else super().weak_order

    @property
    def memory(self) -> tuple[str, ...]:
        return ("before", "before_that")[: self.most - 1]

    @property
    def draws(self) -> int:
        return int(self.eta > 0 and self.s_noise > 0)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        h = gap(row.start, row.next)
        decay, std = way(row.start, row.next, self.eta)
        slope, curve = self._derivatives(row, model.x0, memory)
        xp, scaled = namespace(h), (1 + self.eta) * h
        p1 = 1 + xp.expm1(-scaled) * one_over(scaled)
        p2 = 0.5 - p1 * one_over(scaled)
        if self.solver_type == "midpoint":
            p1 = xp.where(orders(row, self.most) == 2, -0.5 * xp.expm1(-scaled), p1)
        after = decay * x + (row.alpha_next - decay * row.alpha_start) * model.x0
        after = after + row.alpha_next * h * (p1 * slope + p2 * h * curve)
        if noise:
            after = after + self.s_noise * std * noise[0]
        return Next(after, (model.x0, *memory)[: self.most - 1])

    def _derivatives(self, row: Rows, x0: Any, memory: tuple[Any, ...]) -> tuple[Any, Any]:
        """x0' and x0'' by lam, where the step begins."""
        xp, order = namespace(row.sigma), orders(row, self.most)
        slope = curve = 0.0 * order
        if self.most > 1:
            back = gap(row.at(-1), row.start)
            slope = xp.where(order > 1, (x0 - memory[0]) * one_over(back), 0.0)
            if self.most > 2:
                earlier = gap(row.at(-2), row.at(-1))
                before = (memory[0] - memory[1]) * one_over(earlier)
                curve = xp.where((order > 2) & (earlier > 0), (slope - before) * one_over(back + earlier), 0.0)
                slope = slope + back * curve
        return slope, curve * (1.0 if self.halved else 2.0)


def way(start: Level, end: Level, eta: float) -> tuple[Any, Any]:
    """What noise at one level comes to at another, and the deviation of the noise drawn on the way.

    sigma_end / sigma * e^(-eta h)   and   sigma_end * sqrt(1 - e^(-2 eta h))
    """
    keep = (end.sigma * start.alpha / nonzero(end.alpha * start.sigma)) ** eta
    return end.sigma / nonzero(start.sigma) * keep, end.sigma * root(1 - keep**2)
