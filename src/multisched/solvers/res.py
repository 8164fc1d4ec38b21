"""RES, the refined exponential solver, in its multistep form."""

from dataclasses import dataclass
from typing import Any, ClassVar

from multisched.errors import ScheduleError
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.dpm2 import split
from multisched.solvers.limits import gap, one_over
from multisched.solvers.rows import Level, Rows
from multisched.values import check_options, namespace


@dataclass(frozen=True)
class RESMultistep(Solver):
    """The refined exponential solver, multistep and of second order (Zhang et al. 2023, arXiv 2308.02157, section 3),
    and its ancestral form, as ComfyUI has both.

        s, rest = eta * sigma_next * sqrt(1 - (k_next / k)^2), sqrt(sigma_next^2 - s^2)     with k = sigma / alpha
        x_next  = alpha_next * x0 + rest * noise + alpha_next * p1 * h / h_before * (x0 - x0_before) + s_noise * s * z
        p1 = 1 - (1 - e^-h) / h

    h is the step in lam = log(alpha / sigma), to where it would lead with `rest` for noise; h_before is the same of the
    step before. The first step and one to sigma = 0 are `DDIM`'s with this eta. With eta = 0 it is `ExponentialAdams`
    on two values of x0.

    Order 2 where eta = 0. Otherwise the law of the samples is of weak order 2.

    Order 2; one call a step. With eta=1.0: no order; weak order 2; one call a step.

    Args:
        eta: share of the noise that is drawn anew, from 0 to 1.
        s_noise: scale of the noise.

    Raises:
        ScheduleError: eta outside [0, 1] or a negative s_noise.

    Example:
        >>> recipe = ms.sampler("res_multistep")
        >>> len(recipe.plan(10)), round(ms.analysis.order(recipe, steps=(24, 48)), 1)
        (10, 2.0)
    """

    memory: ClassVar[tuple[str, ...]] = ("before",)

    eta: float = 0.0
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, not_negative=("s_noise",))
        if not 0 <= self.eta <= 1:
            raise ScheduleError(f"eta must be in [0, 1]; given {self.eta!r}.")

    @property
    def order(self) -> int:
        return 0 if self.eta > 0 else 2

    @property
    def weak_order(self) -> int:
        return 2 if self.s_noise == 1 else super().weak_order

    @property
    def draws(self) -> int:
        return int(self.eta > 0 and self.s_noise > 0)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, last = namespace(row.sigma), row.at(-1)
        std, rest = split(row.start, row.next, self.eta)
        h = gap(row.start, Level(row.alpha_next, rest))
        before = gap(last, Level(row.alpha_start, split(last, row.start, self.eta)[1]))
        p1 = 1 + xp.expm1(-h) * one_over(h)
        bend = xp.where((row.step > 0) & (before > 0), p1 * h * one_over(before), 0.0)
        after = row.alpha_next * (model.x0 + bend * (model.x0 - memory[0])) + rest * model.noise
        if noise:
            after = after + self.s_noise * std * noise[0]
        return Next(after, (model.x0,))
