"""The timesteps of diffusers 0.42.1 on discrete paths, computed as it does: tables and noise levels in float32, each
operation in its precision. They differ from the exact ones by rounding, and by 1 where they are then cut to whole
numbers.

Square roots are rounded as IEEE 754 says. Some processors' builds of PyTorch round one in six of them otherwise, and
there diffusers itself gives other last digits.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from multisched.paths.betas import betas
from multisched.paths.discrete import Betas, Discrete
from multisched.schedulers.forward import Parts
from multisched.schedulers.multistep import OnEither
from multisched.schedulers.options import spacing_of_sigmas
from multisched.spacings.base import Chain
from multisched.spacings.change import Round
from multisched.spacings.levels import beta
from multisched.spacings.placement import Numbered

_single = np.float32


class Run(NamedTuple):
    """How the runs of a recipe on a discrete path are spaced.

    Attributes:
        path: the path.
        placed: which timesteps are visited, or how many.
        kind: of ratios that are spaced anew between them, or None.
        whole: whether these lie between the ends of the training run, and not of the timesteps visited.
        top, bottom: ends of them instead, or None.
        rounding: how timesteps are rounded: "none", "nearest" or "down".
    """

    path: Discrete
    placed: Any
    kind: str | None
    whole: bool
    top: float | None
    bottom: float | None
    rounding: str


def run_of(recipe: Any, parts: Parts) -> Run:
    """The runs of a recipe with these parts."""
    chain = Chain(parts.spacing.links)
    kind = spacing_of_sigmas(recipe) if hasattr(recipe, "use_karras_sigmas") else None
    top, bottom = (recipe.sigma_max, recipe.sigma_min) if kind is not None else (None, None)
    rounded = chain.find(Round)
    path: Any = parts.path
    how = "none" if rounded is None else rounded.how
    return Run(path, chain.find(Numbered), kind, isinstance(recipe, OnEither), top, bottom, how)


def respaced(run: Run, n: int, dtype: Any = np.float32, upward: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Ratios between levels of the float32 table, and the timesteps of them.

    Args:
        dtype: of the timesteps that choose the ends.
        upward: whether they go from the lowest of the table to the highest, and so from sigma_max to sigma_min.
    """
    if run.kind is None:
        chosen = run.placed.numbers(run.path, n).astype(dtype)
        return _at(run.path, chosen), chosen
    ratios = _placed(run, n, dtype, upward)
    found = looked_up(ratios, run.path)
    if run.rounding == "none":
        return ratios, found
    return ratios, np.round(found) if run.rounding == "nearest" else np.trunc(found)


def looked_up(ratios: np.ndarray, path: Discrete) -> np.ndarray:
    """Timesteps of ratios, in their precision."""
    return _looked_up(ratios, logs(path))


def _at(path: Discrete, timesteps: np.ndarray) -> np.ndarray:
    """The ratios of the float32 table at timesteps, in float64."""
    found: np.ndarray = np.interp(timesteps, np.arange(table(path).size), table(path))
    return found


def _placed(run: Run, n: int, dtype: Any, upward: bool) -> np.ndarray:
    listed = table(run.path)[:: -1 if upward else 1]
    if run.kind == "lu":
        ends = [float(logs(run.path)[end]) for end in (-1, 0)]
        return np.exp(ends[0] + np.linspace(0, 1, n) * (ends[1] - ends[0]))
    if run.whole:
        top, bottom = listed[[-1, 0]].tolist()
    else:
        top, bottom = _at(run.path, run.placed.numbers(run.path, n).astype(dtype)[[0, -1]]).tolist()
    top, bottom = top if run.top is None else run.top, bottom if run.bottom is None else run.bottom
    return between(str(run.kind), top, bottom, n)


def between(kind: str, top: float, bottom: float, n: int) -> np.ndarray:
    """n levels from one to another (`spacings.levels.between`), in the order of operations that diffusers has."""
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
def table(path: Discrete) -> np.ndarray:
    """sigma / alpha in float32."""
    bar = np.cumprod(1 - _betas(path.betas), dtype=np.float64).astype(_single)
    if path.terminal_alpha_bar is not None:
        root = np.sqrt(bar)
        level = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
        kept = 1 - np.append(level[:1], level[1:] / level[:-1])
        bar = np.cumprod(1 - kept, dtype=np.float64).astype(_single)
        bar[-1] = path.terminal_alpha_bar
    bar = bar if path.betas.strict else np.clip(bar, _single(0), _single(1))
    with np.errstate(divide="ignore"):
        ratio: np.ndarray = np.sqrt((1 - bar) / bar)
        return ratio


def _betas(chosen: Betas) -> np.ndarray:
    total, kind = chosen.num_train_timesteps, chosen.beta_schedule
    if chosen.trained_betas is not None:
        return np.asarray(chosen.trained_betas, dtype=_single)
    if kind == "linear":
        return ramp(chosen.beta_start, chosen.beta_end, total)
    if kind == "scaled_linear":
        return ramp(chosen.beta_start**0.5, chosen.beta_end**0.5, total) ** 2
    return betas(kind, total, chosen.beta_start, chosen.beta_end, _single, chosen.strict)


def ramp(start: float, end: float, n: int) -> np.ndarray:
    """n even numbers in float32, counted by fused products from the nearer end, as PyTorch does."""
    first, last = _single(start), _single(end)
    step, i = np.float64((last - first) / _single(max(n - 1, 1))), np.arange(n)
    up, down = np.float64(first) + step * i, np.float64(last) - step * (n - 1 - i)
    return np.where(i < n // 2, up, down).astype(_single) if n > 1 else np.array([first])


@lru_cache(maxsize=64)
def logs(path: Discrete) -> np.ndarray:
    """log(sigma / alpha) in float32."""
    found: np.ndarray = np.log(table(path))
    return found
