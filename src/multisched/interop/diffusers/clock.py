"""The timesteps of diffusers 0.42.1, computed as it does: tables and noise levels in float32, and which operation in
which precision. They differ from the exact ones by rounding, and by 1 where they are then cut to whole numbers.

Square roots are rounded as IEEE 754 says. Some processors' builds of PyTorch round one in six of them otherwise, and
there diffusers itself gives other last digits.
"""

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from multisched.grid import Clock, Grid
from multisched.schedules.betas import betas
from multisched.schedules.flow import Flow
from multisched.schedules.ratios import beta
from multisched.schedules.vp import DiscreteVP

_single = np.float32


@dataclass(frozen=True)
class Float32(Clock):
    """diffusers' timesteps.

    Args:
        wide: which of the timesteps in the space "ve" stay in float64: "none", those of sigmas of their own spacing
            ("spaced"), or "all", those between two points included.
        shifted: whether the ends of a run are shifted once more in float32, though the schedule has them shifted.
    """

    wide: str = "none"
    shifted: bool = False

    def timesteps(self, schedule: Any, grid: Grid, timesteps: Any, sigmas: Any, mu: float | None) -> Any:
        exact = grid.timesteps[:-1]
        with np.errstate(all="ignore"):
            found = np.asarray(self._told(schedule, grid, timesteps, sigmas, mu), dtype=np.float64)
        return np.append(np.where(np.isfinite(found), found, exact), grid.timesteps[-1:])

    def _told(self, schedule: Any, grid: Grid, timesteps: Any, sigmas: Any, mu: float | None) -> Any:
        if not isinstance(schedule, Flow):
            return self._of_table(schedule, grid, sigmas)
        if schedule.timestep_rounding == "down":
            return _whole_of_flow(schedule, grid, sigmas, mu)
        if self.shifted and schedule.sigma_min is not None and timesteps is None and sigmas is None:
            schedule = replace(schedule, double_shift=True, sigma_max=1.0, sigma_min=None)
        return _of_flow(schedule, grid, timesteps, sigmas, mu)

    def between(self, schedule: Any, ratio: Any, timesteps: Any) -> Any:
        if schedule.space == "vp" or self.wide == "all":
            return timesteps if schedule.space == "vp" else _looked_up(ratio, logs(schedule))
        return _looked_up(ratio.astype(_single), logs(schedule)).astype(_single).astype(np.float64)

    def _of_table(self, schedule: DiscreteVP, grid: Grid, sigmas: Any) -> Any:
        """Of levels of the discrete schedule."""
        exact = grid.timesteps[:-1]
        if schedule.timestep_type == "continuous":
            return (0.25 * np.log(grid.sigmas[:-1].astype(_single).astype(np.float64))).astype(_single)
        if schedule.space == "vp" and schedule.sigma_schedule is None:
            return exact
        if schedule.sigma_schedule is not None and sigmas is None and not schedule.spare_sigma:
            told = respaced(schedule, exact.size)[1]
            if schedule.timestep_rounding != "none":
                return told
            return told if self.wide != "none" else told.astype(_single)
        if sigmas is not None and schedule.space == "ve":
            return _looked_up(grid.sigmas[:-1].astype(_single), logs(schedule)).astype(_single)
        return exact if self.wide == "all" else exact.astype(_single)


@dataclass(frozen=True)
class Looked(Float32):
    """Timesteps of the straight path that are looked up where sigma / alpha of a discrete schedule is sigma.

    Args:
        trained: the discrete schedule.
    """

    trained: DiscreteVP = field(default_factory=DiscreteVP)

    def timesteps(self, schedule: Any, grid: Grid, timesteps: Any, sigmas: Any, mu: float | None) -> Any:
        if timesteps is not None or sigmas is not None:
            return grid.timesteps
        levels = between(schedule.sigma_schedule, schedule.spaced_max, schedule.spaced_min, len(grid))
        told = _looked_up(levels, logs(self.trained))
        told = np.round(told) if self.trained.timestep_rounding == "nearest" else np.trunc(told)
        return np.append(told, grid.timesteps[-1:])


