"""diffusers' scheduler classes, whose steps are rows of our plans.

Each class is a subclass of diffusers' own, made by `face_of`. All that is not the arithmetic of a step stays theirs:
the configuration, saving and loading, signatures, timesteps, sigmas, the forward process, and the errors. Their own
step remains for what is not a row of a plan: see `UNLIKE`.
"""

import copy
import functools
import inspect
import sys
import warnings
from dataclasses import dataclass, field, fields, replace
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.schedulers import deprecated, scheduling_consistency_decoder
from diffusers.schedulers.scheduling_utils import SchedulerOutput
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor

from multisched.errors import ScheduleError
from multisched.interop.diffusers import PEERS, from_diffusers
from multisched.schedulers import Recipe
from multisched.table.plan import Plan
from multisched.table.state import State
from multisched.variants import STEP_OPTIONS, Variants

BY_TIME = {
    "CogVideoXDDIMScheduler",
    "CogVideoXDPMScheduler",
    "ConsistencyDecoderScheduler",
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "RePaintScheduler",
    "UnCLIPScheduler",
}
"""Classes that look each timestep up; the others count their calls."""
LAZY = {
    "ConsistencyDecoderScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DPMSolverSDEScheduler",
    "EDMEulerScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "LCMScheduler",
    "LTXEulerAncestralRFScheduler",
    "ScoreSdeVeScheduler",
    "TCDScheduler",
    "UnCLIPScheduler",
}
"""Classes that draw no noise in a row where it has no weight. The others do, and so move their generator on."""
FLOAT32_NOISE = {
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverMultistepScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "SCMScheduler",
}
"""Classes that draw noise in float32; the others draw it in the dtype of the model's output."""
NO_INTEGERS = {
    "CMStochasticIterativeScheduler",
    "EDMEulerScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
}
"""Classes that refuse integers as timesteps, which are mostly the numbers of the loop."""
CUTS = ("DEISMultistep", "DPMSolver", "EDMDPMSolver", "SASolver", "UniPC")
"""Classes of these names cut a learned variance off the model's output."""
LEARNED = ("learned", "learned_range")
COGVIDEO = "CogVideoXDPMScheduler"
COSINE = {"CosineDPMSolverMultistepScheduler"}
BROWNIAN = COSINE | {"DPMSolverSDEScheduler"}
UNLIKE = {"HeliosDMDScheduler", "KarrasVeScheduler", "RFD4ProteinaScheduler", "ScoreSdeVeScheduler", "ScoreSdeVpScheduler"}
"""Classes whose step is not of one output at one timestep; it stays diffusers' own."""
AWAY = ("per_token_timesteps", "r_timestep")
"""Arguments of a step that lead to levels that are not of the schedule; the step is then diffusers' own, as is that of
a run of PNDM that begins in mid-schedule, where diffusers asks the model beside the levels of the sample."""
RENAMED = {"stage_index": "stage"}
"""Options of a recipe that have another name as an argument of `set_timesteps`."""


