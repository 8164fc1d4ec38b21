"""The linear multistep schedulers of diffusers."""

from multisched import schedulers
from multisched.interop.diffusers import defects, placing, told
from multisched.interop.diffusers.base import Peer
from multisched.interop.diffusers.sigma import own_karras

_NEVER_READ = "changes nothing once a number of steps is set"

PEERS = {
    "LMSDiscreteScheduler": Peer(
        schedulers.LMS, ours=("order",), convert=own_karras, quirks=(defects.ABSOLUTE_START, told.quirk(told.discrete))
    ),
    "PNDMScheduler": Peer(schedulers.PNDM, quirks=(defects.AVERAGE_VELOCITY, placing.STRIDE)),
    "IPNDMScheduler": Peer(
        schedulers.IPNDM,
        ignored={"num_train_timesteps": _NEVER_READ},
        quirks=(defects.BLIND_START, told.quirk(told.ipndm)),
    ),
}
