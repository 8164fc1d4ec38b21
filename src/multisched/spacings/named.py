"""Spacings by the names that ComfyUI, k-diffusion and A1111 give them, on any path: what those programs compute from
the noise levels that a model is trained on.

    normal                even in t from the first level's to the last's                    sigma(t)
    sgm_uniform           of n + 1 such, all but the last
    simple                T - 1 - floor(i * T / n), i = 0 .. n-1, of the trained levels
    ddim_uniform          1, 1 + T // n, 1 + 2 (T // n)... of the trained levels, which may be more than n
    beta                  round((T - 1) * quantile of Beta(0.6, 0.6)) at 1 - i / n, each once, which may be fewer than n
    beta57                the same of Beta(0.5, 0.7), as in RES4LYF
    smoothstep            round((T - 1) * (3 u^2 - 2 u^3)), u = 1 - i / n, each once, as in stable-diffusion.cpp
    linear_quadratic      see `LinearQuadratic`, times the noisiest level
    bong_tangent          see `trained.bong_tangent`, times the noisiest level, where RES4LYF begins at 1 on every model
    karras, exponential, polyexponential, kl_optimal, lu, linear      between the levels' ends, see `levels`
    beta_sigmas           quantiles of Beta(0.6, 0.6) between the ends: A1111's "Beta", diffusers' use_beta_sigmas
    uniform               even in the place 0..T-1 of the trained levels, their logarithm interpolated: A1111's default
    leading, trailing, linspace      diffusers' timestep_spacing, without an offset; "trailing" is Forge's "Turbo"
    laplace, vp, logit_normal, gits      see `Laplace`, `VP`, `LogitNormal` and `GITS`, with ComfyUI's defaults
    flux2, ltx2           see `Flux2` and `LTX2`, for 4,096 tokens; on straight paths alone
    align_your_steps...   published lists, see `published`

sigma(t) interpolates the logarithm of the trained levels of a discrete path. On a path of noise levels alone, t is
their logarithm, or their arctangent where that is passed to the model. A straight path has T levels that are even in t
and then shifted, or 10 T of them if each run has a shift of its own, as FLUX has there; as in ComfyUI, `normal` and
`sgm_uniform` shift once more between the ends of those.

All runs end at the clean sample. Where `normal` and `ddim_uniform` reach a level of at most 1e-5, that is the end, and
they place another level in its stead. A1111's "KL Optimal" ends at the cleanest trained level instead; here, as in
ComfyUI, that is the last step.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

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
from multisched.spacings.gits import GITS
from multisched.spacings.laws import VP, Laplace, LogitNormal
from multisched.spacings.placement import Leading, Linspace, Trailing
from multisched.spacings.rules import RULES, SPREAD, Model, Rule, Spread, model_of
from multisched.spacings.tokens import LTX2, Flux2
from multisched.values import hint, shown

FINER = 10
"""Levels for each training timestep of a flow whose runs have shifts of their own."""

Placed = Literal["leading", "trailing", "linspace"]
Own = Literal["laplace", "vp", "logit_normal", "gits", "flux2", "ltx2"]
Name = Literal[Rule, Spread, Placed, Own, published.Published]

PLACED: dict[str, Link] = {"leading": Leading(), "trailing": Trailing(), "linspace": Linspace()}
OWN: dict[str, Link] = {
    "laplace": Laplace(),
    "vp": VP(),
    "logit_normal": LogitNormal(),
    "gits": GITS(),
    "flux2": Flux2(),
    "ltx2": LTX2(),
}
"""Names that are links, which no shift of a recipe moves."""

FLOWS = ("flux2", "ltx2")
NAMES = get_args(Name)
"""Every name that `plan(spacing=)` takes."""


@dataclass(frozen=True)
class Named(Link):
    """The levels that a name stands for.

    Args:
        name: one of `NAMES`.

    Raises:
        ScheduleError: if it is none of them.

    Example:
        >>> chain = ms.spacings.Named("karras") | ms.spacings.End()
        >>> ms.EDMEuler().plan(4, spacing=chain).sigmas.round(3).tolist()
        [80.0, 9.723, 0.47, 0.002, 0.0]
    """

    placing: ClassVar[bool] = True

    name: Name

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in NAMES:
            listed = ", ".join((*RULES, *PLACED, *OWN))
            raise ScheduleError(
                f"spacing must be one of {listed} or align_your_steps[_...]; given {shown(self.name)}"
                f"{hint(self.name, NAMES)}."
            )

    def check(self, path: Path) -> None:
        if self.name in FLOWS and not isinstance(path, Straight):
            raise ScheduleError(f"spacing {self.name!r} belongs on straight paths; given {type(path).__name__}.")

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        return self.placed(path, asked)

    def placed(self, path: Path, asked: Asked, factor: float = 1.0, finer: int = 1) -> Points:
        """The points on a path; on a straight one of levels that are shifted by a factor, see `model_of`."""
        n = checks.steps(asked.n)
        if self.name in published.NAMES:
            return Points(path.of_ratio(published.levels_of(self.name, n)))
        self.check(path)
        if self.name in OWN:
            placed: Points = OWN[self.name](path, asked, None)
            return placed
        if self.name in PLACED:
            placed = self._numbered(path)(path, asked, made=None)
            return Points(shift(placed.noise, factor)) if isinstance(path, Straight) else placed
        return Points(levels.decreasing(self.name, n, self._levels(model_of(path, factor, finer), n)))

    def _numbered(self, path: Path) -> Link:
        """The placement that diffusers calls so: between whole timesteps only where sigma is added to x0 as it is."""
        whole = isinstance(path, Discrete) and path.space == "vp"
        return Linspace(whole=whole) if self.name == "linspace" else PLACED[self.name]

    def _levels(self, model: Model, n: int) -> np.ndarray:
        if model.table[-1] == math.inf and self.name in (*SPREAD, "beta_sigmas", "linear_quadratic", "bong_tangent"):
            raise ScheduleError(
                f"spacing {self.name!r} begins at the noisiest level, which has no finite sigma / alpha here; take one "
                "that is even in the timesteps, such as 'sgm_uniform' or 'trailing'."
            )
        return RULES[self.name](model, n)


@dataclass(frozen=True)
class _Shifted(Link):
    """A name on a path that a recipe shifts."""

    placing: ClassVar[bool] = True

    named: Named
    factor: float
    finer: int

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        return self.named.placed(path, asked, self.factor, self.finer)


def _shifted(named: Named, own: Chain, mu: float | None) -> _Shifted:
    """A name with the shift that a recipe's own spacing has."""
    dynamic, fixed = own.find(DynamicShift), own.find(Shift)
    if dynamic is not None:
        return _Shifted(named, dynamic.factor(mu), FINER)
    if mu is not None:
        raise ScheduleError(f"mu belongs to flow schedules with use_dynamic_shifting; given mu={shown(mu)}.")
    return _Shifted(named, 1.0 if fixed is None else fixed.factor, 1)


def _named(given: Any) -> Named:
    """The link of a word that a user gave."""
    return Named(given)


def spacing_of(spacing: Any) -> Spacing:
    """A chain, or the one that a name stands for.

    Raises:
        ScheduleError: if it is neither.
    """
    if isinstance(spacing, str):
        return Chain((_named(spacing), End()))
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
    chain, wanted = Chain(own.links), spacing_of(spacing)
    closing = [one for one in chain.links if one.closing and not one.replaced]
    end = End(0.0, chain.end.prior)
    if isinstance(spacing, str):
        made = Chain((_shifted(_named(spacing), chain, asked.mu), end, *closing))
        asked = asked._replace(mu=None)
    else:
        links = wanted.links
        if not any(isinstance(one, End) for one in links):
            links = (*(one for one in links if not one.closing), end, *(one for one in links if one.closing))
        made = Chain((*links, *closing))
    turned = getattr(own, "turned", None)
    return (made if turned is None else turned(made)).grid(path, asked)
