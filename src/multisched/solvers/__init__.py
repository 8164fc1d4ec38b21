"""The solvers: the papers' updates, one family a file."""

from multisched.solvers.adams import Adams, BlindAdams, VelocityAdams
from multisched.solvers.ancestral_flow import AncestralRF, RescaledSDE, SwappedPingPong
from multisched.solvers.base import Estimate, Next, Rows, Solver
from multisched.solvers.consistency import LCM, TCD, Consistency
from multisched.solvers.ddim import DDIM
from multisched.solvers.ddpm import DDPM
from multisched.solvers.dpm import DPMMultistep
from multisched.solvers.dpm2 import Midpoint
from multisched.solvers.dpm_single import DPMSinglestep
from multisched.solvers.euler import Euler, PingPong
from multisched.solvers.exponential import ExponentialAdams
from multisched.solvers.heun import Heun
from multisched.solvers.piflow import PiFlow
from multisched.solvers.repaint import RePaint
from multisched.solvers.score import ChurnedHeun, EulerMaruyama, PredictorCorrector

__all__ = [
    "DDIM",
    "DDPM",
    "LCM",
    "TCD",
    "Adams",
    "AncestralRF",
    "BlindAdams",
    "ChurnedHeun",
    "Consistency",
    "DPMMultistep",
    "DPMSinglestep",
    "Estimate",
    "Euler",
    "EulerMaruyama",
    "ExponentialAdams",
    "Heun",
    "Midpoint",
    "Next",
    "PiFlow",
    "PingPong",
    "PredictorCorrector",
    "RePaint",
    "RescaledSDE",
    "Rows",
    "Solver",
    "SwappedPingPong",
    "VelocityAdams",
]
