"""The step that our classes have in place of diffusers' own: a row of a plan.

A timestep is read where diffusers reads it: once a run for classes that count their calls, and not at all where the
loop gives views of `timesteps`; so no step waits for a device.
"""

import copy
import functools
import warnings
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.interop.diffusers import from_diffusers, manners
from multisched.schedulers import Recipe
from multisched.table.plan import Plan
from multisched.table.state import State
from multisched.variants import STEP_OPTIONS, Variants


@dataclass
class Run:
    """A run that a scheduler is in.

    Attributes:
        recipe, variants: its recipe and plans.
        plan: the one that was set.
        told: its rows by timestep, for classes that look it up.
        first: the row that the run began at.
        memory: the solver's registers; None before the first step.
        row: the row after the last step, where timesteps are looked up.
        quick: whether a step is one sum, with nothing to draw, keep or look up.
        draws: draws of noise of a row.
        shows: the attributes of the scheduler that show its history.
        shown: what they had after the last step.
        alone: plans of a single row.
    """

    recipe: Recipe
    variants: Variants
    plan: Plan
    told: dict[int, int]
    times: Any
    counter: torch.Tensor = field(default_factory=lambda: torch.tensor(0))
    first: int = 0
    memory: tuple[torch.Tensor, ...] | None = None
    row: int = 0
    quick: bool = False
    draws: int = 0
    shows: frozenset[str] = frozenset()
    shown: tuple[Any, ...] = ()
    alone: dict[Any, Plan] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Run":
        return replace(self, memory=copy.deepcopy(self.memory, memo), shown=copy.deepcopy(self.shown, memo))


