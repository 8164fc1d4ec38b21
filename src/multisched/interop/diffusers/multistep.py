"""The schedulers of diffusers that are DEIS, UniPC, SA-Solver or Helios."""

from typing import Any

from multisched import schedulers
from multisched.interop.diffusers import told, told_flow
from multisched.interop.diffusers.base import Peer
from multisched.interop.diffusers.quirks import CUT_LEVELS, MISREAD, UNCONVERTED

_ONE_FORM = "DEIS has one form, in log(sigma / alpha)"
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
        faithful={"final_sigmas_type": "sigma_min"},
        ignored={"algorithm_type": _ONE_FORM, "solver_type": _ONE_FORM},
        quirks=(MISREAD, UNCONVERTED),
    ),
    "UniPCMultistepScheduler": Peer(
        schedulers.UniPCMultistep,
        ours=("shift_given",),
        faithful={"shift_given": True},
        quirks=(MISREAD, UNCONVERTED),
        convert=_unipc,
    ),
    "SASolverScheduler": Peer(
        schedulers.SASolver,
        ours=("final_sigmas_type", "use_dynamic_shifting", "time_shift_type", "tau", "tau_start", "tau_end"),
        faithful={"final_sigmas_type": "sigma_min"},
        ignored={"tau_func": "a function is no part of a configuration; tau, tau_start and tau_end say it"},
        quirks=(MISREAD, UNCONVERTED),
        convert=learned,
    ),
    "HeliosScheduler": Peer(
        schedulers.Helios,
        ours=("stage", "final_sigma"),
        faithful={"final_sigma": 1e-8},
        quirks=(MISREAD, told.quirk(told_flow.helios)),
        convert=_helios,
    ),
    "HeliosDMDScheduler": Peer(
        schedulers.HeliosDMD,
        ours=("stage",),
        ignored=dict.fromkeys(("prediction_type", "use_flow_sigmas"), "diffusers does the same whatever it says"),
        quirks=(CUT_LEVELS, told.quirk(told_flow.helios)),
    ),
}
