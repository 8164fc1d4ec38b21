"""DPM-Solver and DPM-Solver++, multistep and singlestep: one exponential integrator in the half log-SNR."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Level, Next, Rows, Solver, nonzero, orders, rows_of
from multisched.values import anywhere, check_options, namespace

Algorithm = Literal["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"]
Rule = Literal["midpoint", "heun"]

PARTS = 16  # of a model's output, at most


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
    algorithm_type: Algorithm = "dpmsolver++"
    solver_type: Rule = "midpoint"
    lower_order_final: bool = True
    third_order: Literal["exact", "published"] = "exact"
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

    def _way(self, start: Level, end: Level) -> tuple[Any, Any]:
        """(decay, std) of a step of an SDE algorithm: what becomes of the sample, and the deviation of the noise."""
        xp = namespace(start.sigma)
        shrunk = end.sigma * start.alpha / (end.alpha * start.sigma)  # e^-h
        variance = xp.where((end.sigma > 0) & (shrunk < 1), 1 - shrunk**2, 0.0)
        decay = end.sigma / start.sigma if self._data else end.alpha / start.alpha
        return decay * shrunk if self._data else decay, start.sigma * decay * xp.sqrt(variance)

    def _advance(self, row: Rows, x: Any, m: Any, first: Any, second: Any, midpoint: Any, drawn: Any) -> Any:
        """x where the step ends, given m and its derivatives at its start; `midpoint` where that rule is to be used."""
        xp, start, end = namespace(row.sigma), row.start, row.next
        h = gap(start, end)
        (a, b), (a_next, b_next) = (level if self._data else level[::-1] for level in (start, end))
        decay, scaled, times = b_next / b, h if self._data else -h, 1.0
        if self.draws:
            decay, _ = self._way(start, end)
            if self._data:
                scaled = 2 * h
            else:
                times = xp.where(end.sigma > 0, 2.0, 1.0)
        gain, weight = times * (a_next - a * decay), times * a_next
        p1 = 1 + xp.expm1(-scaled) * one_over(scaled)
        p2 = 0.5 - p1 * one_over(scaled)
        if self.draws and self._data and self.third_order == "published":
            p2 = p2 - 1
        bend = xp.where(midpoint, gain * first / 2, weight * (p1 * first + p2 * h * second))
        return decay * x + gain * m + h * bend + drawn


@dataclass(frozen=True)
class DPMMultistep(DPM):
    """DPM-Solver multistep: m' and m'' from the parabola through the last estimates (Lu et al. 2022, arXiv 2211.01095,
    algorithm 2).

    The first step of a run and one to sigma = 0 have order 1. The first leaves an error of second order, so the order
    is min(solver_order, 2), and 3 only makes the constant smaller. The SDE algorithms follow no probability flow.

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
        second = curve if self.third_order == "published" else 2 * curve
        midpoint = (order == 2) & (self.solver_type == "midpoint")
        drawn = self._way(row.start, row.next)[1] * noise[0] if noise else 0.0
        after = self._advance(row, x, m, first, second, midpoint, drawn)
        return Next(after, (m, *memory)[: self.solver_order - 1])


