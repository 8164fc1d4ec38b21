"""Where runs of diffusers 0.42.1 stand on discrete and variance-exploding paths, where its spacings are wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from multisched import checks, solvers
from multisched.grid import Grid
from multisched.interop.diffusers.defects import like
from multisched.interop.diffusers.solvers import LateRePaint, OwnAdams
from multisched.paths.base import Path, Points
from multisched.paths.straight import Straight
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import spacing_of_sigmas
from multisched.schedulers.quirk import Quirk
from multisched.spacings.base import Asked, Chain, End, Given, Link
from multisched.spacings.change import Respace, Round
from multisched.spacings.direction import Inverse, Jumping
from multisched.spacings.placement import Numbered, Trailing, Trained


def chain_of(parts: Parts) -> Chain:
    """The chain of a recipe's spacing."""
    return Chain(parts.spacing.links)


def spaced(parts: Parts, kind: type[Link] | tuple[type[Link], ...], change: Callable[[Any], Link]) -> Parts:
    """The parts with each link of a kind changed."""
    links = tuple(change(one) if isinstance(one, kind) else one for one in parts.spacing.links)
    return parts._replace(spacing=Chain(links))


@dataclass(frozen=True)
class Stride(Link):
    """Steps that aim T // n timesteps lower than they begin."""

    on_given: ClassVar[bool] = True
    closing: ClassVar[bool] = True

    def __call__(self, path: Path, asked: Asked, made: Grid) -> Grid:
        times, (alpha, sigma) = made.timesteps[:-1], (made.alphas[-1], made.sigmas[-1])
        before = times - path.num_train_timesteps // times.size
        alphas, sigmas = path.levels(np.maximum(np.round(before), 0))
        aims = np.where(before < 0, alpha, alphas), np.where(before < 0, sigma, sigmas)
        return replace(made, next_alphas=aims[0], next_sigmas=aims[1])


def _strided(recipe: Any, parts: Parts) -> Parts:
    links: list[Link] = []
    for one in parts.spacing.links:
        links += [one, Stride()] if isinstance(one, End) else [one]
    changed = parts._replace(spacing=Chain(tuple(links)))
    if isinstance(parts.solver, solvers.Adams):
        changed = changed._replace(solver=like(OwnAdams, parts.solver, strided=True))
    return changed


STRIDE = Quirk("stride", "Steps aim T // n timesteps lower, whatever the spacing is.", _strided, whole=True)


def _last_level(recipe: Any, parts: Parts) -> Parts:
    stays = recipe.use_flow_sigmas or spacing_of_sigmas(recipe) is not None
    if recipe.final_sigmas_type == "zero" or not stays:
        return parts
    return spaced(parts, End, lambda one: End("last", one.prior))


def _cut_times(recipe: Any, parts: Parts) -> Parts:
    cosine = recipe.beta_schedule == "squaredcos_cap_v2" and spacing_of_sigmas(recipe) is not None
    return spaced(parts, Round, lambda one: Round("down")) if cosine else parts


CUT_TIMES = Quirk(
    "cut_times", "Spaced timesteps of the cosine schedule are cut, where those of others are rounded.", _cut_times
)

LAST_LEVEL = Quirk(
    "last_level",
    "With a spacing of sigmas, or flow sigmas, the last step of a run to sigma_min does nothing.",
    _last_level,
)


@dataclass(frozen=True)
class GivenEnd(Given):
    """Reads sigmas whose last is the end of the run, whatever it is."""

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        given = None if asked.sigmas is None else checks.numbers("sigmas", asked.sigmas)
        if given is None or given.size < 2 or asked.timesteps is not None or asked.ratios is not None:
            return super().__call__(path, asked, made)
        return path.read(None, given[:-1], (1.0, -1.0))


@dataclass(frozen=True)
class EndGiven(End):
    """A run that ends at the last of given sigmas."""

    def __call__(self, path: Path, asked: Asked, made: Points) -> Grid:
        given = None if asked.sigmas is None else checks.numbers("sigmas", asked.sigmas)
        if given is None or given.size < 2:
            return super().__call__(path, asked, made)
        return End(float(given[-1]), self.prior)(path, asked, made)


def _sigmas_end(recipe: Any, parts: Parts) -> Parts:
    changed = spaced(parts, End, lambda one: like(EndGiven, one))
    return changed._replace(spacing=GivenEnd() | changed.spacing)


SIGMAS_END = Quirk("sigmas_end", "The last of given sigmas is the end of the run, whatever it is.", _sigmas_end)


@dataclass(frozen=True)
class LogLinear(Link):
    """One level more than steps, even in log(sigma) over the training run, whatever timesteps are given."""

    placing: ClassVar[bool] = True

    def acts(self, asked: Asked) -> bool:
        return asked.sigmas is None and asked.ratios is None

    def __call__(self, path: Any, asked: Asked, made: Any) -> Points:
        n = checks.steps(asked.n) if made is None else path.noise_of(made).size
        respace = Respace("exponential", *path.ends)
        return Points(respace.placed(path, Points(np.zeros(n + 1))))


@dataclass(frozen=True)
class Spare(Link):
    """Ends a run at its last level, and passes to the model the timesteps of another placement.

    Args:
        placed: that placement.
    """

    on_given: ClassVar[bool] = True
    closing: ClassVar[bool] = True

    placed: Numbered

    def acts(self, asked: Asked) -> bool:
        return asked.sigmas is None and asked.ratios is None

    def __call__(self, path: Any, asked: Asked, made: Grid) -> Grid:
        if path.timestep_type == "continuous":
            return made
        n = len(made) - 1
        chosen = (
            self.placed.numbers(path, n)
            if asked.timesteps is None
            else path.read(asked.timesteps, None, path.clean).times
        )
        kept = made.part(0, n)
        end = path.timestep_of(float(kept.alphas[-1]), float(kept.sigmas[-1]))
        scales = path.scale(kept.alphas, kept.sigmas)
        return replace(kept, timesteps=np.append(chosen, end), scales=scales)


