"""The schedulers of diffusers on the straight path."""

from dataclasses import fields

from multisched import schedulers
from multisched.interop.diffusers import told, told_flow
from multisched.interop.diffusers.base import Peer
from multisched.interop.diffusers.clock import Float32
from multisched.interop.diffusers.quirks import BEYOND
from multisched.schedulers.base import SETTINGS

_FAITHFUL = {"double_shift": True, "swapped": True}
_ENDS = {"sigma_min": "spaced_min", "sigma_max": "spaced_max"}  # that Karras's and other levels are spaced between
_HEUN_KEYS = ("num_train_timesteps", "shift")

PEERS = {
    "FlowMatchEulerDiscreteScheduler": Peer(
        schedulers.FlowMatchEuler,
        ours=("sigma_max", "double_shift", "omega", "omega_mean", "swapped"),
        faithful=_FAITHFUL,
        renamed=_ENDS,
        quirks=(BEYOND,),
    ),
    "FlowMatchHeunDiscreteScheduler": Peer(
        schedulers.FlowMatchHeun,
        ours=tuple(one.name for one in fields(schedulers.FlowMatchHeun) if one.name not in (*_HEUN_KEYS, *SETTINGS)),
        faithful={"double_shift": True, "late_churn": True},
    ),
    "FlowMatchLCMScheduler": Peer(
        schedulers.FlowMatchLCM,
        ours=("sigma_max", "double_shift", "swapped"),
        faithful=_FAITHFUL,
        renamed=_ENDS,
        quirks=(BEYOND,),
        ignored={"upscale_mode": "says how scale_factors resize, which are refused"},
    ),
    "FlowMapEulerDiscreteScheduler": Peer(
        schedulers.FlowMapEuler,
        ours=("shift_given",),
        faithful={"shift_given": True},
        quirks=(told.quirk(told_flow.flow_map),),
    ),
    # Keys beyond the class's own are those that a configuration of FlowMatchEuler leaves behind, and they count.
    "LTXEulerAncestralRFScheduler": Peer(
        schedulers.LTXEulerAncestralRF,
        ours=("sigma_max", "double_shift", "rescaled"),
        faithful={"double_shift": True, "rescaled": False},
        clock=Float32(shifted=True),
        renamed=_ENDS,
        quirks=(BEYOND,),
    ),
    "MiniMaxH3Scheduler": Peer(
        schedulers.MiniMaxH3, ours=("count_end",), faithful={"count_end": True}, quirks=(told.quirk(told_flow.minimax),)
    ),
    "PiflowScheduler": Peer(schedulers.Piflow, quirks=(told.quirk(told_flow.piflow),)),
    "RFD4ProteinaScheduler": Peer(
        schedulers.RFD4Proteina,
        ours=("noisy_end",),
        faithful={"noisy_end": True},
        quirks=(told.quirk(told_flow.proteina),),
    ),
}
