"""DPM-Solver and DPM-Solver++: exponential integrators in the half log-SNR, one engine for four algorithms."""

from dataclasses import dataclass
from typing import Any

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.solvers.base import Estimate, Level, Next, Rows, Solver, orders
from multisched.values import anywhere, check_options, namespace

_KNOWN: dict[str, tuple[Any, ...]] = {
    "solver_order": (1, 2, 3),
    "algorithm_type": ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"),
    "solver_type": ("midpoint", "heun"),
    "third_order": ("exact", "published"),
}


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
        third_order: "exact", or "published" for the coefficients that go around in code: half of m'' in multistep,
            which is then no better than order 2, and p2 - 1 for p2 in sde-dpmsolver++.
        parts: parts of the model's output, of which the first is used.

    Raises:
        ScheduleError: an option that is not one of those named, or a grid with a step that the algorithm cannot take.
    """

    solver_order: int = 2
    algorithm_type: str = "dpmsolver++"
    solver_type: str = "midpoint"
    lower_order_final: bool = True
    third_order: str = "exact"
    parts: int = 1

    def __post_init__(self) -> None:
        check_options(self)
        for name, known in _KNOWN.items():
            if (given := getattr(self, name)) not in known:
                raise ScheduleError(f"{name} must be one of {', '.join(map(repr, known))}; given {given!r}.")

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

    def estimate(self, row: Rows, prediction: Prediction, x: Any, outputs: tuple[Any, ...]) -> tuple[Any, Any]:
        return super().estimate(row, prediction, x, outputs[:1])

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        return self._checked(super().rows(grid, schedule))

    def _checked(self, rows: Rows) -> Rows:
        name = "sigma" if self._data else "alpha"
        if anywhere(getattr(rows, f"{name}_start") == 0):
            raise ScheduleError(f"algorithm_type {self.algorithm_type!r} takes no step that begins at {name} = 0.")
        # A step that rounding alone lets rise adds no noise.
        if self.draws and anywhere(rows.next.ratio > rows.start.ratio * (1 + 1e-9)):
            raise ScheduleError(f"algorithm_type {self.algorithm_type!r} takes no step to a higher noise level.")
        return rows

    def _advance(
        self, start: Level, end: Level, x: Any, m: Any, first: Any, second: Any, midpoint: Any, noise: tuple[Any, ...]
    ) -> Any:
        """x at `end`, given m and its derivatives at `start`; `midpoint` where that rule is to be used."""
        xp = namespace(start.sigma)
        h = gap(start, end)
        (a, b), (a_next, b_next) = (level if self._data else level[::-1] for level in (start, end))
        decay, scaled, times, added = b_next / b, h if self._data else -h, 1.0, 0.0
        if noise:
            shrunk = end.sigma * start.alpha / (end.alpha * start.sigma)  # e^-h
            variance = xp.where((end.sigma > 0) & (shrunk < 1), 1 - shrunk**2, 0.0)
            added = start.sigma * decay * xp.sqrt(variance) * noise[0]
            if self._data:
                decay, scaled = decay * shrunk, 2 * h
            else:
                times = xp.where(end.sigma > 0, 2.0, 1.0)
        gain, weight = times * (a_next - a * decay), times * a_next
        p1 = 1 + xp.expm1(-scaled) * one_over(scaled)
        p2 = 0.5 - p1 * one_over(scaled)
        if noise and self._data and self.third_order == "published":
            p2 = p2 - 1
        bend = xp.where(midpoint, gain * first / 2, weight * (p1 * first + p2 * h * second))
        return decay * x + gain * m + h * bend + added


@dataclass(frozen=True)
class DPMMultistep(DPM):
    """DPM-Solver multistep: m' and m'' from the parabola through the last estimates (Lu et al. 2022, arXiv 2211.01095,
    algorithm 2).

    A run starts with order 1, and the step to sigma = 0 has order 1. The first step leaves an error of second order, so
    the order is 1 for solver_order 1, else 2; a third-order solver only makes the constant smaller. The SDE algorithms
    follow no probability flow.

    Args: those of `DPM`, of which lower_order_final acts in runs of fewer than 15 steps, and
        euler_at_final: whether the last step has order 1 in any case.
    """

    euler_at_final: bool = False

    @property
    def memory(self) -> tuple[str, ...]:
        return ("before", "before_that")[: self.solver_order - 1]

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        m = model.x0 if self._data else model.noise
        falling = (self.lower_order_final and row.steps < 15) | (self.euler_at_final & (row.left == 1))
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
        second = curve if self.third_order == "published" else 2 * curve
        midpoint = (order == 2) & (self.solver_type == "midpoint")
        after = self._advance(row.start, row.next, x, m, first, second, midpoint, noise)
        return Next(after, (m, *memory)[: self.solver_order - 1])


def gap(start: Level, end: Level) -> Any:
    """lam_end - lam_start; 0 where that is infinite, for then nothing is to be had from the other end."""
    xp = namespace(start.sigma)
    up, down = end.alpha * start.sigma, end.sigma * start.alpha
    finite = (up > 0) & (down > 0)
    return xp.where(finite, xp.log(xp.where(finite, up, 1.0) / xp.where(finite, down, 1.0)), 0.0)


def one_over(value: Any) -> Any:
    """1 / value; 0 for 0."""
    xp = namespace(value)
    return xp.where(value == 0, 0.0, 1 / xp.where(value == 0, 1.0, value))
