"""The timesteps of diffusers 0.42.1 on paths that are no table, operation by operation in its order and precision.

Sums, products and square roots are rounded as IEEE 754 says. Logarithms, sines and powers in float32 are those of
float64, rounded once; PyTorch's own differ from these in the last digit for one value in 10 to 50, and from processor
to processor.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from multisched.grid import Grid
from multisched.interop.diffusers import clock
from multisched.interop.diffusers.clock import ramp
from multisched.schedulers.forward import Parts
from multisched.schedulers.quirk import Quirk
from multisched.schedulers.sigma import KDPM2Ancestral
from multisched.spacings.base import Asked

_single = np.float32
Rule = Callable[[Any, Parts, Grid, Asked], Any]
"""(recipe, its parts, grid, what was asked for) -> timesteps as `Parts.told` gives them; None for the exact ones."""


@dataclass(frozen=True)
class _Told:
    """The change to a recipe's parts that a rule makes."""

    rule: Rule
    when: Callable[[Any], bool]

    def __call__(self, recipe: Any, parts: Parts) -> Parts:
        return parts._replace(told=partial(self.timesteps, recipe, parts)) if self.when(recipe) else parts

    def timesteps(self, recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
        exact = grid.timesteps[:-1]
        with np.errstate(all="ignore"):
            found = self.rule(recipe, parts, grid, asked)
        found = np.asarray(exact if found is None else found, dtype=np.float64)
        return found if found.ndim == 2 else np.where(np.isfinite(found), found, exact)


def _always(recipe: Any) -> bool:
    return True


def quirk(rule: Rule, when: Callable[[Any], bool] = _always) -> Quirk:
    """The quirk of timesteps computed by a rule, for recipes for which it makes a difference."""
    says = "Timesteps carry the rounding errors of its own order of operations, mostly in float32."
    return Quirk("told", says, _Told(rule, when))


def rounded(function: Callable[..., Any], *values: Any) -> Any:
    """A function of float32 numbers, evaluated in float64 and rounded once."""
    return np.asarray(function(*(np.asarray(value, dtype=np.float64) for value in values))).astype(_single)


def even(n: int) -> np.ndarray:
    """n float32 numbers from 1 on, before 0."""
    return ramp(1.0, 0.0, n + 1)[:-1]


def logarithmic(recipe: Any) -> bool:
    """Whether log(sigma) is passed to the model, or sigma is even in it."""
    return bool(recipe.interpolation_type == "log_linear" or recipe.timestep_type == "continuous")


def discrete(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of the classes on discrete paths: float32, but those of ratios of their own spacing that are rounded."""
    run, exact = clock.run_of(recipe, parts), grid.timesteps[:-1]
    if run.path.timestep_type == "continuous":
        return (0.25 * np.log(grid.sigmas[:-1].astype(_single).astype(np.float64))).astype(_single)
    if run.path.space == "vp" and run.kind is None:
        return exact
    if run.kind is not None and asked.sigmas is None:
        found = clock.respaced(run, exact.size)[1]
        return found if run.rounding != "none" else found.astype(_single)
    if asked.sigmas is not None and run.path.space == "ve":
        return clock.looked_up(grid.sigmas[:-1].astype(_single), run.path).astype(_single)
    return exact.astype(_single)


def euler(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of EulerDiscrete."""
    run, even = clock.run_of(recipe, parts), recipe.interpolation_type == "log_linear"
    continuous = run.path.timestep_type == "continuous"
    spare = even and run.kind is None
    if asked.n is None or not (continuous or even):
        return discrete(recipe, parts, grid, asked)
    if spare and not continuous:
        return grid.timesteps[:-1].astype(_single)
    ratios = np.zeros(0) if even else clock.respaced(run, asked.n)[0]
    if even:
        logs = clock.logs(run.path)
        ratios = rounded(np.exp, ramp(logs[-1], logs[0], asked.n + 1))
        if not spare:
            top, bottom = ratios[[0, -1]].tolist()
            ratios = clock.between(str(run.kind), run.top or top, run.bottom or bottom, asked.n)
    if continuous:
        return _single(0.25) * rounded(np.log, ratios.astype(_single))
    return clock.looked_up(ratios, run.path).astype(_single)


def kdpm2(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of KDPM2Discrete and KDPM2AncestralDiscrete, the calls midway included."""
    if asked.n is None:
        return discrete(recipe, parts, grid, asked)
    run, ancestral = clock.run_of(recipe, parts), isinstance(recipe, KDPM2Ancestral)
    ratios, times = clock.respaced(run, len(grid))
    start, end = ratios[:-1].astype(_single), ratios[1:].astype(_single)
    if ancestral:
        up = np.sqrt(end**2 * (start**2 - end**2) / start**2)
        first, last = start, np.sqrt(end**2 - up**2)
    else:
        first, last = end, start
    log_first, log_last = rounded(np.log, first), rounded(np.log, last)
    middle = clock.looked_up(rounded(np.exp, log_last - (log_last - log_first) * _single(0.5)), run.path)
    middle = np.where(np.isfinite(log_last), middle, np.nan)  # of a difference that float32 has below 0
    return np.stack([times, np.append(middle if times.dtype == np.float64 else middle.astype(_single), np.nan)], axis=1)


def karras_ve(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of KarrasVe, both calls of each step."""
    if asked.n is None or len(grid) == 1:
        return None
    low, high = recipe.sigma_min**2, recipe.sigma_max**2
    share = np.arange(len(grid), dtype=_single) / _single(len(grid) - 1)
    level = _single(high) * rounded(np.power, _single(low / high), share)
    gamma = min(recipe.s_churn / len(grid), 2**0.5 - 1)
    raised = np.where((recipe.s_min <= level) & (level <= recipe.s_max), level + _single(gamma) * level, level)
    return np.stack([raised, np.append(level[1:], np.nan)], axis=1)


def dpm_sde(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of DPMSolverSDE, the calls midway included."""
    if asked.n is None:
        return None
    run = clock.run_of(recipe, parts)
    ratios, times = clock.respaced(run, len(grid), np.float64)
    lam = -np.log(ratios)
    middle = clock.looked_up(np.exp(-(lam[:-1] + np.diff(lam) * 0.5)), run.path)
    return np.stack([times, np.append(middle, np.nan)], axis=1)


def scm(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of SCM."""
    if asked.timesteps is not None or (len(grid) == 2 and recipe.intermediate_timesteps is not None):
        return grid.timesteps[:-1].astype(_single)
    return ramp(recipe.max_timesteps, 0.0, len(grid) + 1)[:-1]


def wuerstchen(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of DDPMWuerstchen."""
    return even(len(grid)) if asked.timesteps is None else grid.timesteps[:-1].astype(_single)


def score_vp(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of ScoreSdeVp."""
    return ramp(1.0, recipe.sampling_eps, len(grid)) if asked.timesteps is None else None


def score_ve(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of ScoreSdeVe."""
    if asked.timesteps is not None or asked.sigmas is not None:
        return None
    share = _single(recipe.sigma_max / recipe.sigma_min)
    return _single(recipe.sigma_min) * rounded(np.power, share, ramp(1.0, recipe.sampling_eps, len(grid)))


def consistency(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of CMStochasticIterative."""
    total = recipe.num_train_timesteps
    if asked.timesteps is not None:
        places = np.asarray(asked.timesteps)[::-1]
    elif asked.sigmas is None:
        places = np.arange(len(grid)) * (total // len(grid))
    else:
        return None
    low, high = (end ** (1 / recipe.rho) for end in (recipe.sigma_min, recipe.sigma_max))
    sigmas = (high + places[: len(grid)] / (total - 1) * (low - high)) ** recipe.rho
    return 1000 * 0.25 * np.log(sigmas + 1e-44)


def ipndm(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of IPNDM."""
    if asked.timesteps is not None:
        return None
    if recipe.trained_betas is None:
        beta = rounded(np.sin, even(len(grid)) * _single(math.pi) / 2) ** 2
    else:
        beta = np.asarray(recipe.trained_betas, dtype=_single)[: len(grid)]
    return rounded(np.arctan2, beta, np.sqrt(1 - beta**2)) / _single(math.pi) * 2


def _along(recipe: Any, share: Any, dtype: Any) -> Any:
    """EDM's levels in float32, of shares of the way in a precision."""
    if recipe.sigma_schedule == "exponential":
        ends = math.log(recipe.sigma_min), math.log(recipe.sigma_max)
        return rounded(np.exp, ramp(*ends, share.size))[::-1]
    low, high = (end ** (1 / recipe.rho) for end in (recipe.sigma_min, recipe.sigma_max))
    return rounded(np.power, dtype(high) + share * dtype(low - high), recipe.rho)


def edm_euler(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of EDMEuler."""
    if asked.timesteps is not None:
        return None
    share = np.linspace(0, 1, len(grid)) if asked.sigmas is None else np.asarray(asked.sigmas, dtype=np.float64)
    return _single(0.25) * rounded(np.log, _along(recipe, share[: len(grid)], np.float64))


def edm(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of EDMDPMSolverMultistep."""
    if asked.timesteps is not None or asked.sigmas is not None:
        return None
    return _single(0.25) * rounded(np.log, _along(recipe, ramp(0.0, 1.0, len(grid)), _single))


def cosine(recipe: Any, parts: Parts, grid: Grid, asked: Asked) -> Any:
    """Of CosineDPMSolverMultistep."""
    if asked.timesteps is not None or asked.sigmas is not None:
        return None
    sigmas = _along(recipe, ramp(0.0, 1.0, len(grid)), _single)
    return rounded(np.arctan, sigmas) / _single(math.pi) * 2
