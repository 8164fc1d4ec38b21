"""Training-time noise schedules and inference grids, one idea a file."""

from multisched.schedules.base import Schedule
from multisched.schedules.flow import Flow
from multisched.schedules.published import align_your_steps
from multisched.schedules.staged import StagedFlow
from multisched.schedules.trig import Cosine
from multisched.schedules.ve import VE
from multisched.schedules.vp import DiscreteVP
from multisched.schedules.walks import Ascending, Inverse, Jumping

__all__ = [
    "VE",
    "Ascending",
    "Cosine",
    "DiscreteVP",
    "Flow",
    "Inverse",
    "Jumping",
    "Schedule",
    "StagedFlow",
    "align_your_steps",
]
