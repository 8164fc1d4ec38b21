"""The solvers: the papers' updates, one family a file."""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.solvers.adams import Adams
    from multisched.solvers.ancestral_flow import AncestralRF, RescaledSDE
    from multisched.solvers.angle import AngleAdams
    from multisched.solvers.base import Estimate, Next, Solver
    from multisched.solvers.cfg_plus import CFGPlusPlus
    from multisched.solvers.consistency import LCM, TCD, Consistency
    from multisched.solvers.ddim import DDIM, RePaint
    from multisched.solvers.ddpm import DDPM
    from multisched.solvers.dpm import DPMMultistep
    from multisched.solvers.dpm2 import ChurnedMidpoint, Midpoint
    from multisched.solvers.dpm_fast import DPMFast
    from multisched.solvers.dpm_sde import DPMMultistepSDE
    from multisched.solvers.dpm_singlestep import DPMSinglestep
    from multisched.solvers.er_sde import ERSDE
    from multisched.solvers.euler import Euler, PingPong
    from multisched.solvers.exponential import ExponentialAdams
    from multisched.solvers.exponential_rk import ExponentialRK
    from multisched.solvers.gradient_estimation import GradientEstimation
    from multisched.solvers.heun import ChurnedHeun, Heun
    from multisched.solvers.heun_plus import HeunPlus
    from multisched.solvers.piflow import PiFlow
    from multisched.solvers.res import RESMultistep
    from multisched.solvers.rows import Rows
    from multisched.solvers.runge_kutta import RungeKutta
    from multisched.solvers.score import EulerMaruyama, PredictorCorrector
    from multisched.solvers.stochastic_adams import StochasticAdams
    from multisched.solvers.straightened import Straightened

PLACES = {
    "adams": ("Adams",),
    "ancestral_flow": (
        "AncestralRF",
        "RescaledSDE",
    ),
    "angle": ("AngleAdams",),
    "base": (
        "Estimate",
        "Next",
        "Solver",
    ),
    "cfg_plus": ("CFGPlusPlus",),
    "consistency": (
        "LCM",
        "TCD",
        "Consistency",
    ),
    "ddim": (
        "DDIM",
        "RePaint",
    ),
    "ddpm": ("DDPM",),
    "dpm": ("DPMMultistep",),
    "dpm_fast": ("DPMFast",),
    "dpm_sde": ("DPMMultistepSDE",),
    "dpm_singlestep": ("DPMSinglestep",),
    "dpm2": (
        "ChurnedMidpoint",
        "Midpoint",
    ),
    "er_sde": ("ERSDE",),
    "euler": (
        "Euler",
        "PingPong",
    ),
    "exponential": ("ExponentialAdams",),
    "exponential_rk": ("ExponentialRK",),
    "gradient_estimation": ("GradientEstimation",),
    "heun": (
        "ChurnedHeun",
        "Heun",
    ),
    "heun_plus": ("HeunPlus",),
    "piflow": ("PiFlow",),
    "res": ("RESMultistep",),
    "rows": ("Rows",),
    "runge_kutta": ("RungeKutta",),
    "score": (
        "EulerMaruyama",
        "PredictorCorrector",
    ),
    "stochastic_adams": ("StochasticAdams",),
    "straightened": ("Straightened",),
}
__getattr__, __dir__ = attached(__name__, PLACES)

__all__ = [
    "DDIM",
    "DDPM",
    "ERSDE",
    "LCM",
    "TCD",
    "Adams",
    "AncestralRF",
    "AngleAdams",
    "CFGPlusPlus",
    "ChurnedHeun",
    "ChurnedMidpoint",
    "Consistency",
    "DPMFast",
    "DPMMultistep",
    "DPMMultistepSDE",
    "DPMSinglestep",
    "Estimate",
    "Euler",
    "EulerMaruyama",
    "ExponentialAdams",
    "ExponentialRK",
    "GradientEstimation",
    "Heun",
    "HeunPlus",
    "Midpoint",
    "Next",
    "PiFlow",
    "PingPong",
    "PredictorCorrector",
    "RESMultistep",
    "RePaint",
    "RescaledSDE",
    "Rows",
    "RungeKutta",
    "Solver",
    "StochasticAdams",
    "Straightened",
]
