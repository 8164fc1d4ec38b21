"""Adaptive projected guidance."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from multisched import backends
from multisched.errors import ScheduleError
from multisched.guidance import scales
from multisched.guidance.base import FIRST, Call, Guidance, Scaled, changed, split_numbers
from multisched.guidance.level import Level, On
from multisched.guidance.vectors import along, norm, ratio
from multisched.values import count


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


@dataclass(frozen=True, eq=False, repr=False)
class AdaptiveProjectedMix(AdaptiveProjected):
    """Classifier-free guidance in the first steps, `apg` in the others, as HunyuanImage 2.1 is sampled. There is no
    paper of the mixture; its halves are those of arXiv 2207.12598 and 2410.02416.

        step < steps    output = unconditional + first * (conditional - unconditional)
        later           that of `apg`

    The memory of `apg` gathers d from the first step on. The defaults are those of diffusers' guider.

    Args:
        scale: of `apg`: a number, one for each sample, or a function of the level.
        first: the scale of the first steps, likewise.
        steps: how many they are, counted in the whole schedule; 0 for `apg` alone.
        eta: how much is kept of the parallel part; 1 is all.
        threshold: the longest d that is applied, per sample; inf for no limit. The memory keeps the whole of it.
        momentum: negative, to push away from the change before; 0 for no memory.
        on: the quantity that `apg` is applied to.
        base: where its change starts: "unconditional" for unconditional + scale * change, or "conditional".

    Raises:
        ScheduleError: if a number is not finite, the threshold not positive, `steps` negative, or a word another one.

    Example:
        >>> ms.guidance.apg_mix(10.0, first=4.0, steps=8)
        apg_mix(10.0, first=4.0, steps=8)
    """

    scale: scales.Scale = 10.0
    threshold: float = 10.0
    on: On = "output"
    base: Literal["conditional", "unconditional"] = "unconditional"
    first: scales.Scale = 3.5
    steps: int = 6

    name: ClassVar[str] = "apg_mix"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "first", scales.kept("first", self.first))
        object.__setattr__(self, "steps", count("steps", self.steps, least=0))

    def at(self, level: Level | None) -> Guidance:
        """The whole of it, whatever the scales: the memory needs both branches in every row."""
        if level is None:
            raise ScheduleError(f"{self!r} depends on the step: give level=, which ms.guidance.levels(plan) has.")
        return self

    def numbers(self, level: Level | None) -> tuple[Any, ...]:
        """Those of `apg`, the scale of the first steps, and 1 in these or 0."""
        assert level is not None
        left = self.steps - level.step
        early = float(left > 0) if level.hosted else backends.of(left).clip(left, 0.0, 1.0)
        return (*super().numbers(level), scales.at("first", self.first, level), early)

    @property
    def kind(self) -> Self:
        return replace(self, scale=1.0, first=1.0, steps=0)

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        projected, memory = super().combine(call, numbers[:-2], made, memory)
        first, early = call.number("first", numbers[-2]), call.number("a step", numbers[-1])
        plain = made + (first - 1.0) * (call.outputs[FIRST] - call.outputs["unconditional"])
        return early * plain + (1.0 - early) * projected, memory


apg = AdaptiveProjected
apg_mix = AdaptiveProjectedMix
