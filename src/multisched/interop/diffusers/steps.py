"""The step that our classes have in place of diffusers' own: a row of a plan.

A timestep is read where diffusers reads it: once a run for classes that count their calls, and not at all where the
loop gives views of `timesteps`; so no step waits for a device.
"""

import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.utils import BaseOutput
from torch.compiler import is_compiling as compiling

from multisched.errors import ScheduleError
from multisched.interop.diffusers import drawing, from_diffusers, history, manners
from multisched.interop.diffusers.run import Run, host, is_whole, listed, moves, plan_between, with_options
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
    _run: Any = None
    """A `Run`; None before `set_timesteps`."""
    _refused: bool = False
    _read: tuple[Any, ...] = (None, None, None)
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
        if self._read[0] is not config or self._read[1] != shift:
            said = listed(config)
            if self._peer.startswith(manners.CUTS):
                said.pop("variance_type", None)
            found = from_diffusers({**said, "_class_name": self._peer}, strict=False)
            if shift is not None and getattr(found, "shift", shift) != shift:
                found = with_options(found, shift=shift)
            self._read = config, shift, found
        return self._read[2]

    def _begin(self, asked: Mapping[str, Any]) -> None:
        """Make the plan of what `set_timesteps` was given."""
        recipe, known = self.recipe, {one.name for one in fields(self.recipe)} - {"num_train_timesteps"}
        given = {manners.RENAMED.get(name, name): value for name, value in asked.items() if value is not None}
        options = {name: value for name, value in given.items() if name in known} | manners.FIXED.get(self._peer, {})
        recipe = replace(recipe, **options) if options else recipe
        lists: dict[str, Any] = {name: host(given[name]) for name in ("timesteps", "sigmas") if name in given}
        if "mu" in given and getattr(recipe, "use_dynamic_shifting", False):
            lists["mu"] = given["mu"]
        self._run = self._run_of(recipe, given.get("num_inference_steps"), lists)
        if self._peer == "UnCLIPScheduler":
            self._run.below = self._run_of(recipe, self.config.num_train_timesteps, {})

    def _run_of(self, recipe: Recipe, n: int | None, lists: dict[str, Any]) -> Run:
        """A run of n steps, or over the lists where there are any."""
        n = None if lists.keys() - {"mu"} else n
        plan = plan_of(recipe, n, lists)
        plan.warm()
        times = self.__dict__.get("timesteps")
        if times is None or len(times) != len(plan):
            times = torch.tensor(plan.timesteps)
        run = Run(recipe, Variants(recipe, plan, n, lists), plan, times)
        run.memory = () if len(plan.tableau.registers) == 1 else None
        learned = self._peer.startswith(manners.CUTS) and self._internal_dict.get("variance_type") in manners.LEARNED
        run.reads = manners.without_variance if learned else manners.PARTS.get(self._peer)
        run.looked = self._peer in manners.BY_TIME or (run.memory == () and not any(plan.stages))
        run.shows = manners.HISTORY & self.__dict__.keys()
        run.plain = not (self._peer in manners.BY_TIME or run.shows)
        run.begin(0, self._run and self._run.traced)
        return run

    def _running(self, asked: Mapping[str, Any] | None = None) -> bool:
        """Whether there is a plan of what was asked, the training schedule if nothing was. A configuration that makes
        none is stepped through by diffusers, with a warning.
        """
        if asked or (self._run is None and not self._refused):
            self._refused = False
            try:
                self._begin(asked or {"num_inference_steps": self.config.num_train_timesteps})
            except ScheduleError as error:
                self._run, self._refused = None, True
                warnings.warn(f"{self._peer} takes diffusers' own steps, since it has no plan: {error}", UserWarning, 3)
        return not self._refused

    def _left(self, timestep: Any, options: dict[str, Any]) -> bool:
        """Whether a step is left to diffusers."""
        if self._run is None and not self._running():
            return True
        run = self._run
        for name, usual in manners.AWAY.items():
            given = options.get(name, usual)
            if given is not usual and (name != "r_timestep" or not moves(timestep, given)):
                if run.memory:
                    raise ScheduleError(manners.ONE_ORDER.format(self._peer, given, usual))
                run.left = name == "order"
                return True
        if self._peer == "PNDMScheduler" and self.counter == 0 and not compiling():
            run.left = bool(timestep != self.timesteps[0])
        return run.left

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
        """What a step returns; NotImplemented if it is left to diffusers."""
        run = self._run
        if (run is None or run.memory is None or options) and self._left(timestep, options):
            return NotImplemented
        if self._peer in manners.NO_INTEGERS and is_whole(timestep):
            raise ValueError(
                f"{self._peer}.step takes one of scheduler.timesteps; given the integer {int(timestep)}, which looks "
                "like the number of the step."
            )
        run = self._run
        if run.below is not None and options.get("prev_timestep") is None:
            run = run.below
        if run.reads is not None:
            model_output = run.reads(model_output, sample)
        if compiling():
            return self._traced(run, model_output, timestep, sample, return_dict, variance_noise, options)
        if options or run.memory is None or not run.plain or self._step_index is None:
            plan, row = self._place(run, timestep, options)
            memory = self._remembered(run, plan, sample, options)
        else:
            plan, row, memory = run.variants.running(run.recipe, run.first), self._step_index - run.first, run.memory
        state, noise = State(sample, memory, row), None
        if plan.noise_draws:
            noise = drawing.draws(self, plan, row, model_output, generator, variance_noise)
        after = plan.step(state, model_output, noise)
        run.memory = after.memory
        if self._peer not in manners.BY_TIME:
            self._step_index += 1
        if run.shows:
            run.shown = history.show(self, run.shows, plan, after)
        return self._given(plan, state, model_output, after, return_dict)

    def _traced(
        self, run: Run, output: Any, timestep: Any, sample: Any, return_dict: bool, noise: Any, options: dict[str, Any]
    ) -> Any:
        """A step inside torch.compile. The row is a tensor, so that one graph serves all rows: that of the timestep
        where it has one and nothing is remembered, and else the one after the last, from `set_begin_index` on."""
        wanted = {name: value for name, value in options.items() if name in STEP_OPTIONS}
        if any(value != getattr(run.recipe, name, value) for name, value in wanted.items()):
            raise ScheduleError(f"inside torch.compile a step of {self._peer} has the options of its configuration.")
        row = (run.times.to(timestep.device) - timestep.reshape(-1)[0]).abs().argmin() if run.looked else None
        state, after = run.traced.step(row, sample, output, noise, options)
        return self._given(run.traced.plan, state, output, after, return_dict)

    def _given(self, plan: Plan, state: State[Any], output: torch.Tensor, after: State[Any], return_dict: bool) -> Any:
        """What a step returns, in the dtypes that diffusers has."""
        given: tuple[Any, ...] = (after.sample,)
        if len(self._names) > 1:
            estimated = self._names[1] != "pred_noised_sample"
            given += (plan.denoised(state, output) if estimated else plan.transition(state, output)[0],)
        if state.sample.dtype is not output.dtype:
            dtypes = manners.dtypes(self._peer, state.sample, output)
            given = tuple(one.to(dtype) for one, dtype in zip(given, dtypes, strict=False))
        return self._output(*given) if return_dict else given

    def _place(self, run: Run, timestep: Any, options: dict[str, Any]) -> tuple[Plan, int]:
        """The plan and the row of a step."""
        recipe = run.recipe
        if options:
            recipe = with_options(recipe, **{name: value for name, value in options.items() if name in STEP_OPTIONS})
        if self._peer in manners.BY_TIME:
            row, before = self._looked_up(run, timestep), options.get("prev_timestep")
            if row is None or (before is not None and [*run.plan.timesteps[row + 1 : row + 2]] != [before]):
                return self._alone(run, recipe, timestep, before), 0
            first = row if options.get("old_pred_original_sample", run) is None else 0
            return run.variants.running(recipe, first), row - first
        if self._step_index is None:
            self._init_step_index(timestep)
        if options.get("r_timestep") is not None:
            return self._alone(run, recipe, timestep, options["r_timestep"]), 0
        row = self._step_index
        if run.memory is None:
            run.first = run.variants.first(row)
        return run.variants.running(recipe, run.first), row - run.first

    def _first_index(self, timestep: Any) -> None:
        """The `_init_step_index` of classes that have none."""
        self._step_index = self.index_for_timestep(timestep) if self._begin_index is None else self._begin_index

    def _looked_up(self, run: Run, timestep: Any) -> int | None:
        """The row of a timestep, None if it is not in the schedule. Where loops over `timesteps` give a view of it, its
        place in memory tells, without waiting for a device."""
        if self._peer == "DDPMWuerstchenScheduler":  # whose timesteps are shares, one per sample
            return int(np.abs(run.plan.timesteps - float(timestep.reshape(-1)[0])).argmin())
        if isinstance(timestep, torch.Tensor) and timestep.ndim == 0:
            own = run.times
            if timestep.untyped_storage().data_ptr() == own.untyped_storage().data_ptr():
                return (timestep.storage_offset() - own.storage_offset()) // own.stride(0)
        return run.told.get(int(timestep))

    def _alone(self, run: Run, recipe: Recipe, timestep: Any, before: Any) -> Plan:
        """The plan of one row, between two timesteps that need not be in the schedule."""
        if before is None:
            before = self._before(int(timestep))
        key = (recipe, float(timestep), float(before))
        if key not in run.alone:
            run.alone[key] = plan_between(recipe, run.plan, key[1:])
        return run.alone[key]

    def _before(self, t: int) -> int:
        if hasattr(self, "previous_timestep"):
            return int(self.previous_timestep(t))
        return t - self.config.num_train_timesteps // (self.num_inference_steps or self.config.num_train_timesteps)

    def _remembered(self, run: Run, plan: Plan, sample: torch.Tensor, options: dict[str, Any]) -> tuple[Any, ...]:
        """The registers of the solver, with what callers changed of the history."""
        old = options.get("old_pred_original_sample")
        if old is not None:
            return (old,)
        if run.memory is None or plan.inputs or len(run.memory) != len(plan.tableau.registers) - 1:
            inputs = {name: options[key] for name, key in manners.INPUTS.items() if name in plan.inputs}
            return plan.start(sample, **inputs).memory
        return history.registers(self, plan, run.memory, run.shown) if run.shows else run.memory
