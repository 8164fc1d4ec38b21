"""The named recipes: what a user picks."""

import sys
from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.schedulers.adams import IPNDM as IPNDM, PNDM as PNDM
    from multisched.schedulers.base import Recipe as Recipe, Scheduler as Scheduler
    from multisched.schedulers.consistency import (
        LCM as LCM,
        SCM as SCM,
        TCD as TCD,
        CMStochasticIterative as CMStochasticIterative,
        ConsistencyDecoder as ConsistencyDecoder,
    )
    from multisched.schedulers.dpm import (
        CogVideoXDPM as CogVideoXDPM,
        CosineDPMSolverMultistep as CosineDPMSolverMultistep,
        DPMSolverMultistep as DPMSolverMultistep,
        DPMSolverMultistepInverse as DPMSolverMultistepInverse,
        DPMSolverSinglestep as DPMSolverSinglestep,
        EDMDPMSolverMultistep as EDMDPMSolverMultistep,
    )
    from multisched.schedulers.edm import EDMEuler as EDMEuler
    from multisched.schedulers.flow import (
        FlowMatchEuler as FlowMatchEuler,
        FlowMatchHeun as FlowMatchHeun,
        FlowMatchLCM as FlowMatchLCM,
        FlowMatchPingPong as FlowMatchPingPong,
        LTXEulerAncestralRF as LTXEulerAncestralRF,
    )
    from multisched.schedulers.forward import Parts as Parts
    from multisched.schedulers.helios import Helios as Helios, HeliosDMD as HeliosDMD
    from multisched.schedulers.multistep import (
        DEISMultistep as DEISMultistep,
        SASolver as SASolver,
        UniPCMultistep as UniPCMultistep,
    )
    from multisched.schedulers.quirk import Quirk as Quirk
    from multisched.schedulers.score import KarrasVe as KarrasVe, ScoreSdeVe as ScoreSdeVe, ScoreSdeVp as ScoreSdeVp
    from multisched.schedulers.sigma import (
        KDPM2 as KDPM2,
        LMS as LMS,
        DPMSolverSDE as DPMSolverSDE,
        Euler as Euler,
        EulerAncestral as EulerAncestral,
        Heun as Heun,
        KDPM2Ancestral as KDPM2Ancestral,
    )
    from multisched.schedulers.straight import (
        FlowMapEuler as FlowMapEuler,
        MiniMaxH3 as MiniMaxH3,
        Piflow as Piflow,
        RFD4Proteina as RFD4Proteina,
    )
    from multisched.schedulers.vp import (
        DDIM as DDIM,
        DDPM as DDPM,
        CogVideoXDDIM as CogVideoXDDIM,
        DDIMInverse as DDIMInverse,
        DDPMWuerstchen as DDPMWuerstchen,
        RePaint as RePaint,
        UnCLIP as UnCLIP,
    )

PLACES = {
    "adams": "IPNDM PNDM",
    "base": "Recipe Scheduler",
    "consistency": "LCM SCM TCD CMStochasticIterative ConsistencyDecoder",
    "dpm": "CogVideoXDPM CosineDPMSolverMultistep DPMSolverMultistep DPMSolverMultistepInverse "
    "DPMSolverSinglestep EDMDPMSolverMultistep",
    "edm": "EDMEuler",
    "flow": "FlowMatchEuler FlowMatchHeun FlowMatchLCM FlowMatchPingPong LTXEulerAncestralRF",
    "forward": "Parts",
    "helios": "Helios HeliosDMD",
    "multistep": "DEISMultistep SASolver UniPCMultistep",
    "quirk": "Quirk",
    "score": "KarrasVe ScoreSdeVe ScoreSdeVp",
    "sigma": "KDPM2 LMS DPMSolverSDE Euler EulerAncestral Heun KDPM2Ancestral",
    "straight": "FlowMapEuler MiniMaxH3 Piflow RFD4Proteina",
    "vp": "DDIM DDPM CogVideoXDDIM DDIMInverse DDPMWuerstchen RePaint UnCLIP",
}
if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attached(__name__, PLACES, "named")


def named() -> "dict[str, type[Recipe]]":
    """Every named recipe by its name.

    Example:
        >>> ms.schedulers.named()["DDIM"]().plan(10)
        <DDIM: 10 steps, 10 model calls, order 1, deterministic>
    """
    room, others = sys.modules[__name__], ("base", "forward", "quirk")
    names = sorted(name for file in PLACES if file not in others for name in PLACES[file].split())
    return {name: getattr(room, name) for name in names}
