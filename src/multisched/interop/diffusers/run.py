"""What a scheduler of diffusers keeps of the run that it is in."""

import functools
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch

from multisched.grid import Grid
from multisched.interop.diffusers.traced import Traced
from multisched.schedulers import Recipe
from multisched.table.plan import Plan
from multisched.variants import Variants


@dataclass
class Run:
    """A run that a scheduler is in.

    Attributes:
        recipe, variants: its recipe and plans.
        plan: the one that was set.
        times: the timesteps of its rows, a tensor; the scheduler's own where it has as many.
        first: the row that the run began at.
        memory: the solver's registers; None before the first step.
        left: whether its steps are left to diffusers.
        reads: what the plan is given of a model's output, a function of that and the sample; None for all of it.
        traced: the run as steps inside torch.compile go through it.
        looked: whether the timestep says the row there.
        plain: whether a step of a run that has begun neither looks up its row nor shows anything.
        shows: the attributes of the scheduler that show its history.
        shown: what they had after the last step.
        alone: plans of a single row.
        below: a run from each training timestep to the one below it; None for classes that take no such steps.
    """

    recipe: Recipe
    variants: Variants
    plan: Plan
    times: Any
    first: int = 0
    memory: tuple[torch.Tensor, ...] | None = None
    left: bool = False
    reads: Any = None
    traced: Any = None
    looked: bool = False
    plain: bool = False
    shows: frozenset[str] = frozenset()
    shown: tuple[Any, ...] = ()
    alone: dict[Any, Plan] = field(default_factory=dict)
    below: Any = None

    @functools.cached_property
    def told(self) -> dict[int, int]:
        """The first row of each timestep of the plan."""
        return {round(t): row for row, t in reversed([*enumerate(self.plan.timesteps)])}

    def begin(self, row: int, before: Traced | None) -> None:
        """Let compiled steps begin at a row, ready for the graphs of the run `before`."""
        first = self.variants.first(row)
        self.traced = Traced(self.variants.running(self.recipe, first), torch.tensor(row - first)).like(before)


def listed(config: Any) -> dict[str, Any]:
    """The keys of a configuration that are not diffusers' own, with lists in place of arrays."""
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in dict(config).items() if k[0] != "_"}


def host(values: Any) -> np.ndarray:
    """A list of numbers of any kind, as NumPy's."""
    return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float64)


def plan_between(recipe: Recipe, plan: Plan, timesteps: Any) -> Plan:
    """Rows from each of these timesteps to the next, up or down; one below 0 is the end of the plan's schedule."""
    times = np.asarray(timesteps, dtype=np.float64)
    levels = recipe.parts().path.levels(np.maximum(times, 0.0))
    ends = plan.grid.next_alphas[-1], plan.grid.next_sigmas[-1]
    alpha, sigma = (np.where(times < 0, end, level) for end, level in zip(ends, levels, strict=True))
    return recipe.plan_over(Grid(times, alpha, sigma, total=len(times) - (times[-1] < 0)))


@functools.lru_cache(256)
def with_options(recipe: Recipe, **options: Any) -> Recipe:
    """A recipe with those of these options that it has."""
    known = {one.name for one in fields(recipe)}
    return replace(recipe, **{name: value for name, value in options.items() if name in known})


def moves(t: Any, r: Any) -> bool:
    """Whether a step from t to r leads from one timestep for all samples to another."""
    single = all(one.ndim == 0 for one in (t, r) if isinstance(one, torch.Tensor))
    return single and float(t) != float(r)


def is_whole(timestep: Any) -> bool:
    """Whether a timestep is an integer."""
    return isinstance(timestep, int) or (isinstance(timestep, torch.Tensor) and not timestep.is_floating_point())
