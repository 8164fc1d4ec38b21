"""The solvers: the papers' updates, one family a file."""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.solvers.adams import Adams as Adams
    from multisched.solvers.ancestral_flow import AncestralRF as AncestralRF, RescaledSDE as RescaledSDE
    from multisched.solvers.angle import AngleAdams as AngleAdams
    from multisched.solvers.base import Estimate as Estimate, Next as Next, Solver as Solver
    from multisched.solvers.bdia import BDIA as BDIA
    from multisched.solvers.cfg_plus import CFGPlusPlus as CFGPlusPlus
    from multisched.solvers.consistency import (
        LCM as LCM,
        TCD as TCD,
        Consistency as Consistency,
        PingPong as PingPong,
    )
    from multisched.solvers.ddim import DDIM as DDIM, RePaint as RePaint
    from multisched.solvers.ddpm import DDPM as DDPM
    from multisched.solvers.deis import DEIS as DEIS
    from multisched.solvers.dpm2 import ChurnedMidpoint as ChurnedMidpoint, Midpoint as Midpoint
    from multisched.solvers.dpm_fast import DPMFast as DPMFast
    from multisched.solvers.dpm_multistep import DPMMultistep as DPMMultistep
    from multisched.solvers.dpm_sde import DPMMultistepSDE as DPMMultistepSDE
    from multisched.solvers.dpm_singlestep import DPMSinglestep as DPMSinglestep
    from multisched.solvers.edict import EDICT as EDICT
    from multisched.solvers.er_sde import ERSDE as ERSDE
    from multisched.solvers.euler import Euler as Euler
    from multisched.solvers.exponential import ExponentialAdams as ExponentialAdams
    from multisched.solvers.exponential_rk import ExponentialRK as ExponentialRK
    from multisched.solvers.flow_sde import FlowSDE as FlowSDE
    from multisched.solvers.gradient_estimation import GradientEstimation as GradientEstimation
    from multisched.solvers.heun import ChurnedHeun as ChurnedHeun, Heun as Heun
    from multisched.solvers.heun_plus import HeunPlus as HeunPlus
    from multisched.solvers.piflow import PiFlow as PiFlow
    from multisched.solvers.res import RESMultistep as RESMultistep
    from multisched.solvers.restarted import Restarted as Restarted
    from multisched.solvers.rows import Rows as Rows
    from multisched.solvers.runge_kutta import RungeKutta as RungeKutta
    from multisched.solvers.score import EulerMaruyama as EulerMaruyama, PredictorCorrector as PredictorCorrector
    from multisched.solvers.started import Started as Started
    from multisched.solvers.stochastic_adams import StochasticAdams as StochasticAdams
    from multisched.solvers.straightened import Straightened as Straightened

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attached(
        __name__,
        {
            "adams": "Adams",
            "ancestral_flow": "AncestralRF RescaledSDE",
            "angle": "AngleAdams",
            "base": "Estimate Next Solver",
            "bdia": "BDIA",
            "cfg_plus": "CFGPlusPlus",
            "consistency": "LCM TCD Consistency PingPong",
            "ddim": "DDIM RePaint",
            "ddpm": "DDPM",
            "deis": "DEIS",
            "dpm_fast": "DPMFast",
            "dpm_multistep": "DPMMultistep",
            "dpm_sde": "DPMMultistepSDE",
            "dpm_singlestep": "DPMSinglestep",
            "dpm2": "ChurnedMidpoint Midpoint",
            "edict": "EDICT",
            "er_sde": "ERSDE",
            "euler": "Euler",
            "exponential": "ExponentialAdams",
            "exponential_rk": "ExponentialRK",
            "flow_sde": "FlowSDE",
            "gradient_estimation": "GradientEstimation",
            "heun": "ChurnedHeun Heun",
            "heun_plus": "HeunPlus",
            "piflow": "PiFlow",
            "res": "RESMultistep",
            "restarted": "Restarted",
            "rows": "Rows",
            "runge_kutta": "RungeKutta",
            "score": "EulerMaruyama PredictorCorrector",
            "started": "Started",
            "stochastic_adams": "StochasticAdams",
            "straightened": "Straightened",
        },
    )
