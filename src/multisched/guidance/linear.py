"""Guidance away from one branch: the same for every prediction type, since its weights sum to 1."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

from multisched.guidance.base import FIRST, Call, Scaled


@dataclass(frozen=True, eq=False, repr=False)
class ClassifierFree(Scaled):
    """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598).

        output = unconditional + scale * (conditional - unconditional)

    The "unconditional" branch may as well be given a negative prompt.

    Args:
        scale: 1 is no guidance; a number, one for each sample, or a function of the level.
        original: whether the scale counts as in the paper, from the conditional output, so that 0 is no guidance:
            output = conditional + scale * (conditional - unconditional).

    Raises:
        ScheduleError: if the scale is no finite number, or not one for each sample.

    Example:
        >>> ms.guidance.interval(ms.guidance.cfg(3.5), 0.2, 0.8) | ms.guidance.rescale(0.7)
        interval(cfg(3.5), low=0.2, high=0.8) | rescale(0.7)
    """

    original: bool = False

    name: ClassVar[str] = "cfg"

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST, "unconditional")

    @property
    def _none(self) -> float:
        return 0.0 if self.original else 1.0

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        scale = call.number("scale", numbers[0]) - self._none
        return made + scale * (call.outputs[FIRST] - call.outputs["unconditional"]), memory


@dataclass(frozen=True, eq=False, repr=False)
class Autoguidance(Scaled):
    """Guidance by a weaker version of the model (Karras et al. 2024, arXiv 2406.02507).

        output = weak + scale * (conditional - weak)

    Args:
        scale: 1 is no guidance; a number, one for each sample, or a function of the level.
        branch: name of the weak model's branch. `ms.sample(..., models={"weak": other})` says which model it is.

    Raises:
        ScheduleError: as `cfg`.

    Example:
        >>> plan, noise = ms.FlowMatchEuler().plan(4), np.ones((1, 2))
        >>> models = {"conditional": lambda x, t: 0.9 * x, "weak": lambda x, t: 0.8 * x}
        >>> guided = ms.sample(None, plan, noise, guidance=ms.guidance.autoguidance(2.0), models=models)
        >>> bool(np.allclose(guided, ms.sample(lambda x, t: 1.0 * x, plan, noise)))
        True
    """

    branch: Hashable = "weak"

    name: ClassVar[str] = "autoguidance"

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST, self.branch)

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        scale = call.number("scale", numbers[0]) - 1.0
        return made + scale * (call.outputs[FIRST] - call.outputs[self.branch]), memory


@dataclass(frozen=True, eq=False, repr=False)
class Perturbed(Scaled):
    """Guidance away from a perturbed pass of the model: with identity for its attention (perturbed-attention guidance,
    Ahn et al. 2024, arXiv 2403.17377), blurred attention (SEG) or layers left out (SLG, STG).

        output = output so far + scale * (conditional - perturbed)

    The branch's condition, or its model, says how the pass is perturbed. Several of them, and `cfg`, may be joined:
    `cfg(5.0) | perturbed_attention(3.0) | perturbed_attention(2.0, branch="skipped")`.

    Args:
        scale: 0 is no guidance; a number, one for each sample, or a function of the level.
        branch: name of the perturbed branch.

    Raises:
        ScheduleError: as `cfg`.

    Example:
        >>> plan, noise = ms.FlowMatchEuler().plan(4), np.ones((1, 2))
        >>> models = {"conditional": lambda x, t: 0.9 * x, "perturbed": lambda x, t: 0.8 * x}
        >>> guided = ms.sample(None, plan, noise, guidance=ms.guidance.perturbed_attention(1.0), models=models)
        >>> bool(np.allclose(guided, ms.sample(lambda x, t: 1.0 * x, plan, noise)))
        True
    """

    branch: Hashable = "perturbed"

    name: ClassVar[str] = "perturbed_attention"
    _neutral: ClassVar[float] = 0.0

    @property
    def branches(self) -> tuple[Any, ...]:
        return (FIRST, self.branch)

    def combine(
        self, call: Call, numbers: tuple[Any, ...], made: Any, memory: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        scale = call.number("scale", numbers[0])
        return made + scale * (call.outputs[FIRST] - call.outputs[self.branch]), memory


cfg = ClassifierFree
autoguidance = Autoguidance
perturbed_attention = Perturbed
