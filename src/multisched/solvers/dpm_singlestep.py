"""DPM-Solver and DPM-Solver++, singlestep: groups of calls, each at a point of the grid."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next
from multisched.solvers.dpm import DPM
from multisched.solvers.limits import gap, one_over
from multisched.solvers.rows import Rows, rows_of
from multisched.values import namespace


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

    Order 2; one call a step. With solver_order=3: order 3; one call a step. With algorithm_type="sde-dpmsolver++": no
    order; weak order 2; one call a step.

    Takes the options of `DPM`.

    Example:
        >>> solver = ms.solvers.DPMSinglestep()
        >>> plan = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(), "flow_prediction", solver).plan(6)
        >>> plan.rows.stage.ravel().tolist(), plan.order
        ([0, 1, 0, 1, 0, 0], 2)
    """

    lower_order_final: bool = False

    @property
    def order(self) -> int:
        return self.solver_order if not (self.draws or self.lower_order_final) else super().order

    @property
    def memory(self) -> tuple[str, ...]:
        kept = ("anchor", "first", "second")[: self.solver_order if self.solver_order > 1 else 0]
        return (*kept, "drawn") if kept and self._one_path else kept

    @property
    def _one_path(self) -> bool:
        """Whether the calls of a group share the noise of one path."""
        return self.draws > 0

    def rows(self, grid: Grid, path: Any) -> Rows:
        return self._grouped(grid, self._groups(len(grid), bool(grid.sigmas[-1] == 0)))

    def _grouped(self, grid: Grid, sizes: list[int]) -> Rows:
        """The rows of groups of these numbers of calls."""
        stage = np.concatenate([np.arange(size) for size in (0, *sizes)])
        rows = rows_of(grid, np.arange(len(grid)) - stage, stage)
        rows = PathRows(**vars(rows)) if self._one_path else rows
        ends = {"alpha_next": grid.next_alphas[:, None], "sigma_next": grid.next_sigmas[:, None]}
        return self._checked(replace(rows, **ends))

    def _halved(self, row: Rows) -> Any:
        """Where the midpoint rule is used."""
        return (row.stage == 1) & (self.solver_type == "midpoint")

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
        midpoint = self._halved(row)
        drawn = 0.0
        if noise:
            decay, std = self._way(row.here if self._one_path else row.start, row.next)
            drawn = std * noise[0]
            if memory and self._one_path:
                drawn = drawn + xp.where(row.stage > 0, decay, 0.0) * memory[-1]
                kept = (*kept, drawn)
        return Next(self._advance(row, x, m, first - away * curve, 2 * curve, midpoint, drawn), kept)


class PathRows(Rows):
    """Rows of groups whose noise is that of one path: each call draws that of the last way of it."""

    def interval(self, index: int) -> tuple[float, float]:
        row = self.single(index)
        return float(row.here.share), float(row.next.share)
