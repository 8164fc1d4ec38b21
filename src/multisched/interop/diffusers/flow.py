"""The schedulers of diffusers on the straight path."""

from dataclasses import fields

from multisched import schedulers
from multisched.interop.diffusers import defects, placing_flow, told, told_flow
from multisched.interop.diffusers.base import Peer
from multisched.interop.diffusers.mixed import BEYOND
from multisched.schedulers.base import SETTINGS

_ENDS = {"sigma_min": "spaced_min", "sigma_max": "spaced_max"}  # that Karras's and other levels are spaced between
_HEUN_KEYS = ("num_train_timesteps", "shift")
_MATCH = told.quirk(told_flow.match)

PEERS = {
    "FlowMatchEulerDiscreteScheduler": Peer(
        schedulers.FlowMatchEuler,
        ours=("sigma_max", "omega", "omega_mean"),
        renamed=_ENDS,
        quirks=(placing_flow.DOUBLE_SHIFT, defects.SWAPPED, BEYOND, _MATCH),
    ),
    "FlowMatchHeunDiscreteScheduler": Peer(
        schedulers.FlowMatchHeun,
        ours=tuple(one.name for one in fields(schedulers.FlowMatchHeun) if one.name not in (*_HEUN_KEYS, *SETTINGS)),
        quirks=(placing_flow.DOUBLE_SHIFT, defects.LATE_CHURN, _MATCH),
    ),
    "FlowMatchLCMScheduler": Peer(
        schedulers.FlowMatchLCM,
        ours=("sigma_max",),
        renamed=_ENDS,
        quirks=(placing_flow.DOUBLE_SHIFT, defects.SWAPPED, BEYOND, _MATCH),
        ignored={"upscale_mode": "says how scale_factors resize, which are refused"},
    ),
    "FlowMapEulerDiscreteScheduler": Peer(
        schedulers.FlowMapEuler, quirks=(placing_flow.SHIFT_GIVEN, told.quirk(told_flow.flow_map))
    ),
    # Keys beyond the class's own are those that a configuration of FlowMatchEuler leaves behind, and they count.
    "LTXEulerAncestralRFScheduler": Peer(
        schedulers.LTXEulerAncestralRF,
        ours=("sigma_max",),
        renamed=_ENDS,
        quirks=(placing_flow.SHIFTED_ENDS, defects.RESCALED, BEYOND, told.quirk(told_flow.ltx)),
    ),
    "MiniMaxH3Scheduler": Peer(schedulers.MiniMaxH3, quirks=(placing_flow.COUNT_END, told.quirk(told_flow.minimax))),
    "PiflowScheduler": Peer(schedulers.Piflow, quirks=(told.quirk(told_flow.piflow),)),
    "RFD4ProteinaScheduler": Peer(schedulers.RFD4Proteina, quirks=(defects.NOISY_END, told.quirk(told_flow.proteina))),
}
