"""Paths: the levels (alpha, sigma) of every time of a model, one idea a file."""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.paths.base import Path, Point, Points
    from multisched.paths.continuous import Circle, Cosine, LinearVP, TrigFlow
    from multisched.paths.discrete import Betas, Discrete
    from multisched.paths.exploding import VarianceExploding
    from multisched.paths.staged import CurvedStage, Staged
    from multisched.paths.straight import Exploding, Straight

PLACES = {
    "base": ("Path", "Point", "Points"),
    "continuous": ("Circle", "Cosine", "LinearVP", "TrigFlow"),
    "discrete": ("Betas", "Discrete"),
    "exploding": ("VarianceExploding",),
    "staged": ("CurvedStage", "Staged"),
    "straight": ("Exploding", "Straight"),
}
__getattr__, __dir__ = attached(__name__, PLACES)

__all__ = [
    "Betas",
    "Circle",
    "Cosine",
    "CurvedStage",
    "Discrete",
    "Exploding",
    "LinearVP",
    "Path",
    "Point",
    "Points",
    "Staged",
    "Straight",
    "TrigFlow",
    "VarianceExploding",
]
