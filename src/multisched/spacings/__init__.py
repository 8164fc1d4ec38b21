"""Spacings: where the steps of a run stand on a path, as chains of small links.

A chain places points for a number of steps, moves them, ends the run, and may turn the whole grid:

    Even(1.0, 0.001) | Shift(3.0) | Terminal(0.02) | End()         flow matching
    Leading(1) | Respace("karras") | End("sigma_min")              DPM++ 2M Karras
    SoftLog(0.1, 3.0) | End()                                      from pure noise, or any other level
    Trailing() | End() | Reversed()                                from data to noise

Links that follow the end act on the whole grid. `recipe.plan(20, spacing=...)` takes a chain, or one of `NAMES`.
"""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.spacings.base import Asked, Chain, DynamicShift, End, Given, Link, Spacing
    from multisched.spacings.change import Cap, Karras, Respace, RespaceRatios, Round, Shift, Terminal
    from multisched.spacings.direction import Inverse, Jumping, Renoised, Reversed
    from multisched.spacings.distilled import Decoder, GivenPlaces, Ramp, Skipping, TwoTimes
    from multisched.spacings.named import NAMES, Named
    from multisched.spacings.placement import (
        DDIMUniform,
        Even,
        Leading,
        LinearQuadratic,
        Linspace,
        SGMUniform,
        Simple,
        Times,
        Trailing,
        Trained,
    )
    from multisched.spacings.published import align_your_steps
    from multisched.spacings.singular import Descent, OneRun, Proteina, SineTimes, Stage
    from multisched.spacings.softened import SoftLog

PLACES = {
    "base": ("Asked", "Chain", "DynamicShift", "End", "Given", "Link", "Spacing"),
    "change": ("Cap", "Karras", "Respace", "RespaceRatios", "Round", "Shift", "Terminal"),
    "direction": ("Inverse", "Jumping", "Renoised", "Reversed"),
    "distilled": ("Decoder", "GivenPlaces", "Ramp", "Skipping", "TwoTimes"),
    "levels": (),
    "named": ("NAMES", "Named"),
    "placement": (
        "DDIMUniform",
        "Even",
        "Leading",
        "LinearQuadratic",
        "Linspace",
        "SGMUniform",
        "Simple",
        "Times",
        "Trailing",
        "Trained",
    ),
    "published": ("align_your_steps",),
    "singular": ("Descent", "OneRun", "Proteina", "SineTimes", "Stage"),
    "softened": ("SoftLog",),
}
__getattr__, __dir__ = attached(__name__, PLACES)

__all__ = [
    "NAMES",
    "Asked",
    "Cap",
    "Chain",
    "DDIMUniform",
    "Decoder",
    "Descent",
    "DynamicShift",
    "End",
    "Even",
    "Given",
    "GivenPlaces",
    "Inverse",
    "Jumping",
    "Karras",
    "Leading",
    "LinearQuadratic",
    "Link",
    "Linspace",
    "Named",
    "OneRun",
    "Proteina",
    "Ramp",
    "Renoised",
    "Respace",
    "RespaceRatios",
    "Reversed",
    "Round",
    "SGMUniform",
    "Shift",
    "Simple",
    "SineTimes",
    "Skipping",
    "SoftLog",
    "Spacing",
    "Stage",
    "Terminal",
    "Times",
    "Trailing",
    "Trained",
    "TwoTimes",
    "align_your_steps",
    "levels",
]
