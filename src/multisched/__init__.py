"""Diffusion and flow-matching schedulers, each written once, for every array library.

A scheduler is a table: `recipe.plan(n)` computes it in float64 on the host, `plan.step(state, output)` multiplies it
with your arrays, on their own library and device.

    import multisched as ms

    plan = ms.FlowMatchEuler(shift=3.0).plan(28)
    image = ms.sample(model, plan, ms.noise.normal((4, 16, 64, 64), rng=0, backend="torch"))
"""

from typing import TYPE_CHECKING

from multisched import schedulers as _schedulers
from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched import analysis, backends, noise, paths, schedulers, solvers, spacings, transforms
    from multisched.backends import B, Backend
    from multisched.density import log_prob
    from multisched.diffusion import DiffusionScheduler
    from multisched.errors import ScheduleError
    from multisched.grid import Grid
    from multisched.interop.diffusers import from_diffusers, to_diffusers
    from multisched.interop.named import sampler
    from multisched.paths.betas import betas_for_alpha_bar, rescale_zero_terminal_snr
    from multisched.predictions import Prediction
    from multisched.sampling import sample
    from multisched.schedulers import *  # noqa: F403  (the recipes, listed there)
    from multisched.spacings.retrieve import retrieve_timesteps
    from multisched.table.plan import Plan
    from multisched.table.stack import Stack, stack_plans
    from multisched.table.state import State
    from multisched.table.tableau import Tableau

__version__ = "0.1.0"

_PLACES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("analysis", "backends", "noise", "paths", "schedulers", "solvers", "spacings", "transforms"), ()),
    **{f"schedulers.{place}": names for place, names in _schedulers.PLACES.items()},
    "backends.base": ("B", "Backend"),
    "density": ("log_prob",),
    "diffusion": ("DiffusionScheduler",),
    "errors": ("ScheduleError",),
    "grid": ("Grid",),
    "interop.diffusers": ("from_diffusers", "to_diffusers"),
    "interop.named": ("sampler",),
    "predictions": ("Prediction",),
    "sampling": ("sample",),
    "paths.betas": ("betas_for_alpha_bar", "rescale_zero_terminal_snr"),
    "spacings.retrieve": ("retrieve_timesteps",),
    "table.plan": ("Plan",),
    "table.stack": ("Stack", "stack_plans"),
    "table.state": ("State",),
    "table.tableau": ("Tableau",),
}
__getattr__, __dir__ = attached(__name__, _PLACES)

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
    "analysis",
    "backends",
    "betas_for_alpha_bar",
    "from_diffusers",
    "log_prob",
    "noise",
    "paths",
    "rescale_zero_terminal_snr",
    "retrieve_timesteps",
    "sample",
    "sampler",
    "schedulers",
    "solvers",
    "spacings",
    "stack_plans",
    "to_diffusers",
    "transforms",
]
__all__ += [name for name in _schedulers.__all__ if name != "named"]
