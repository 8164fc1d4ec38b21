"""Paths: the levels (alpha, sigma) of every time of a model, one idea a file."""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.paths.base import Path as Path, Point as Point, Points as Points
    from multisched.paths.continuous import (
        Circle as Circle,
        Cosine as Cosine,
        LinearVP as LinearVP,
        TrigFlow as TrigFlow,
    )
    from multisched.paths.discrete import Betas as Betas, Discrete as Discrete
    from multisched.paths.exploding import VarianceExploding as VarianceExploding
    from multisched.paths.staged import CurvedStage as CurvedStage, Staged as Staged
    from multisched.paths.straight import Exploding as Exploding, Straight as Straight

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attached(
        __name__,
        {
            "base": "Path Point Points",
            "continuous": "Circle Cosine LinearVP TrigFlow",
            "discrete": "Betas Discrete",
            "exploding": "VarianceExploding",
            "staged": "CurvedStage Staged",
            "straight": "Exploding Straight",
        },
    )
