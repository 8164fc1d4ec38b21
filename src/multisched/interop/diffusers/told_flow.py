"""The timesteps of diffusers 0.42.1 on the straight path, see `told`."""

import math
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

import numpy as np

from multisched.grid import Grid
from multisched.interop.diffusers.clock import between, ramp
from multisched.interop.diffusers.told import discrete, even, rounded
from multisched.paths.discrete import Discrete
from multisched.schedulers.forward import Parts
from multisched.schedulers.helios import HeliosDMD
from multisched.schedulers.options import spacing_of_sigmas
from multisched.spacings.base import Asked, Chain
from multisched.spacings.change import Respace
from multisched.spacings.direction import Inverse

_single = np.float32


def _shifted(level: Any, factor: float) -> Any:
    return factor * level / (1 + (factor - 1) * level)


@lru_cache(maxsize=64)
def _fused_ramp(n: int) -> np.ndarray:
    """1 to 0 in float64, counted by fused products from the nearer end."""
    step = -1 / max(n - 1, 1)
    up = [1 + Fraction(step) * i for i in range(n // 2)]
    return np.array([float(point) for point in (*up, *(-Fraction(step) * (n - 1 - i) for i in range(n // 2, n)))])


def flow_map(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of FlowMapEulerDiscrete."""
    total = recipe.num_train_timesteps
    if asked.sigmas is not None:
        level = np.asarray(asked.sigmas, dtype=np.float64)
    elif asked.timesteps is not None:
        level = np.asarray(asked.timesteps, dtype=np.float64) / total
    else:
        level = _fused_ramp(len(grid) + 1)
    level = level[: len(grid)]
    return (level if recipe.shift == 1 else _shifted(level, recipe.shift)) * total


def piflow(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of Piflow."""
    segment = 1.0 / (len(grid) - (1.0 - recipe.final_step_size_scale))
    raw = 1 - np.arange(len(grid), dtype=_single) * _single(segment)
    factor = _single(recipe.shift), _single(recipe.shift - 1)
    return factor[0] * raw / (1 + factor[1] * raw) * _single(recipe.num_train_timesteps)


def minimax(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of MiniMaxH3."""
    if asked.sigmas is not None or asked.timesteps is not None:
        return 1 - grid.sigmas[:-1].astype(_single)
    base = even(len(grid))
    factor = _single(recipe.shift), _single(recipe.shift - 1)
    return 1 - factor[0] * base / (1 + factor[1] * base)


def helios(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of Helios and HeliosDMD."""
    total, spare = recipe.num_train_timesteps, int(isinstance(recipe, HeliosDMD))
    shift = partial(_stretched, kind=recipe.time_shift_type, inverted=asked.mu is not None)
    if recipe.stages > 1:
        top, bottom = _stage(recipe)
        if asked.mu is None:
            return np.linspace(top, bottom, len(grid) + spare)[: len(grid)]
        level = np.linspace(0.999, 0, total + 1)[-2]
        return bottom + shift(np.linspace(0.999, level, len(grid) + spare), asked.mu)[: len(grid)] * (top - bottom)
    level = np.asarray(asked.sigmas)
    if asked.sigmas is None:
        level = np.linspace(1, 1 / total, len(grid) + spare + 1)[:-1].astype(_single)
        level = level if recipe.shift == 1 else shift(level, recipe.shift)
    level = level[: len(grid)]
    return (level if asked.mu is None else shift(level, asked.mu)) * total


def _stretched(level: Any, mu: float, kind: str, inverted: bool = False) -> Any:
    """The shift of a run's own factor, whose last quotient is a product with the inverse in PyTorch."""
    factor = math.exp(mu) if kind == "exponential" else mu
    below = factor + (1 / level - 1)
    return factor * (1 / below) if inverted else factor / below


def _stage(recipe: Any) -> tuple[float, float]:
    """The first and the last timestep of a stage."""
    total, stages = recipe.num_train_timesteps, recipe.stages
    path = np.flip(_shifted(1.0 - np.linspace(1, 1 / total, total + 1), recipe.shift))[:-1]
    ends = [min(int(end * total), total) for end in recipe.stage_range[: stages + 1]]
    removed = []
    for k in range(stages):
        start, clean = float(path[ends[k]]), 1 - float(path[ends[k]])
        if k:
            start = 1 - (1 / (math.sqrt(1 + 1 / recipe.gamma) * (1 - clean) + clean)) * clean
        removed.append(start - (float(path[ends[k + 1]]) if ends[k + 1] < total else 0.0))
    shares = [sum(removed[:k]) / sum(removed) for k in (recipe.stage, recipe.stage + 1)]
    last = 0.9999999999999999 if recipe.stage == stages - 1 else shares[1]
    times = path * total
    top, bottom = min(times[int(shares[0] * total)], 999), times[min(int(last * total), total - 1)]
    listed = np.linspace(top, bottom, total + 1)[:-1]
    return float(listed[0]), float(listed[-1])


def proteina(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of RFD4Proteina."""
    if asked.timesteps is not None or asked.sigmas is not None:
        return None
    n, fine = len(grid), recipe.tail_step_multiplier
    tail = min(recipe.tail_steps, n // fine)
    if not tail:
        return _proteina_times(recipe.schedule_mode, n)[:-1]
    whole = n - (fine - 1) * tail
    start = (whole - tail) * fine
    kept = [*range(0, start, fine), *range(start, whole * fine + 1)]
    return _proteina_times(recipe.schedule_mode, whole * fine)[kept][:-1]


def _proteina_times(mode: str, n: int) -> Any:
    start = 1e-3
    if mode == "power":
        return ramp(start**0.5, 1.0, n + 1) ** 2
    times = (1 - rounded(np.power, 10.0, ramp(-2.0, start, n + 1)))[::-1]
    times = times - (times.min() - _single(start))
    return times / times.max()


def match(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of FlowMatchEuler, FlowMatchHeun and FlowMatchLCM: T * sigma in float32, of sigma in float64 between ends in
    float32."""
    n, total = len(grid), recipe.num_train_timesteps
    if asked.timesteps is not None and not recipe.invert_sigmas:
        return np.asarray(asked.timesteps, dtype=_single)[:n]
    return _passed(recipe, np.asarray(_matched(recipe, n, asked)), total)


def ltx(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of LTXEulerAncestralRF, which takes given sigmas as they are."""
    if asked.listed:
        return _passed(recipe, grid.sigmas[:-1], recipe.num_train_timesteps)
    return match(recipe, parts, grid, asked)


def _passed(recipe: Any, level: np.ndarray, total: int) -> Any:
    level = level.astype(_single)
    return (1 - level if recipe.invert_sigmas else level) * _single(total)


def _matched(recipe: Any, n: int, asked: Asked) -> np.ndarray:
    total, factor = recipe.num_train_timesteps, recipe.shift
    level: Any
    if asked.sigmas is not None:
        level = np.asarray(asked.sigmas, dtype=np.float64)[:n].astype(_single)
    elif asked.timesteps is not None:
        level = np.asarray(asked.timesteps, dtype=np.float64)[:n].astype(_single) / _single(total)
    else:
        ends = np.array([1.0, 1 / total], dtype=_single)
        if not recipe.use_dynamic_shifting:
            ends = _single(factor) * ends / (1 + _single(factor - 1) * ends)
        top, bottom = (ends.astype(np.float64) * total).tolist()
        level = np.linspace(top, bottom, n) / total
    level = _moved(level, factor, asked.mu, recipe.time_shift_type, recipe.shift_terminal)
    if (kind := spacing_of_sigmas(recipe)) is not None:
        top, bottom = level[[0, -1]].tolist()
        level = between(kind, recipe.spaced_max or top, recipe.spaced_min or bottom, n)
    found: np.ndarray = level
    return found


def _moved(level: np.ndarray, factor: float, mu: float | None, kind: str, terminal: float | None) -> np.ndarray:
    """The levels shifted, in the order of operations of diffusers."""
    if mu is None:
        level = factor * level / (1 + (factor - 1) * level)
    else:
        dynamic = math.exp(mu) if kind == "exponential" else mu
        level = dynamic / (dynamic + (1 / level - 1) ** 1.0)
    if terminal:
        rest = 1 - level
        level = 1 - rest / (rest[-1] / (1 - terminal)) if rest[-1] else level
    return level


def whole(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of the multistep classes with use_flow_sigmas: T * sigma in float64, cut."""
    n, total, factor = len(grid), recipe.num_train_timesteps, recipe.flow_shift
    respace = Chain(parts.spacing.links).find(Respace)
    if respace is not None:
        top, bottom = float(respace.top or 0), float(respace.bottom or 0)
        ratio = between(respace.kind, top, bottom, n)
        return np.trunc(ratio / (ratio + 1) * total)
    if not hasattr(recipe, "shift_terminal"):  # from 1 - 1 / T to 0
        level = 1.0 - np.linspace(1, 1 / total, n + 1)
        factor = factor if asked.mu is None else np.exp(asked.mu)
        level = np.flip(factor * level / (1 + (factor - 1) * level))[:-1]
        return np.trunc(level * total)
    given = None if asked.sigmas is None else np.asarray(asked.sigmas, dtype=np.float64)[:n]
    level = np.linspace(1, 1 / total, n + 1)[:-1] if given is None else given
    level = _moved(level, factor, asked.mu, recipe.time_shift_type, recipe.shift_terminal)
    if abs(level[0] - 1) < 1e-6:
        level[0] -= 1e-6
    return np.trunc(level * total)


def multistep(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of DEIS, UniPC, SA-Solver and DPM-Solver."""
    if isinstance(parts.spacing, Inverse):
        return None
    if parts.told is not None:  # by another quirk
        return parts.told(grid, asked)
    return (
        discrete(recipe, parts, grid, asked) if isinstance(parts.path, Discrete) else whole(recipe, parts, grid, asked)
    )
