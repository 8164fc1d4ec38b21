"""Other solvers on the straight path: the velocity takes the part of the noise."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Solver, on_host
from multisched.solvers.dpm2 import Midpoint
from multisched.solvers.rows import Level, Rows
from multisched.values import check_options, shown

_MIDPOINT = Midpoint()


@dataclass(frozen=True)
class Straightened(Solver):
    """A solver of x = x0 + k * noise, k = sigma / alpha, run on the straight path instead.

        y = x / (alpha + sigma) = x0 + s * v,   s = sigma / (alpha + sigma),   v = noise - x0

    The solver sees the sample y at the level alpha = 1, sigma = s, with the noise v: it follows dy/ds = v (Lipman et
    al. 2022, arXiv 2210.02747, eq. 23). This is how ComfyUI runs the samplers of k-diffusion on flow models. Here s is
    finite at pure noise, so that the first step of a run is like the others. The order and the calls are the
    solver's, by default those of `Midpoint`.

    Order 2; two calls a step.

    Args:
        solver: a deterministic solver of one output.

    Raises:
        ScheduleError: if `solver` is none, or the grid is not NumPy's.

    Example:
        >>> recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", ms.solvers.Straightened())
        >>> round(ms.analysis.order(recipe, steps=(24, 48)), 1)
        2.0
    """

    solver: Solver = _MIDPOINT

    def __post_init__(self) -> None:
        check_options(self)
        inner = self.solver
        # Noise that is drawn anew would be added to v, which is not normal.
        if not isinstance(inner, Solver) or inner.draws or inner.inputs or inner.outputs > 1:
            raise ScheduleError(f"solver must be a deterministic solver of one output; given {shown(inner)}.")

    @property
    def order(self) -> int:
        return self.solver.order

    def order_after(self, steps: int) -> int:
        return self.solver.order_after(steps)

    @property
    def memory(self) -> tuple[str, ...]:
        return self.solver.memory

    def rows(self, grid: Grid, path: Any) -> Rows:
        on_host(grid)
        rows = self.solver.rows(_straight(grid), _View(path))
        shares = np.append(_share(grid.alphas, grid.sigmas), _share(grid.next_alphas, grid.next_sigmas))
        levels = Level(np.append(grid.alphas, grid.next_alphas), np.append(grid.sigmas, grid.next_sigmas))
        order = np.argsort(shares, kind="stable")
        columns = {}
        for end in ("", "_start", "_next"):
            share = np.asarray(getattr(rows, f"sigma{end}"))
            place = order[np.clip(np.searchsorted(shares[order], share), 0, len(order) - 1)]
            inside = shares[place] != share  # of a step, between two points of the grid
            point = path.point(np.where(inside, share / np.where(inside, 1 - share, 1.0), 1.0))
            for name in ("alpha", "sigma"):
                columns[name + end] = np.where(inside, getattr(point, name), getattr(levels, name)[place])
        return replace(rows, grid=grid, **columns)

    def serves(self, rows: Rows) -> Any:
        return self.solver.serves(rows)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        ends = {"": row.here, "_start": row.start, "_next": row.next}
        levels = {f"sigma{end}": level.share for end, level in ends.items()}
        ones = {f"alpha{end}": 0.0 * level.sigma + 1.0 for end, level in ends.items()}
        seen = replace(row, grid=_straight(row.grid), **levels, **ones)
        size = row.alpha + row.sigma
        said = Estimate(model.x0, model.noise - model.x0, model.raw_noise - model.x0, model.slope * size)
        after = self.solver.update(seen, x / size, said, memory, noise)
        return Next((row.alpha_next + row.sigma_next) * after.sample, after.memory)


def _share(alpha: Any, sigma: Any) -> Any:
    return Level(alpha, sigma).share


def _straight(grid: Grid) -> Grid:
    """The grid as the solver sees it."""
    points, aims = _share(grid.alphas, grid.sigmas), _share(grid.next_alphas, grid.next_sigmas)
    names = {"alphas": 0.0 * points + 1.0, "sigmas": points, "next_alphas": 0.0 * aims + 1.0, "next_sigmas": aims}
    return replace(grid, **names)


class _View:
    """A path as the solver sees it."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def point(self, share: Any) -> Any:
        found = self.path.point(share / (1 - share))
        return found._replace(alpha=np.ones_like(share), sigma=share)

    def levels(self, timesteps: Any) -> tuple[Any, Any]:
        share = _share(*self.path.levels(timesteps))
        return np.ones_like(share), share

    def scale(self, alpha: Any, share: Any) -> Any:
        inside = (share > 0) & (share < 1)
        return self.path.point(np.where(inside, share / np.where(inside, 1 - share, 1.0), 1.0)).scale