ABSOLUTE = {"DPMSolverSinglestepScheduler", "LMSDiscreteScheduler", "PNDMScheduler"}
"""Classes whose run takes the same rows wherever it begins; the others lower the order of its first steps."""
NEWEST = ("before", "before_1", "value_before_1", "first")
"""Registers that hold the value of the last call; those of earlier calls end in 2, 3 and so on."""


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
        shown: the history that the scheduler's attributes had after the last step.
        alone: plans of a single row.
    """

    recipe: Recipe
    variants: Variants
    plan: Plan
    told: dict[int, int]
    first: int = 0
    memory: tuple[torch.Tensor, ...] | None = None
    row: int = 0
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
    _run: Run | None = None
    _refused: bool = False
    _read: tuple[Any, Any, Recipe] | None = None

    @property
    def recipe(self) -> Recipe:
        """The recipe that the configuration says.

        Raises:
            ScheduleError: if it refuses a value.
        """
        config, shift = self._internal_dict, getattr(self, "_shift", None)
        if self._read is None or self._read[0] is not config or self._read[1] != shift:
            said = {key: value for key, value in _plain(config).items() if key != "variance_type" or not self._cuts}
            found = from_diffusers({**said, "_class_name": self._peer}, strict=False)
            if shift is not None and getattr(found, "shift", shift) != shift:
                found = replace(found, shift=shift)
            self._read = config, shift, found
        return self._read[2]

    def _begin(self, num_inference_steps: int | None = None, **asked: Any) -> None:
        """Make the plan of what `set_timesteps` was given."""
        recipe, known = self.recipe, {one.name for one in fields(self.recipe)} - {"num_train_timesteps"}
        options = {RENAMED.get(name, name): value for name, value in asked.items() if value is not None}
        options = {name: value for name, value in options.items() if name in known}
        recipe = replace(recipe, **options) if options else recipe
        lists = {name: _host(asked[name]) for name in ("timesteps", "sigmas") if asked.get(name) is not None}
        n = None if lists else num_inference_steps
        if asked.get("mu") is not None and getattr(recipe, "use_dynamic_shifting", False):
            lists["mu"] = asked["mu"]
        plan = recipe.plan(n, **lists)
        told = {int(t): row for row, t in reversed([*enumerate(plan.timesteps)])} if self._peer in BY_TIME else {}
        self._run = Run(recipe, Variants(recipe, plan, n, lists), plan, told)

    def _running(self, **asked: Any) -> bool:
        """Whether there is a plan of what was asked, the training schedule if nothing was. A configuration that makes
        none is stepped through by diffusers, with a warning.
        """
        if asked or self._run is None and not self._refused:
            self._run, self._refused = None, False
            try:
                self._begin(**(asked or {"num_inference_steps": self.config.num_train_timesteps}))
            except ScheduleError as error:
                self._refused = True
                warnings.warn(f"{self._peer} takes diffusers' own steps, since it has no plan: {error}", UserWarning, 3)
        return not self._refused

    def _left(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a step is left to diffusers."""
        if not self._running() or any(kwargs.get(name) is not None for name in AWAY):
            return True
        if self._peer == "PNDMScheduler" and self.counter == 0:
            timestep = args[1] if len(args) > 1 else kwargs["timestep"]
            self._run.first = int(timestep != self.timesteps[0])
        return self._peer == "PNDMScheduler" and self._run.first > 0

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
        if self._peer in NO_INTEGERS and _integer(timestep):
            raise ValueError(
                f"{self._peer}.step takes one of scheduler.timesteps; given the integer {int(timestep)}, which looks "
                "like the number of the step."
            )
        run = self._run
        if self._cuts and self.config.get("variance_type") in LEARNED:
            model_output = model_output[:, : sample.shape[1]]
        plan, row = self._place(run, timestep, options)
        inputs = {name: options[key] for name, key in INPUTS.items() if name in plan.inputs}
        memory = self._remembered(run, plan, sample, options.get("old_pred_original_sample"), **inputs)
        state = State(sample, memory, row)
        draws = 1 + self._looks_back(timestep, options)  # CogVideoX's class throws the first of two away
        noise = self._noise(plan, row, model_output, generator, variance_noise, draws)
        after = plan.step(state, model_output, noise)
        self._keep(run, plan, row, after)
        found = [self._of(name, plan, state, model_output, after) for name in self._names]
        return self._output(*found) if return_dict else tuple(one for one in found if one is not None)

    def _of(self, name: str, plan: Plan, state: State[Any], output: torch.Tensor, after: State[Any]) -> Any:
        """A field of what a step returns, in the dtype of the model's output."""
        if name == "prev_sample":
            return after.sample.to(output.dtype)
        if name in ("pred_original_sample", "denoised"):
            return plan.denoised(state, output).to(output.dtype)
        return plan.transition(state, output)[0].to(output.dtype)

    def _place(self, run: Run, timestep: Any, options: dict[str, Any]) -> tuple[Plan, int]:
        """The plan and the row of a step."""
        changed = {name: value for name, value in options.items() if name in STEP_OPTIONS}
        recipe = _with(run.recipe, **changed) if changed else run.recipe
        if self._peer in BY_TIME:
            row = self._looked_up(run, timestep, options)
            return (run.variants.running(recipe, 0), row) if row is not None else (self._alone(run, recipe, timestep, options), 0)
        if self._peer == "PNDMScheduler":
            return run.variants.running(recipe, 0), self.counter
        else:
            if self._step_index is None:
                self._find_first(timestep)
            row = self._step_index
        if run.memory is None:
            alike = len(run.plan.tableau.registers) == 1 + len(run.plan.inputs) or self._peer in ABSOLUTE
            run.first = 0 if alike else row
        return run.variants.running(recipe, run.first), row - run.first

    def _find_first(self, timestep: Any) -> None:
        if hasattr(self, "_init_step_index"):
            self._init_step_index(timestep)
        else:
            self._step_index = self.index_for_timestep(timestep) if self._begin_index is None else self._begin_index

    def _looked_up(self, run: Run, timestep: Any, options: dict[str, Any]) -> int | None:
        """The row of a timestep, None if it is not in the schedule. Where loops over `timesteps` give a view of it, its
        place in memory tells, without waiting for a device."""
        if self._peer == "UnCLIPScheduler":
            return None
        if self._peer == COGVIDEO and not self._looks_back(timestep, options):
            return None
        due = run.row
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
            run.alone[key] = recipe.plan(timesteps=[t] if before < 0 else [t, int(before)])
        return run.alone[key]

    def _before(self, t: int) -> int:
        if hasattr(self, "previous_timestep"):
            return int(self.previous_timestep(t))
        return t - self.config.num_train_timesteps // (self.num_inference_steps or self.config.num_train_timesteps)

    def _remembered(self, run: Run, plan: Plan, sample: torch.Tensor, old: Any, **inputs: Any) -> tuple[torch.Tensor, ...]:
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
        values = getattr(self, "model_outputs", None) or getattr(self, "ets", None) or ()
        return (*values, getattr(self, "last_sample", None))

    def _told(self, register: str, kept: torch.Tensor) -> torch.Tensor:
        """A register as the scheduler's attributes have it."""
        *values, last = self._history()
        back = 1 if register in NEWEST else int(register[-1]) if register[-1].isdigit() else 0
        found = last if register == "anchor" else values[-back] if 0 < back <= len(values) else None
        return kept if found is None else found

    def _keep(self, run: Run, plan: Plan, row: int, after: State[Any]) -> None:
        """Note what a step left, and show it as diffusers' classes do."""
        run.memory, run.row = after.memory, (run.row if self._peer not in BY_TIME else after.index)
        if getattr(self, "_step_index", None) is not None and self._peer not in BY_TIME:
            self._step_index += 1
        if self._peer == "PNDMScheduler":
            self.counter += 1
        named = dict(zip(plan.tableau.registers[1:], after.memory, strict=True))
        newest = [named[name] for name in NEWEST if name in named]
        values = newest + [kept for name, kept in named.items() if name[-1:].isdigit() and name not in NEWEST]
        if hasattr(self, "model_outputs"):
            depth = len(self.model_outputs)
            self.model_outputs = ([None] * depth + values[::-1])[-depth:]
        elif hasattr(self, "ets"):
            self.ets = values[::-1]
        if hasattr(self, "last_sample"):
            self.last_sample = named.get("anchor")
        if hasattr(self, "mid_point_sigma") and after.index < len(plan):
            self.mid_point_sigma = plan.rows.sigma[after.index, 0] / plan.rows.alpha[after.index, 0]
        if hasattr(self, "lower_order_nums"):
            self.lower_order_nums = min(self.lower_order_nums + 1, len(values) + 1)
        run.shown = self._history()

    def _noise(
        self, plan: Plan, row: int, output: torch.Tensor, generator: Any, given: torch.Tensor | None, draws: int
    ) -> tuple[torch.Tensor, ...] | None:
        """The draws of a row: from the generator as diffusers draws them, so that it moves on alike."""
        needed = plan.noise_draws > 0 and plan.needs_noise(row)
        if given is not None and plan.noise_draws:
            return (given,) * plan.noise_draws
        if not plan.noise_draws or not needed and self._peer in LAZY:
            return None
        if self._peer in BROWNIAN:
            return (self._brownian(plan, row, output, generator),)
        dtype = torch.float32 if self._peer in FLOAT32_NOISE else output.dtype
        for _ in range(draws):
            draw = randn_tensor(output.shape, generator=generator, device=output.device, dtype=dtype)
        return (draw,) * plan.noise_draws if needed else None

    def _brownian(self, plan: Plan, row: int, output: torch.Tensor, generator: Any) -> torch.Tensor:
        """The increment of diffusers' Brownian tree over a row, between levels in float32 as it has them."""
        if self.noise_sampler is None:
            self.noise_sampler = self._tree(output, generator)
        at, stage = self._step_index, plan.stages[row]
        if self._peer in COSINE:
            return self.noise_sampler(self.sigmas[at], self.sigmas[at + 1])
        begin, end = (self.sigmas[at - stage + k].log().neg() for k in (0, 1))
        end = end if stage else begin + (end - begin) * 0.5
        return self.noise_sampler(begin.neg().exp(), end.neg().exp())

    def _tree(self, output: torch.Tensor, generator: Any) -> Any:
        from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

        if self._peer in COSINE:
            several = isinstance(generator, list)
            seeds = [one.initial_seed() for one in (generator if several else [generator] if generator else [])]
            seed = seeds if several else seeds[0] if seeds else None
            return BrownianTreeNoiseSampler(output, self.config.sigma_min, self.config.sigma_max, seed)
        low, high = self.sigmas[self.sigmas > 0].min().item(), self.sigmas.max().item()
        return BrownianTreeNoiseSampler(output, low, high, self.noise_sampler_seed)


