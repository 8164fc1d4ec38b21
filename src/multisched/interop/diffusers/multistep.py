"""The schedulers of diffusers that are DEIS, UniPC, SA-Solver or Helios."""

from typing import Any

from multisched import schedulers
from multisched.errors import ScheduleError
from multisched.interop.diffusers.base import Peer

_ONE_FORM = "DEIS has one form, in log(sigma / alpha)"
_BH2 = dict.fromkeys(("midpoint", "heun", "logrho"), "bh2")


def on_path(options: dict[str, Any]) -> dict[str, Any]:
    """Refuses what diffusers computes with the formula of the other path, to no meaning."""
    flow, prediction = options.get("use_flow_sigmas", False), options.get("prediction_type")
    if prediction == ("v_prediction" if flow else "flow_prediction"):
        raise ScheduleError(f"diffusers misreads prediction_type {prediction!r} with use_flow_sigmas={flow}.")
    return options


def _unipc(options: dict[str, Any]) -> dict[str, Any]:
    """diffusers cuts x0 only where its polynomials are of x0."""
    kind = options.get("solver_type", "bh2")
    read = {**options, "solver_type": _BH2.get(kind, kind) if isinstance(kind, str) else kind}
    return on_path(read if options.get("predict_x0", True) else {**read, "thresholding": False})


def _helios(options: dict[str, Any]) -> dict[str, Any]:
    """diffusers' Euler knows velocities only."""
    euler = options.get("scheduler_type") == "euler"
    read = _unipc({**options, "use_flow_sigmas": True} | ({"prediction_type": "flow_prediction"} if euler else {}))
    return {name: value for name, value in read.items() if name != "use_flow_sigmas"}


PEERS = {
    "DEISMultistepScheduler": Peer(
        schedulers.DEISMultistep,
        ours=("final_sigmas_type",),
        faithful={"final_sigmas_type": "sigma_min"},
        ignored={"algorithm_type": _ONE_FORM, "solver_type": _ONE_FORM},
        convert=on_path,
    ),
    "UniPCMultistepScheduler": Peer(
        schedulers.UniPCMultistep, ours=("shift_given",), faithful={"shift_given": True}, convert=_unipc
    ),
    "SASolverScheduler": Peer(
        schedulers.SASolver,
        ours=("final_sigmas_type", "use_dynamic_shifting", "time_shift_type", "tau", "tau_start", "tau_end"),
        faithful={"final_sigmas_type": "sigma_min"},
        ignored={"tau_func": "a function is no part of a configuration; tau, tau_start and tau_end say it"},
        convert=on_path,
    ),
    "HeliosScheduler": Peer(
        schedulers.Helios,
        ours=("stage", "final_sigma"),
        faithful={"final_sigma": 1e-8},
        ignored={"use_flow_sigmas": "the path of each stage is straight"},
        convert=_helios,
    ),
    "HeliosDMDScheduler": Peer(
        schedulers.HeliosDMD,
        ours=("stage",),
        ignored=dict.fromkeys(("prediction_type", "use_flow_sigmas"), "diffusers does the same whatever it says"),
    ),
}
