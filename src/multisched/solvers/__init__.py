"""The solvers: the papers' updates, one family a file."""

from multisched.solvers.base import Estimate, Next, Rows, Solver
from multisched.solvers.ddim import DDIM
from multisched.solvers.euler import Euler, PingPong
from multisched.solvers.heun import Heun

__all__ = ["DDIM", "Estimate", "Euler", "Heun", "Next", "PingPong", "Rows", "Solver"]
