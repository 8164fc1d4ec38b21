"""DPM-Solver and DPM-Solver++ singlestep: groups of up to three model calls, at grid points that follow each other."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.grid import Grid
from multisched.solvers.base import Estimate, Next, Rows, rows_of
from multisched.solvers.dpm import DPM, gap, one_over
from multisched.values import namespace


@dataclass(frozen=True)
class DPMSinglestep(DPM):
    """DPM-Solver-2 and -3, Runge and Kutta's way, with grid points for stages (Lu et al. 2022, arXiv 2206.00927,
    algorithms 1 and 2; arXiv 2211.01095, algorithm 1).

    Call k of a group that begins at x goes from x to the k-th grid point after it, with order k: m' and m'' come from
    the estimates in the group. With order 3 "midpoint" leaves m'' out, which is right where the middle point lies at
    2/3 of the group in lam. A run is planned as groups of `solver_order` calls; with `lower_order_final`, and where
    these do not fill it or it ends at sigma = 0, a smaller group and a single call close it.

    Order solver_order if the groups fill the run, else min(solver_order, 2). The SDE algorithms follow no probability
    flow.

    Args: those of `DPM`.
    """

    lower_order_final: bool = False

    @property
    def order(self) -> int:
        return self.solver_order if not (self.draws or self.lower_order_final) else super().order

    @property
    def memory(self) -> tuple[str, ...]:
        return ("anchor", "first", "second")[: self.solver_order if self.solver_order > 1 else 0]

    def rows(self, grid: Grid, schedule: Any) -> Rows:
        sizes = self._groups(len(grid), bool(grid.sigmas[-1] == 0))
        stage = np.concatenate([np.arange(size) for size in (0, *sizes)])
        rows = rows_of(grid, np.arange(len(grid)) - stage, stage)
        ends = {"alpha_next": grid.next_alphas[:, None], "sigma_next": grid.next_sigmas[:, None]}
        return self._checked(replace(rows, **ends))

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
        return Next(self._advance(row.start, row.next, x, m, first - away * curve, 2 * curve, midpoint, noise), kept)
