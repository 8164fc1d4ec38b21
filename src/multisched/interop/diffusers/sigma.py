"""The schedulers of diffusers in the space of x0 + sigma * noise."""

from multisched import schedulers
from multisched.interop.diffusers.base import Peer

PEERS = {"EulerDiscreteScheduler": Peer(schedulers.Euler)}
