"""The step that our classes have in place of diffusers' own: a row of a plan.

A timestep is read where diffusers reads it: once a run for classes that count their calls, and not at all where the
loop gives views of `timesteps`; so no step waits for a device.
"""

import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.utils import BaseOutput

from multisched.errors import ScheduleError
from multisched.interop.diffusers import drawing, from_diffusers, history, manners
from multisched.interop.diffusers.run import Run, host, listed, moves, plan_between, rows_of, run_below, with_options
from multisched.interop.diffusers.traced import Traced
from multisched.schedulers import Recipe
from multisched.table.plan import Plan
from multisched.table.state import State
from multisched.variants import STEP_OPTIONS, Variants, plan_of


class Steps:
    """What our classes have in place of diffusers' own."""

    _peer: str
    _theirs: type
    _output: type[BaseOutput]
    _names: tuple[str, ...]
    _cuts: bool
    _away: Mapping[str, Any] = MappingProxyType({})
    _run: Any = None
    """A `Run`; None before `set_timesteps`."""
    _refused: bool = False
    _read: tuple[Any, Any, Recipe] | None = None

    counter: Any
    num_inference_steps: Any
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
                found = with_options(found, shift=shift)
            self._read = config, shift, found
        return self._read[2]

    def _begin(self, num_inference_steps: int | None = None, **asked: Any) -> None:
        """Make the plan of what `set_timesteps` was given."""
        recipe, known = self.recipe, {one.name for one in fields(self.recipe)} - {"num_train_timesteps"}
        named = {manners.RENAMED.get(name, name): value for name, value in asked.items() if value is not None}
        options = {name: value for name, value in named.items() if name in known} | manners.FIXED.get(self._peer, {})
        recipe = replace(recipe, **options) if options else recipe
        lists = {name: host(asked[name]) for name in ("timesteps", "sigmas") if asked.get(name) is not None}
        if asked.get("mu") is not None and getattr(recipe, "use_dynamic_shifting", False):
            lists["mu"] = asked["mu"]
        self._run = self._run_of(recipe, None if lists.keys() - {"mu"} else num_inference_steps, lists)

    def _run_of(self, recipe: Recipe, n: int | None, lists: dict[str, Any]) -> Run:
        plan = plan_of(recipe, n, lists)
        plan.warm()
        times = self.__dict__.get("timesteps")
        if times is None or len(times) != len(plan):
            times = torch.tensor(plan.timesteps)
        run = Run(recipe, Variants(recipe, plan, n, lists), plan, rows_of(plan), times)
        run.memory = () if len(plan.tableau.registers) == 1 else None
        learned = self._cuts and self._internal_dict.get("variance_type") in manners.LEARNED
        run.reads = manners.without_variance if learned else manners.PARTS.get(self._peer)
        run.draws = plan.noise_draws
        run.looked = self._peer in manners.BY_TIME or (run.memory == () and not any(plan.stages))
        run.shows = manners.HISTORY & self.__dict__.keys()
        run.quick = not (self._peer in manners.BY_TIME or self._cuts or run.shows or run.reads or plan.inputs)
        run.traced = Traced(plan, torch.tensor(0)).like(self._run and self._run.traced)
        if self._peer == "UnCLIPScheduler":
            run.below = run_below(run, self._run)
        return run

    def _running(self, **asked: Any) -> bool:
        """Whether there is a plan of what was asked, the training schedule if nothing was. A configuration that makes
        none is stepped through by diffusers, with a warning.
        """
        if asked or (self._run is None and not self._refused):
            self._refused = False
            try:
                self._begin(**(asked or {"num_inference_steps": self.config.num_train_timesteps}))
            except ScheduleError as error:
                self._run, self._refused = None, True
                warnings.warn(f"{self._peer} takes diffusers' own steps, since it has no plan: {error}", UserWarning, 3)
        return not self._refused

    def _left(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a step is left to diffusers."""
        away = any(kwargs.get(name, usual) is not usual for name, usual in self._away.items())
        if away and self._run is not None:
            if self._run.memory:
                raise ScheduleError(manners.ONE_ORDER.format(self._peer, kwargs.get("order"), self._away.get("order")))
            self._run.quick = False
        if away or getattr(self, "derivatives", None) or (self._run is None and not self._running()):
            return True
        if kwargs.get("r_timestep") is not None and not moves(args, kwargs):
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
        whole = isinstance(timestep, int) or (isinstance(timestep, torch.Tensor) and not timestep.is_floating_point())
        if whole and self._peer in manners.NO_INTEGERS:
            raise ValueError(
                f"{self._peer}.step takes one of scheduler.timesteps; given the integer {int(timestep)}, which looks "
                "like the number of the step."
            )
        run = self._run
        if run.reads is not None:
            model_output = run.reads(model_output, sample)
        if torch.compiler.is_compiling():
            return self._traced(run, model_output, timestep, sample, return_dict, variance_noise, options)
        plan, row = self._place(run, timestep, options)
        memory = run.memory
        if memory is None or run.shows or options or plan.inputs:
            inputs = {name: options[key] for name, key in manners.INPUTS.items() if name in plan.inputs}
            memory = self._remembered(run, plan, sample, options.get("old_pred_original_sample"), **inputs)
        noise = None
        if run.draws or (options and plan.noise_draws):
            times = 1 + self._looks_back(timestep, options)  # CogVideoX's class throws the first of two away
            noise = drawing.draws(self, plan, row, model_output, generator, variance_noise, times)
        state = State(sample, memory, row)
        after = plan.step(state, model_output, noise)
        self._keep(run, plan, after)
        return self._given(plan, state, model_output, after, return_dict)

    def _quick(
        self, run: Run, output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: bool = True
    ) -> Any:
        """`_step` of what shows no history, with as little around the sums as there can be."""
        row, memory = self._step_index, run.memory
        if row is None or memory is None or type(timestep) is not torch.Tensor or not timestep.is_floating_point():
            return self._step(output, timestep, sample, generator, return_dict)
        plan = run.plan if run.first == 0 else run.variants.running(run.recipe, run.first)
        state = State(sample, memory, row - run.first)
        noise = drawing.draws(self, plan, state.index, output, generator, None, 1) if run.draws else None
        after = plan.step(state, output, noise)
        run.memory, self._step_index = after.memory, row + 1
        return self._given(plan, state, output, after, return_dict)

    def _traced(
        self, run: Run, output: Any, timestep: Any, sample: Any, return_dict: bool, noise: Any, options: dict[str, Any]
    ) -> Any:
        """A step inside torch.compile. The row is a tensor, so that one graph serves all rows: that of the timestep
        where it has one and nothing is remembered, and else the one after the last, from `set_begin_index` on."""
        wanted = {name: value for name, value in options.items() if name in STEP_OPTIONS}
        if any(value != getattr(run.recipe, name, value) for name, value in wanted.items()):
            raise ScheduleError(f"inside torch.compile a step of {self._peer} has the options of its configuration.")
        looked, run = run.looked, run.below if run.below and options.get("prev_timestep") is None else run
        row = (run.times.to(timestep.device) - timestep.reshape(-1)[0]).abs().argmin() if looked else None
        state, after = run.traced.step(row, sample, output, noise, options)
        return self._given(run.traced.plan, state, output, after, return_dict)

    def _given(self, plan: Plan, state: State[Any], output: torch.Tensor, after: State[Any], return_dict: bool) -> Any:
        """What a step returns, in the dtypes that diffusers has."""
        dtype, wide, found = output.dtype, output.dtype, after.sample
        if state.sample.dtype is not dtype:
            dtype, wide = manners.dtypes(self._peer, state.sample, output)
        given: tuple[Any, ...] = (found if found.dtype is dtype else found.to(dtype),)
        if len(self._names) > 1:
            estimated = self._names[1] != "pred_noised_sample"
            found = plan.denoised(state, output) if estimated else plan.transition(state, output)[0]
            given += (found if found.dtype is wide else found.to(wide),)
        return self._output(*given) if return_dict else given

    def _place(self, run: Run, timestep: Any, options: dict[str, Any]) -> tuple[Plan, int]:
        """The plan and the row of a step."""
        recipe = run.recipe
        if options:
            recipe = with_options(recipe, **{name: value for name, value in options.items() if name in STEP_OPTIONS})
        if self._peer in manners.BY_TIME:
            row = self._looked_up(run, timestep, options.get("prev_timestep"))
            if row is None:
                return self._alone(run, recipe, timestep, options), 0
            if run.below is not None and options.get("prev_timestep") is None:
                return run.below.plan, run.below.told[round(run.plan.timesteps[row])]
            first = row if options.get("old_pred_original_sample", run) is None else 0
            return run.variants.running(recipe, first), row - first
        if self._peer == "PNDMScheduler":
            return run.variants.running(recipe, 0), self.counter
        if self._step_index is None:
            self._init_step_index(timestep)
        row = self._step_index
        if options.get("r_timestep") is not None:
            return self._alone(run, recipe, timestep, options), 0
        if run.memory is None:
            run.first = row if len(run.plan.tableau.registers) > 1 + len(run.plan.inputs) else 0
        return run.variants.running(recipe, run.first), row - run.first

    def _begins_at(self, row: int) -> None:
        """Let a run inside torch.compile begin at a row: a solver that looks back begins anew there."""
        run = self._run
        if run is not None:
            looks_back = row > 0 and len(run.plan.tableau.registers) > 1 + len(run.plan.inputs)
            plan = run.variants.running(run.recipe, row if looks_back else 0)
            run.traced = Traced(plan, torch.tensor(0 if looks_back else row)).like(run.traced)

    def _first_index(self, timestep: Any) -> None:
        """The `_init_step_index` of classes that have none."""
        self._step_index = self.index_for_timestep(timestep) if self._begin_index is None else self._begin_index

    def _looked_up(self, run: Run, timestep: Any, before: Any) -> int | None:
        """The row of a timestep, None if it is not in the schedule. Where loops over `timesteps` give a view of it, its
        place in memory tells, without waiting for a device."""
        if self._peer == "UnCLIPScheduler":  # which is told where each step ends
            row, ends = run.told.get(int(timestep)), run.plan.timesteps
            return row if row is None or before is None or [*ends[row + 1 : row + 2]] == [before] else None
        due = run.row
        if self._peer == "DDPMWuerstchenScheduler":  # whose timesteps are shares, one per sample
            return int(np.abs(run.plan.timesteps - float(timestep.reshape(-1)[0])).argmin())
        if isinstance(timestep, torch.Tensor) and timestep.ndim == 0:
            own = run.times
            if timestep.untyped_storage().data_ptr() == own.untyped_storage().data_ptr():
                return (timestep.storage_offset() - own.storage_offset()) // own.stride(0)
        t = int(timestep)
        return due if due < len(run.plan) and run.plan.timesteps[due] == t else run.told.get(t)

    def _looks_back(self, timestep: Any, options: dict[str, Any]) -> bool:
        """Whether a step of CogVideoX's DPM-Solver has order 2."""
        return options.get("old_pred_original_sample") is not None and self._before(int(timestep)) >= 0

    def _alone(self, run: Run, recipe: Recipe, timestep: Any, options: dict[str, Any]) -> Plan:
        """The plan of one row, between two timesteps that need not be in the schedule."""
        before = options.get("r_timestep")
        if before is None:
            t, before = int(timestep), options.get("prev_timestep")
            if before is None:
                before = t - 1 if self._peer == "UnCLIPScheduler" else self._before(t)
        key = (recipe, float(timestep), float(before))
        if key not in run.alone:
            run.alone[key] = plan_between(recipe, run.plan, key[1:])
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
        return history.registers(self, plan, run.memory, run.shown) if run.shows else run.memory

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
            run.shown = history.show(self, run.shows, plan, after)
