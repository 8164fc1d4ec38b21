"""Rescaled guidance."""

from dataclasses import dataclass
from typing import Any, ClassVar

from multisched.errors import ScheduleError
from multisched.guidance.base import FIRST, Call, Scaled, changed, split_numbers
from multisched.guidance.level import On
from multisched.guidance.vectors import deviation, ratio


@dataclass(frozen=True, eq=False, repr=False)
class Rescale(Scaled):
    """What the links before have made, brought part of the way to the standard deviation of the conditional output
    (Lin et al. 2023, arXiv 2305.08891, eq. 15 and 16).

        output = share * output * std(conditional) / std(output) + (1 - share) * output

    The deviations are those over each sample.

    Args:
        scale: the paper's phi, in [0, 1]: 0 changes nothing, 1 gives it that deviation, 0.7 is the paper's.
        on: the quantity whose deviation is kept.

    Raises:
        ScheduleError: if the share is outside [0, 1], or `on` another word.

    Example:
        >>> ms.guidance.cfg(7.5) | ms.guidance.rescale(0.7)
        cfg(7.5) | rescale(0.7)
    """

    on: On = "output"

    name: ClassVar[str] = "rescale"
    _neutral: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.scale, (float, tuple)):
            numbers = self.scale if isinstance(self.scale, tuple) else (self.scale,)
            if not all(0 <= one <= 1 for one in numbers):
                raise ScheduleError(f"the share of rescale(...) must be in [0, 1]; given {self.scale!r}.")

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST,)

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        share, weights = split_numbers(call, numbers)
        q, of = call.quantity(made, weights), call.quantity(call.outputs[FIRST], weights)
        factor = ratio(call.backend, deviation(call.backend, of), deviation(call.backend, q), 1.0)
        return made + changed(call, share * (factor - 1.0) * q, weights), memory


rescale = Rescale
