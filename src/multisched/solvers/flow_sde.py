"""Stochastic steps of a flow, as reinforcement learning takes them: Flow-GRPO's, DanceGRPO's and Flow-CPS's."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from multisched.errors import ScheduleError
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.limits import nonzero, root
from multisched.solvers.rows import Rows
from multisched.values import check_options, namespace


@dataclass(frozen=True)
class FlowSDE(Solver):
    """Euler and Maruyama's steps on the SDE whose samples have the law of the flow at every time, for reinforcement
    learning: each step is a Gaussian that `Plan.transition` gives and `log_prob` weighs.

        y = x / (alpha + sigma) = x0 + t * v,   t = sigma / (alpha + sigma),   v = noise - x0,   dt = t - t_next
        y_next = y - (v + g^2 / (2 t) * noise) * dt + g * sqrt(dt) * z

    With the rule "flow_grpo" g = noise_level * sqrt(t / (1 - t)) (Liu et al. 2025, arXiv 2505.05470, section 4.2); with
    "dance_grpo" g = noise_level (Xue et al. 2025, arXiv 2505.07818, the SDE of rectified flows). On the straight path y
    is the sample, and t is sigma. At t = 1 the first of them is infinite: there it has t_next in the denominator, as in
    Flow-GRPO's code, so that the deviation of the step is the noise level. Both papers noise the last step like the
    others: a run ends with noise of the size g * sqrt(t), unless it is `clean`. A step to more noise is Euler's.

    The rule "flow_cps" (Wang and Yu 2025, arXiv 2509.05952) is no step of an SDE. It draws a share of the noise anew
    and keeps the amounts of x0 and of noise, so that nothing is left of it at the end:

        y_next = (1 - t_next) * x0 + t_next * (cos(w) * noise + sin(w) * z),   w = noise_level * pi / 2

    Order 1 where noise_level = 0: that is Euler's method for v, `Euler` on the straight path. Otherwise the law of the
    samples is of weak order 1, but with "flow_cps" it does not converge: at noise_level = 0.7 the variance of Gaussian
    data comes out some 30 % too small, however many the steps. Flow-GRPO takes `log_prob(..., reduce="mean")`.

    No order; weak order 1; one call a step. With rule="flow_cps": no order; no weak order; one call a step. With
    noise_level=0.0: order 1; one call a step.

    Args:
        rule: "flow_grpo", "dance_grpo" or "flow_cps".
        noise_level: amount of noise; the papers take 0.7 and 0.3. With "flow_cps" at most 1.
        clean: whether a step to sigma = 0 leads to x0, without noise.
        t_min: the lowest t from which a step has noise; the others are Euler's (MixGRPO, Li et al. 2025, arXiv
            2507.21802).
        t_max: the highest.

    Raises:
        ScheduleError: if the rule is another, noise_level is out of range, or the times are not in order in [0, 1].

    Example:
        >>> plan = ms.sampler("flow_grpo", like=ms.FlowMatchEuler(shift=3.0), noise_level=0.7).plan(10)
        >>> state, velocity, z = np.ones((3, 1, 4))
        >>> state = plan.start(state)
        >>> mean, std = plan.transition(state, velocity)
        >>> after = plan.step(state, velocity, z)
        >>> round(std, 4), ms.log_prob(after.sample, mean, std).round(4).tolist()
        (0.7, [-4.2491])
    """

    rule: Literal["flow_grpo", "dance_grpo", "flow_cps"] = "flow_grpo"
    noise_level: float = 0.7
    clean: bool = False
    t_min: float = 0.0
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, not_negative=("noise_level",))
        if self.rule == "flow_cps" and self.noise_level > 1:
            raise ScheduleError(f"noise_level must be in [0, 1] with the rule 'flow_cps'; given {self.noise_level!r}.")
        if not 0 <= self.t_min <= self.t_max <= 1:
            raise ScheduleError(
                f"t_min and t_max must be in order, in [0, 1]; given t_min={self.t_min!r} and t_max={self.t_max!r}."
            )

    @property
    def order(self) -> int:
        return int(self.noise_level == 0)

    @property
    def weak_order(self) -> int:
        return super().weak_order if self.rule == "flow_cps" else 1

    @property
    def draws(self) -> int:
        return int(self.noise_level > 0)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        t, after = row.here.share, row.next.share
        y = x / (row.alpha + row.sigma) - (t - after) * (model.noise - model.x0)
        if noise and self.rule == "flow_cps":
            xp = namespace(t)
            angle = xp.where(self._noisy(row) > 0, self.noise_level * math.pi / 2, 0.0)
            y = y + after * ((xp.cos(angle) - 1) * model.noise + xp.sin(angle) * noise[0])
        elif noise:
            dt, half = self._noisy(row), self._half(t, after)
            y = y - half * dt * model.noise + root(2 * t * half * dt) * noise[0]
        return Next((row.alpha_next + row.sigma_next) * y)

    def _half(self, t: Any, after: Any) -> Any:
        """g^2 / (2 t)."""
        xp = namespace(t)
        if self.rule == "dance_grpo":
            return self.noise_level**2 / (2 * nonzero(t))
        return self.noise_level**2 / (2 * nonzero(1 - xp.where(t == 1, after, t)))

    def _noisy(self, row: Rows) -> Any:
        """dt; 0 for a step that adds no noise."""
        t, after = row.here.share, row.next.share
        noisy = (self.t_min <= t) & (t <= self.t_max) & (after < t) & ((row.sigma_next > 0) | (not self.clean))
        return namespace(t).where(noisy, t - after, 0.0)
