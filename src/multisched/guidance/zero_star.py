"""CFG-Zero*."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from multisched.errors import ScheduleError
from multisched.guidance.base import FIRST, NO_SAMPLE, Call, Guidance, Scaled, changed, split_numbers
from multisched.guidance.level import Level, On
from multisched.guidance.vectors import dot, ratio


@dataclass(frozen=True, eq=False, repr=False)
class ZeroStar(Scaled):
    """CFG-Zero*, for flow models (Fan et al. 2025, arXiv 2503.18886): the unconditional velocity is projected on, and
    the first steps have the velocity 0.

        s      = <conditional, unconditional> / |unconditional|^2,   of each sample
        output = s * unconditional + scale * (conditional - s * unconditional)

    Args:
        scale: a number, one for each sample, or a function of the level.
        zeros: steps at the start of the schedule whose velocity is 0, and which call the conditional branch alone.
        on: the quantity that the formula is applied to, the velocity in the paper. diffusers' guider takes "output",
            which is the same for models that predict the velocity.

    Raises:
        ScheduleError: if the scale is no finite number, `zeros` negative, or `on` another word.

    Example:
        >>> ms.guidance.cfg_zero_star(4.0, zeros=2)
        cfg_zero_star(4.0, zeros=2)
    """

    zeros: int = 1
    on: On = "velocity"

    name: ClassVar[str] = "cfg_zero_star"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.zeros < 0:
            raise ScheduleError(f"zeros must be a number of steps from 0 on; given {self.zeros!r}.")

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST, "unconditional")

    def at(self, level: Level | None) -> Guidance:
        if level is None and self.zeros:
            raise ScheduleError(f"{self!r} depends on the step: give level=, which ms.guidance.levels(plan) has.")
        if level is not None and self.zeros and level.hosted:
            return Still(self.on) if level.step < self.zeros else super().at(level)
        return self if self.zeros else super().at(level)

    def numbers(self, level: Level | None) -> tuple[Any, ...]:
        """Those of the scale, and, where a level is on the device, whether the velocity is 0."""
        numbers = super().numbers(level)
        if level is None or level.hosted or not self.zeros:
            return numbers
        weights = numbers[1:] or (0.0, 1.0)
        return numbers[0], *weights, level.step < self.zeros

    @property
    def kind(self) -> Self:
        return replace(self, scale=1.0, zeros=0)

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        scale, weights = split_numbers(call, numbers[:3])
        conditional, unconditional = (call.quantity(call.outputs[one], weights) for one in self.branches)
        s = ratio(
            call.backend,
            dot(call.backend, conditional, unconditional),
            dot(call.backend, unconditional, unconditional),
        )
        found = made + changed(call, (scale - 1.0) * (conditional - s * unconditional), weights)
        if len(numbers) == 4:
            found = call.backend.xp.where(numbers[3], still(call, found, weights), found)
        return found, memory


@dataclass(frozen=True, eq=False, repr=False)
class Still(Guidance):
    """The output whose quantity is 0.

    Args:
        on: that quantity.
    """

    on: On = "velocity"

    name: ClassVar[str] = "still"

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST,)

    def numbers(self, level: Level | None) -> tuple[Any, ...]:
        return (0.0, 1.0) if level is None else level.weights(self.on)

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        return still(call, made, (numbers[0], numbers[1])), memory


def still(call: Call, made: Any, weights: tuple[Any, Any]) -> Any:
    """The output whose quantity is 0."""
    u, v = (call.number("a weight", one) for one in weights)
    if isinstance(u, (int, float)) and u == 0:
        return call.backend.xp.zeros_like(made)
    if call.sample is None:
        raise ScheduleError(NO_SAMPLE)
    return -(u / v) * call.sample


cfg_zero_star = ZeroStar
