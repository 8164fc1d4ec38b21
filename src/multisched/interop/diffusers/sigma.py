"""The schedulers of diffusers in the space of x0 + sigma * noise."""

from typing import Any

from multisched import schedulers
from multisched.interop.diffusers import defects, placing, told
from multisched.interop.diffusers.base import Peer

_CHURN = ("s_churn", "s_tmin", "s_tmax", "s_noise")


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


_DISCRETE = (told.quirk(told.discrete),)

PEERS = {
    "EulerDiscreteScheduler": Peer(
        schedulers.Euler,
        ours=_CHURN,
        convert=_euler,
        quirks=(defects.LATE_CHURN, placing.LOG_LINEAR, placing.SIGMAS_END, told.quirk(told.euler)),
    ),
    "EulerAncestralDiscreteScheduler": Peer(schedulers.EulerAncestral, quirks=_DISCRETE),
    "HeunDiscreteScheduler": Peer(schedulers.Heun, quirks=_DISCRETE),
    "KDPM2DiscreteScheduler": Peer(schedulers.KDPM2, quirks=(told.quirk(told.kdpm2),)),
    "KDPM2AncestralDiscreteScheduler": Peer(schedulers.KDPM2Ancestral, quirks=(told.quirk(told.kdpm2),)),
    "DPMSolverSDEScheduler": Peer(
        schedulers.DPMSolverSDE,
        ours=("s_noise",),
        ignored={"noise_sampler_seed": "noise is given to a step, or drawn from the seed of the run"},
        convert=own_karras,
        quirks=(told.quirk(told.dpm_sde),),
    ),
    "EDMEulerScheduler": Peer(
        schedulers.EDMEuler,
        ours=_CHURN,
        ignored={"num_train_timesteps": "no step depends on it"},
        quirks=(defects.LATE_CHURN, placing.EDM_GRID, told.quirk(told.edm_euler)),
    ),
}
