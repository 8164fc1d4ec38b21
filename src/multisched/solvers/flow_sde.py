"""The SDE of a flow, as reinforcement learning samples it: "Flow-GRPO" and "DanceGRPO"."""

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

    Order 1 where noise_level = 0: that is Euler's method for v, `Euler` on the straight path. Otherwise the law of the
    samples is of weak order 1. Flow-GRPO's log-density is the mean over the elements of a sample, `log_prob` the sum.

    Args:
        rule: "flow_grpo" or "dance_grpo".
        noise_level: amount of noise; the papers take 0.7 and 0.3.
        clean: whether a step to sigma = 0 leads to x0, without noise.
        t_min: the lowest t from which a step has noise; the others are Euler's (MixGRPO, Li et al. 2025, arXiv
            2507.21802).
        t_max: the highest.

    Raises:
        ScheduleError: if the rule is another, noise_level is negative or infinite, or the times are not in order in
            [0, 1].

    Example:
        >>> import numpy as np
        >>> import multisched as ms
        >>> plan = ms.sampler("flow_grpo", like=ms.FlowMatchEuler(shift=3.0), noise_level=0.7).plan(10)
        >>> state, velocity, z = np.ones((3, 1, 4))
        >>> state = plan.start(state)
        >>> mean, std = plan.transition(state, velocity)
        >>> after = plan.step(state, velocity, z)
        >>> round(std, 4), ms.log_prob(after.sample, mean, std).round(4).tolist()
        (0.7, [-4.2491])
    """

    rule: Literal["flow_grpo", "dance_grpo"] = "flow_grpo"
    noise_level: float = 0.7
    clean: bool = False
    t_min: float = 0.0
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, not_negative=("noise_level",))
        if not 0 <= self.t_min <= self.t_max <= 1:
            raise ScheduleError(
                f"t_min and t_max must be in order, in [0, 1]; given t_min={self.t_min!r} and t_max={self.t_max!r}."
            )

    @property
    def order(self) -> int:
        return int(self.noise_level == 0)

    @property
    def draws(self) -> int:
        return int(self.noise_level > 0)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        t, after = row.here.share, row.next.share
        y = x / (row.alpha + row.sigma) - (t - after) * (model.noise - model.x0)
        if noise:
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
