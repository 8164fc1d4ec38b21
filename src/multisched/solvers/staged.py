"""Rows of solvers that ask the model between the points of the grid."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from multisched.grid import Grid
from multisched.solvers.base import on_host
from multisched.solvers.rows import Level, Rows, rows_of


def staged(
    grid: Grid,
    path: Any,
    nodes: tuple[float, ...],
    aim: Level | None = None,
    even: Literal["lam", "ratio", "share"] = "lam",
) -> Rows:
    """Rows of len(nodes) calls a step. Call j is asked at the share nodes[j] of the way from where the step begins to
    its aim, in lam = log(alpha / sigma), in sigma / alpha or in log(sigma / (alpha + sigma)); nodes[0] is 0. Each call
    but the last leads to where the next one is asked. A step with an aim at sigma = 0 is one call, for the logarithms
    are infinite there; so is one from alpha = 0, but by "share".

    Args:
        grid: the points of the run.
        path: where levels between them are looked up.
        nodes: shares of the step.
        aim: the levels (steps,) that the shares are of; by default those where the steps end.
        even: "lam", "ratio" or "share".

    Raises:
        ScheduleError: if the grid is not NumPy's.
    """
    on_host(grid)
    start, end = Level(grid.alphas[:-1], grid.sigmas[:-1]), Level(grid.next_alphas, grid.next_sigmas)
    ends_there = aim is None
    aim = end if aim is None else aim
    several = pair(start, aim, even == "share")
    ends = (level.share if even == "share" else level.ratio for level in (start, aim))
    first, last = (np.where(several, end, 0.5) for end in ends)
    calls = np.where(several, len(nodes), 1)
    step = np.repeat(np.arange(len(grid)), calls)
    stage = np.arange(step.size) - np.repeat(np.cumsum(calls) - calls, calls)
    rows = rows_of(grid, step, stage, point=step)
    for number, node in enumerate(nodes[1:], 1):
        if even == "ratio":
            ratio = first + node * (last - first)
        else:  # in the middle without a power, which would round once more
            ratio = np.sqrt(first * last) if node == 0.5 else first ** (1 - node) * last**node
        if even == "share":
            ratio = ratio / (1 - ratio)
        found = path.point(ratio)
        if node == 1.0 and ends_there:  # to the last bit, so that no way is left from there
            found = found._replace(alpha=end.alpha, sigma=end.sigma)
        point = {name: values[step, None] for name, values in found._asdict().items()}
        asked, before = rows.stage == number, (rows.stage == number - 1) & several[step, None]
        columns = {name: np.where(asked, values, getattr(rows, name)) for name, values in point.items()}
        for name in ("alpha", "sigma"):
            columns[f"{name}_next"] = np.where(before, point[name], getattr(rows, f"{name}_next"))
        rows = replace(rows, **columns)
    return rows


def pair(start: Level, end: Level, share: bool = False) -> Any:
    """Whether there is a level between two: their lam, or with `share` the log of their share, is finite."""
    alphas = 1.0 if share else start.alpha * end.alpha
    return start.sigma * end.sigma * alphas > 0


def whole(row: Rows) -> tuple[Level, Any]:
    """Where the step of a row ends, and whether it has several calls."""
    end = Level(row.of(row.grid.next_alphas, 0), row.of(row.grid.next_sigmas, 0))
    return end, pair(row.start, end)
