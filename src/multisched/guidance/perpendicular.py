"""Perpendicular negative prompts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from multisched.errors import ScheduleError
from multisched.guidance.base import FIRST, Call, Guidance, Scaled
from multisched.guidance.level import Level
from multisched.guidance.vectors import along
from multisched.values import real, shown


@dataclass(frozen=True, eq=False, repr=False)
class Perpendicular(Scaled):
    """Perp-Neg (Armandpour et al. 2023, arXiv 2304.04968): of what a negative prompt says, only what is perpendicular
    to the prompt is taken away.

        d      = conditional - unconditional
        n      = negative - unconditional,   less its part parallel to d
        output = unconditional + scale * (d - weight * n)

    with a sum over several negatives. It is the same for every prediction type, whose differences are proportional.

    Args:
        scale: a number, one for each sample, or a function of the level.
        negative: weight of the branch "negative", or a mapping of the names of several to theirs.

    Raises:
        ScheduleError: if a number is not finite.

    Example:
        >>> ms.guidance.perp_neg(7.5, {"blurry": 0.5, "text": 1.0}).branches
        ('conditional', 'unconditional', 'blurry', 'text')
    """

    negative: Any = 1.0

    name: ClassVar[str] = "perp_neg"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.negative
        if isinstance(given, tuple):
            given = dict(given)
        pairs = tuple(given.items()) if isinstance(given, Mapping) else (("negative", given),)
        weights = tuple((name, real("the weight of a negative", weight)) for name, weight in pairs)
        if not weights or not all(math.isfinite(weight) for _, weight in weights):
            raise ScheduleError(
                f"negative must be a finite weight, or a mapping of names to them; given {shown(given)}."
            )
        object.__setattr__(self, "negative", weights)

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST, "unconditional", *(name for name, _ in self.negative))

    def at(self, level: Level | None) -> Guidance:
        return self

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        scale, unconditional = call.number("scale", numbers[0]), call.outputs["unconditional"]
        difference = call.outputs[FIRST] - unconditional
        made = made + (scale - 1.0) * difference
        for name, weight in self.negative:
            other = call.outputs[name] - unconditional
            made = made - scale * weight * (other - along(call.backend, other, difference))
        return made, memory


perp_neg = Perpendicular
