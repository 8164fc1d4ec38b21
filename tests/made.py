"""Paths with spacings, and recipes with quirks, as the tests make them."""

from dataclasses import replace
from typing import Any

import multisched as ms
from multisched.interop.diffusers import PEERS
from multisched.interop.diffusers.placing import Stride
from multisched.interop.diffusers.placing_flow import ShiftedEven
from multisched.paths import Betas, Discrete, Exploding, Straight, VarianceExploding
from multisched.spacings import Chain, Even, LinearQuadratic, Respace, Terminal, Trained
from multisched.spacings.placement import numbered


def vp(
    spacing: str = "leading",
    kind: str | None = None,
    end: Any = 0.0,
    space: str = "vp",
    whole: bool = True,
    **options: Any,
) -> tuple[Discrete, Chain]:
    """A discrete path, and timesteps of it; its ratios spaced by a kind, if any."""
    names = {"snr_shift_scale", "terminal_alpha_bar", "timestep_type"}
    more = {name: options.pop(name) for name in names & options.keys()}
    path = Discrete(Betas(**options), space=space, **more)
    links = [numbered(spacing, whole=whole), *([] if kind is None else [Respace(kind)])]
    prior = float(spacing == "leading") if space == "ve" else None
    return path, Chain((*links, ms.spacings.End(end, prior)))


def flow(
    shift: float = 1.0,
    sigma_max: float = 1.0,
    end: Any = 0.0,
    kind: str | None = None,
    inverted: bool = False,
    **even: Any,
) -> tuple[Straight, Chain]:
    """The straight path, and shifted even levels of it; spaced anew by a kind, if any."""
    links: list[Any] = [Even(sigma_max, even.get("sigma_min"), even.get("spare", False), even.get("last_step", 1.0))]
    if even.get("quadratic"):
        links = [LinearQuadratic(top=sigma_max)]
    links += [ms.spacings.Shift(shift)]
    links += [Terminal(even["terminal"])] if "terminal" in even else []
    links += [] if kind is None else [Respace(kind)]
    links += [ms.spacings.Cap(even["limit"])] if "limit" in even else []
    path = (Exploding if even.get("exploding") else Straight)(1000, inverted)
    return path, Chain((*links, ms.spacings.End(end)))


def ve(
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    end: Any = 0.0,
    kind: str = "karras",
    prior: Any = None,
    **options: Any,
) -> tuple[VarianceExploding, Chain]:
    """The variance-exploding path, and levels of it spaced by a kind."""
    path = VarianceExploding(sigma_min, sigma_max, **options)
    return path, Trained() | Respace(kind) | ms.spacings.End(end, prior)


def grid(pair: tuple[Any, Any], n: Any = None, **asked: Any) -> ms.Grid:
    """The grid of a path and a spacing."""
    path, spacing = pair
    found: ms.Grid = spacing.grid(path, ms.spacings.Asked(n, **asked))
    return found


def quirked(recipe: Any, *names: str) -> Any:
    """A recipe with defects of diffusers, by their names."""
    known = {quirk.name: quirk for peer in PEERS.values() for quirk in peer.quirks}
    return replace(recipe, quirks=tuple(known[name] for name in names))


def strided(pair: tuple[Any, Chain]) -> tuple[Any, Chain]:
    """A path, and a spacing whose steps aim a fixed stride lower."""
    return pair[0], pair[1] | Stride()


def doubled(factor: float) -> tuple[Straight, Chain]:
    """The straight path, and even levels between shifted ends that are shifted again."""
    return Straight(), ShiftedEven(factor=factor) | ms.spacings.Shift(factor, True)