class Steps:
    """What our classes have in place of diffusers' own."""

    _peer: str
    _theirs: type
    _output: type[BaseOutput]
    _names: tuple[str, ...]
    _cuts: bool
    _away: tuple[str, ...] = ()
    _run: Any = None
    """A `Run`; None before `set_timesteps`."""
    _refused: bool = False
    _read: tuple[Any, Any, Recipe] | None = None

    # What diffusers' classes keep, each some of it.
    counter: Any
    ets: Any
    last_sample: Any
    lower_order_nums: Any
    mid_point_sigma: Any
    model_outputs: Any
    noise_sampler: Any
    num_inference_steps: Any
    sigmas: Any
    timesteps: Any
    _begin_index: Any
    _step_index: Any
    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @property
    def recipe(self) -> Recipe:
        """The recipe that the configuration says.

        Raises:
            ScheduleError: if it refuses a value.
        """
        config, shift = self._internal_dict, getattr(self, "_shift", None)
        if self._read is None or self._read[0] is not config or self._read[1] != shift:
            said = {key: value for key, value in listed(config).items() if key != "variance_type" or not self._cuts}
            found = from_diffusers({**said, "_class_name": self._peer}, strict=False)
            if shift is not None and getattr(found, "shift", shift) != shift:
                found = _with(found, shift=shift)
            self._read = config, shift, found
        return self._read[2]

    def _begin(self, num_inference_steps: int | None = None, **asked: Any) -> None:
        """Make the plan of what `set_timesteps` was given."""
        recipe, known = self.recipe, {one.name for one in fields(self.recipe)} - {"num_train_timesteps"}
        options = {manners.RENAMED.get(name, name): value for name, value in asked.items() if value is not None}
        options = {name: value for name, value in options.items() if name in known}
        recipe = replace(recipe, **options) if options else recipe
        lists = {name: _host(asked[name]) for name in ("timesteps", "sigmas") if asked.get(name) is not None}
        n = None if lists else num_inference_steps
        if asked.get("mu") is not None and getattr(recipe, "use_dynamic_shifting", False):
            lists["mu"] = asked["mu"]
        self._run = self._run_of(recipe, n, lists)

    def _run_of(self, recipe: Recipe, n: int | None, lists: dict[str, Any]) -> Run:
        plan = recipe.plan(n, **lists)
        plan.warm()
        told = {round(t): row for row, t in reversed([*enumerate(plan.timesteps)])}
        run = Run(recipe, Variants(recipe, plan, n, lists), plan, told, self.__dict__.get("timesteps"))
        run.memory = () if len(plan.tableau.registers) == 1 else None
        run.draws = plan.noise_draws
        counted = self._peer not in manners.BY_TIME and not self._cuts
        run.quick = counted and self._names == ("prev_sample",) and run.memory == () and not run.draws
        run.shows = manners.HISTORY & self.__dict__.keys()
        return run

    def _running(self, **asked: Any) -> bool:
        """Whether there is a plan of what was asked, the training schedule if nothing was. A configuration that makes
        none is stepped through by diffusers, with a warning.
        """
        if asked or (self._run is None and not self._refused):
            self._run, self._refused = None, False
            try:
                self._begin(**(asked or {"num_inference_steps": self.config.num_train_timesteps}))
            except ScheduleError as error:
                self._refused = True
                warnings.warn(f"{self._peer} takes diffusers' own steps, since it has no plan: {error}", UserWarning, 3)
        return not self._refused

    def _left(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a step is left to diffusers."""
        if (self._run is None and not self._running()) or any(kwargs.get(name) is not None for name in self._away):
            return True
        if self._peer != "PNDMScheduler" or torch.compiler.is_compiling():
            return False
        if self.counter == 0:
            timestep = args[1] if len(args) > 1 else kwargs["timestep"]
            self._run.first = int(timestep != self.timesteps[0])
        return self._run.first > 0

    def _step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        generator: Any = None,
        return_dict: bool = True,
        variance_noise: torch.Tensor | None = None,
        **options: Any,
    ) -> Any:
        if self._peer in manners.NO_INTEGERS and _integer(timestep):
            raise ValueError(
                f"{self._peer}.step takes one of scheduler.timesteps; given the integer {int(timestep)}, which looks "
                "like the number of the step."
            )
        run = self._run
        if torch.compiler.is_compiling():
            return self._traced(run, model_output, timestep, sample, return_dict, variance_noise, options)
        if self._cuts and self._internal_dict.get("variance_type") in manners.LEARNED:
            model_output = model_output[:, : sample.shape[1]]
        plan, row = self._place(run, timestep, options)
        memory = run.memory
        if memory != () or plan.inputs:
            inputs = {name: options[key] for name, key in manners.INPUTS.items() if name in plan.inputs}
            memory = self._remembered(run, plan, sample, options.get("old_pred_original_sample"), **inputs)
        noise = None
        if run.draws or (options and plan.noise_draws):
            draws = 1 + self._looks_back(timestep, options)  # CogVideoX's class throws the first of two away
            noise = self._noise(plan, row, model_output, generator, variance_noise, draws)
        state = State(sample, memory, row)
        after = plan.step(state, model_output, noise)
        self._keep(run, plan, after)
        found = [self._of(name, plan, state, model_output, after) for name in self._names]
        return self._output(*found) if return_dict else tuple(one for one in found if one is not None)

    def _quick(self, run: Run, output: torch.Tensor, timestep: Any, sample: torch.Tensor, return_dict: bool) -> Any:
        """`_step` of what has no memory, no noise, and returns the sample alone: most runs of flows."""
        row = self._step_index
        if row is None or type(timestep) is not torch.Tensor or not timestep.is_floating_point():
            return self._step(output, timestep, sample, return_dict=return_dict)
        found = run.plan.step(State(sample, (), row), output).sample
        self._step_index = row + 1
        if found.dtype is not output.dtype:
            found = found.to(output.dtype)
        return self._output(found) if return_dict else (found,)

    def _traced(
        self, run: Run, output: Any, timestep: Any, sample: Any, return_dict: bool, noise: Any, options: dict[str, Any]
    ) -> Any:
        """A step inside torch.compile. The row is a tensor, so that one graph serves all rows: that of the timestep for
        classes that look it up, and else the one after the last, from `set_begin_index` on."""
        wanted = {name: value for name, value in options.items() if name in STEP_OPTIONS}
        if any(value != getattr(run.recipe, name, value) for name, value in wanted.items()):
            raise ScheduleError(f"inside torch.compile a step of {self._peer} has the options of its configuration.")
        plan, row = run.plan, run.counter
        if self._peer in manners.BY_TIME:
            row = (run.times.to(timestep.device) - timestep.reshape(-1)[0]).abs().argmin()
        inputs = {name: options[key] for name, key in manners.INPUTS.items() if name in plan.inputs}
        memory = run.memory or tuple(inputs.get(one, torch.zeros_like(sample)) for one in plan.tableau.registers[1:])
        state = State(sample, memory, row.to(sample.device))
        if noise is None and plan.noise_draws:
            noise = torch.randn_like(output)
        after = plan.step(state, output, (noise,) * plan.noise_draws)
        run.memory, run.counter = (None if inputs else after.memory), after.index
        found = [self._of(name, plan, state, output, after) for name in self._names]
        return self._output(*found) if return_dict else tuple(one for one in found if one is not None)

    def _of(self, name: str, plan: Plan, state: State[Any], output: torch.Tensor, after: State[Any]) -> Any:
        """A field of what a step returns, in the dtype of the model's output."""
        if name == "prev_sample":
            found = after.sample
        elif name in ("pred_original_sample", "denoised"):
            found = plan.denoised(state, output)
        else:
            found = plan.transition(state, output)[0]
        return found if found.dtype == output.dtype else found.to(output.dtype)

    def _place(self, run: Run, timestep: Any, options: dict[str, Any]) -> tuple[Plan, int]:
        """The plan and the row of a step."""
        recipe = run.recipe
        if options:
            recipe = _with(recipe, **{name: value for name, value in options.items() if name in STEP_OPTIONS})
        if self._peer in manners.BY_TIME:
            row = self._looked_up(run, timestep)
            if row is None:
                return self._alone(run, recipe, timestep, options), 0
            first = row if options.get("old_pred_original_sample", run) is None else 0
            return run.variants.running(recipe, first), row - first
        if self._peer == "PNDMScheduler":
            return run.variants.running(recipe, 0), self.counter
        if self._step_index is None:
            self._find_first(timestep)
        row = self._step_index
        if run.memory is None:
            run.first = row if len(run.plan.tableau.registers) > 1 + len(run.plan.inputs) else 0
        return run.variants.running(recipe, run.first), row - run.first

    def _find_first(self, timestep: Any) -> None:
        if hasattr(self, "_init_step_index"):
            self._init_step_index(timestep)
        else:
            self._step_index = self.index_for_timestep(timestep) if self._begin_index is None else self._begin_index

    def _looked_up(self, run: Run, timestep: Any) -> int | None:
        """The row of a timestep, None if it is not in the schedule. Where loops over `timesteps` give a view of it, its
        place in memory tells, without waiting for a device."""
        if self._peer == "UnCLIPScheduler":
            return None
        due = run.row
        if self._peer == "DDPMWuerstchenScheduler":  # whose timesteps are shares, one per sample
            return int(np.abs(run.plan.timesteps - float(timestep.reshape(-1)[0])).argmin())
        if isinstance(timestep, torch.Tensor) and timestep.device.type != "cpu" and timestep.ndim == 0:
            own = self.timesteps
            if timestep.untyped_storage().data_ptr() == own.untyped_storage().data_ptr():
                return (timestep.storage_offset() - own.storage_offset()) // own.stride(0)
        t = int(timestep)
        return due if due < len(run.plan) and run.plan.timesteps[due] == t else run.told.get(t)

    def _looks_back(self, timestep: Any, options: dict[str, Any]) -> bool:
        """Whether a step of CogVideoX's DPM-Solver has order 2."""
        return options.get("old_pred_original_sample") is not None and self._before(int(timestep)) >= 0

    def _alone(self, run: Run, recipe: Recipe, timestep: Any, options: dict[str, Any]) -> Plan:
        """The plan of one row, between two timesteps that need not be in the schedule."""
        t, before = int(timestep), options.get("prev_timestep")
        if before is None:
            before = t - 1 if self._peer == "UnCLIPScheduler" else self._before(t)
        key = (recipe, t, int(before))
        if key not in run.alone:
            run.alone[key] = _alone(recipe, run.plan, t, int(before))
        return run.alone[key]

    def _before(self, t: int) -> int:
        if hasattr(self, "previous_timestep"):
            return int(self.previous_timestep(t))
        return t - self.config.num_train_timesteps // (self.num_inference_steps or self.config.num_train_timesteps)

    def _remembered(
        self, run: Run, plan: Plan, sample: torch.Tensor, old: Any, **inputs: Any
    ) -> tuple[torch.Tensor, ...]:
        """The registers of the solver, with what callers changed of the history."""
        names = plan.tableau.registers[1:]
        if old is not None and names:
            return (old,)
        if run.memory is None or len(run.memory) != len(names) or inputs:
            return plan.start(sample, **inputs).memory
        shown = self._history()
        if len(shown) == len(run.shown) and all(a is b for a, b in zip(shown, run.shown, strict=True)):
            return run.memory
        return tuple(self._told(name, kept) for name, kept in zip(names, run.memory, strict=True))

    def _history(self) -> tuple[Any, ...]:
        own = self.__dict__
        return (*(own.get("model_outputs") or own.get("ets") or ()), own.get("last_sample"))

    def _told(self, register: str, kept: torch.Tensor) -> torch.Tensor:
        """A register as the scheduler's attributes have it."""
        *values, last = self._history()
        back = 1 if register in manners.NEWEST else int(register[-1]) if register[-1].isdigit() else 0
        found = last if register == "anchor" else values[-back] if 0 < back <= len(values) else None
        return kept if found is None else found

    def _keep(self, run: Run, plan: Plan, after: State[Any]) -> None:
        """Note what a step left, and show it as diffusers' classes do."""
        run.memory = after.memory
        if self._peer in manners.BY_TIME:
            run.row = after.index
        elif self._peer == "PNDMScheduler":
            self.counter += 1
        else:
            self._step_index += 1
        if run.shows:
            self._show(run, plan, after)

    def _show(self, run: Run, plan: Plan, after: State[Any]) -> None:
        named = dict(zip(plan.tableau.registers[1:], after.memory, strict=True))
        newest = [named[name] for name in manners.NEWEST if name in named]
        values = newest + [kept for name, kept in named.items() if name[-1:].isdigit() and name not in manners.NEWEST]
        if "model_outputs" in run.shows:
            depth = len(self.model_outputs)
            self.model_outputs = ([None] * depth + values[::-1])[-depth:]
        if "ets" in run.shows:
            self.ets = values[::-1]
        if "last_sample" in run.shows:
            self.last_sample = named.get("anchor")
        if "mid_point_sigma" in run.shows and after.index < len(plan):
            self.mid_point_sigma = plan.rows.sigma[after.index, 0] / plan.rows.alpha[after.index, 0]
        if "lower_order_nums" in run.shows:
            self.lower_order_nums = min(self.lower_order_nums + 1, len(values) + 1)
        run.shown = self._history()

    def _noise(
        self, plan: Plan, row: int, output: torch.Tensor, generator: Any, given: torch.Tensor | None, draws: int
    ) -> tuple[torch.Tensor, ...] | None:
        """The draws of a row: from the generator as diffusers draws them, so that it moves on alike."""
        needed = plan.needs_noise(row)
        if given is not None:
            return (given,) * plan.noise_draws
        second = self._peer == "FlowMatchHeunDiscreteScheduler" and plan.stages[row] == 1
        churned = second and plan.needs_noise(row - 1)  # what it draws then cancels
        if not needed and self._peer in manners.LAZY and not churned:
            return None
        if self._peer in manners.BROWNIAN:
            return (self._brownian(plan, row, output, generator),)
        dtype = torch.float32 if self._peer in manners.FLOAT32_NOISE else output.dtype
        for _ in range(draws):
            draw = randn_tensor(output.shape, generator=generator, device=output.device, dtype=dtype)
        return (draw,) * plan.noise_draws if needed else None

    def _brownian(self, plan: Plan, row: int, output: torch.Tensor, generator: Any) -> torch.Tensor:
        """The increment of diffusers' Brownian tree over a row, between levels in float32 as it has them."""
        if self.noise_sampler is None:
            self.noise_sampler = self._tree(output, generator)
        at, stage = self._step_index, plan.stages[row]
        if self._peer in manners.COSINE:
            return self.noise_sampler(self.sigmas[at], self.sigmas[at + 1])
        begin, end = (self.sigmas[at - stage + k].log().neg() for k in (0, 1))
        end = end if stage else begin + (end - begin) * 0.5
        return self.noise_sampler(begin.neg().exp(), end.neg().exp())

    def _tree(self, output: torch.Tensor, generator: Any) -> Any:
        from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

        if self._peer in manners.COSINE:
            several = isinstance(generator, list)
            seeds = [one.initial_seed() for one in (generator if several else [generator] if generator else [])]
            seed = seeds if several else seeds[0] if seeds else None
            return BrownianTreeNoiseSampler(output, self.config.sigma_min, self.config.sigma_max, seed)
        low, high = self.sigmas[self.sigmas > 0].min().item(), self.sigmas.max().item()
        return BrownianTreeNoiseSampler(output, low, high, self.noise_sampler_seed)


@functools.lru_cache(256)
def _with(recipe: Recipe, **options: Any) -> Recipe:
    known = {one.name for one in fields(recipe)}
    return replace(recipe, **{name: value for name, value in options.items() if name in known})


def _alone(recipe: Recipe, plan: Plan, t: int, before: int) -> Plan:
    """One row from a timestep to another, up or down, or to the end of the schedule for one below 0."""
    alpha, sigma = recipe.parts().path.levels(np.asarray([float(t), max(before, 0.0)]))
    if before < 0:
        alpha[1], sigma[1] = plan.grid.next_alphas[-1], plan.grid.next_sigmas[-1]
    return recipe.plan_over(Grid([float(t), float(before)], alpha, sigma, total=1 + (before >= 0)))


def _integer(timestep: Any) -> bool:
    if isinstance(timestep, torch.Tensor):
        return not timestep.is_floating_point()
    return isinstance(timestep, int)


def listed(config: Any) -> dict[str, Any]:
    """The keys of a configuration that are not diffusers' own, with lists in place of arrays."""
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in dict(config).items() if k[0] != "_"}


def _host(values: Any) -> np.ndarray:
    """A list of numbers of any kind, as NumPy's."""
    return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float64)
