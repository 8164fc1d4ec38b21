"""What guidance is: a chain of links, each of which changes the output that the links before it have made."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.guidance import scales
from multisched.guidance.level import Level, On
from multisched.values import Value, check_options, shown

FIRST = "conditional"
"""The branch that guidance begins with."""

NO_SAMPLE = "guidance of a quantity other than the output needs the state's sample: give sample=."


class Call(NamedTuple):
    """What is known of a model call, in the dtype of the sums.

    Attributes:
        backend: of the arrays.
        outputs: of the branches, by their names.
        sample: x, or None where it was not given.
    """

    backend: Backend[Any]
    outputs: Mapping[Any, Any]
    sample: Any

    def number(self, name: str, value: Any) -> Any:
        """A number as it goes with the samples."""
        return scales.column(self.backend, name, value, self.outputs[FIRST])

    def quantity(self, output: Any, weights: tuple[Any, Any]) -> Any:
        """u * sample + v * output."""
        u, v = (self.number("a weight", one) for one in weights)
        if isinstance(u, (int, float)) and u == 0:
            return output if isinstance(v, (int, float)) and v == 1 else v * output
        if self.sample is None:
            raise ScheduleError(NO_SAMPLE)
        return u * self.sample + v * output


class Guidance(Value, ABC):
    """A way to make one output of those of several branches of a model. Frozen and hashable; joined by `|`.

    Example:
        >>> import multisched as ms, numpy as np
        >>> guidance = ms.guidance.cfg(3.0) | ms.guidance.rescale(0.7)
        >>> guidance.branches
        ('conditional', 'unconditional')
        >>> ms.guidance.cfg(3.0)({"conditional": np.ones((1, 2)), "unconditional": np.zeros((1, 2))})
        array([[3., 3.]])
    """

    name: ClassVar[str] = ""

    @property
    @abstractmethod
    def branches(self) -> tuple[Any, ...]:
        """The branches of the model that it needs, "conditional" first."""

    def at(self, level: Level | None) -> "Guidance":
        """What counts at a level. What is left out there needs no branches; arrays of a level are not read."""
        return self

    def start(self, sample: Any) -> tuple[Any, ...]:
        """The memory before the first call, for samples like this one; () for most."""
        return ()

    @abstractmethod
    def numbers(self, level: Level | None) -> tuple[Any, ...]:
        """What varies from row to row: floats, or arrays of one for each sample; tuples of them for a chain."""

    @property
    def kind(self) -> Self:
        """What is left of it without its numbers."""
        return self

    @abstractmethod
    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """The output and the memory after it; `made` is the output that the links before have made."""

    def step(
        self, outputs: Mapping[Any, Any], level: Level | None = None, sample: Any = None, memory: tuple[Any, ...] = ()
    ) -> tuple[Any, tuple[Any, ...]]:
        """The guided output, and the memory for the next call. Half precision is widened for the sums.

        Args:
            outputs: of the branches that `at(level)` needs, by their names, each shaped (samples, ...).
            level: where the call stands, one of `levels(plan)`; for guidance that depends on it.
            sample: the state's sample, for guidance of a quantity other than the output.
            memory: what `start` or the step before has returned.

        Raises:
            ScheduleError: if an output, the level, the sample or the memory is missing that it needs.
        """
        here = self.at(level)
        missing = [one for one in here.branches if one not in outputs]
        if missing:
            raise ScheduleError(f"{self!r} needs the output of the branch {shown(missing[0])}; given {[*outputs]!r}.")
        backend, like = backends.of(outputs[FIRST]), outputs[FIRST]
        wide = backend.compute_dtype(like.dtype)
        widened = {name: backend.astype(outputs[name], wide) for name in here.branches}
        x = None if sample is None else backend.astype(sample, wide)
        if not memory and self.start(like):
            raise ScheduleError(f"{self!r} has a memory: begin with memory = guidance.start(sample), and use step().")
        found, memory = here.combine(Call(backend, widened, x), here.numbers(level), widened[FIRST], memory)
        return backend.astype(found, like.dtype), memory

    def __call__(self, outputs: Mapping[Any, Any], level: Level | None = None, sample: Any = None) -> Any:
        """The guided output, of guidance without memory; see `step`."""
        return self.step(outputs, level, sample)[0]

    def __or__(self, other: "Guidance") -> "Chain":
        if not isinstance(other, Guidance):
            return NotImplemented
        return Chain((*links_of(self), *links_of(other)))

    def __repr__(self) -> str:
        given = []
        for number, field in enumerate(fields(self)):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if number == 0 or not _same(value, field.default):
                given.append(repr(value) if number == 0 else f"{field.name}={value!r}")
        return f"{self.name}({', '.join(given)})"


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def links_of(guidance: Guidance) -> tuple[Guidance, ...]:
    """The links of a chain, or the one that it is."""
    return guidance.parts if isinstance(guidance, Chain) else (guidance,)


def check_link(guidance: Any, what: str) -> None:
    """Refuse what cannot be a link.

    Raises:
        ScheduleError: if it is no guidance, or goes around all others.
    """
    if not isinstance(guidance, Guidance):
        raise ScheduleError(f"{what} guidance, such as ms.guidance.cfg(3.5); given {shown(guidance)}.")
    if guidance.name == "cfg_plus_plus":
        raise ScheduleError(
            "cfg_plus_plus(...) goes around other guidance: write cfg_plus_plus(interval(cfg(0.6), ...))."
        )


@dataclass(frozen=True, eq=False, repr=False)
class Chain(Guidance):
    """Links one after the other.

    Args:
        parts: the links.

    Raises:
        ScheduleError: if one of them is no guidance.

    Example:
        >>> chain = ms.guidance.cfg(3.5) | ms.guidance.rescale(0.7)
        >>> isinstance(chain, ms.guidance.Chain), len(chain.parts)
        (True, 2)
    """

    parts: tuple[Guidance, ...]

    def __post_init__(self) -> None:
        for one in self.parts:
            check_link(one, "a chain is made of")

    @property
    def branches(self) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(name for one in self.parts for name in one.branches))

    def at(self, level: Level | None) -> Guidance:
        here = tuple(one.at(level) for one in self.parts)
        alike = all(one is other for one, other in zip(here, self.parts, strict=True))
        return self if alike else Chain(here)  # none is made while torch.compile reads this

    def start(self, sample: Any) -> tuple[Any, ...]:
        memory = tuple(one.start(sample) for one in self.parts)
        return memory if any(memory) else ()

    def numbers(self, level: Level | None) -> tuple[Any, ...]:
        return tuple(one.numbers(level) for one in self.parts)

    @property
    def kind(self) -> "Chain":
        return Chain(tuple(one.kind for one in self.parts))

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        after = []
        for k, one in enumerate(self.parts):
            made, kept = one.combine(call, numbers[k], made, memory[k] if memory else ())
            after.append(kept)
        return made, tuple(after) if memory else ()

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.parts))


@dataclass(frozen=True, eq=False, repr=False)
class Unguided(Guidance):
    """The conditional output as it is. It leaves what other links have made, and their memory, as they are."""

    name: ClassVar[str] = "conditional"

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST,)

    def numbers(self, level: Level | None) -> tuple[Any, ...]:
        return ()

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        return made, memory


@dataclass(frozen=True, eq=False, repr=False)
class Scaled(Guidance):
    """Base of links with a scale, which leave the output as it is where the scale is `_neutral`."""

    scale: scales.Scale

    _neutral: ClassVar[float] = 1.0
    _on: ClassVar[On] = "output"

    def __post_init__(self) -> None:
        check_options(self)
        object.__setattr__(self, "scale", scales.kept("scale", self.scale))

    @property
    def _none(self) -> float:
        """The scale that is no guidance."""
        return self._neutral

    def at(self, level: Level | None) -> Guidance:
        scale = self._scale_at(level)
        off = isinstance(scale, float) and scale == self._none
        return Unguided() if off else self

    def _scale_at(self, level: Level | None) -> Any:
        return scales.at("scale", self.scale, level)

    def numbers(self, level: Level | None) -> tuple[Any, ...]:
        """(scale, the two weights of the quantity), or the scale alone."""
        on = getattr(self, "on", self._on)
        weights = () if on == "output" else _needed(level, on).weights(on)
        return (self._scale_at(level), *weights)

    @property
    def kind(self) -> Self:
        return replace(self, scale=1.0)


def _needed(level: Level | None, on: str) -> Level:
    if level is None:
        raise ScheduleError(f"on={on!r} depends on the level: give level=, which ms.guidance.levels(plan) has.")
    return level


def split_numbers(call: Call, numbers: tuple[Any, ...]) -> tuple[Any, tuple[Any, Any]]:
    """The scale, as it goes with the samples, and the two weights of the quantity."""
    weights = numbers[1:] or (0.0, 1.0)
    return call.number("scale", numbers[0]), (weights[0], weights[1])


def changed(call: Call, change: Any, weights: tuple[Any, Any]) -> Any:
    """The change of the output that changes the quantity by so much."""
    v = call.number("a weight", weights[1])
    return change if isinstance(v, (int, float)) and v == 1 else change / v
