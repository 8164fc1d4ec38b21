"""The schedulers of diffusers in the space of x0 + sigma * noise."""

from typing import Any

from multisched import schedulers
from multisched.interop.diffusers import told
from multisched.interop.diffusers.base import Peer
from multisched.interop.diffusers.clock import Float32

_CHURN = ("s_churn", "s_tmin", "s_tmax", "s_noise", "late_churn")


def own_karras(options: dict[str, Any]) -> dict[str, Any]:
    """diffusers has two forms of Karras's spacing; this one is always between the ends of the run."""
    return {**options, "sigma_min": None, "sigma_max": None} if options.get("use_karras_sigmas") else options


def _euler(options: dict[str, Any]) -> dict[str, Any]:
    """diffusers has continuous timesteps for v_prediction only, and two names for one prediction type."""
    kind = options.get("prediction_type", "epsilon")
    changes = {"prediction_type": "sample"} if kind == "original_sample" else {}
    if kind != "v_prediction" and options.get("timestep_type") == "continuous":
        changes["timestep_type"] = "discrete"
    return {**options, **changes}


PEERS = {
    "EulerDiscreteScheduler": Peer(
        schedulers.Euler,
        ours=(*_CHURN, "sigmas_end", "log_linear_spare"),
        faithful={"sigmas_end": True, "log_linear_spare": True, "late_churn": True},
        convert=_euler,
        quirks=(told.quirk(told.euler, told.logarithmic),),
    ),
    "EulerAncestralDiscreteScheduler": Peer(schedulers.EulerAncestral),
    "HeunDiscreteScheduler": Peer(schedulers.Heun),
    "KDPM2DiscreteScheduler": Peer(schedulers.KDPM2, clock=Float32("spaced"), quirks=(told.quirk(told.kdpm2),)),
    "KDPM2AncestralDiscreteScheduler": Peer(
        schedulers.KDPM2Ancestral, clock=Float32("spaced"), quirks=(told.quirk(told.kdpm2),)
    ),
    "DPMSolverSDEScheduler": Peer(
        schedulers.DPMSolverSDE,
        ours=("s_noise",),
        ignored={"noise_sampler_seed": "noise is given to a step, or drawn from the seed of the run"},
        clock=Float32("all"),
        quirks=(told.quirk(told.dpm_sde),),
        convert=own_karras,
    ),
    "EDMEulerScheduler": Peer(
        schedulers.EDMEuler,
        ours=(*_CHURN, "diffusers_grid"),
        faithful={"diffusers_grid": True, "late_churn": True},
        ignored={"num_train_timesteps": "no step depends on it"},
        quirks=(told.quirk(told.edm_euler),),
    ),
}
