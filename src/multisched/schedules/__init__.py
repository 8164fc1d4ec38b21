"""Training-time noise schedules and inference grids, one idea a file."""

from multisched.schedules.base import Schedule
from multisched.schedules.flow import Flow
from multisched.schedules.ve import VE
from multisched.schedules.vp import DiscreteVP

__all__ = ["VE", "DiscreteVP", "Flow", "Schedule"]
