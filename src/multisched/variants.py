"""Plans over one schedule: with other options of its recipe, or begun at a later row."""

import copy
import warnings
from dataclasses import fields, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.table.plan import Plan

if TYPE_CHECKING:
    from multisched.schedulers.base import Recipe

KEPT_PLANS = 32
"""Plans that are kept for the whole program."""

STEP_OPTIONS = ("omega", "eta", "use_clipped_model_output", "s_churn", "s_tmin", "s_tmax", "s_noise")
KEPT = 8
"""Plans that are kept."""


def plan_of(recipe: "Recipe", steps: int | None, arguments: dict[str, Any]) -> Plan:
    """`recipe.plan(steps, **arguments)`, or the plan that was made of equal ones before, if it is still kept. Plans of
    other libraries' arrays are made anew: what is traced or differentiated is of no use later.

    Raises:
        ScheduleError: as `Recipe.plan`.
    """
    try:
        key = (recipe, _content(steps), *((name, _content(value)) for name, value in arguments.items()))
        found = _plans.get(key)
    except TypeError:  # what cannot be compared
        return recipe.plan(steps, **arguments)
    if found is None:
        found = recipe.plan(steps, **arguments)
        if found._hosted:
            with _changing:
                while len(_plans) >= KEPT_PLANS:
                    _plans.pop(next(iter(_plans)))
                _plans[key] = found
    return found


_plans: dict[Any, Plan] = {}
"""By the recipe and the content of the arguments; the oldest first."""

_changing = Lock()


def _content(value: Any) -> Any:
    """A key that is equal for arguments of one kind and content.

    Raises:
        TypeError: if the argument is an array of another library than NumPy, which is not read.
    """
    kind = type(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return kind, value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, (list, tuple)):
        return kind, *map(_content, value)
    if hasattr(value, "shape") and not isinstance(value, np.generic):
        raise TypeError
    return kind, value


class Variants:
    """The plans that a scheduler object steps through, beside the one that was set.

    Args:
        recipe, plan: what was set.
        steps, arguments: what `recipe.plan` was given for it.
    """

    def __init__(self, recipe: "Recipe", plan: Plan, steps: int | None, arguments: dict[str, Any]) -> None:
        self._recipe, self._plan = recipe, plan
        self._steps, self._arguments = steps, copy.deepcopy(arguments)
        self._kept: dict[tuple[Recipe, int], Plan] = {}

    def running(self, recipe: "Recipe", first: int) -> Plan:
        """The plan of a recipe over this schedule, for a run that begins at row `first` of it.

        Raises:
            ScheduleError: if the recipe asks the model elsewhere, or no run begins at that row.
        """
        if recipe is self._recipe and first == 0:
            return self._plan
        key = (recipe, first)
        if key not in self._kept:
            made = self._made(recipe, first)
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = made
        return self._kept[key]

    def first(self, row: int) -> int:
        """The row that counts as the first of a run that begins at a row: a solver that looks back has nothing there
        to look back to. 0 where that makes no difference."""
        plan = self._plan
        # Numbers that the plan keeps: torch.compile may be reading this, which does not take the length of an array.
        return 0 if row in (0, plan._count) or plan._memory_count == len(plan.inputs) else row

    def _made(self, recipe: "Recipe", first: int) -> Plan:
        plan = self._plan
        whole = plan if recipe == self._recipe else recipe.plan(self._steps, **self._arguments)
        alike = whole.tableau.registers == plan.tableau.registers and whole.stages == plan.stages
        if not (alike and np.array_equal(whole.timesteps, plan.timesteps)):
            raise ScheduleError(
                f"with these options {plan.name} asks the model elsewhere than the schedule in force does; "
                "make the recipe with them."
            )
        if not first:
            return whole
        start = whole.grid.first + int(recipe._made.solver.serves(whole.rows)[first, 0])
        tail = recipe.plan(self._steps, **{**self._arguments, "strength": None, "start": start})
        if not np.array_equal(tail.timesteps, plan.timesteps[first:]):
            raise ScheduleError(f"{plan.name} cannot begin at row {first}; use set_timesteps with start or strength.")
        return tail


def with_options(recipe: "Recipe", **options: Any) -> "Recipe":
    """The recipe with other options for a step: those of `STEP_OPTIONS` that are not None.

    Raises:
        ScheduleError: if the recipe does not have an option, but for omega, which it warns of.
    """
    wanted = {name: value for name, value in options.items() if value is not None}
    if not wanted:
        return recipe
    name, known = type(recipe).__name__, {field.name for field in fields(recipe)}
    takes = [option for option in STEP_OPTIONS if option in known]
    if "omega" in wanted and "omega" not in known and wanted.pop("omega"):
        warnings.warn(f"{name} has no omega; the step is taken without.", UserWarning, stacklevel=4)
    if unknown := [option for option in wanted if option not in takes]:
        raise ScheduleError(f"a step of {name} has no option {unknown[0]!r}; it takes {', '.join(takes) or 'none'}.")
    found: Recipe = replace(recipe, **wanted)
    return recipe if found == recipe else found
