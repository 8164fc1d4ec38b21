"""DPM-Solver-fast: singlestep groups of three calls."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched.solvers.dpm import Algorithm
from multisched.solvers.dpm_singlestep import DPMSinglestep
from multisched.solvers.rows import Rows
from multisched.values import namespace


@dataclass(frozen=True)
class DPMFast(DPMSinglestep):
    """DPM-Solver-fast (Lu et al. 2022, arXiv 2206.00927, section 3.4), which k-diffusion calls "DPM fast": groups of
    three calls, the last of what is left, each call at a point of the grid.

    The paper's algorithm 4 is `DPMSinglestep` but for the second call of three, whose step takes the slope of the noise
    by the rule "heun". It is of order 3 where the calls of a group stand at 0, 1/3 and 2/3 of it in lam, as `ratios`
    places them, and groups of three fill the run; otherwise of order 2.

    Order 2; one call a step. With algorithm_type="sde-dpmsolver++": no order; weak order 2; one call a step.

    Takes the options of `DPMSinglestep`.

    Example:
        >>> plan = ms.sampler("dpm_fast").plan(7)
        >>> plan.rows.step.ravel().tolist(), plan.rows.stage.ravel().tolist()
        ([0, 0, 0, 3, 3, 3, 6], [0, 1, 2, 0, 1, 2, 0])
    """

    solver_order: int = 3
    algorithm_type: Algorithm = "dpmsolver"
    lower_order_final: bool = True

    def _halved(self, row: Rows) -> Any:
        ends = (3 * self._groups(len(row.grid), clean).count(3) for clean in (True, False))
        full = namespace(row.sigma).where(row.grid.sigmas[-1] == 0, *ends)
        return super()._halved(row) & ((row.step >= full) | (self.solver_order < 3))

    @staticmethod
    def ratios(calls: int, top: float, bottom: float) -> np.ndarray:
        """The points sigma / alpha (calls + 1,) of a run from `top` to `bottom`: groups are even in lam, and calls are
        even in their group."""
        full = max(calls - 1, 0) // 3
        rest = calls - 3 * full
        sizes = [3] * full + ([2, 1] if rest == 3 else [rest])
        shares = np.concatenate([group + np.arange(size) / size for group, size in enumerate(sizes)])
        return np.asarray(top * (bottom / top) ** (np.append(shares, len(sizes)) / len(sizes)))
