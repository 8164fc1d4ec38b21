"""DiffusionScheduler: the stateful face of any recipe, written once over `Plan`."""

import copy
import dataclasses
import math
import warnings
from itertools import chain
from typing import Any, Generic

import numpy as np

from multisched import backends
from multisched import noise as noise_sources
from multisched.backends import B, Backend
from multisched.errors import ScheduleError
from multisched.plan import Plan
from multisched.schedulers.base import Recipe
from multisched.step import State, mix

_NUMBERS = (int, float, np.number, np.ndarray)


class DiffusionScheduler(Generic[B]):
    """Sets a schedule, then steps through it, keeping the position and the solver's memory between calls.

    Made by `recipe.on(backend)`. For many runs at once take `recipe.plan()`, which keeps nothing.

    Args:
        recipe: the scheduler's options.
        backend: where `sigmas()` and `timesteps()` put their arrays.
        device: of that backend; its default.
        rng: seed, sequence of seeds or source of the noise that a stochastic step draws when none is given.
    """

    def __init__(self, recipe: Recipe, backend: Backend[B], device: Any = None, rng: Any = 0) -> None:
        self.recipe = recipe
        self.backend = backend
        self.device = device
        self._source = noise_sources.source(rng)
        self._plan: Plan | None = None
        self._asked: tuple[int | None, dict[str, Any]] = (None, {})
        self._variants: dict[tuple[tuple[str, Any], ...], Plan] = {}
        self._index = 0
        self._begun = False
        self._memory: tuple[B, ...] | None = None
        self._tail: Any = None
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
        return int(self.recipe.parts().schedule.num_train_timesteps)

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
            ScheduleError: what makes no plan; the schedule before stays in force.
        """
        self._plan = self.recipe.plan(num_inference_steps, **arguments)
        self._asked = copy.deepcopy((num_inference_steps, arguments))
        self._variants = {}
        self.reset()

    def set_inputs(self, **inputs: B) -> None:
        """Set the arrays that a recipe such as `RePaint` needs beside the sample (`plan.inputs`)."""
        self._inputs = inputs

    def reset(self) -> None:
        """Go back to the first row of the schedule and forget the solver's memory."""
        self._index = 0
        self._begun = False
        self._memory = None

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
            ScheduleError: a timestep that is not in the schedule, or the end of the schedule.
        """
        memory = (sample,) * (len(self.plan.tableau.registers) - 1)
        return self.plan.model_input(State(sample, memory, self._find(timestep)))

    def _put(self, values: np.ndarray, device: Any) -> B:
        return self.backend.asarray(values, "float32", self.device if device is None else device)

    def step(
        self,
        model_output: B,
        timestep: Any,
        sample: B,
        omega: float | None = None,
        *,
        eta: float | None = None,
        use_clipped_model_output: bool | None = None,
        noise: B | tuple[B, ...] | None = None,
        variance_noise: B | None = None,
    ) -> B:
        """Advance one row.

        Args:
            model_output: the model's output, shaped as the sample.
            timestep: what the model was given. A Python or NumPy number must be in the schedule and sets the position.
                So does an array of the backend in the first step after `set_timesteps` or `reset`; later arrays are
                not read, since that would stall a device, and the next row is taken.
            sample: the sample that the model saw.
            omega, eta, use_clipped_model_output: in place of the recipe's option for this row. A recipe that has no
                omega warns and takes the step without.
            noise: unit normals for a stochastic row (a tuple where it draws several); drawn from `rng` if not given.
            variance_noise: the same under the name that DDIM has for it.

        Returns:
            The sample after the row, in the dtype of `sample`.

        Raises:
            ScheduleError: a timestep that is not in the schedule, the end of the schedule, an option that the recipe
                lacks, or arrays that do not go together. The scheduler is then as it was.
        """
        found = backends.of(sample)
        if found is not self.backend:
            raise ScheduleError(f"this scheduler is on {self.backend.name}; the sample is an array of {found.name}.")
        index = self._find(timestep)
        begins = index != self._index or self._memory is None
        tail, first = self._tail_from(index) if begins else self._tail
        plan = self._with(tail, omega=omega, eta=eta, use_clipped_model_output=use_clipped_model_output)
        if noise is not None and variance_noise is not None:
            raise ScheduleError("give noise or variance_noise, not both: they are one thing under two names.")
        noise = variance_noise if noise is None else noise
        row = index - first
        memory = self._memory
        if begins or memory is None:
            memory = plan.start(sample, **self._inputs).memory
        if noise is None and row < len(plan):
            noise = noise_sources.draw_row(self._source, plan, row, sample)
        after = plan.step(State(sample, memory, row), model_output, noise)
        self._index, self._memory, self._begun, self._tail = index + 1, after.memory, True, (tail, first)
        return after.sample

    def _tail_from(self, index: int) -> tuple[Plan, int]:
        """(plan, row of the schedule that it begins at) of a run that begins at a row: a solver that looks back has
        nothing there to look back to."""
        plan = self.plan
        if index in (0, len(plan)) or len(plan.tableau.registers) == 1 + len(plan.inputs):
            return plan, 0
        step = int(plan.rows.step[index, 0])
        n, arguments = self._asked
        tail = self.recipe.plan(n, **{**arguments, "strength": None, "start": plan.grid.first + step})
        if not np.array_equal(tail.timesteps, plan.timesteps[index:]):
            raise ScheduleError(f"{plan.name} cannot begin at row {index}; use set_timesteps with start or strength.")
        return tail, index

    def _with(self, plan: Plan, **options: Any) -> Plan:
        """The plan with other options of the recipe, for a step."""
        wanted = {name: value for name, value in options.items() if value is not None}
        known = {field.name for field in dataclasses.fields(self.recipe)}  # type: ignore[arg-type]
        name = type(self.recipe).__name__
        if "omega" in wanted and "omega" not in known and wanted.pop("omega"):
            warnings.warn(f"{name} has no omega; the step is taken without.", UserWarning, stacklevel=3)
        if unknown := [option for option in wanted if option not in known]:
            raise ScheduleError(f"{name} has no option {unknown[0]!r}.")
        if all(getattr(self.recipe, option) == value for option, value in wanted.items()):
            return plan
        key = (("first", plan.grid.first), *sorted(wanted.items()))
        if key not in self._variants:
            recipe = dataclasses.replace(self.recipe, **wanted)  # type: ignore[type-var]
            self._variants[key] = recipe.plan_over(plan.grid)
        return self._variants[key]

    def _find(self, timestep: Any) -> int:
        """The row that a timestep begins; the row that is due for an array that is not read."""
        wanted = self._value(timestep)
        if wanted is None:
            return self._index
        plan = self.plan
        due = [self._index] if self._index < len(plan) else []
        begins = (row for row in range(len(plan)) if plan.stages[row] == 0)
        for row in chain(due, begins):
            if _close(plan.timesteps[row], wanted):
                return row
        place = f"row {self._index} is due" if due else "the schedule is at its end"
        raise ScheduleError(f"timestep {wanted:g} begins no step of the schedule; {place}.")

    def _value(self, timestep: Any) -> float | None:
        """The number that a timestep is; None for an array of the device that is not to be read, or cannot be."""
        if np.size(timestep) != 1 if isinstance(timestep, _NUMBERS) else not hasattr(timestep, "shape"):
            raise ScheduleError(f"a step has one timestep, a number or a 0-d array; given {timestep!r}.")
        if isinstance(timestep, _NUMBERS):
            return float(np.reshape(timestep, ()))
        if backends.of(timestep) is not self.backend or math.prod(timestep.shape) != 1:
            raise ScheduleError(
                f"a step has one timestep, a number or a 0-d array of {self.backend.name}; "
                f"given shape {tuple(timestep.shape)} of {backends.of(timestep).name}."
            )
        if self._begun:
            return None
        try:
            return float(self.backend.to_numpy(timestep).reshape(()))
        except (TypeError, RuntimeError):  # traced, or on a device without data
            return None

    def scale_noise(self, sample: B, timestep: Any, noise: B) -> B:
        """The forward process, alpha * sample + sigma * noise, at a level of the schedule in force.

        A number of the host that is one of the plan's timesteps takes the plan's level there, which differs from
        `add_noise` where sigmas of one's own were given with the timesteps. Any other timestep is `add_noise`'s.
        """
        if self._plan is not None and isinstance(timestep, _NUMBERS) and np.size(timestep) == 1:
            wanted = float(np.reshape(timestep, ()))
            for point, found in enumerate(self._plan.grid.timesteps[:-1]):
                if _close(found, wanted):
                    return mix(float(self._plan.alphas[point]), sample, float(self._plan.sigmas[point]), noise)
        return self.recipe.add_noise(sample, noise, timestep)

    def add_noise(self, sample: B, noise: B, timesteps: Any) -> B:
        """The forward process, alpha_t * sample + sigma_t * noise, for a timestep or one per sample."""
        return self.recipe.add_noise(sample, noise, timesteps)

    def get_velocity(self, sample: B, noise: B, timesteps: Any) -> B:
        """The v target, alpha_t * noise - sigma_t * sample, for a timestep or one per sample."""
        return self.recipe.get_velocity(sample, noise, timesteps)


def _close(one: float, other: float) -> bool:
    """Equal up to the rounding of float32."""
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)
