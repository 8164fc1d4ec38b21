"""The named recipes: what a user picks."""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.schedulers.adams import IPNDM, PNDM
    from multisched.schedulers.base import Recipe, Scheduler
    from multisched.schedulers.consistency import LCM, SCM, TCD, CMStochasticIterative, ConsistencyDecoder
    from multisched.schedulers.dpm import (
        CogVideoXDPM,
        CosineDPMSolverMultistep,
        DPMSolverMultistep,
        DPMSolverMultistepInverse,
        DPMSolverSinglestep,
        EDMDPMSolverMultistep,
    )
    from multisched.schedulers.edm import EDMEuler
    from multisched.schedulers.flow import (
        FlowMatchEuler,
        FlowMatchHeun,
        FlowMatchLCM,
        FlowMatchPingPong,
        LTXEulerAncestralRF,
    )
    from multisched.schedulers.forward import Parts
    from multisched.schedulers.helios import Helios, HeliosDMD
    from multisched.schedulers.multistep import DEISMultistep, SASolver, UniPCMultistep
    from multisched.schedulers.quirk import Quirk
    from multisched.schedulers.score import KarrasVe, ScoreSdeVe, ScoreSdeVp
    from multisched.schedulers.sigma import KDPM2, LMS, DPMSolverSDE, Euler, EulerAncestral, Heun, KDPM2Ancestral
    from multisched.schedulers.straight import FlowMapEuler, MiniMaxH3, Piflow, RFD4Proteina
    from multisched.schedulers.vp import DDIM, DDPM, CogVideoXDDIM, DDIMInverse, DDPMWuerstchen, RePaint, UnCLIP

PLACES = {
    "adams": (
        "IPNDM",
        "PNDM",
    ),
    "base": (
        "Recipe",
        "Scheduler",
    ),
    "consistency": (
        "LCM",
        "SCM",
        "TCD",
        "CMStochasticIterative",
        "ConsistencyDecoder",
    ),
    "dpm": (
        "CogVideoXDPM",
        "CosineDPMSolverMultistep",
        "DPMSolverMultistep",
        "DPMSolverMultistepInverse",
        "DPMSolverSinglestep",
        "EDMDPMSolverMultistep",
    ),
    "edm": ("EDMEuler",),
    "flow": (
        "FlowMatchEuler",
        "FlowMatchHeun",
        "FlowMatchLCM",
        "FlowMatchPingPong",
        "LTXEulerAncestralRF",
    ),
    "forward": ("Parts",),
    "helios": (
        "Helios",
        "HeliosDMD",
    ),
    "multistep": (
        "DEISMultistep",
        "SASolver",
        "UniPCMultistep",
    ),
    "quirk": ("Quirk",),
    "score": (
        "KarrasVe",
        "ScoreSdeVe",
        "ScoreSdeVp",
    ),
    "sigma": (
        "KDPM2",
        "LMS",
        "DPMSolverSDE",
        "Euler",
        "EulerAncestral",
        "Heun",
        "KDPM2Ancestral",
    ),
    "straight": (
        "FlowMapEuler",
        "MiniMaxH3",
        "Piflow",
        "RFD4Proteina",
    ),
    "vp": (
        "DDIM",
        "DDPM",
        "CogVideoXDDIM",
        "DDIMInverse",
        "DDPMWuerstchen",
        "RePaint",
        "UnCLIP",
    ),
}
__getattr__, _names = attached(__name__, PLACES)


def __dir__() -> list[str]:
    return sorted([*_names(), "named"])


def named() -> "dict[str, type[Recipe]]":
    """Every named recipe by its name.

    Example:
        >>> named()["DDIM"]().plan(10)
        <DDIM: 10 steps, 10 model calls, order 1, deterministic>
    """
    return {
        name: __getattr__(name) for name in __all__ if name not in ("Parts", "Quirk", "Recipe", "Scheduler", "named")
    }


__all__ = [
    "DDIM",
    "DDPM",
    "IPNDM",
    "KDPM2",
    "LCM",
    "LMS",
    "PNDM",
    "SCM",
    "TCD",
    "CMStochasticIterative",
    "CogVideoXDDIM",
    "CogVideoXDPM",
    "ConsistencyDecoder",
    "CosineDPMSolverMultistep",
    "DDIMInverse",
    "DDPMWuerstchen",
    "DEISMultistep",
    "DPMSolverMultistep",
    "DPMSolverMultistepInverse",
    "DPMSolverSDE",
    "DPMSolverSinglestep",
    "EDMDPMSolverMultistep",
    "EDMEuler",
    "Euler",
    "EulerAncestral",
    "FlowMapEuler",
    "FlowMatchEuler",
    "FlowMatchHeun",
    "FlowMatchLCM",
    "FlowMatchPingPong",
    "Helios",
    "HeliosDMD",
    "Heun",
    "KDPM2Ancestral",
    "KarrasVe",
    "LTXEulerAncestralRF",
    "MiniMaxH3",
    "Parts",
    "Piflow",
    "Quirk",
    "RFD4Proteina",
    "RePaint",
    "Recipe",
    "SASolver",
    "Scheduler",
    "ScoreSdeVe",
    "ScoreSdeVp",
    "UnCLIP",
    "UniPCMultistep",
    "named",
]