def _log_linear(recipe: Any, parts: Parts) -> Parts:
    if recipe.interpolation_type != "log_linear" or spacing_of_sigmas(recipe) is not None:
        return parts
    inner = chain_of(parts).without(Numbered, Respace)
    return parts._replace(spacing=Chain((LogLinear(), *inner.links, Spare(recipe._numbered(whole=False)))))


LOG_LINEAR = Quirk(
    "log_linear", "Log-linear sigmas have one level more, timesteps of another spacing, and no end at 0.", _log_linear
)


@dataclass(frozen=True)
class LateJumping(Jumping):
    """Jumps back whose noise is that of the right number of timesteps, but counted from the last model call and not
    from where the step from it has led."""

    def levels(self, path: Any, made: Grid, walk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        alphas, sigmas = (one.copy() for one in super().levels(path, made, walk))
        after = np.flatnonzero(np.diff(walk) <= 0) + 1
        asked, bars = made.timesteps[walk[after - 1]].astype(int), np.append(1.0, path.alphas_cumprod)
        reached = np.minimum(asked + self.length * (path.num_train_timesteps // len(made)), bars.size - 1)
        alphas[after] = made.next_alphas[walk[after - 1]] * np.sqrt(bars[reached] / bars[asked])
        sigmas[after] = np.sqrt(1 - alphas[after] ** 2)
        return alphas, sigmas


def _late_undo(recipe: Any, parts: Parts) -> Parts:
    changed = spaced(parts, Jumping, lambda one: like(LateJumping, one))
    return changed._replace(solver=like(LateRePaint, parts.solver))


LATE_UNDO = Quirk("late_undo", "A jump back adds the noise of timesteps that are too late.", _late_undo)


@dataclass(frozen=True)
class GivenRamp(Given):
    """Reads sigmas as shares of the way from sigma_max to sigma_min, in the powers 1 / rho of "karras"; of other kinds
    only their number counts."""

    rho: float | None = None

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        if asked.sigmas is None or asked.timesteps is not None or asked.ratios is not None:
            return super().__call__(path, asked, made)
        share, (top, bottom) = checks.numbers("sigmas", asked.sigmas), path.ends
        if self.rho is None:
            return SingleLow()(
                path, Asked(share.size), Respace("exponential")(path, asked, Trained()(path, Asked(share.size), None))
            )
        ends = [sigma ** (1 / self.rho) for sigma in (top, bottom)]
        levels = checks.trimmed(np.interp(share, (0, 1), ends) ** self.rho, 0.0)
        return Points(checks.falling(levels))


@dataclass(frozen=True)
class SingleLow(Link):
    """A run of one step begins at the lowest level."""

    def __call__(self, path: Path, asked: Asked, made: Points) -> Points:
        return Points(np.array([path.ends[1]])) if path.noise_of(made).size == 1 else made


@dataclass(frozen=True)
class WideStart(Link):
    """The first sample of a run of one step is as wide as if it began at the highest level."""

    on_given: ClassVar[bool] = False
    closing: ClassVar[bool] = True

    def __call__(self, path: Path, asked: Asked, made: Grid) -> Grid:
        if len(made) != 1:
            return made
        (top, bottom), prior = path.ends, 1.0 if made.prior is None else made.prior
        return replace(made, prior=float(np.sqrt(prior**2 + top**2 - bottom**2)))


def _edm_grid(recipe: Any, parts: Parts) -> Parts:
    links, exponential = [*parts.spacing.links], recipe.sigma_schedule == "exponential"
    euler = not hasattr(recipe, "solver_order")
    if exponential:
        place = next(k for k, one in enumerate(links) if isinstance(one, End))
        links = [*links[:place], SingleLow(), links[place], WideStart(), *links[place + 1 :]]
    if euler and recipe.final_sigmas_type == "sigma_min":
        links = [End("last", one.prior) if isinstance(one, End) else one for one in links]
    if euler:
        links = [GivenRamp(None if exponential else recipe.rho), *links]
    return parts._replace(spacing=Chain(tuple(links)))


EDM_GRID = Quirk(
    "edm_grid", "Given sigmas, the end of a run and a single step are placed in ways of its own.", _edm_grid
)


@dataclass(frozen=True)
class RepeatedInverse(Inverse):
    """A run to the noise in which "trailing" and sigmas of their own spacing make no point more, so that the last step
    stays where it is."""

    def _stays(self, path: Path) -> bool:
        straight, spaced = isinstance(path, Straight), self.down.find(Respace) is not None
        return straight or spaced or self.down.find(Trailing) is not None

    def _steps(self, path: Path, asked: Asked) -> int:
        if isinstance(path, Straight):
            return checks.steps(asked.n)
        return checks.steps(asked.n, path.num_train_timesteps - (not self._stays(path)))

    def _down(self, path: Path, asked: Asked, n: int, spaced: bool) -> Grid:
        if not self._stays(path):
            return super()._down(path, asked, n, spaced)
        return self.down.grid(path, asked._replace(n=n))


def _inverse_grid(recipe: Any, parts: Parts) -> Parts:
    if recipe.use_flow_sigmas:
        return spaced(parts, End, lambda one: End("last", one.prior))
    return parts._replace(spacing=RepeatedInverse(chain_of(parts)))


INVERSE_GRID = Quirk(
    "inverse_grid", "The last step to the noise may stay where it is, and flow sigmas fall.", _inverse_grid
)