INPUTS = {"original": "original_image", "mask": "mask"}
"""Inputs of a plan, and what `step` calls them."""


@functools.lru_cache(256)
def _with(recipe: Recipe, **options: Any) -> Recipe:
    known = {one.name for one in fields(recipe)}
    return replace(recipe, **{name: value for name, value in options.items() if name in known})


def _integer(timestep: Any) -> bool:
    if isinstance(timestep, torch.Tensor):
        return not timestep.is_floating_point()
    return isinstance(timestep, int)


def _plain(config: Any) -> dict[str, Any]:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in dict(config).items() if k[0] != "_"}


def _host(values: Any) -> np.ndarray:
    """A list of numbers of any kind, as NumPy's."""
    return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float64)


@functools.cache
def face_of(name: str) -> type:
    """Our class in place of diffusers' scheduler of that name.

    Raises:
        AttributeError: if there is none.
    """
    homes = (diffusers, deprecated, scheduling_consistency_decoder)
    theirs = next((getattr(home, name) for home in homes if hasattr(home, name)), None)
    if name not in PEERS or theirs is None:
        raise AttributeError(f"diffusers {diffusers.__version__} has no scheduler {name!r} that is a table of numbers.")
    own: dict[str, Any] = {"__module__": "multisched.interop.diffusers", "_peer": name, "_theirs": theirs}
    if hasattr(theirs, "state_in_first_order"):
        own["state_in_first_order"] = property(_first_of_two)
    own["_cuts"] = name.startswith(CUTS)
    own["__doc__"] = f"diffusers' {name}, whose steps are rows of our plans."
    if name not in UNLIKE:
        own |= {"set_timesteps": _set_timesteps(theirs), "step": _stepping(theirs)}
        own["_output"] = _output_of(theirs)
        own["_names"] = tuple(one.name for one in fields(own["_output"]))
    return type(name, (Steps, theirs), own)


