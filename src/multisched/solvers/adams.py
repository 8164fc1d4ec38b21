"""Linear multistep methods: the noise over a step extrapolated from the latest calls (Adams and Bashforth)."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.limits import finite, nonzero
from multisched.solvers.openings import inner
from multisched.solvers.polynomial import integrals
from multisched.solvers.rows import Rows, rows_of
from multisched.values import anywhere, check_options, count, namespace

# Weights for even steps of the call j steps ago, where a run has 0, 1, 2, 3 steps behind it.
EVEN = ((1.0, 3 / 2, 23 / 12, 55 / 24), (0.0, -1 / 2, -4 / 3, -59 / 24), (0.0, 0.0, 5 / 12, 37 / 24), (0, 0, 0, -3 / 8))
# Shares of the calls of a first step, and the number of such steps.
Start = Literal["euler", "heun", "runge_kutta"]
STARTS: dict[Start, tuple[tuple[float, ...], int]] = {
    "euler": ((1.0,), 0),
    "heun": ((1 / 2, 1 / 2), 1),
    "runge_kutta": ((1 / 6, 1 / 3, 1 / 3, 1 / 6), 3),
}

FAINT = 2e-6  # alpha from which a step cannot be taken again: the data in the sample is lost in rounding


@dataclass(frozen=True)
class Adams(Solver):
    """Adams and Bashforth's methods on the transfer of Liu et al. 2022 (arXiv 2202.09778, eq. 11).

        noise  = w_0 e_0 + w_1 e_1 + w_2 e_2 + w_3 e_3,   e_j of j steps ago
        x_next = alpha_next / alpha * x + (sigma_next - alpha_next / alpha * sigma) * noise,   from alpha = 0 as `Euler`

    "even" weights are (55, -59, 37, -9) / 24, or those of lower order at first; from "euler" that is iPNDM, on any path
    and spacing. Order 2, as steps are seldom even in k = sigma / alpha. "exact" weights are means over k..k_next of
    Lagrange's polynomials through the calls' k: order 3, or 2 from "euler". No order is above `most`.

    Order 2; one call a step. With start="heun": order 3; one call a step.

    Args:
        weights: "exact" or "even".
        start: "euler"; "heun", a first step of two calls; or "runge_kutta", three steps of four, their inner calls half
            way in time. A step from pure noise, or nearly, and the last of a run have one call all the same.
        most: calls that are combined, 1 to 4. On trained networks, in 5 to 20 calls, "even" weights of 3 were 1.3 times
            nearer than those of 4 without guidance, and 2.5 times with it.
        denoised_end: whether a step to sigma = 0 leads to the x0 of its call, as k-diffusion and ComfyUI have it.

    Raises:
        ScheduleError: if an option is not one of those named.

    Example:
        >>> recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", ms.solvers.Adams())
        >>> plan = recipe.plan(10)
        >>> len(plan), plan.order, round(ms.analysis.order(recipe, steps=(24, 48)), 1)
        (10, 2, 2.0)
    """

    weights: Literal["exact", "even"] = "exact"
    start: Start = "euler"
    most: int = 4
    denoised_end: bool = False

    def __post_init__(self) -> None:
        check_options(self)
        count("most", self.most, 4)

    @property
    def order(self) -> int:
        return min(self.most, 3 if self.weights == "exact" and self.start != "euler" else 2)

    def order_after(self, steps: int) -> int:
        return min(self.most, 2 + steps) if self.weights == "exact" and self.start == "euler" else self.order

    @property
    def memory(self) -> tuple[str, ...]:
        before = tuple(f"before_{j}" for j in range(1, self.most))
        return before if self.start == "euler" else (*before, "anchor", "total")

    def rows(self, grid: Grid, path: Any) -> Rows:
        count, index = len(STARTS[self.start][0]), np.arange(len(grid))
        calls = np.where(self._opening(grid, index), count, 1)
        step = np.repeat(index, calls)
        stage = np.arange(step.size) - np.repeat(np.cumsum(calls) - calls, calls)
        rows = rows_of(grid, step, stage, np.where(stage > 0, step + 1, step))
        return self._inner(rows, path, count, self._opening(grid, step)) if count > 1 else rows

    def _opening(self, grid: Grid, step: Any) -> Any:
        """Whether a step is one of several calls."""
        first = int(anywhere(grid.alphas[:1] < FAINT))
        return (step >= first) & (step < min(first + STARTS[self.start][1], len(grid) - 1))

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, last = namespace(row.sigma), self.most - 1
        opening, first = self._opening(row.grid, row.step), row.stage == 0
        alone = opening | (self.denoised_end & (row.sigma_next == 0))
        behind = xp.where(alone, 0, xp.where(row.step < last, row.step, last))
        call = self._call(row, model)
        calls = (call, *memory[:last])
        weights = self._exact(row, behind) if self.weights == "exact" else [_pick(row, w, behind) for w in EVEN]
        mean = sum(weight * one for weight, one in zip(weights, calls, strict=False))
        after = tuple(xp.where(first, new, old) for new, old in zip(calls, memory[:last], strict=False))
        if self.start != "euler":
            anchor, total = memory[last:]
            shares = STARTS[self.start][0]
            x = xp.where(first, x, anchor)
            gathered = xp.where(first, 0.0 * total, total) + _pick(row, shares, row.stage) * call
            mean = xp.where(opening & (row.stage == len(shares) - 1), gathered, mean)
            after = (*after, x, xp.where(opening, gathered, total))
        mean = self._noise(row, x, mean)
        grow = row.alpha_next / nonzero(row.alpha_start)
        moved = grow * x + (row.sigma_next - grow * row.sigma_start) * mean
        return Next(xp.where(row.alpha_start == 0, self._first(row, model, mean), moved), after)

    def _call(self, row: Rows, model: Estimate) -> Any:
        """What of a call is averaged."""
        return model.noise

    def _noise(self, row: Rows, x: Any, mean: Any) -> Any:
        """The noise of an average."""
        return mean

    def _first(self, row: Rows, model: Estimate, noise: Any) -> Any:
        """The step from alpha = 0."""
        return row.alpha_next * model.x0 + row.sigma_next * noise

    def _inner(self, rows: Rows, path: Any, calls: int, several: np.ndarray) -> Rows:
        return inner(rows, path, calls, several)

    def _exact(self, row: Rows, behind: Any) -> list[Any]:
        start = finite(row.start.ratio)
        h = namespace(start).where(behind > 0, row.next.ratio - start, 1.0)
        nodes = [finite(row.at(-j).ratio) - start for j in range(self.most)]
        earlier = [integral / nonzero(h) for integral in integrals(h, 0.0, nodes, behind + 1, "exact")]
        return [1 - sum(earlier), *earlier]


def _pick(row: Rows, values: tuple[float, ...], index: Any) -> Any:
    """The value at `index`, a column of whole numbers."""
    xp = namespace(row.sigma)
    return sum(xp.where(index == k, value, xp.zeros_like(row.sigma)) for k, value in enumerate(values))
