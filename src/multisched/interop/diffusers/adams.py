"""The linear multistep schedulers of diffusers."""

from multisched import schedulers
from multisched.interop.diffusers import told
from multisched.interop.diffusers.base import Peer
from multisched.interop.diffusers.sigma import own_karras

_NEVER_READ = "changes nothing once a number of steps is set"

PEERS = {
    "LMSDiscreteScheduler": Peer(schedulers.LMS, ours=("order",), convert=own_karras),
    "PNDMScheduler": Peer(
        schedulers.PNDM,
        ours=("previous_timestep", "average_velocity"),
        faithful={"previous_timestep": "stride", "average_velocity": True},
    ),
    "IPNDMScheduler": Peer(
        schedulers.IPNDM,
        ours=("blind_start",),
        faithful={"blind_start": True},
        ignored={"num_train_timesteps": _NEVER_READ},
        quirks=(told.quirk(told.ipndm),),
    ),
}