def _first_of_two(self: Any) -> bool:
    """Whether the next call is the first of its step."""
    stages = self._run.plan.stages if self._running() else ()
    return self._step_index is None or not any(stages[self._step_index : self._step_index + 1])


def _set_timesteps(theirs: Any) -> Any:
    signature = inspect.signature(theirs.set_timesteps)

    @functools.wraps(theirs.set_timesteps)
    def set_timesteps(self: Any, *args: Any, **kwargs: Any) -> None:
        theirs.set_timesteps(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs).arguments
        more = bound.pop("kwargs", {})
        bound.pop("self")
        bound.pop("device", None)
        self._running(**bound, **more)

    return set_timesteps


def _stepping(theirs: Any) -> Any:
    signature = inspect.signature(theirs.step)
    plain = [*signature.parameters][1:4] == ["model_output", "timestep", "sample"]

    @functools.wraps(theirs.step)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._left(args, kwargs):
            return theirs.step(self, *args, **kwargs)
        if plain and len(args) <= 3:
            return self._step(*args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        arguments.pop("self")
        return self._step(**arguments)

    return step


def _output_of(theirs: Any) -> type[BaseOutput]:
    """The class of what a step returns."""
    said = str(inspect.signature(theirs.step).return_annotation)
    for name, found in vars(sys.modules[theirs.__module__]).items():
        if isinstance(found, type) and issubclass(found, BaseOutput) and found is not BaseOutput and name in said:
            return found
    return SchedulerOutput
