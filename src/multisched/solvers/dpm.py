"""DPM-Solver and DPM-Solver++: one exponential integrator in the half log-SNR."""

from dataclasses import dataclass
from typing import Any, Literal

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import PARTS, Solver
from multisched.solvers.limits import gap, one_over
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
    def weak_order(self) -> int:
        return min(self.solver_order, 2) if self.draws else self.order

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
