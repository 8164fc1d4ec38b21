"""Diffusion and flow-matching schedulers, each written once, for every array library.

A scheduler is a table: `recipe.plan(n)` computes it in float64 on the host, `plan.step(state, output)` multiplies it
with your arrays, on their own library and device.

    import multisched as ms

    plan = ms.FlowMatchEuler(shift=3.0).plan(28)
    image = ms.sample(model, plan, ms.noise.normal((4, 16, 64, 64), rng=0, backend="torch"))
"""

from multisched import backends, noise, schedulers, schedules, solvers
from multisched.backends import B, Backend
from multisched.density import log_prob
from multisched.diffusion import DiffusionScheduler
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.interop.diffusers import from_diffusers, to_diffusers
from multisched.plan import Plan
from multisched.predictions import Prediction
from multisched.sampling import sample
from multisched.schedulers import *  # noqa: F403  (the recipes, listed there)
from multisched.schedules.betas import betas_for_alpha_bar, rescale_zero_terminal_snr
from multisched.schedules.retrieve import retrieve_timesteps
from multisched.stack import Stack, stack_plans
from multisched.step import State
from multisched.tableau import Tableau
from multisched.values import hint

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Names that are not there: the message says which is meant.

    Raises:
        AttributeError: in every case.
    """
    meant = hint(name if name.startswith("_") else name.removesuffix("Scheduler").replace("Discrete", ""), __all__)
    raise AttributeError(f"module 'multisched' has no attribute {name!r}{meant}")


__all__ = [
    "B",
    "Backend",
    "DiffusionScheduler",
    "Grid",
    "Plan",
    "Prediction",
    "ScheduleError",
    "Stack",
    "State",
    "Tableau",
    "backends",
    "betas_for_alpha_bar",
    "from_diffusers",
    "log_prob",
    "noise",
    "rescale_zero_terminal_snr",
    "retrieve_timesteps",
    "sample",
    "schedules",
    "solvers",
    "stack_plans",
    "to_diffusers",
]
__all__ += schedulers.__all__
