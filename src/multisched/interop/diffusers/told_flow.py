"""The timesteps of diffusers 0.42.1 on the straight path, see `told`."""

import math
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

import numpy as np

from multisched.grid import Grid
from multisched.interop.diffusers.clock import ramp
from multisched.interop.diffusers.told import even, rounded
from multisched.schedulers.forward import Asked, Parts
from multisched.schedulers.helios import HeliosDMD

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
