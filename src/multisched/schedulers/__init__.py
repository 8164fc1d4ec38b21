"""The named recipes: what a user picks."""

from multisched.schedulers.base import Parts, Recipe, Scheduler
from multisched.schedulers.ddim import DDIM
from multisched.schedulers.flow_match import FlowMatchEuler, FlowMatchHeun, FlowMatchPingPong
from multisched.schedulers.sigma import Euler

__all__ = ["DDIM", "Euler", "FlowMatchEuler", "FlowMatchHeun", "FlowMatchPingPong", "Parts", "Recipe", "Scheduler"]
