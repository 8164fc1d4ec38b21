"""Adaptive projected guidance."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from multisched import backends
from multisched.errors import ScheduleError
from multisched.guidance.base import FIRST, Call, Scaled, changed, split_numbers
from multisched.guidance.level import On
from multisched.guidance.vectors import along, norm, ratio


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveProjected(Scaled):
    """Adaptive projected guidance, APG (Sadat et al. 2024, arXiv 2410.02416): the part of the change that is parallel
    to the conditional estimate of x0, which saturates colours, is weakened.

        d      = conditional - unconditional + momentum * d_before
        d'     = d * min(1, threshold / |d|)
        change = d' - (1 - eta) * (part of d' parallel to conditional)
        output = conditional + (scale - 1) * change

    With eta = 1, momentum = 0 and no threshold it is `cfg`.

    Args:
        scale: 1 is no guidance; a number, one for each sample, or a function of the level.
        eta: how much is kept of the parallel part; 1 is all.
        threshold: the longest d, per sample; inf for no limit. It grows with the size of the samples: 15 is used for
            the latents of SDXL.
        momentum: negative, to push away from the change before; 0 for no memory.
        on: the quantity that the formula is applied to, x0 in the paper. diffusers' guider takes "output".
        base: where the change starts: "conditional", or "unconditional" for unconditional + scale * change, as in
            diffusers' guider.

    Raises:
        ScheduleError: if a number is not finite, the threshold not positive, or a word another one.

    Example:
        >>> guided = ms.guidance.apg(4.0, eta=0.0, momentum=0.0)
        >>> guided
        apg(4.0, momentum=0.0)
    """

    eta: float = 0.0
    threshold: float = math.inf
    momentum: float = -0.5
    on: On = "x0"
    base: Literal["conditional", "unconditional"] = "conditional"

    name: ClassVar[str] = "apg"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.eta) and math.isfinite(self.momentum)):
            raise ScheduleError(f"eta and momentum must be finite; given {self.eta!r} and {self.momentum!r}.")
        if not self.threshold > 0:
            raise ScheduleError(f"threshold must be positive, inf for none; given {self.threshold!r}.")

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST, "unconditional")

    def start(self, sample: Any) -> tuple[Any, ...]:
        if not self.momentum:
            return ()
        backend = backends.of(sample)
        return (backend.xp.zeros_like(backend.astype(sample, backend.compute_dtype(sample.dtype))),)

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        scale, weights = split_numbers(call, numbers)
        conditional, unconditional = call.outputs[FIRST], call.outputs["unconditional"]
        change = call.number("a weight", weights[1]) * (conditional - unconditional)
        if memory:
            change = change + self.momentum * memory[0]
            memory = (change,)
        if self.threshold < math.inf:
            size = norm(call.backend, change)
            change = change * ratio(call.backend, call.backend.clip(size, 0.0, self.threshold), size, 1.0)
        change = change - (1.0 - self.eta) * along(call.backend, change, call.quantity(conditional, weights))
        change = changed(call, change, weights)
        if self.base == "unconditional":
            return made + (unconditional - conditional) + scale * change, memory
        return made + (scale - 1.0) * change, memory


apg = AdaptiveProjected
