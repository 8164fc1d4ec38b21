"""CFG++, whose other half is the solver `solvers.CFGPlusPlus`."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from multisched.guidance.base import FIRST, Call, Guidance, check_link
from multisched.guidance.level import Level
from multisched.guidance.linear import ClassifierFree


@dataclass(frozen=True, eq=False, repr=False)
class PlusPlus(Guidance):
    """CFG++ (Chung et al. 2024, arXiv 2406.08070, algorithm 2): the plan is given both the guided and the unconditional
    output, one behind the other along the second axis. The plan's solver is `solvers.CFGPlusPlus`.

    Args:
        guidance: that makes the guided output; a number stands for `cfg` of it, which the paper takes from [0, 1].

    Raises:
        ScheduleError: if it is neither.

    Example:
        >>> recipe = ms.Scheduler(ms.paths.Discrete(), "karras", "epsilon", ms.solvers.CFGPlusPlus())
        >>> double = lambda x, t, c: x * c
        >>> noise = ms.noise.normal((2, 3), rng=0)
        >>> conditions = {"conditional": noise, "unconditional": noise}
        >>> guidance = ms.guidance.cfg_plus_plus(0.6)
        >>> ms.sample(double, recipe.plan(4), noise, guidance=guidance, conditions=conditions).shape
        (2, 3)
    """

    guidance: Any

    name: ClassVar[str] = "cfg_plus_plus"

    def __post_init__(self) -> None:
        if not isinstance(self.guidance, Guidance):
            object.__setattr__(self, "guidance", ClassifierFree(self.guidance))
        check_link(self.guidance, "cfg_plus_plus takes")

    @property
    def branches(self) -> tuple[Any, ...]:
        return tuple(dict.fromkeys((FIRST, "unconditional", *self.guidance.branches)))

    def at(self, level: Level | None) -> "PlusPlus":
        return replace(self, guidance=self.guidance.at(level))

    def start(self, sample: Any) -> tuple[Any, ...]:
        memory: tuple[Any, ...] = self.guidance.start(sample)
        return memory

    def numbers(self, level: Level | None) -> tuple[Any, ...]:
        numbers: tuple[Any, ...] = self.guidance.numbers(level)
        return numbers

    @property
    def kind(self) -> "PlusPlus":
        return replace(self, guidance=self.guidance.kind)

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        guided, memory = self.guidance.combine(call, numbers, made, memory)
        return call.backend.xp.concat([guided, call.outputs["unconditional"]], axis=1), memory


cfg_plus_plus = PlusPlus
