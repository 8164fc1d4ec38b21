"""Training-time noise schedules and inference grids, one idea a file."""

from multisched.schedules.base import Schedule
from multisched.schedules.flow import Flow
from multisched.schedules.vp import DiscreteVP

__all__ = ["DiscreteVP", "Flow", "Schedule"]
