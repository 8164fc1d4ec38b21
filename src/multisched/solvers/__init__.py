"""The solvers: the papers' updates, one family a file."""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.solvers.adams import Adams, BlindAdams, VelocityAdams
    from multisched.solvers.ancestral_flow import AncestralRF, RescaledSDE
    from multisched.solvers.base import Estimate, Next, Rows, Solver
    from multisched.solvers.consistency import LCM, TCD, Consistency
    from multisched.solvers.ddim import DDIM, RePaint
    from multisched.solvers.ddpm import DDPM, TableDDPM
    from multisched.solvers.dpm import DPMMultistep, DPMSinglestep
    from multisched.solvers.dpm2 import Midpoint
    from multisched.solvers.euler import Euler, LateEuler, PingPong, SwappedPingPong
    from multisched.solvers.exponential import ExponentialAdams
    from multisched.solvers.heun import ChurnedHeun, Heun, LateHeun
    from multisched.solvers.piflow import PiFlow
    from multisched.solvers.score import EulerMaruyama, PredictorCorrector

PLACES = {
    "adams": (
        "Adams",
        "BlindAdams",
        "VelocityAdams",
    ),
    "ancestral_flow": (
        "AncestralRF",
        "RescaledSDE",
    ),
    "base": (
        "Estimate",
        "Next",
        "Rows",
        "Solver",
    ),
    "consistency": (
        "LCM",
        "TCD",
        "Consistency",
    ),
    "ddim": (
        "DDIM",
        "RePaint",
    ),
    "ddpm": (
        "DDPM",
        "TableDDPM",
    ),
    "dpm": (
        "DPMMultistep",
        "DPMSinglestep",
    ),
    "dpm2": ("Midpoint",),
    "euler": (
        "Euler",
        "LateEuler",
        "PingPong",
        "SwappedPingPong",
    ),
    "exponential": ("ExponentialAdams",),
    "heun": (
        "ChurnedHeun",
        "Heun",
        "LateHeun",
    ),
    "piflow": ("PiFlow",),
    "score": (
        "EulerMaruyama",
        "PredictorCorrector",
    ),
}
__getattr__, __dir__ = attached(__name__, PLACES)

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
    "LateEuler",
    "LateHeun",
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
    "TableDDPM",
    "VelocityAdams",
]
