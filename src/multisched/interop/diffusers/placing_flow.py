"""Where runs of diffusers 0.42.1 stand on the straight path, where its spacings are wrong."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from multisched.interop.diffusers.defects import like
from multisched.interop.diffusers.placing import chain_of, spaced
from multisched.paths.base import Path, Points
from multisched.paths.straight import Straight, shift
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import spacing_of_sigmas
from multisched.schedulers.quirk import Quirk
from multisched.spacings.base import Asked, Chain, DynamicShift, End, Given, Link
from multisched.spacings.change import Respace, RespaceRatios, Shift, Terminal
from multisched.spacings.placement import Even
from multisched.values import count


@dataclass(frozen=True)
class ShiftedEven(Even):
    """Even levels between ends that are shifted already.

    Args:
        factor: of the shift.
    """

    factor: float = 1.0

    def ends(self, bottom: float) -> tuple[float, float]:
        return float(shift(self.top, self.factor)), float(shift(bottom, self.factor))


@dataclass(frozen=True)
class GivenLevels(Given):
    """Reads timesteps as noise levels t / T, decreasing whatever the path passes to the model."""

    def __call__(self, path: Any, asked: Asked, made: Any) -> Points:
        if asked.timesteps is None or asked.ratios is not None:
            return super().__call__(path, asked, made)
        levels = Straight(path.num_train_timesteps).read(asked.timesteps, asked.sigmas, made)
        return levels._replace(times=None)


def _on_given(one: Any) -> Link:
    changed: Link = replace(one, on_given=True)
    return changed


def _double_shift(recipe: Any, parts: Parts) -> Parts:
    moved = recipe.shift != 1 or recipe.use_dynamic_shifting or recipe.shift_terminal is not None
    if not (moved or recipe.invert_sigmas or spacing_of_sigmas(recipe) is not None):
        return parts
    if not recipe.use_dynamic_shifting:
        parts = spaced(parts, Even, lambda one: like(ShiftedEven, one, factor=recipe.shift))
    changed = spaced(parts, (Shift, DynamicShift, Terminal, Respace), _on_given)
    if recipe.invert_sigmas:
        changed = changed._replace(spacing=GivenLevels() | changed.spacing)
    return changed


DOUBLE_SHIFT = Quirk("double_shift", "The shift is applied twice, and to given sigmas too.", _double_shift)


def _shifted_ends(recipe: Any, parts: Parts) -> Parts:
    if recipe.use_dynamic_shifting:
        return parts
    ends = shift(recipe.sigma_max, recipe.shift), shift(1 / recipe.num_train_timesteps, recipe.shift)
    return spaced(parts, Even, lambda one: Even(float(ends[0]), float(ends[1])))


SHIFTED_ENDS = Quirk("shifted_ends", "The shift is applied twice.", _shifted_ends)


@dataclass(frozen=True)
class ForGiven(Link):
    """A link that acts on given lists alone.

    Args:
        inner: the link.
    """

    on_given: ClassVar[bool] = True

    inner: Link

    def acts(self, asked: Asked) -> bool:
        return asked.listed and asked.ratios is None

    def __call__(self, path: Path, asked: Asked, made: Any) -> Any:
        return self.inner(path, asked, made)


def _respaced_given(recipe: Any, parts: Parts, anew: RespaceRatios) -> Parts:
    """Given sigmas are shifted and then spaced anew, as sigmas."""
    inner: list[Link] = [Shift(recipe.flow_shift)]
    inner += [] if recipe.shift_terminal is None else [Terminal(recipe.shift_terminal)]
    given = [ForGiven(one) for one in (*inner, Respace(anew.kind))]
    links = list(parts.spacing.links)
    place = links.index(anew) + 1
    return parts._replace(spacing=Chain((*links[:place], *given, *links[place:])))


def _shift_given(recipe: Any, parts: Parts) -> Parts:
    if not isinstance(parts.path, Straight):
        return parts
    if (anew := chain_of(parts).find(RespaceRatios)) is not None:
        return _respaced_given(recipe, parts, anew)
    changed = spaced(parts, (Shift, DynamicShift, Terminal), _on_given)
    if not hasattr(recipe, "use_flow_sigmas"):
        changed = changed._replace(spacing=GivenLevels() | changed.spacing)
    return changed


SHIFT_GIVEN = Quirk("shift_given", "Given sigmas and timesteps are shifted too.", _shift_given)


@dataclass(frozen=True)
class TinyEnd(End):
    """A run that ends at a tiny sigma, where all of the sample is taken for signal."""

    def level(self, path: Path) -> tuple[float, float]:
        return 1.0, float(self.to)


def _final_sigma(recipe: Any, parts: Parts) -> Parts:
    return spaced(parts, End, lambda one: TinyEnd(1e-8)) if recipe.scheduler_type == "unipc" else parts


FINAL_SIGMA = Quirk("final_sigma", "UniPC ends a run at sigma = 1e-8.", _final_sigma)


@dataclass(frozen=True)
class CountedEven(Even):
    """Even levels for a number of points and not of steps."""

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        return super().__call__(path, asked._replace(n=count("n", asked.n, least=2) - 1), made)


def _count_end(recipe: Any, parts: Parts) -> Parts:
    return spaced(parts, Even, lambda one: like(CountedEven, one))


COUNT_END = Quirk("count_end", "n counts the points of the grid, so that a run has n - 1 steps.", _count_end)
