"""The schedulers of diffusers that are DEIS, UniPC, SA-Solver or Helios."""

from typing import Any

from multisched import schedulers
from multisched.interop.diffusers import told, told_flow
from multisched.interop.diffusers.base import Peer
from multisched.interop.diffusers.mixed import CUT_LEVELS, MISREAD, UNCONVERTED
from multisched.interop.diffusers.placing import LAST_LEVEL
from multisched.interop.diffusers.placing_flow import FINAL_SIGMA, SHIFT_GIVEN

_ONE_FORM = "DEIS has one form, in log(sigma / alpha)"
_TOLD = told.quirk(told_flow.multistep)
_MIN = {"final_sigmas_type": "sigma_min"}
_BH2 = dict.fromkeys(("midpoint", "heun", "logrho"), "bh2")


def learned(options: dict[str, Any]) -> dict[str, Any]:
    """diffusers takes other words for variance_type than those of a learned one for none."""
    kind = options.get("variance_type")
    other = isinstance(kind, str) and kind in ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log")
    return {**options, "variance_type": None} if other else options


def _unipc(options: dict[str, Any]) -> dict[str, Any]:
    """diffusers cuts x0 only where its polynomials are of x0."""
    kind = options.get("solver_type", "bh2")
    read = {**options, "solver_type": _BH2.get(kind, kind) if isinstance(kind, str) else kind}
    return read if options.get("predict_x0", True) else {**read, "thresholding": False}


def _helios(options: dict[str, Any]) -> dict[str, Any]:
    """diffusers' Euler knows velocities only."""
    euler = options.get("scheduler_type") == "euler"
    return _unipc(options | ({"prediction_type": "flow_prediction"} if euler else {}))


PEERS = {
    "DEISMultistepScheduler": Peer(
        schedulers.DEISMultistep,
        ours=("final_sigmas_type",),
        faithful=_MIN,
        ignored={"algorithm_type": _ONE_FORM, "solver_type": _ONE_FORM},
        quirks=(LAST_LEVEL, MISREAD, UNCONVERTED, _TOLD),
    ),
    "UniPCMultistepScheduler": Peer(
        schedulers.UniPCMultistep,
        quirks=(SHIFT_GIVEN, LAST_LEVEL, MISREAD, UNCONVERTED, _TOLD),
        convert=_unipc,
    ),
    "SASolverScheduler": Peer(
        schedulers.SASolver,
        ours=("final_sigmas_type", "use_dynamic_shifting", "time_shift_type", "tau", "tau_start", "tau_end"),
        faithful=_MIN,
        ignored={"tau_func": "a function is no part of a configuration; tau, tau_start and tau_end say it"},
        quirks=(LAST_LEVEL, MISREAD, UNCONVERTED, _TOLD),
        convert=learned,
    ),
    "HeliosScheduler": Peer(
        schedulers.Helios,
        ours=("stage",),
        quirks=(FINAL_SIGMA, MISREAD, told.quirk(told_flow.helios)),
        convert=_helios,
    ),
    "HeliosDMDScheduler": Peer(
        schedulers.HeliosDMD,
        ours=("stage",),
        ignored=dict.fromkeys(("prediction_type", "use_flow_sigmas"), "diffusers does the same whatever it says"),
        quirks=(CUT_LEVELS, told.quirk(told_flow.helios)),
    ),
}