def respaced(
    schedule: DiscreteVP, n: int, dtype: Any = np.float32, upward: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Ratios between levels of the float32 table, and the timesteps told for them.

    Args:
        dtype: of the timesteps that choose the ends.
        upward: whether they go from the lowest of the table to the highest, and so from sigma_max to sigma_min.
    """
    if schedule.sigma_schedule is None:
        chosen = schedule._spaced(n).astype(dtype)
        return _at(schedule, chosen), chosen
    ratios = _placed(schedule, n, dtype, upward)
    told = _looked_up(ratios, logs(schedule))
    if schedule.timestep_rounding == "none":
        return ratios, told
    return ratios, np.round(told) if schedule.timestep_rounding == "nearest" else np.trunc(told)


def looked_up(ratios: np.ndarray, schedule: DiscreteVP) -> np.ndarray:
    """Timesteps of ratios, in their precision."""
    return _looked_up(ratios, logs(schedule))


def _at(schedule: DiscreteVP, timesteps: np.ndarray) -> np.ndarray:
    """The ratios of the float32 table at timesteps, in float64."""
    table = _table(schedule)
    found: np.ndarray = np.interp(timesteps, np.arange(table.size), table)
    return found


def _placed(schedule: DiscreteVP, n: int, dtype: Any, upward: bool) -> np.ndarray:
    table = _table(schedule)[:: -1 if upward else 1]
    if schedule.sigma_schedule == "lu":
        ends = [float(logs(schedule)[end]) for end in (-1, 0)]
        return np.exp(ends[0] + np.linspace(0, 1, n) * (ends[1] - ends[0]))
    if schedule.sigma_range == "table":
        top, bottom = table[[-1, 0]].tolist()
    else:
        top, bottom = _at(schedule, schedule._spaced(n).astype(dtype)[[0, -1]]).tolist()
    top = top if schedule.sigma_max is None else schedule.sigma_max
    return between(str(schedule.sigma_schedule), top, bottom if schedule.sigma_min is None else schedule.sigma_min, n)


def between(kind: str, top: float, bottom: float, n: int) -> np.ndarray:
    """n levels from one to another (`schedules.ratios`), in the order of operations that diffusers has."""
    ramp = np.linspace(0, 1, n)
    if kind == "karras":
        low, high = (np.float64(end) ** (1 / 7) for end in (bottom, top))
        placed: np.ndarray = (high + ramp * (low - high)) ** 7.0
        return placed
    if kind == "exponential":
        ends = [math.log(end) if end > 0 else math.nan for end in (top, bottom)]
        return np.exp(np.linspace(ends[0], ends[1], n))
    return bottom + beta(1.0, 0.0, n) * (top - bottom)


def _looked_up(sigma: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Timesteps at sigmas, interpolated in the logarithm, in float64 or float32 as `sigma` is."""
    log = np.log(np.maximum(sigma, sigma.dtype.type(1e-10)))
    if np.all(np.diff(logs) > 0):
        low = np.searchsorted(logs, log, side="right") - 1
    else:  # the last that is not above
        low = logs.size - 1 - np.argmax((log[None] >= logs[::-1, None]), axis=0)
        low = np.where(log < np.min(logs), 0, low)
    low = np.clip(low, 0, logs.size - 2)
    share = np.clip((logs[low] - log) / (logs[low] - logs[low + 1]), 0, 1)
    return np.asarray((1 - share) * low + share * (low + 1))


@lru_cache(maxsize=64)
def _table(schedule: DiscreteVP) -> np.ndarray:
    """sigma / alpha in float32."""
    bar = np.cumprod(1 - _betas(schedule), dtype=np.float64).astype(_single)
    if schedule.rescale_betas_zero_snr:
        root = np.sqrt(bar)
        level = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
        kept = 1 - np.append(level[:1], level[1:] / level[:-1])
        bar = np.cumprod(1 - kept, dtype=np.float64).astype(_single)
        bar[-1] = schedule.terminal_alpha_bar
    bar = bar if schedule.strict else np.clip(bar, _single(0), _single(1))
    with np.errstate(divide="ignore"):
        ratio: np.ndarray = np.sqrt((1 - bar) / bar)
        return ratio


def _betas(schedule: DiscreteVP) -> np.ndarray:
    total, kind = schedule.num_train_timesteps, schedule.beta_schedule
    if schedule.trained_betas is not None:
        return np.asarray(schedule.trained_betas, dtype=_single)
    if kind == "linear":
        return ramp(schedule.beta_start, schedule.beta_end, total)
    if kind == "scaled_linear":
        return ramp(schedule.beta_start**0.5, schedule.beta_end**0.5, total) ** 2
    return betas(kind, total, schedule.beta_start, schedule.beta_end, _single, schedule.strict)


def ramp(start: float, end: float, n: int) -> np.ndarray:
    """n even numbers in float32, counted by fused products from the nearer end, as PyTorch does."""
    first, last = _single(start), _single(end)
    step, i = np.float64((last - first) / _single(max(n - 1, 1))), np.arange(n)
    up, down = np.float64(first) + step * i, np.float64(last) - step * (n - 1 - i)
    return np.where(i < n // 2, up, down).astype(_single) if n > 1 else np.array([first])


@lru_cache(maxsize=64)
def logs(schedule: DiscreteVP) -> np.ndarray:
    """log(sigma / alpha) in float32."""
    found: np.ndarray = np.log(_table(schedule))
    return found


def _of_flow(schedule: Flow, grid: Grid, timesteps: Any, sigmas: Any, mu: float | None) -> Any:
    """T * sigma in float32, or T * (1 - sigma), of sigma in float64 between ends in float32."""
    n, total = len(grid), schedule.num_train_timesteps
    if timesteps is not None and not schedule.inverted:
        return np.asarray(timesteps, dtype=_single)[:n]
    if schedule.double_shift or (sigmas is None and timesteps is None):
        level = _matched(schedule, n, timesteps, sigmas, mu)
    else:
        level = grid.sigmas[:-1]
    level = level.astype(_single)
    return (1 - level if schedule.inverted else level) * _single(total)


def _matched(schedule: Flow, n: int, timesteps: Any, sigmas: Any, mu: float | None) -> np.ndarray:
    total, factor = schedule.num_train_timesteps, schedule.shift
    level: Any
    if sigmas is not None:
        level = np.asarray(sigmas, dtype=np.float64)[:n].astype(_single)
    elif timesteps is not None:
        level = np.asarray(timesteps, dtype=np.float64)[:n].astype(_single) / _single(total)
    else:
        lowest = 1 / total if schedule.sigma_min is None else schedule.sigma_min
        ends = np.array([schedule.sigma_max, lowest], dtype=_single)
        if schedule.double_shift and not schedule.use_dynamic_shifting:
            ends = _single(factor) * ends / (1 + _single(factor - 1) * ends)
        top, bottom = (ends.astype(np.float64) * total).tolist()
        level = np.linspace(top, bottom, n) / total
    level = _shifted(schedule, level, mu)
    if schedule.sigma_schedule is not None:
        top, bottom = level[[0, -1]].tolist()
        level = between(schedule.sigma_schedule, schedule.spaced_max or top, schedule.spaced_min or bottom, n)
    found: np.ndarray = level
    return found


def _shifted(schedule: Flow, level: np.ndarray, mu: float | None) -> np.ndarray:
    """The levels shifted, in the order of operations of diffusers."""
    factor = schedule.shift
    if mu is None:
        level = factor * level / (1 + (factor - 1) * level)
    else:
        dynamic = math.exp(mu) if schedule.time_shift_type == "exponential" else mu
        level = dynamic / (dynamic + (1 / level - 1) ** 1.0)
    if schedule.shift_terminal:
        rest = 1 - level
        level = 1 - rest / (rest[-1] / (1 - schedule.shift_terminal)) if rest[-1] else level
    return level


def _whole_of_flow(schedule: Flow, grid: Grid, sigmas: Any, mu: float | None) -> Any:
    """T * sigma in float64, cut."""
    n, total, factor = len(grid), schedule.num_train_timesteps, schedule.shift
    if schedule.ratio_range is not None:
        ratio = between(str(schedule.sigma_schedule), *schedule.ratio_range, n)
        return np.trunc(ratio / (ratio + 1) * total)
    if schedule.sigma_min is not None:  # from 1 - 1 / T to 0
        level = 1.0 - np.linspace(1, 1 / total, n + 1)
        factor = factor if mu is None else np.exp(mu)
        level = np.flip(factor * level / (1 + (factor - 1) * level))[:-1]
        return np.trunc(level * total)
    level = np.linspace(1, 1 / total, n + 1)[:-1] if sigmas is None else np.asarray(sigmas, dtype=np.float64)[:n]
    level = _shifted(schedule, level, mu)
    if abs(level[0] - 1) < 1e-6:
        level[0] -= 1e-6
    return np.trunc(level * total)
