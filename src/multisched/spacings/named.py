"""Spacings by the names that ComfyUI, k-diffusion and A1111 give them, on any path: what those programs compute from
the noise levels that a model is trained on.

    normal, uniform       even in t from the first level's to the last's                    sigma(t)
    sgm_uniform           of n + 1 such, all but the last
    simple                T - 1 - floor(i * T / n), i = 0 .. n-1, of the trained levels
    ddim_uniform          1, 1 + T // n, 1 + 2 (T // n)... of the trained levels, which may be more than n
    beta                  round((T - 1) * quantile of Beta(0.6, 0.6)) at 1 - i / n, each once
    beta_sigmas           quantiles of Beta(0.6, 0.6) between the levels' ends (A1111's "Beta")
    karras, exponential, polyexponential, kl_optimal, lu, linear      between the levels' ends, see `levels`
    linear_quadratic      see `LinearQuadratic`, times the noisiest level

sigma(t) interpolates the logarithm of the trained levels of a discrete path. On a straight path T levels are even in t
and then shifted; as in ComfyUI, `normal` and `sgm_uniform` shift once more between the ends of those.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from multisched import checks
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.paths.base import Path, Points
from multisched.paths.discrete import Discrete
from multisched.paths.straight import Straight, shift
from multisched.spacings import levels, published
from multisched.spacings.base import Asked, Chain, DynamicShift, End, Link, Spacing
from multisched.spacings.change import Shift
from multisched.spacings.placement import Leading, Linspace, Trailing
from multisched.spacings.trained import linear_quadratic
from multisched.values import hint, shown


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


def model_of(path: Path, factor: float) -> Model:
    """The levels that a path has, shifted by a factor where it is straight."""
    total = path.training
    numbers = np.arange(total)
    if isinstance(path, Straight):
        table = shift(path.trained(numbers), factor)
        return Model(table, (1.0, float(table[0])), lambda t: shift(t, factor))
    table = np.asarray(path.trained(numbers))
    if isinstance(path, Discrete):
        with np.errstate(divide="ignore"):
            logs = np.log(path.ratios)
        return Model(path.ratios, (total - 1.0, 0.0), lambda t: np.exp(np.interp(t, np.arange(logs.size), logs)))
    return Model(table, (total - 1.0, 0.0), path.trained)


def _even(model: Model, n: int, points: int) -> np.ndarray:
    return np.asarray(model.sigma(np.linspace(*model.ends, points)[:n]))


def _simple(model: Model, n: int) -> np.ndarray:
    chosen = (np.arange(n) * (model.table.size / n)).astype(int)
    return np.asarray(model.table[model.table.size - 1 - chosen])


def _ddim_uniform(model: Model, n: int) -> np.ndarray:
    return model.table[1 :: max(model.table.size // n, 1)][::-1]


def _beta(model: Model, n: int) -> np.ndarray:
    share = levels.beta_quantile(1 - np.linspace(0, 1, n, endpoint=False), 0.6, 0.6)
    chosen = np.rint(share * (model.table.size - 1)).astype(int)
    return np.asarray(model.table[chosen[np.append(True, np.diff(chosen) != 0)]])


RULES: dict[str, Callable[[Model, int], np.ndarray]] = {
    "normal": lambda model, n: _even(model, n, n),
    "uniform": lambda model, n: _even(model, n, n),
    "sgm_uniform": lambda model, n: _even(model, n, n + 1),
    "simple": _simple,
    "ddim_uniform": _ddim_uniform,
    "beta": _beta,
    "beta_sigmas": lambda model, n: levels.beta(float(model.table[-1]), float(model.table[0]), n),
    "linear_quadratic": lambda model, n: linear_quadratic(n) * model.table[-1],
}
SPACED = ("karras", "exponential", "polyexponential", "kl_optimal", "lu", "linear")
PLACED: dict[str, Link] = {"leading": Leading(), "trailing": Trailing(), "linspace": Linspace(whole=False)}
NAMES = (*RULES, *SPACED, *PLACED, *published.NAMES)
"""Every name that `plan(spacing=)` takes."""


@dataclass(frozen=True)
class Named(Link):
    """The levels that a name stands for.

    Args:
        name: one of `NAMES`.

    Raises:
        ScheduleError: if it is none of them.
    """

    placing: ClassVar[bool] = True

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in NAMES:
            listed = ", ".join((*RULES, *SPACED, *PLACED))
            raise ScheduleError(
                f"spacing must be one of {listed}, or align_your_steps with _11, _32 or _gits and _sd1 or _sdxl; given "
                f"{shown(self.name)}{hint(self.name, NAMES)}."
            )

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        return self.placed(path, asked, 1.0)

    def placed(self, path: Path, asked: Asked, factor: float) -> Points:
        """The levels of a path that is shifted by a factor."""
        n = checks.steps(asked.n)
        if self.name in published.NAMES:
            return Points(path.of_ratio(published.levels_of(self.name, n)))
        if self.name in PLACED:
            placed = PLACED[self.name](path, asked, made=None)
            return Points(shift(placed.noise, factor)) if isinstance(path, Straight) else placed
        model = model_of(path, factor)
        if self.name in RULES:
            found = RULES[self.name](model, n)
        else:
            found = levels.between(self.name, float(model.table[-1]), float(model.table[0]), n)
        if not (np.all(np.isfinite(found)) and np.all(np.diff(found) < 0) and found[-1] > 0):
            raise ScheduleError(f"{n} steps of spacing {self.name!r} make no decreasing levels here: {shown(found)}.")
        return Points(found)


@dataclass(frozen=True)
class _Shifted(Link):
    """A name on a path that a recipe shifts."""

    placing: ClassVar[bool] = True

    named: Named
    shift: Shift | DynamicShift | None

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        if isinstance(self.shift, DynamicShift):
            return self.named.placed(path, asked, self.shift.factor(asked.mu))
        return self.named.placed(path, asked, 1.0 if self.shift is None else self.shift.factor)


def spacing_of(spacing: Any) -> Spacing:
    """A chain, or the one that a name stands for.

    Raises:
        ScheduleError: if it is neither.
    """
    if isinstance(spacing, str):
        return Chain((Named(spacing), End()))
    if not isinstance(spacing, Spacing):
        raise ScheduleError(
            f"spacing must be a name, such as 'karras', or a chain, such as ms.spacings.Even(); given {shown(spacing)}."
        )
    return spacing


def respaced(path: Path, own: Spacing, spacing: Any, asked: Asked) -> Grid:
    """The grid of a run on another spacing than a recipe's own: its end and its direction stay.

    Raises:
        ScheduleError: if a list is given too, or as `Chain.grid`.
    """
    if asked.listed:
        raise ScheduleError("spacing= places a number of steps; give it with n, not with a list.")
    chain, kept = Chain(own.links), spacing_of(spacing)
    closing = [one for one in chain.links if one.closing and not getattr(one, "rounds", False)]
    end = End(0.0, chain.end.prior)
    if isinstance(spacing, str):
        moved = chain.find(DynamicShift) or chain.find(Shift)
        made = Chain((_Shifted(Named(spacing), moved), end, *closing))
        mu = asked.mu if isinstance(moved, DynamicShift) else None
        if asked.mu is not None and mu is None:
            raise ScheduleError(f"mu belongs to flow schedules with use_dynamic_shifting; given mu={shown(asked.mu)}.")
        return _run(own, made, path, asked._replace(mu=None), mu)
    links = kept.links
    if not any(isinstance(one, End) for one in links):
        links = (*(one for one in links if not one.closing), end, *(one for one in links if one.closing))
    return _run(own, Chain((*links, *closing)), path, asked, asked.mu)


def _run(own: Spacing, made: Chain, path: Path, asked: Asked, mu: float | None) -> Grid:
    """The grid of a chain, in the direction of a recipe's own spacing."""
    first = made.links[0]
    if isinstance(first, _Shifted) and isinstance(first.shift, DynamicShift):
        # The links know mu through the shift alone.
        fixed = Shift(first.shift.factor(mu))
        made = Chain((_Shifted(first.named, fixed), *made.links[1:]))
    turned = getattr(own, "turned", None)
    return (made if turned is None else turned(made)).grid(path, asked)
