"""Second-order singlestep solvers: a call where the step begins, and one at its middle in lam; noise drawn after
the step or before it."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver, on_host
from multisched.solvers.euler import Churn
from multisched.solvers.limits import nonzero, root
from multisched.solvers.rows import Level, Rows
from multisched.solvers.staged import pair, staged, whole
from multisched.values import check_options, namespace

Aim = Literal["ratio", "share"]


@dataclass(frozen=True)
class Midpoint(Solver):
    """DPM-Solver-2 and DPM-Solver++(2S), also with noise drawn anew.

        s, rest = eta * sigma_next * sqrt(1 - (k_next / k)^2), sqrt(sigma_next^2 - s^2)     with k = sigma / alpha
        call 1, to the middle m, k_m = sqrt(k * k_next):   x_m = alpha_m * x0 + sigma_m * noise
        call 2:  miss   = x - alpha * x0 - sigma * noise,   of the first x from the x0 and noise found at the middle
                 x_next = alpha_next * x0 + rest * noise + s * z + gain * miss

    With gain = alpha_next / alpha the noise at the middle holds for the step (Lu et al. 2022, arXiv 2206.00927,
    algorithm 1); with gain = rest / sigma its x0 does (arXiv 2211.01095, algorithm 1). With gain = (alpha_next + rest)
    / (alpha + sigma) the velocity noise - x0 does, and u = sigma / (alpha + sigma) has the part of k in the middle;
    with eta = 0 this is `Straightened(Midpoint())`. A step to sigma = 0, or from alpha = 0 unless the velocity is held,
    has no middle, since lam is infinite there: it is one call of `Euler`, or of `DDIM` with this eta.

    Order 2; two calls a step. With eta=1.0: order 2; weak order 2; two calls a step. With eta=1.0, noisy_middle=True:
    order 2; weak order 1; two calls a step.

    Args:
        held: "noise", "x0" or "velocity".
        eta: share of the noise that is drawn anew. The middle is then that of k and rest / alpha_next.
        noisy_middle: whether noise is drawn on the way to the middle too, which stays that of k and k_next.
        s_noise: scale of the noise.
        aim: how `rest` falls with eta: by "ratio" as above, or by "share", with u = sigma / (alpha + sigma) to
            u_next * (1 + eta * (u_next / u - 1)), as the ancestral samplers of flow models do.

    Raises:
        ScheduleError: if `held` or `aim` is another word, eta lies outside [0, 1], or s_noise is negative.

    Example:
        >>> recipe = ms.sampler("dpm_2")
        >>> len(recipe.plan(10)), round(ms.analysis.order(recipe, steps=(24, 48)), 1)
        (19, 2.0)
    """

    order: ClassVar[int] = 2
    memory: ClassVar[tuple[str, ...]] = ("anchor",)

    held: Literal["noise", "x0", "velocity"] = "noise"
    eta: float = 0.0
    noisy_middle: bool = False
    s_noise: float = 1.0
    aim: Aim = "ratio"

    def __post_init__(self) -> None:
        check_options(self)
        if not 0 <= self.eta <= 1 or not self.s_noise >= 0:
            raise ScheduleError(f"eta must be in [0, 1] and s_noise >= 0; given {self.eta!r} and {self.s_noise!r}.")

    @property
    def weak_order(self) -> int:
        if not self.draws or self.s_noise != 1:
            return super().weak_order
        return 1 if self.noisy_middle else 2

    @property
    def draws(self) -> int:
        return int(self.eta > 0)

    def rows(self, grid: Grid, path: Any) -> Rows:
        on_host(grid)
        start, end = Level(grid.alphas[:-1], grid.sigmas[:-1]), Level(grid.next_alphas, grid.next_sigmas)
        aim = end if self.noisy_middle else Level(end.alpha, split(start, end, self.eta, self.aim)[1])
        return staged(grid, path, (0.0, 0.5), aim, "share" if self.held == "velocity" else "lam")

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        (anchor,) = memory
        second = row.stage == 1
        to_middle = (row.stage == 0) & pair(row.start, row.next, self.held == "velocity")
        eta = self.eta if self.noisy_middle else xp.where(to_middle, 0.0, self.eta)
        std, rest = split(row.start, row.next, eta, self.aim)

        end, begin = {
            "noise": (row.alpha_next, row.alpha_start),
            "x0": (rest, row.sigma_start),
            "velocity": (row.alpha_next + rest, row.alpha_start + row.sigma_start),
        }[self.held]
        gain = end / xp.where(second, begin, 1.0)
        miss = anchor - row.alpha_start * model.x0 - row.sigma_start * model.noise
        x_next = row.alpha_next * model.x0 + rest * model.noise + xp.where(second, gain * miss, 0.0)
        if noise:
            x_next = x_next + self.s_noise * std * noise[0]
        return Next(x_next, (xp.where(second, anchor, x),))


@dataclass(frozen=True)
class ChurnedMidpoint(Churn):
    """`Midpoint` with the noise of Karras et al. 2022 (arXiv 2206.00364, algorithm 2) before each step, as "DPM2" of
    k-diffusion.

    Order 2; two calls a step. With s_churn=4.0: order 2; weak order 2; two calls a step.

    Takes the options of `Churn`.

    Args:
        held: "noise" or "x0", see `Midpoint`.

    Raises:
        ScheduleError: another word for `held`, a setting that is negative or NaN, or a grid that is not NumPy's.

    Example:
        >>> solver = ms.solvers.ChurnedMidpoint(s_churn=4.0)
        >>> recipe = ms.Scheduler(ms.paths.VarianceExploding(), ms.spacings.Ramp() | ms.spacings.End(), "edm", solver)
        >>> plan = recipe.plan(8)
        >>> len(plan), plan.stochastic, round(float(plan.sigmas[0]), 3)
        (15, True, 113.137)
    """

    order: ClassVar[int] = 2
    memory: ClassVar[tuple[str, ...]] = ("anchor",)

    held: Literal["noise", "x0"] = "noise"

    def rows(self, grid: Grid, path: Any) -> Rows:
        on_host(grid)
        return staged(self._raised(grid, path) if self.s_churn else grid, path, (0.0, 0.5))

    def _ends(self, row: Rows) -> Any:
        return (row.stage == 1) | ~whole(row)[1]

    def _move(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...]) -> Next:
        return Midpoint(self.held).update(row, x, model, memory, ())


def split(start: Level, end: Level, eta: Any, aim: Aim = "ratio") -> tuple[Any, Any]:
    """The noise at a step's end: the deviation that is drawn anew, and the weight of what is kept."""
    xp = namespace(end.sigma)
    if aim == "share":
        down = end.share * (1 + eta * (xp.where(start.share > end.share, end.share / nonzero(start.share), 1.0) - 1))
        rest = end.alpha * down / (1 - down)
        return xp.where(down < end.share, root(end.sigma**2 - rest**2), 0.0), rest
    falls = start.ratio > end.ratio
    share = xp.where(falls, end.ratio, 1.0) / xp.where(falls, start.ratio, 1.0)
    return eta * end.sigma * xp.sqrt(1 - share**2), end.sigma * xp.sqrt(1 - eta**2 + (eta * share) ** 2)
