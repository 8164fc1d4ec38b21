"""diffusers' scheduler classes, whose steps are rows of our plans.

Each class is a subclass of diffusers' own, made by `face_of`. All that is not the arithmetic of a step stays theirs:
the configuration, saving and loading, signatures, timesteps, sigmas, the forward process, and the errors.
"""

import functools
import inspect
from dataclasses import fields
from operator import attrgetter
from typing import Any, get_args, get_type_hints

import diffusers
from diffusers.schedulers import deprecated, scheduling_consistency_decoder
from diffusers.utils import BaseOutput

from multisched.interop.diffusers import PEERS
from multisched.interop.diffusers.manners import GIVEN, UNLIKE
from multisched.interop.diffusers.steps import Steps


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
    if hasattr(theirs, "set_begin_index") and name not in UNLIKE:
        own["set_begin_index"] = _set_begin_index(theirs)
    if not hasattr(theirs, "_init_step_index"):
        own["_init_step_index"] = getattr(theirs, "_step_index_for", Steps._first_index)
    if name == "PNDMScheduler":
        own["_step_index"] = property(attrgetter("counter"), _set_counter)
    own["__doc__"] = f"diffusers' {name}, whose steps are rows of our plans."
    own["__new__"] = _as_theirs
    if name not in UNLIKE:
        own |= {"set_timesteps": _set_timesteps(theirs), "step": _stepping(theirs)}
        own["_output"] = _output_of(theirs)
        own["_names"] = tuple(one.name for one in fields(own["_output"]) if one.name in GIVEN)
    return type(name, (Steps, theirs), own)


def _as_theirs(kind: Any, *_: Any, **__: Any) -> Any:
    """An object that a saved pipeline names as one of diffusers, which load it without us."""
    made = object.__new__(kind)
    made.__dict__["__module__"] = kind._theirs.__module__
    return made


def _set_counter(self: Any, row: int) -> None:
    """PNDM's counter is the row of its next step."""
    self.counter = row


def _first_of_two(self: Any) -> bool:
    """Whether the next call is the first of its step."""
    stages = self._run.plan.stages if self._running() else ()
    return self._step_index is None or not any(stages[self._step_index : self._step_index + 1])


def _set_timesteps(theirs: Any) -> Any:
    signature = inspect.signature(theirs.set_timesteps)

    @functools.wraps(theirs.set_timesteps)
    def set_timesteps(self: Any, *args: Any, **kwargs: Any) -> None:
        theirs.set_timesteps(self, *args, **kwargs)
        self._running(signature.bind(self, *args, **kwargs).arguments)

    return set_timesteps


def _set_begin_index(theirs: Any) -> Any:
    @functools.wraps(theirs.set_begin_index)
    def set_begin_index(self: Any, begin_index: int = 0) -> None:
        theirs.set_begin_index(self, begin_index)
        if self._run is not None:
            self._run.begin(begin_index, self._run.traced)

    return set_begin_index


def _stepping(theirs: Any) -> Any:
    signature = inspect.signature(theirs.step)
    plain = [*signature.parameters][1:4] == ["model_output", "timestep", "sample"]

    @functools.wraps(theirs.step)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if len(args) > 3 or not plain:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            args, kwargs = (), {name: value for name, value in bound.arguments.items() if name != "self"}
        found = self._step(*args, **kwargs)
        return theirs.step(self, *args, **kwargs) if found is NotImplemented else found

    return step


def _output_of(theirs: Any) -> type[BaseOutput]:
    """The class of what a step returns."""
    kinds = get_args(get_type_hints(theirs.step)["return"])
    return next(one for one in kinds if isinstance(one, type) and issubclass(one, BaseOutput))
