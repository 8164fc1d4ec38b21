"""DPM-Solver and DPM-Solver++: one exponential integrator in the half log-SNR, and its multistep form."""

from dataclasses import dataclass
from typing import Any, Literal

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import PARTS, Estimate, Next, Solver
from multisched.solvers.limits import gap, one_over, orders
from multisched.solvers.rows import Level, Rows
from multisched.values import anywhere, check_options, namespace

Algorithm = Literal["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"]
Rule = Literal["midpoint", "heun"]


@dataclass(frozen=True)
class DPM(Solver):
    """What the multistep and the singlestep solver share: the step from one level to another, given the model's
    estimate m at its beginning and two derivatives of m by lam = log(alpha / sigma).

        x_next = decay * x + weight * [(1 - e^-H) * m + p1 * h * m' + p2 * h^2 * m''] + std * z
        p1 = 1 - (1 - e^-H) / H,   p2 = 1/2 - p1 / H,   h = lam_next - lam

                         m      decay                      weight           H    std
        dpmsolver++      x0     sigma_next / sigma         alpha_next       h    0
        dpmsolver        noise  alpha_next / alpha         sigma_next      -h    0
        sde-dpmsolver++  x0     sigma_next / sigma * e^-h  alpha_next      2h    sigma_next * sqrt(1 - e^-2h)
        sde-dpmsolver    noise  alpha_next / alpha         2 * sigma_next  -h    sigma_next * sqrt(e^2h - 1)

    (Lu et al. 2022, arXiv 2206.00927, proposition 3.1, and arXiv 2211.01095, proposition 4.1 and section 5.) The
    "midpoint" rule has (1 - e^-H) * (m + h * m' / 2) in the brackets. A step to sigma = 0 is alpha_next * x0 in all.

    Args:
        solver_order: 1, 2 or 3.
        algorithm_type: one of the four.
        solver_type: "midpoint" or "heun", which has no such rule.
        lower_order_final: whether the order falls towards the end of the run.
        parts: parts of the model's output; the first is used.

    Raises:
        ScheduleError: if an option is not one of those named, or the algorithm cannot take a step of the grid.
    """

    solver_order: int = 2
    algorithm_type: Algorithm = "dpmsolver++"
    solver_type: Rule = "midpoint"
    lower_order_final: bool = True
    parts: int = 1

    def __post_init__(self) -> None:
        check_options(self, counts={"solver_order": 3, "parts": PARTS})

    @property
    def _data(self) -> bool:
        return self.algorithm_type.endswith("++")

    @property
    def order(self) -> int:
        return 0 if self.draws else min(self.solver_order, 2)

    @property
    def outputs(self) -> int:
        return self.parts

    @property
    def draws(self) -> int:
        return int(self.algorithm_type.startswith("sde"))

    def rows(self, grid: Grid, path: Any) -> Rows:
        return self._checked(super().rows(grid, path))

    def _checked(self, rows: Rows) -> Rows:
        name = "sigma" if self._data else "alpha"
        if anywhere(getattr(rows, f"{name}_start") == 0):
            raise ScheduleError(f"algorithm_type {self.algorithm_type!r} takes no step that begins at {name} = 0.")
        # A step that rounding alone lets rise adds no noise.
        if self.draws and anywhere(rows.next.ratio > rows.start.ratio * (1 + 1e-9)):
            raise ScheduleError(f"algorithm_type {self.algorithm_type!r} takes no step to a higher noise level.")
        return rows

    def _way(self, start: Level, end: Level) -> tuple[Any, Any]:
        """(decay, std) of a step of an SDE algorithm: what becomes of the sample, and the deviation of the noise."""
        xp = namespace(start.sigma)
        shrunk = end.sigma * start.alpha / (end.alpha * start.sigma)  # e^-h
        variance = xp.where((end.sigma > 0) & (shrunk < 1), 1 - shrunk**2, 0.0)
        decay = end.sigma / start.sigma if self._data else end.alpha / start.alpha
        return decay * shrunk if self._data else decay, start.sigma * decay * xp.sqrt(variance)

    def _p2(self, p2: Any) -> Any:
        return p2

    def _advance(self, row: Rows, x: Any, m: Any, first: Any, second: Any, midpoint: Any, drawn: Any) -> Any:
        """x where the step ends, given m and its derivatives at its start; `midpoint` where that rule is to be used."""
        xp, start, end = namespace(row.sigma), row.start, row.next
        h = gap(start, end)
        (a, b), (a_next, b_next) = (level if self._data else level[::-1] for level in (start, end))
        decay, scaled, times = b_next / b, h if self._data else -h, 1.0
        if self.draws:
            decay, _ = self._way(start, end)
            scaled, times = (2 * h, 1.0) if self._data else (scaled, xp.where(end.sigma > 0, 2.0, 1.0))
        gain, weight = times * (a_next - a * decay), times * a_next
        p1 = 1 + xp.expm1(-scaled) * one_over(scaled)
        p2 = self._p2(0.5 - p1 * one_over(scaled))
        bend = xp.where(midpoint, gain * first / 2, weight * (p1 * first + p2 * h * second))
        return decay * x + gain * m + h * bend + drawn


@dataclass(frozen=True)
class DPMMultistep(DPM):
    """DPM-Solver multistep: m' and m'' from the parabola through the last estimates (Lu et al. 2022, arXiv 2211.01095,
    algorithm 2).

    Order min(solver_order, 2), as the first step has order 1, and one to sigma = 0. On smooth models 3 has a smaller
    constant; on trained networks, in 5 to 20 calls, 2 is 1.2 to 2.2 times nearer. The SDE algorithms follow no flow.

    Takes the options of `DPM`; lower_order_final acts in runs of fewer than 15 steps.

    Args:
        euler_at_final: whether the last step has order 1 in any case.
    """

    euler_at_final: bool = False

    @property
    def memory(self) -> tuple[str, ...]:
        return ("before", "before_that")[: self.solver_order - 1]

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        m = model.x0 if self._data else model.noise
        falling = (self.lower_order_final and row.total < 15) | (self.euler_at_final & (row.left == 1))
        order = orders(row, self.solver_order, falling)
        slope = curve = back = 0.0 * order
        if self.solver_order > 1:
            back = gap(row.start, row.at(-1))
            slope = (memory[0] - m) * one_over(back)
        if self.solver_order > 2:
            slope_before = (memory[1] - m) * one_over(gap(row.start, row.at(-2)))
            curve = (slope_before - slope) * one_over(gap(row.at(-1), row.at(-2)))
            curve = xp.where(order > 2, curve, 0.0)
        first = xp.where(order > 1, slope - back * curve, 0.0)
        midpoint = (order == 2) & (self.solver_type == "midpoint")
        drawn = self._way(row.start, row.next)[1] * noise[0] if noise else 0.0
        after = self._advance(row, x, m, first, self._second(curve), midpoint, drawn)
        return Next(after, (m, *memory)[: self.solver_order - 1])

    def _second(self, curve: Any) -> Any:
        """m'' of a divided difference of second order."""
        return 2 * curve
