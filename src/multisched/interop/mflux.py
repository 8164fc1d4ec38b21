"""Schedulers for mflux, by their dotted path:

    mflux-generate --scheduler multisched.interop.mflux.DPMpp2M ...

`Auto` has a spacing of its own, for the number of steps; the others stand on mflux's sigmas, its shift included. Only
deterministic solvers of one call a step are here, since mflux asks the model once a step and gives no source of noise.
"""

import functools
from typing import Any

import numpy as np

from multisched import backends
from multisched.interop.samplers import sampler
from multisched.paths.straight import Straight
from multisched.schedulers import Recipe
from multisched.table.plan import Plan
from multisched.table.state import State
from multisched.values import hint

NAMES = {
    "Auto": "auto",
    "DEIS": "deis",
    "DPMpp2M": "dpmpp_2m",
    "Euler": "euler",
    "GradientEstimation": "gradient_estimation",
    "IPNDM": "ipndm",
    "LMS": "lms",
    "RESMultistep": "res_multistep",
    "UniPC": "uni_pc_bh2",
}
"""The classes, and the samplers that they are."""


class Steps:
    """What a scheduler of mflux does, over a plan.

    Args:
        config: mflux's, of the run.

    Example:
        >>> from multisched.interop import mflux
        >>> mflux.NAMES["DPMpp2M"]
        'dpmpp_2m'
    """

    _sampler: str
    _linear: Any

    def __init__(self, config: Any) -> None:
        self.config, n = config, int(config.num_inference_steps)
        given: dict[str, Any] = {"calls": n} if self._sampler == "auto" else {}
        self._recipe: Recipe = sampler(self._sampler, like=Straight(), **given)
        own = None if given else np.asarray(self._linear(config).sigmas, dtype=np.float64)
        self._asked: dict[str, Any] = {"n": n} if own is None else {"sigmas": own}
        self._plan = self._recipe.plan(**self._asked)
        self._state: tuple[Plan, State[Any], int] | None = None

    @property
    def sigmas(self) -> Any:
        """(steps + 1,) float32 of MLX."""
        return backends.get("mlx").asarray(self._plan.sigmas, "float32")

    @property
    def timesteps(self) -> Any:
        """(steps,) the numbers of the steps, which are what mflux calls timesteps."""
        return backends.get("mlx").asarray(np.arange(len(self._plan)), "float32")

    def scale_model_input(self, latents: Any, t: int) -> Any:
        """The latents themselves."""
        return latents

    def step(self, noise: Any, timestep: int, latents: Any, **_: Any) -> Any:
        """The latents after a step.

        Args:
            noise: the model's output, a velocity.
            timestep: number of the step. A run begins at any, as image to image does, and goes on from there.
            latents: shaped as the output.
        """
        if self._state is None or timestep != self._state[2]:
            tail = self._plan if timestep == 0 else self._recipe.plan(**self._asked, start=timestep)
            zeros = tuple(0 * latents for _ in tail.tableau.registers[1:])
            self._state = tail, State(latents, zeros, 0), timestep
        plan, state = self._state[:2]
        after = plan.step(state._replace(sample=latents), backends.of(latents).astype(noise, latents.dtype))
        self._state = plan, after, timestep + 1
        return after.sample


@functools.cache
def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint(name, [*NAMES])}")
    from mflux.models.common.schedulers import LinearScheduler
    from mflux.models.common.schedulers.base_scheduler import BaseScheduler

    own = {"__module__": __name__, "_sampler": NAMES[name], "_linear": LinearScheduler}
    return type(name, (Steps, BaseScheduler), own | {"__doc__": f"The sampler {NAMES[name]!r} in mflux."})