@dataclass(frozen=True)
class DPMSinglestep(DPM):
    """DPM-Solver-2 and -3, Runge and Kutta's way, with grid points for stages (Lu et al. 2022, arXiv 2206.00927,
    algorithms 1 and 2; arXiv 2211.01095, algorithm 1).

    Call k of a group that begins at x goes from x to the k-th grid point after it, with order k: m' and m'' come from
    the estimates in the group. With order 3 "midpoint" leaves m'' out, which is right where the middle point lies at
    2/3 of the group in lam. A run is planned as groups of `solver_order` calls; with `lower_order_final`, and where
    these do not fill it or it ends at sigma = 0, a smaller group and a single call close it.

    Order solver_order if the groups fill the run, else min(solver_order, 2); 0 for the SDE algorithms, the law of whose
    samples is of weak order 2 in groups of two or three. There the noise is that of one path: what a call draws is the
    noise from the grid point before to the one that it leads to, and what the group has drawn before comes on to it,
    as in SEEDS (Gonzalez et al. 2023, arXiv 2305.14267).

        noise_k = decay * noise_(k - 1) + std * z_k,   decay and std of the way from grid point k - 1 to k

    Takes the options of `DPM` too.

    Args:
        independent_noise: whether each call draws all of its noise anew, as diffusers does: a defect, by which groups
            are of weak order 1 and less accurate in law than single calls.
    """

    lower_order_final: bool = False
    independent_noise: bool = False

    @property
    def order(self) -> int:
        return self.solver_order if not (self.draws or self.lower_order_final) else super().order

    @property
    def memory(self) -> tuple[str, ...]:
        kept = ("anchor", "first", "second")[: self.solver_order if self.solver_order > 1 else 0]
        return (*kept, "drawn") if kept and self._one_path else kept

    @property
    def _one_path(self) -> bool:
        return self.draws > 0 and not self.independent_noise

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        sizes = self._groups(len(grid), bool(grid.sigmas[-1] == 0))
        stage = np.concatenate([np.arange(size) for size in (0, *sizes)])
        rows = rows_of(grid, np.arange(len(grid)) - stage, stage)
        rows = _PathRows(**vars(rows)) if self._one_path else rows
        ends = {"alpha_next": grid.next_alphas[:, None], "sigma_next": grid.next_sigmas[:, None]}
        return self._checked(replace(rows, **ends))

    def serves(self, rows: Rows) -> Any:
        return rows.step + rows.stage

    def _groups(self, steps: int, clean: bool) -> list[int]:
        """Calls of each group."""
        size = self.solver_order
        if not (self.lower_order_final or clean or steps % size):
            return [size] * (steps // size)
        full = max(steps - 1, 0) // size
        rest = steps - full * size
        last = [rest - 1, 1] if rest == size or clean else [rest]
        return [size] * full + [calls for calls in last if calls > 0]

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        latest = m = model.x0 if self._data else model.noise
        kept: tuple[Any, ...] = ()
        if memory:
            pairs = zip((x, latest), memory[:2], strict=True)
            x, m = kept = tuple(xp.where(row.stage == 0, now, old) for now, old in pairs)
        away = gap(row.start, row.here)
        first, curve = (latest - m) * one_over(away), 0.0 * away
        if self.solver_order > 2:
            middle = row.at(1)
            slope = (memory[2] - m) * one_over(gap(row.start, middle))
            curve = (first - slope) * one_over(gap(middle, row.here))
            curve = xp.where((row.stage == 2) & (self.solver_type == "heun"), curve, 0.0)
            kept = (*kept, xp.where(row.stage == 1, latest, memory[2]))
        midpoint = (row.stage == 1) & (self.solver_type == "midpoint")
        drawn = 0.0
        if noise:
            decay, std = self._way(row.here if self._one_path else row.start, row.next)
            drawn = std * noise[0]
            if memory and self._one_path:
                drawn = drawn + xp.where(row.stage > 0, decay, 0.0) * memory[-1]
                kept = (*kept, drawn)
        return Next(self._advance(row, x, m, first - away * curve, 2 * curve, midpoint, drawn), kept)


class _PathRows(Rows):
    """Rows of groups whose noise is that of one path: each call draws that of the last way of it."""

    def interval(self, index: int) -> tuple[float, float]:
        row = self.single(index)
        return float(row.here.share), float(row.next.share)


def gap(start: Level, end: Level) -> Any:
    """lam_end - lam_start; 0 where that is infinite, for then nothing is to be had from the other end."""
    xp = namespace(start.sigma)
    up, down = end.alpha * start.sigma, end.sigma * start.alpha
    finite = (up > 0) & (down > 0)
    return xp.where(finite, xp.log(xp.where(finite, up, 1.0) / xp.where(finite, down, 1.0)), 0.0)


def one_over(value: Any) -> Any:
    """1 / value; 0 for 0."""
    return namespace(value).where(value == 0, 0.0, 1 / nonzero(value))
