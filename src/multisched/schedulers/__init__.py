"""The named recipes: what a user picks."""

from multisched.schedulers.adams import IPNDM, LMS, PNDM
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
    FlowMapEuler,
    FlowMatchEuler,
    FlowMatchHeun,
    FlowMatchLCM,
    FlowMatchPingPong,
    LTXEulerAncestralRF,
    MiniMaxH3,
    Piflow,
    RFD4Proteina,
)
from multisched.schedulers.forward import Parts
from multisched.schedulers.helios import Helios, HeliosDMD
from multisched.schedulers.multistep import DEISMultistep, SASolver, UniPCMultistep
from multisched.schedulers.score import KarrasVe, ScoreSdeVe, ScoreSdeVp
from multisched.schedulers.sigma import KDPM2, DPMSolverSDE, Euler, EulerAncestral, Heun, KDPM2Ancestral
from multisched.schedulers.vp import DDIM, DDPM, CogVideoXDDIM, DDIMInverse, DDPMWuerstchen, RePaint, UnCLIP

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
    "RFD4Proteina",
    "RePaint",
    "Recipe",
    "SASolver",
    "Scheduler",
    "ScoreSdeVe",
    "ScoreSdeVp",
    "UnCLIP",
    "UniPCMultistep",
]
