"""Any recipe as a scheduler of diffusers, and schedulers put into a pipeline."""

import contextlib
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, FrozenDict, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin, SchedulerOutput

from multisched.errors import ScheduleError
from multisched.interop.diffusers import PEERS, to_diffusers
from multisched.interop.diffusers.face import face_of
from multisched.interop.diffusers.run import listed
from multisched.interop.diffusers.steps import Steps
from multisched.interop.samplers import sampler
from multisched.schedulers import Recipe
from multisched.spacings import DynamicShift
from multisched.values import shown

SAVED = "_multisched"
"""The key of a saved configuration that says which sampler it was, beside those of the class that it is saved as."""
STABLE_DIFFUSION = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
"""What a sampler by name is saved as that has no `like`."""


class RecipeScheduler(Steps, SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """A sampler by name, or any recipe (see `as_scheduler`), with the methods of a scheduler of diffusers.

    A pipeline's own list of sigmas, even from 1 to 1 / n, stands for n steps: so the recipe's spacing is taken.

    It is saved as the scheduler that the model came with, and so is its class called, so that diffusers loads the
    pipeline where we are not; `patch(pipe)` or `from_config` makes it again.

    Args:
        name: of a sampler, see `multisched.sampler`.
        like: the scheduler that the model came with, or its configuration; None for Stable Diffusion's.
        spacing: name of a spacing, see `multisched.sampler`.
        guidance: for "auto", the weight of classifier-free guidance; None where it is not known.
        options: of the solver.

    Raises:
        ScheduleError: if there is no such sampler.

    Example:
        >>> from diffusers import FlowMatchEulerDiscreteScheduler
        >>> theirs = FlowMatchEulerDiscreteScheduler(shift=3.0)
        >>> scheduler = RecipeScheduler("res_multistep", like=theirs, spacing="simple")
        >>> scheduler.set_timesteps(4)
        >>> scheduler.timesteps.tolist()
        [1000.0, 900.0, 750.0, 500.0]
    """

    _peer = "RecipeScheduler"
    _output, _names = SchedulerOutput, ("prev_sample",)
    _compatibles: list[str] = []  # noqa: RUF012  (what diffusers calls it)
    _like: Mapping[str, Any] = {}
    _saved_as: Mapping[str, Any] | None = None
    order = 1
    """Model calls of a step, at most."""

    @register_to_config
    def __init__(
        self,
        name: str,
        like: Any = None,
        spacing: str | None = None,
        guidance: float | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(like, SchedulerMixin):
            like = _trained(like)
            self.register_to_config(like=like)

        def make(calls: int) -> Recipe:
            more: dict[str, Any] = {"calls": calls, "guidance": guidance} if name == "auto" else {}
            return sampler(name, like=None if like is None else dict(like), spacing=spacing, **more, **(options or {}))

        self._set_up(make, {} if like is None else like)
        self._stand_for({**STABLE_DIFFUSION, **({} if like is None else like)})

    def _set_up(self, make: Callable[[int], Recipe], like: Mapping[str, Any]) -> None:
        self._make, self._like = make, {"num_train_timesteps": 1000, **like}
        self.set_timesteps(20)
        self.num_inference_steps = None

    def _stand_for(self, saved: dict[str, Any]) -> None:
        """Be known to pipelines as the class of diffusers that this configuration is of."""
        theirs = getattr(diffusers, saved["_class_name"])
        self.__class__ = _known_as(theirs.__name__)
        self.__dict__["__module__"] = theirs.__module__
        self._saved_as = saved

    @classmethod
    def from_config(cls, config: Any = None, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """The sampler that a configuration was saved of, or one of these arguments by name."""
        kept = dict(config).get(SAVED) if isinstance(config, Mapping) else None
        found = kept["sampler"] if kept else config
        return super().from_config(found, return_unused_kwargs, **kwargs)

    @property
    def config(self) -> FrozenDict:
        """What the scheduler was made of, and the keys of the model's own configuration, which pipelines read."""
        return FrozenDict({**self._like, **self._internal_dict})

    @property
    def recipe(self) -> Recipe:
        return self._run.recipe if self._run is not None else self._make(20)

    @property
    def step_index(self) -> int | None:
        """The row that the next step takes; None before the first."""
        return self._step_index

    @property
    def begin_index(self) -> int | None:
        """The row that a run begins at, see `set_begin_index`."""
        return self._begin_index

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Begin the run at a row, for image to image."""
        self._begin_index = begin_index
        self._run.begin(begin_index, self._run.traced)

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: Any = None,
        sigmas: Any = None,
        mu: float | None = None,
    ) -> None:
        """Plan a run.

        Args:
            num_inference_steps: number of steps.
            device: of `timesteps`.
            timesteps, sigmas, mu: see `Recipe.plan`.

        Raises:
            ScheduleError: if they make no plan.
        """
        if timesteps is None and sigmas is not None:
            values = np.asarray(sigmas, dtype=np.float64)
            n = values.size
            if np.allclose(values, np.linspace(1, 1 / n, n), rtol=0, atol=1e-4):
                sigmas, num_inference_steps = None, n
        lists = {name: value for name, value in (("timesteps", timesteps), ("sigmas", sigmas)) if value is not None}
        steps = num_inference_steps if not lists else len(next(iter(lists.values())))
        recipe = self._make(20 if steps is None else int(steps))
        if mu is not None and any(isinstance(one, DynamicShift) for one in recipe.parts().spacing.links):
            lists["mu"] = mu
        self._run = self._run_of(recipe, num_inference_steps, lists)
        plan = self._run.plan
        self.timesteps = torch.tensor(plan.timesteps, dtype=torch.float32, device=device)
        self.sigmas = torch.tensor([*plan.rows.sigma[:, 0], plan.sigmas[-1]], dtype=torch.float32)
        self.order = max(plan.stages, default=0) + 1
        self.init_noise_sigma = float(plan.grid.init_noise_sigma)
        self.num_inference_steps = len(plan.grid)
        self._step_index = self._begin_index = None
        self._run.times = self.timesteps

    def index_for_timestep(self, timestep: Any) -> int:
        """The first row that begins a step at a timestep, or the one nearest to it."""
        starts = [row for row, stage in enumerate(self._run.plan.stages) if stage == 0]
        return min(starts, key=lambda row: abs(float(self._run.plan.timesteps[row]) - float(timestep)))

    _init_step_index = Steps._first_index

    def scale_model_input(self, sample: torch.Tensor, timestep: Any = None) -> torch.Tensor:
        """What the model is given of a sample; the sample itself on most paths."""
        if self._step_index is None:
            self._init_step_index(timestep)
        return sample * float(self._run.plan.rows.scale[min(self._step_index, len(self._run.plan) - 1), 0])

    def step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        generator: Any = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[torch.Tensor]:
        """A row of the plan, see `Plan.step`.

        Args:
            model_output: (samples, ...).
            timestep: one of `timesteps`, read in the first call of a run alone.
            sample: shaped as the output.
            generator: of the noise of stochastic rows; torch's own by default.
            return_dict: whether an object with `prev_sample` is returned, or a tuple.
        """
        return self._step(model_output, timestep, sample, generator, return_dict)

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: Any) -> torch.Tensor:
        """The forward process, at rows of the plan."""
        rows, like = self._run.plan.rows, original_samples
        begun = self._step_index if self._step_index is not None else self._begin_index
        found = [self.index_for_timestep(t) if begun is None else begun for t in torch.as_tensor(timesteps).reshape(-1)]
        shape = (-1, *(1,) * (like.ndim - 1))
        alpha, sigma = (
            torch.tensor(one[found, 0], dtype=torch.float32).to(like.device, like.dtype).reshape(shape)
            for one in (rows.alpha, rows.sigma)
        )
        return alpha * like + sigma * noise

    def scale_noise(self, sample: torch.Tensor, timestep: Any, noise: torch.Tensor) -> torch.Tensor:
        """The same, as pipelines of flows call it."""
        return self.add_noise(sample, noise, timestep)

    def save_config(self, *args: Any, **kwargs: Any) -> None:
        if self._saved_as is None:  # before a folder is made
            raise ScheduleError(
                "a scheduler made of a recipe that is no class of diffusers has no configuration to save; make it by "
                "name, such as RecipeScheduler('dpmpp_2m', like=pipe.scheduler), or pickle the recipe."
            )
        super().save_config(*args, **kwargs)

    def to_json_string(self) -> str:
        """The configuration of the class that this is saved as, with what makes this sampler again."""
        said = {**(self._saved_as or {}), "_diffusers_version": diffusers.__version__}
        named = {key: value for key, value in self._internal_dict.items() if key[0] != "_"}
        if named.get("name") is not None:
            said[SAVED] = {"class": said.get("_class_name"), "sampler": named}
        return json.dumps(said, indent=2, sort_keys=True) + "\n"

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)


def as_scheduler(recipe: Recipe) -> RecipeScheduler:
    """A recipe, with the methods of a scheduler of diffusers.

    Args:
        recipe: any, such as `ms.sampler("res_multistep", like=pipe.scheduler)`.

    Raises:
        ScheduleError: if it is no recipe.

    Example:
        >>> scheduler = as_scheduler(ms.sampler("res_multistep", like=ms.FlowMatchEuler(shift=3.0), spacing="simple"))
        >>> scheduler.set_timesteps(4)
        >>> scheduler.timesteps.tolist()
        [1000.0, 900.0, 750.0, 500.0]
    """
    if not isinstance(recipe, Recipe):
        raise ScheduleError(
            f"as_scheduler takes a recipe, such as ms.FlowMatchEuler(shift=3.0); given {shown(recipe)}."
        )
    made = RecipeScheduler.__new__(RecipeScheduler)
    made.register_to_config()
    numbers = {one.name: getattr(recipe, one.name) for one in fields(recipe)}
    kept = {name: value for name, value in numbers.items() if isinstance(value, (bool, int, float, str))}
    saved = None
    with contextlib.suppress(ScheduleError):  # what diffusers has no class for
        saved = to_diffusers(recipe)
    made._set_up(lambda calls: recipe, kept if saved is None else saved)
    if saved is not None:
        made._stand_for(saved)
    return made


@functools.cache
def _known_as(name: str) -> type[RecipeScheduler]:
    """`RecipeScheduler` under the name of a class of diffusers, which pipelines write into their files."""
    return type(name, (RecipeScheduler,), {"__module__": __name__, "__doc__": RecipeScheduler.__doc__})


def patch(pipe: Any, sampler: Any = None, **options: Any) -> Any:
    """Put one of our schedulers into a pipeline of diffusers, in place.

    Args:
        pipe: a pipeline, whose scheduler says what the model was trained on.
        sampler: None for the sampler that the pipeline was saved with, or the same class of diffusers with our steps;
            the name of another of its classes; the name of a sampler, see `multisched.sampler`, "auto" among them; or a
            recipe.
        options: spacing= and guidance= of a name, and options of the solver; of a class, keys of its configuration.

    Returns:
        The scheduler, which is now `pipe.scheduler`.

    Raises:
        ScheduleError: if there is no such sampler, or the pipeline has no scheduler.

    Example:
        >>> import diffusers
        >>> pipe = diffusers.DDPMPipeline(unet=None, scheduler=diffusers.DDPMScheduler())
        >>> patch(pipe, "dpmpp_2m") is pipe.scheduler, type(pipe.scheduler).__name__
        (True, 'DDPMScheduler')
    """
    theirs = getattr(pipe, "scheduler", None)
    if theirs is None or not hasattr(theirs, "config"):
        raise ScheduleError(f"patch takes a pipeline that has a scheduler; given {shown(pipe)}.")
    like, saved = _trained(theirs), theirs.config.get(SAVED)
    if not isinstance(sampler, Recipe) and "_class_name" not in like:
        raise ScheduleError(
            "the scheduler of this pipeline was made of a recipe that does not say which class the model came with; "
            "put that scheduler back first, or give a recipe."
        )
    if sampler is None and not options and saved and saved["class"] == type(theirs).__name__:
        made: Any = RecipeScheduler(**saved["sampler"])
    elif sampler is None or (isinstance(sampler, str) and sampler in PEERS):
        kind: Any = face_of(sampler or like["_class_name"])
        made = kind.from_config(like, **options)
    elif isinstance(sampler, Recipe):
        made = as_scheduler(sampler)
    else:
        named = {name: options.pop(name) for name in ("spacing", "guidance") if name in options}
        made = RecipeScheduler(sampler, like, **named, options=options)
    pipe.register_modules(scheduler=made)
    return made


def _trained(scheduler: Any) -> dict[str, Any]:
    """The configuration that a model came with."""
    if isinstance(scheduler, RecipeScheduler):
        return dict(scheduler._like)
    return {**listed(scheduler.config), "_class_name": type(scheduler).__name__}
