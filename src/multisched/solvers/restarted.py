"""Restart sampling: noise between the runs of another solver."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver, on_host
from multisched.solvers.heun import Heun
from multisched.solvers.limits import root
from multisched.solvers.rows import Rows
from multisched.values import check_options, shown

_HEUN = Heun()


@dataclass(frozen=True)
class Restarted(Solver):
    """Restart sampling (Xu et al. 2023, arXiv 2306.14878, algorithm 1): the steps of another solver, and noise wherever
    the next step begins at a noisier level than the last one has led to.

        x_up = a * x + s_noise * sqrt(sigma_up^2 - (a * sigma)^2) * z,   a = alpha_up / alpha

    That is the paper's x + sqrt(k_up^2 - k^2) * z for x / alpha, with k = sigma / alpha. `spacings.Restart` makes such
    runs; "Restart" of A1111 is both with `Heun`. Between two restarts the solver takes a run of its own: one that looks
    back begins anew. In the table the end of the step before adds the noise, as in `solvers.euler.Churn`.

    Order and calls are the solver's, by default those of `Heun`, and with restarts the law of the samples is of that
    weak order, if the steps of each restart get as fine as the others. A `noise.BrownianNoise` is refused at restarts,
    for no path comes that way twice.

    Order 2; weak order 2; two calls a step.

    Args:
        solver: a deterministic solver of one output.
        s_noise: scale of the noise.

    Raises:
        ScheduleError: if `solver` is none, s_noise is not positive, or the grid is not NumPy's.

    Example:
        >>> plan = ms.sampler("restart").plan(40)
        >>> len(plan), sum(plan.needs_noise(row) for row in range(len(plan)))
        (79, 2)
    """

    draws: ClassVar[int] = 1

    solver: Solver = _HEUN
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, positive=("s_noise",))
        inner = self.solver
        if not isinstance(inner, Solver) or inner.draws or inner.inputs or inner.outputs > 1:
            raise ScheduleError(f"solver must be a deterministic solver of one output; given {shown(inner)}.")

    @property
    def order(self) -> int:
        return self.solver.order

    @property
    def weak_order(self) -> int:
        return self.order if self.s_noise == 1 else super().weak_order

    @property
    def memory(self) -> tuple[str, ...]:
        return self.solver.memory

    def rows(self, grid: Grid, path: Any) -> Rows:
        on_host(grid)
        parts = [(self.solver.rows(part, path), begins) for part, begins in _parts(grid, path)]
        made = sorted(((begin, rows) for rows, begins in parts for begin in begins), key=lambda one: one[0])
        names = made[0][1].columns()
        columns: dict[str, Any] = {name: np.concatenate([getattr(rows, name) for _, rows in made]) for name in names}
        columns["step"] = np.concatenate([begin + rows.step for begin, rows in made])
        return RestartRows(**columns, grid=grid, opened=made[0][1].opened)

    def serves(self, rows: Rows) -> Any:
        found = rows.step
        for inside, seen in _seen(rows):
            found = np.where(inside, rows.step - seen.step + self.solver.serves(seen), found)
        return found

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        after = Next(x, memory)
        for inside, seen in _seen(row):
            found = self.solver.update(seen, x, model, memory, ())
            kept = tuple(np.where(inside, *pair) for pair in zip(found.memory, after.memory, strict=True))
            after = Next(np.where(inside, found.sample, after.sample), kept)
        ahead = self.serves(row) - row.step
        up, begun = row.final & row.of(_rises(row.grid), ahead), row.at(ahead + 1)
        a = np.where(up, begun.alpha, 1.0) / np.where(up, row.alpha_next, 1.0)
        added = np.where(up, self.s_noise * root(begun.sigma**2 - (a * row.sigma_next) ** 2), 0.0)
        return after._replace(sample=a * after.sample + added * noise[0])


class RestartRows(Rows):
    """Rows whose noise leads up, from where a step ends to where the next one begins."""

    def interval(self, index: int) -> tuple[float, float]:
        row = self.single(index)
        ends, begins = float(row.next.share), float(row.at(1).share)
        return (ends, begins) if begins > ends else super().interval(index)


def _rises(grid: Grid) -> Any:
    """(steps,) whether the next point is noisier than what a step aims at."""
    return grid.sigmas[1:] * grid.next_alphas > grid.next_sigmas * grid.alphas[1:]


def _parts(grid: Grid, path: Any = None) -> list[tuple[Grid, list[int]]]:
    """The runs between restarts, each with the numbers of the steps where it begins; those that are alike are one."""
    ends = np.flatnonzero(_rises(grid)[:-1]) + 1
    if not ends.size:
        return [(grid, [0])]
    found: dict[bytes, tuple[Grid, list[int]]] = {}
    for begin, end in zip([0, *ends], [*ends, len(grid)], strict=True):
        inside = slice(begin, end)
        alpha, sigma = float(grid.next_alphas[end - 1]), float(grid.next_sigmas[end - 1])
        same = np.flatnonzero((grid.alphas == alpha) & (grid.sigmas == sigma))
        if same.size:
            last = (grid.timesteps[same[0]], grid.scales[same[0]])
        elif path is not None:
            last = (path.timestep_of(alpha, sigma), path.scale(np.array(alpha), np.array(sigma)))
        else:  # of a part of a run, whose rows are there already
            last = (grid.timesteps[end - 1], grid.scales[end - 1])
        part = Grid(
            np.append(grid.timesteps[inside], last[0]),
            np.append(grid.alphas[inside], alpha),
            np.append(grid.sigmas[inside], sigma),
            grid.next_alphas[inside],
            grid.next_sigmas[inside],
            np.append(grid.scales[inside], last[1]),
        )
        key = b"".join(one.tobytes() for one in (part.alphas, part.sigmas, part.next_alphas, part.next_sigmas))
        found.setdefault(key, (part, []))[1].append(int(begin))
    return list(found.values())


def _seen(row: Rows) -> list[tuple[Any, Rows]]:
    """Of each run between restarts: where the rows of it are, and the rows as its solver sees them."""
    found = []
    for part, begins in _parts(row.grid):
        number = np.full(len(row.grid), -1)
        for begin in begins:
            number[begin : begin + len(part)] = np.arange(len(part))
        inside = row.of(number, 0)
        found.append((inside >= 0, replace(row, step=np.maximum(inside, 0), grid=part)))
    return found
