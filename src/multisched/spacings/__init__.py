"""Spacings: where the steps of a run stand on a path, as chains of small links.

A chain places points for a number of steps, moves them, ends the run, and may turn the whole grid:

    Even(1.0, 0.001) | Shift(3.0) | Terminal(0.02) | End()         flow matching
    Leading(1) | Respace("karras") | End("sigma_min")              DPM++ 2M Karras
    SoftLog(0.1, 3.0) | End()                                      from pure noise, or any other level
    Trailing() | End() | Reversed()                                from data to noise
    Trailing() | End() | Restart()                                 with noise added on the way

Links that follow the end act on the whole grid. `recipe.plan(20, spacing=...)` takes a chain, or one of `NAMES`.
"""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.spacings.base import (
        Asked as Asked,
        Chain as Chain,
        DynamicShift as DynamicShift,
        End as End,
        Given as Given,
        Link as Link,
        Spacing as Spacing,
    )
    from multisched.spacings.change import (
        Cap as Cap,
        Karras as Karras,
        Respace as Respace,
        RespaceRatios as RespaceRatios,
        Round as Round,
        Shift as Shift,
        Terminal as Terminal,
    )
    from multisched.spacings.direction import (
        Inverse as Inverse,
        Jumping as Jumping,
        Renoised as Renoised,
        Reversed as Reversed,
    )
    from multisched.spacings.distilled import (
        Decoder as Decoder,
        GivenPlaces as GivenPlaces,
        Ramp as Ramp,
        Skipping as Skipping,
        TwoTimes as TwoTimes,
    )
    from multisched.spacings.gits import GITS as GITS
    from multisched.spacings.laws import VP as VP, Laplace as Laplace, LogitNormal as LogitNormal
    from multisched.spacings.named import NAMES as NAMES, Named as Named
    from multisched.spacings.placement import (
        DDIMUniform as DDIMUniform,
        Even as Even,
        Leading as Leading,
        LinearQuadratic as LinearQuadratic,
        Linspace as Linspace,
        SGMUniform as SGMUniform,
        Simple as Simple,
        Times as Times,
        Trailing as Trailing,
        Trained as Trained,
    )
    from multisched.spacings.published import align_your_steps as align_your_steps
    from multisched.spacings.restart import Restart as Restart
    from multisched.spacings.singular import (
        Descent as Descent,
        OneRun as OneRun,
        Proteina as Proteina,
        SineTimes as SineTimes,
        Stage as Stage,
    )
    from multisched.spacings.softened import SoftLog as SoftLog
    from multisched.spacings.tokens import (
        LTX2 as LTX2,
        Flux2 as Flux2,
        flux2_mu as flux2_mu,
        ltx2_mu as ltx2_mu,
    )

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attached(
        __name__,
        {
            "base": "Asked Chain DynamicShift End Given Link Spacing",
            "change": "Cap Karras Respace RespaceRatios Round Shift Terminal",
            "direction": "Inverse Jumping Renoised Reversed",
            "distilled": "Decoder GivenPlaces Ramp Skipping TwoTimes",
            "gits": "GITS",
            "laws": "VP Laplace LogitNormal",
            "levels": "",
            "named": "NAMES Named",
            "placement": "DDIMUniform Even Leading LinearQuadratic Linspace SGMUniform Simple Times Trailing Trained",
            "published": "align_your_steps",
            "restart": "Restart",
            "rules": "",
            "singular": "Descent OneRun Proteina SineTimes Stage",
            "softened": "SoftLog",
            "tokens": "LTX2 Flux2 flux2_mu ltx2_mu",
        },
    )
