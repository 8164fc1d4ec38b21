"""The rules of named spacings: levels chosen from, or placed between, those that a model is trained on."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from multisched.paths.base import Path
from multisched.paths.discrete import Discrete
from multisched.paths.exploding import VarianceExploding
from multisched.paths.straight import Straight, shift
from multisched.spacings import levels
from multisched.spacings.trained import bong_tangent, linear_quadratic

NEAR = 1e-5
"""A level that ComfyUI takes for 0."""


class Model(NamedTuple):
    """The noise levels of a model.

    Attributes:
        table: (T,) from the cleanest.
        ends: times of the last and the first of these, between which `normal` is even.
        sigma: the level of times.
    """

    table: np.ndarray
    ends: tuple[float, float]
    sigma: Callable[[Any], Any]


def model_of(path: Path, factor: float = 1.0, finer: int = 1) -> Model:
    """The levels that a path has; where it is straight, `finer` times as many, shifted by a factor."""
    if isinstance(path, Straight):
        total = path.training * finer
        table = shift(path.ends[0] * (np.arange(total) + 1) / total, factor)
        return Model(table, (float(table[-1]), float(table[0])), lambda t: shift(t, factor))
    table = path.ratios if isinstance(path, Discrete) else np.asarray(path.trained(np.arange(path.training)))
    top, bottom, last = float(table[-1]), float(table[0]), table.size - 1.0
    if isinstance(path, Discrete) and path.timestep_type == "discrete":
        return Model(table, (last, 0.0), lambda t: _between(table, t))
    if isinstance(path, VarianceExploding) and path.timestep == "arctan":
        return Model(table, (math.atan(top), math.atan(bottom)), np.tan)
    if isinstance(path, (Discrete, VarianceExploding)):
        return Model(table, (math.log(top), math.log(bottom)), np.exp)
    return Model(table, (last, 0.0), path.trained)


def _between(table: np.ndarray, places: Any) -> np.ndarray:
    """A table at places between its own, the logarithm interpolated linearly."""
    with np.errstate(divide="ignore"):
        logs = np.log(table)
    return np.asarray(np.exp(np.interp(places, np.arange(table.size), logs)))


def _even(model: Model, n: int, points: int) -> np.ndarray:
    return np.asarray(model.sigma(np.linspace(*model.ends, points)[:n]))


def _normal(model: Model, n: int) -> np.ndarray:
    at_end = float(model.sigma(model.ends[1])) <= NEAR
    return _even(model, n, n + at_end)


def _uniform(model: Model, n: int) -> np.ndarray:
    return _between(model.table, np.linspace(model.table.size - 1, 0, n))


def _simple(model: Model, n: int) -> np.ndarray:
    chosen = (np.arange(n) * (model.table.size / n)).astype(int)
    return np.asarray(model.table[model.table.size - 1 - chosen])


def _ddim_uniform(model: Model, n: int) -> np.ndarray:
    at_end = bool(np.any(model.table[1:2] <= NEAR))
    chosen = model.table[1 :: max(model.table.size // (n + at_end), 1)]
    return np.asarray(chosen[at_end:][::-1])


def _beta(model: Model, n: int, a: float = 0.6, b: float = 0.6) -> np.ndarray:
    return _nearest(model, levels.beta_quantile(1 - np.linspace(0, 1, n, endpoint=False), a, b))


def _smoothstep(model: Model, n: int) -> np.ndarray:
    u = 1 - np.arange(n) / n
    return _nearest(model, u * u * (3 - 2 * u))


def _nearest(model: Model, share: np.ndarray) -> np.ndarray:
    """The levels of a table nearest to shares of it, each once."""
    # Half way rounds up, where the middle quantile of `beta` falls: scipy's is above 1/2 by its last bit.
    chosen = np.floor(share * (model.table.size - 1) + 0.5).astype(int)
    return np.asarray(model.table[chosen[np.append(True, np.diff(chosen) != 0)]])


Rule = Literal[
    "normal",
    "uniform",
    "sgm_uniform",
    "simple",
    "ddim_uniform",
    "beta",
    "beta57",
    "beta_sigmas",
    "smoothstep",
    "linear_quadratic",
    "bong_tangent",
]
Spread = Literal["karras", "exponential", "polyexponential", "kl_optimal", "lu", "linear"]

SPREAD: tuple[Spread, ...] = get_args(Spread)


def _spread(kind: Spread) -> Callable[[Model, int], np.ndarray]:
    """The rule of levels between the ends of a table."""
    return lambda model, n: levels.between(kind, float(model.table[-1]), float(model.table[0]), n)


RULES: dict[str, Callable[[Model, int], np.ndarray]] = {
    "normal": _normal,
    "uniform": _uniform,
    "sgm_uniform": lambda model, n: _even(model, n, n + 1),
    "simple": _simple,
    "ddim_uniform": _ddim_uniform,
    "beta": _beta,
    "beta57": lambda model, n: _beta(model, n, 0.5, 0.7),
    "beta_sigmas": lambda model, n: levels.beta(float(model.table[-1]), float(model.table[0]), n),
    "smoothstep": _smoothstep,
    "linear_quadratic": lambda model, n: linear_quadratic(n) * model.table[-1],
    "bong_tangent": lambda model, n: bong_tangent(n) * model.table[-1],
    **{kind: _spread(kind) for kind in SPREAD},
}
