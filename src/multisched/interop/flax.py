"""The schedulers that diffusers had for Flax: pure functions of a state, for loops under jax.jit, lax.scan and pmap.

scheduler = FlaxScheduler(ms.DDIM())
state = scheduler.set_timesteps(scheduler.create_state(), 50, latents.shape)
latents = latents * state.init_noise_sigma

def body(i, carry):
    latents, state = carry
    t = state.timesteps[i]
    output = model(scheduler.scale_model_input(state, latents, t), t)
    return scheduler.step(state, output, t, latents).to_tuple()

latents, state = jax.lax.fori_loop(0, len(state.timesteps), body, (latents, state))
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from multisched import backends
from multisched.errors import ScheduleError
from multisched.noise import draw, source
from multisched.schedulers import Recipe
from multisched.table.plan import Plan
from multisched.table.state import State
from multisched.values import shown


class FlaxState(NamedTuple):
    """A pytree of JAX: the plan is static, the rest are arrays.

    Attributes:
        plan: of the run; None before `set_timesteps`.
        timesteps: (calls,) float32.
        init_noise_sigma: float32, what unit normals are multiplied with to begin.
        index: int32, the row that the next step takes.
        memory: the solver's registers, each shaped as the sample.
        num_inference_steps: number of steps; 0 before `set_timesteps`.

    Example:
        >>> from multisched.interop.flax import FlaxScheduler
        >>> state = FlaxScheduler(ms.DDIM()).create_state()
        >>> state.num_inference_steps, state.plan
        (0, None)
    """

    plan: Plan | None = None
    timesteps: Any = None
    init_noise_sigma: Any = 1.0
    index: Any = 0
    memory: tuple[Any, ...] = ()
    num_inference_steps: int = 0


class FlaxStep(NamedTuple):
    """What a step returns.

    Attributes:
        prev_sample: the sample after it.
        state: the state after it.

    Example:
        >>> import jax.numpy as jnp
        >>> from multisched.interop.flax import FlaxScheduler
        >>> scheduler, x = FlaxScheduler(ms.FlowMatchEuler()), jnp.ones((1, 2))
        >>> state = scheduler.set_timesteps(scheduler.create_state(), 4, x.shape)
        >>> step = scheduler.step(state, 0.5 * x, state.timesteps[0], x)
        >>> step.prev_sample.shape, step.to_tuple()[1] is step.state
        ((1, 2), True)
    """

    prev_sample: Any
    state: FlaxState

    def to_tuple(self) -> tuple[Any, FlaxState]:
        """Both, as diffusers' outputs and maxdiffusion's loops have it."""
        return tuple(self)


@dataclass(frozen=True)
class FlaxScheduler:
    """A recipe with the methods of diffusers' Flax schedulers.

    Args:
        recipe: any recipe, such as `ms.from_diffusers("org/model")`.

    Raises:
        ScheduleError: if it is no recipe.

    Example:
        >>> import jax.numpy as jnp
        >>> from multisched.interop.flax import FlaxScheduler
        >>> scheduler, x = FlaxScheduler(ms.FlowMatchEuler(shift=3.0)), jnp.ones((1, 2))
        >>> state = scheduler.set_timesteps(scheduler.create_state(), 4, x.shape)
        >>> for t in state.timesteps:
        ...     x, state = scheduler.step(state, 0.5 * x, t, x)
        >>> x.shape, int(state.index)
        ((1, 2), 4)
    """

    recipe: Recipe

    def __post_init__(self) -> None:
        if not isinstance(self.recipe, Recipe):
            raise ScheduleError(f"recipe must be a recipe, such as ms.DDIM(); given {shown(self.recipe)}.")

    def create_state(self) -> FlaxState:
        """The state before a schedule is set. Its init_noise_sigma is that of 50 steps, for loops that take it of this
        state; on paths other than x0 + sigma * noise it is 1 for any."""
        return FlaxState(init_noise_sigma=float(self.recipe.plan(50).grid.init_noise_sigma))

    def set_timesteps(
        self, state: FlaxState, num_inference_steps: int, shape: tuple[int, ...] = (), **arguments: Any
    ) -> FlaxState:
        """A state at the first row of a run.

        Args:
            state: any; nothing of it is kept.
            num_inference_steps: number of steps.
            shape: of the sample, which solvers with memory need.
            arguments: sigmas=, mu=, spacing=, strength= and the like, of `Recipe.plan`.

        Raises:
            ScheduleError: if they make no plan, or the solver has memory and no shape is given.
        """
        plan, jax = self.recipe.plan(num_inference_steps, **arguments), backends.get("jax")
        count = len(plan.tableau.registers) - 1
        if count and not shape:
            raise ScheduleError(f"{plan.name} keeps {count} arrays like the sample: give shape=, that of the sample.")
        zeros = tuple(jax.xp.zeros(shape, dtype="float32") for _ in range(count))
        told, scale = (jax.asarray(one, "float32") for one in (plan.timesteps, plan.grid.init_noise_sigma))
        return FlaxState(plan, told, scale, jax.asarray(0, "int32"), zeros, len(plan.grid))

    def scale_model_input(self, state: FlaxState, sample: Any, timestep: Any = None) -> Any:
        """What the model is given of a sample, or of several one behind the other, as loops with guidance have them.
        The row is the state's; the timestep is not looked at."""
        plan, at = _set(state, sample)
        return plan.model_input(at)

    def step(
        self,
        state: FlaxState,
        model_output: Any,
        timestep: Any,
        sample: Any,
        key: Any = None,
        noise: Any = None,
        return_dict: bool = True,
    ) -> FlaxStep | tuple[Any, FlaxState]:
        """The sample and the state after the next row.

        Args:
            state: where the run is.
            model_output: (samples, ...).
            timestep: not looked at: the row is the state's.
            sample: shaped as the output; in its dtype the sample is returned.
            key: of JAX, or a seed, for rows that add noise; one for the whole run, into which the row is folded.
            noise: unit normals instead.
            return_dict: whether the pair has the names `prev_sample` and `state`.

        Raises:
            ScheduleError: if no schedule is set, or a plan that adds noise is given neither.
        """
        plan, at = _set(state, sample)
        if noise is None and plan.noise_draws:
            if key is None:
                raise ScheduleError(f"{plan.name} adds noise: give key=, a key of JAX, or noise=.")
            noise = draw(source(key), state.index, range(plan.noise_draws), sample)
        back = backends.of(sample)
        if at.memory:  # which is float32, also where the sample is narrower
            at = at._replace(sample=back.astype(sample, at.memory[0].dtype))
        after = plan.step(at, model_output, noise if plan.noise_draws else None)
        made = FlaxStep(back.astype(after.sample, sample.dtype), state._replace(index=after.index, memory=after.memory))
        return made if return_dict else made.to_tuple()

    def add_noise(self, state: FlaxState, original_samples: Any, noise: Any, timesteps: Any) -> Any:
        """The forward process, see `Recipe.add_noise`."""
        return self.recipe.add_noise(original_samples, noise, timesteps)


def _set(state: FlaxState, sample: Any) -> tuple[Plan, State[Any]]:
    if state.plan is None:
        raise ScheduleError("call set_timesteps(state, n, shape) first; no schedule is set.")
    return state.plan, State(sample, state.memory, state.index)
