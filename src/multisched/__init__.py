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
    from multisched import (
        analysis as analysis,
        backends as backends,
        editing as editing,
        guidance as guidance,
        noise as noise,
        paths as paths,
        pictures as pictures,
        rl as rl,
        schedulers as schedulers,
        solvers as solvers,
        spacings as spacings,
        training as training,
        transforms as transforms,
    )
    from multisched.adaptive import Adapted as Adapted, sample_adaptive as sample_adaptive
    from multisched.backends import B as B, Backend as Backend
    from multisched.density import log_prob as log_prob
    from multisched.diffusion import DiffusionScheduler as DiffusionScheduler
    from multisched.errors import ScheduleError as ScheduleError
    from multisched.grid import Grid as Grid
    from multisched.interop.configs import from_config as from_config
    from multisched.interop.diffusers import from_diffusers as from_diffusers, to_diffusers as to_diffusers
    from multisched.interop.samplers import sampler as sampler
    from multisched.likelihood import Likelihood as Likelihood, log_likelihood as log_likelihood
    from multisched.paths.betas import (
        betas_for_alpha_bar as betas_for_alpha_bar,
        rescale_zero_terminal_snr as rescale_zero_terminal_snr,
    )
    from multisched.predictions import Prediction as Prediction
    from multisched.sampling import sample as sample
    from multisched.schedulers import *  # noqa: F403  (the recipes, listed there)
    from multisched.spacings.retrieve import retrieve_timesteps as retrieve_timesteps
    from multisched.table.plan import Plan as Plan
    from multisched.table.stack import Stack as Stack, stack_plans as stack_plans
    from multisched.table.state import State as State
    from multisched.table.tableau import Tableau as Tableau

__version__ = "0.1.0"

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attached(
        __name__,
        {
            **dict.fromkeys(
                (
                    "analysis",
                    "backends",
                    "editing",
                    "guidance",
                    "noise",
                    "paths",
                    "pictures",
                    "rl",
                    "schedulers",
                    "solvers",
                    "spacings",
                    "training",
                    "transforms",
                ),
                "",
            ),
            **{f"schedulers.{place}": names for place, names in _schedulers.PLACES.items()},
            "adaptive": "Adapted sample_adaptive",
            "backends.base": "B Backend",
            "density": "log_prob",
            "diffusion": "DiffusionScheduler",
            "errors": "ScheduleError",
            "grid": "Grid",
            "interop.configs": "from_config",
            "interop.diffusers": "from_diffusers to_diffusers",
            "interop.samplers": "sampler",
            "likelihood": "Likelihood log_likelihood",
            "predictions": "Prediction",
            "sampling": "sample",
            "paths.betas": "betas_for_alpha_bar rescale_zero_terminal_snr",
            "spacings.retrieve": "retrieve_timesteps",
            "table.plan": "Plan",
            "table.stack": "Stack stack_plans",
            "table.state": "State",
            "table.tableau": "Tableau",
        },
    )
