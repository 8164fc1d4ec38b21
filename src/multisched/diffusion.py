"""DiffusionScheduler: the stateful face of any recipe, written once over `Plan`."""

import math
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from multisched import backends, noise as noise_sources
from multisched.backends import B, Backend
from multisched.errors import ScheduleError
from multisched.table.plan import Plan
from multisched.table.state import State
from multisched.values import close, number_of, shown
from multisched.variants import Variants, plan_of, with_options

if TYPE_CHECKING:
    from multisched.schedulers.base import Recipe

_NUMBERS = (int, float, np.number, np.ndarray)
_TRACED = (
    "the scheduler object counts its rows in Python, where a traced array, or a timestep without a value, cannot tell "
    "it which is due: inside jit, scan, vmap or compile, use plan.step of recipe.plan(n), with an integer array as "
    "state.index."
)


class DiffusionScheduler(Generic[B]):
    """Sets a schedule, then steps through it, keeping the position and the solver's memory between calls.

    Made by `recipe.on(backend)`. For many runs at once take `recipe.plan()`, which keeps nothing.

    Args:
        recipe: the scheduler's options.
        backend: where `sigmas()` and `timesteps()` put their arrays.
        device: of that backend; its default.
        rng: seed, sequence of seeds or source of the noise that a stochastic step draws when none is given.

    Example:
        >>> scheduler = ms.FlowMatchEuler(shift=3.0).on("numpy")
        >>> scheduler.set_timesteps(3)
        >>> x = np.ones((1, 2), np.float32)
        >>> for t in scheduler.timesteps():
        ...     x = scheduler.step(0.5 * x, t, x)
        >>> x.astype(float).round(3).tolist()
        [[0.547, 0.547]]
    """

    def __init__(self, recipe: "Recipe", backend: Backend[B], device: Any = None, rng: Any = 0) -> None:
        self.recipe = recipe
        self.backend = backend
        self.device = device
        self._source = noise_sources.source(rng)
        self._plan: Plan | None = None
        self._told: tuple[float, ...] = ()
        self._starts: tuple[int, ...] = ()
        self._variants: Variants | None = None
        self._index = 0
        self._begun = False
        self._memory: tuple[B, ...] | None = None
        self._first = 0
        self._looked_at: Any = None
        self._inputs: dict[str, B] = {}
        if device is not None:
            backend.asarray(0.0, "float32", device)  # refuses a device that is not there

    @property
    def plan(self) -> Plan:
        """The plan in force.

        Raises:
            ScheduleError: `set_timesteps` has not been called.
        """
        if self._plan is None:
            raise ScheduleError("call set_timesteps(n) first; no schedule is set.")
        return self._plan

    @property
    def num_train_timesteps(self) -> int:
        """Timesteps of the training schedule."""
        return int(self.recipe.parts().path.num_train_timesteps)

    @property
    def step_index(self) -> int:
        """The row of the plan that the next `step` takes."""
        return self._index

    def set_timesteps(self, num_inference_steps: int | None = None, **arguments: Any) -> None:
        """Set the schedule and begin at its first row.

        Args:
            num_inference_steps: number of steps.
            arguments: timesteps=, sigmas=, mu=, start=, stop=, strength= of `Recipe.plan`.

        Raises:
            ScheduleError: if they make no plan; the schedule before stays in force.
        """
        self._plan = plan_of(self.recipe, num_inference_steps, arguments)
        self._variants = Variants(self.recipe, self._plan, num_inference_steps, arguments)
        # As plain numbers, which torch.compile can look at.
        self._told = tuple(self._plan.timesteps.tolist())
        self._starts = tuple(row for row, stage in enumerate(self._plan.stages) if stage == 0)
        self._plan.warm()
        self.reset()

    def set_inputs(self, **inputs: B) -> None:
        """Set the arrays that a recipe such as `RePaint` needs beside the sample (`plan.inputs`)."""
        self._inputs = inputs

    def reset(self) -> None:
        """Go back to the first row of the schedule and forget the solver's memory."""
        self._index = 0
        self._begun = False
        self._memory = None
        self._looked_at = None

    def sigmas(self, device: Any = None) -> B:
        """(steps + 1,) noise levels, float32."""
        return self._put(self.plan.sigmas, device)

    def timesteps(self, device: Any = None) -> B:
        """(rows,) timesteps, one per model call, float32."""
        return self._put(self.plan.timesteps, device)

    @property
    def init_noise_sigma(self) -> float:
        """What unit normals are scaled by to begin a run."""
        return float(self.plan.grid.init_noise_sigma)

    def scale_model_input(self, sample: B, timestep: Any) -> B:
        """What the model is given of `sample` at a timestep; the sample itself, save for schedulers that scale it.

        Arguments as for `step`, whose position does not move.

        Raises:
            ScheduleError: if the timestep is not in the schedule, or the schedule has ended.
        """
        self._check_backend(sample)
        plan, row = self.plan, self._find(timestep)
        if plan.layout.scale is None and row < len(self._told):
            return sample
        self._refuse_replayed(sample)
        return plan.model_input(State(sample, (sample,) * plan._memory_count, row))

    def _put(self, values: np.ndarray, device: Any) -> B:
        return self.backend.asarray(values, "float32", self.device if device is None else device)

    def step(
        self,
        model_output: B,
        timestep: Any,
        sample: B,
        omega: float | None = None,
        *,
        noise: B | tuple[B, ...] | None = None,
        variance_noise: B | None = None,
        **options: Any,
    ) -> B:
        """Advance one row.

        Args:
            model_output: the model's output, shaped as the sample.
            timestep: what the model was given. A Python or NumPy number must be in the schedule and sets the position.
                So does an array of the backend in the first step after `set_timesteps` or `reset`; later arrays are
                not read, since that would stall a device, and the next row is taken.
            sample: the sample that the model saw.
            omega: in place of the recipe's option for this row. A recipe that has none warns and takes the step
                without.
            noise: unit normals for a stochastic row (a tuple where it draws several); drawn from `rng` if not given.
            variance_noise: the same under the name that DDIM has for it.
            options: eta, use_clipped_model_output, s_churn, s_tmin, s_tmax, s_noise, likewise in place of the recipe's
                for this row; None for the recipe's own. The row is then that of the plan of a recipe that has them.

        Returns:
            The sample after the row, in the dtype of `sample`.

        Raises:
            ScheduleError: if the timestep is not in the schedule, the schedule is at its end, the recipe lacks an
                option or makes other model calls with it, or arrays do not go together; if arrays are traced by what
                runs this code once for many calls (jax.jit, lax.scan, mx.compile, torch.export), or the timestep has
                no value that can be read (under vmap or torch.compile, too). The scheduler is then as it was.
        """
        self._check_backend(sample)
        index = self._find(timestep)
        begins = index != self._index or self._memory is None
        assert self._variants is not None  # made with the schedule, which `_find` has asked for
        first = self._variants.first(index) if begins else self._first
        changed = omega is not None or options
        recipe = with_options(self.recipe, omega=omega, **options) if changed else self.recipe
        plan = self._variants.running(recipe, first)
        if noise is not None and variance_noise is not None:
            raise ScheduleError("give noise or variance_noise, not both: they are one thing under two names.")
        noise = variance_noise if noise is None else noise
        row = index - first
        memory = self._memory
        if begins or memory is None:
            memory = self._fresh(plan, sample)
        if noise is None and plan.tableau.draws and index < len(self._told):
            noise = noise_sources.draw_row(self._source, plan, row, sample)
        try:
            after = plan.step(State(sample, memory, row), model_output, noise)
        except ScheduleError:
            self._refuse_replayed(sample, model_output)  # which then is the reason
            raise
        self._refuse_replayed(after.sample, *after.memory)
        self._index, self._memory, self._begun, self._first = index + 1, after.memory, True, first
        return after.sample

    def _fresh(self, plan: Plan, sample: B) -> tuple[B, ...]:
        """The memory of a run that begins."""
        if plan.inputs or self._inputs:
            return plan.start(sample, **self._inputs).memory
        return tuple(self.backend.xp.zeros_like(sample) for _ in plan.tableau.registers[1:])

    def _check_backend(self, sample: Any) -> None:
        found = backends.of(sample)
        if found is not self.backend:
            raise ScheduleError(f"this scheduler is on {self.backend.name}; the sample is an array of {found.name}.")

    def _refuse_replayed(self, *arrays: Any) -> None:
        """They may be stepped by what keeps its state in Python."""
        if self.backend.replayed(*arrays):
            raise ScheduleError(_TRACED)

    def _find(self, timestep: Any) -> int:
        """The row that a timestep begins; the row that is due for an array that is not read."""
        if timestep is self._looked_at and timestep is not None:
            return self._index
        _ = self.plan
        wanted = self._value(timestep)
        if wanted is None:
            self._looked_at = timestep  # `step` is mostly given what `scale_model_input` was
            return self._index
        due, running = self._index, self._index < len(self._told)
        if running and close(self._told[due], wanted):
            return due
        for row in self._starts:
            if close(self._told[row], wanted):
                return row
        place = f"row {due} is due" if running else "the schedule is at its end"
        raise ScheduleError(f"timestep {wanted:g} begins no step of the schedule; {place}.")

    def _value(self, timestep: Any) -> float | None:
        """The number that a timestep is; None for an array of the device that is not to be read."""
        number = number_of(timestep)
        if number is not None:
            return number
        if isinstance(timestep, _NUMBERS) or not hasattr(timestep, "shape"):
            raise ScheduleError(f"a step has one timestep, a number or a 0-d array; given {shown(timestep)}.")
        if backends.of(timestep) is not self.backend or (timestep.shape and math.prod(timestep.shape) != 1):
            raise ScheduleError(
                f"a step has one timestep, a number or a 0-d array of {self.backend.name}; "
                f"given shape {tuple(timestep.shape)} of {backends.of(timestep).name}."
            )
        if self.backend.unreadable(timestep):
            raise ScheduleError(_TRACED)
        if self._begun:
            return None
        try:
            return float(self.backend.to_numpy(timestep).reshape(()))
        except (TypeError, ValueError, RuntimeError):  # on a device without data, or traced in a way not known here
            raise ScheduleError(_TRACED) from None

    def _get_variance(self, timestep: int, prev_timestep: int) -> float:
        """As `DDIM._get_variance`, of recipes that have it."""
        found = getattr(self.recipe, "_get_variance", None)
        if found is None:
            raise ScheduleError(
                f"{type(self.recipe).__name__} has no variance between two timesteps; plan.transition gives a step's."
            )
        return float(found(timestep, prev_timestep))

    def scale_noise(self, sample: B, timestep: Any, noise: B) -> B:
        """The forward process, alpha * sample + sigma * noise, at a level of the schedule in force.

        A number of the host that is one of the plan's timesteps, its end included, takes the plan's level there
        (`Plan.add_noise`), which differs from `add_noise` where custom sigmas were given with the timesteps. Any other
        timestep is `add_noise`'s.
        """
        wanted = number_of(timestep)
        grid = None if self._plan is None else self._plan.grid
        if grid is not None and wanted is not None and grid.sigmas[0] >= grid.sigmas[-1]:
            for point, found in enumerate(grid.timesteps):
                if close(found, wanted):
                    return self.plan.add_noise(sample, noise, point)
        return self.recipe.add_noise(sample, noise, timestep)

    def add_noise(self, sample: B, noise: B, timesteps: Any) -> B:
        """The forward process, alpha_t * sample + sigma_t * noise; timesteps as for `Recipe.add_noise`."""
        return self.recipe.add_noise(sample, noise, timesteps)

    def get_velocity(self, sample: B, noise: B, timesteps: Any) -> B:
        """The velocity of the path, see `Recipe.get_velocity`."""
        return self.recipe.get_velocity(sample, noise, timesteps)
