"""Guidance in a part of the run."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from multisched.errors import ScheduleError
from multisched.guidance.base import FIRST, Call, Guidance, Unguided, check_link
from multisched.guidance.level import Level
from multisched.values import check_options


@dataclass(frozen=True, eq=False, repr=False)
class Interval(Guidance):
    """Guidance in a limited interval of noise levels (Kynkaanniemi et al. 2024, arXiv 2404.07724); outside it the
    output stays as the links before have made it, the conditional one for the first. Rows of a plan that lie outside
    call no branch that only this guidance needs.

    Args:
        guidance: what is limited.
        low: where the interval begins; it does not lie in it itself.
        high: where it ends; it lies in it.
        of: what is in the interval: the plan's "sigma", as `plan.sigmas` has it; the "ratio" sigma / alpha, the noise
            level of the paper on any path; or the "progress" of the whole schedule by its steps, from 0 to 1, in
            which whole steps from int(low * steps) to before int(high * steps) are in it, as in diffusers' guiders.

    Raises:
        ScheduleError: if it is no guidance, or the interval is empty.

    Example:
        >>> guidance = ms.guidance.interval(ms.guidance.cfg(3.5), 0.2, 0.8)
        >>> [len(guidance.at(level).branches) for level in ms.guidance.levels(ms.FlowMatchEuler().plan(5))]
        [1, 2, 2, 2, 1]
    """

    guidance: Guidance
    low: float
    high: float
    of: Literal["sigma", "ratio", "progress"] = "sigma"

    name: ClassVar[str] = "interval"

    def __post_init__(self) -> None:
        check_options(self)
        check_link(self.guidance, "an interval limits")
        if not self.low < self.high:
            raise ScheduleError(f"an interval has low < high; given low={self.low!r} and high={self.high!r}.")
        if self.of == "progress" and not 0 <= self.low < self.high <= 1:
            raise ScheduleError(f"progress lies in [0, 1]; given low={self.low!r} and high={self.high!r}.")

    @property
    def branches(self) -> tuple[Any, ...]:
        return tuple(dict.fromkeys((FIRST, *self.guidance.branches)))

    def at(self, level: Level | None) -> Guidance:
        if level is None:
            raise ScheduleError(f"{self!r} depends on the level: give level=, which ms.guidance.levels(plan) has.")
        if not level.hosted:
            return self
        return self.guidance.at(level) if self._inside(level) else Unguided()

    def _inside(self, level: Level) -> Any:
        """Whether a level is in it: a bool, or an array of them."""
        if self.of == "progress":
            return (level.step >= int(self.low * level.steps)) & (level.step < int(self.high * level.steps))
        low, high = self.low, self.high
        if self.of == "ratio":  # without a division, which pure noise does not allow
            return (level.sigma > low * level.alpha) & (level.sigma <= high * level.alpha)
        return (level.sigma > low) & (level.sigma <= high)

    def start(self, sample: Any) -> tuple[Any, ...]:
        return self.guidance.start(sample)

    def numbers(self, level: Level | None) -> tuple[Any, ...]:
        assert level is not None
        return self._inside(level), self.guidance.numbers(level)

    @property
    def kind(self) -> "Interval":
        return replace(self, guidance=self.guidance.kind)

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        inside, inner = numbers
        found, after = self.guidance.combine(call, inner, made, memory)
        where = call.backend.xp.where
        return where(inside, found, made), _chosen(where, inside, after, memory)


def _chosen(where: Any, inside: Any, after: Any, before: Any) -> Any:
    """The memory, in nested tuples, that counts where samples differ in whether they are inside."""
    if isinstance(after, tuple):
        return tuple(_chosen(where, inside, *pair) for pair in zip(after, before, strict=True))
    return where(inside, after, before)


interval = Interval
