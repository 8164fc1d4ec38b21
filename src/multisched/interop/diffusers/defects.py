"""The defects of diffusers 0.42.1 as quirks: one sentence and one change of a recipe's parts for each."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from multisched import checks, solvers
from multisched.grid import Grid
from multisched.interop.diffusers.solvers import LateRePaint, StridedAdams, StridedVelocityAdams
from multisched.paths.base import Path, Points
from multisched.paths.exploding import VarianceExploding
from multisched.paths.straight import Straight, shift
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import spacing_of_sigmas
from multisched.schedulers.quirk import Quirk
from multisched.spacings.base import Asked, Chain, DynamicShift, End, Given, Link
from multisched.spacings.change import Respace, RespaceRatios, Shift, Terminal
from multisched.spacings.direction import Inverse, Jumping
from multisched.spacings.placement import Even, Numbered, Trained
from multisched.values import count

Change = Callable[[Any, Parts], Parts]


def _chain(parts: Parts) -> Chain:
    return Chain(parts.spacing.links)


def _spaced(parts: Parts, kind: type[Link], change: Callable[[Any], Link]) -> Parts:
    """The parts with each link of a kind changed."""
    links = tuple(change(one) if isinstance(one, kind) else one for one in parts.spacing.links)
    return parts._replace(spacing=Chain(links))


def _like(kind: type, other: Any, **more: Any) -> Any:
    """A value of a class with the fields of one of its base class."""
    return kind(**{one.name: getattr(other, one.name) for one in fields(other)}, **more)


def _always(recipe: Any) -> bool:
    return True


def _third(recipe: Any) -> bool:
    return bool(recipe.solver_order == 3)


def _sde(recipe: Any) -> bool:
    return bool(recipe.algorithm_type.startswith("sde"))


def _corrected(recipe: Any) -> bool:
    return bool(recipe.correct_steps > 0)


def _silent(recipe: Any) -> bool:
    return bool(recipe.s_noise == 0 and recipe.eta > 0)


@dataclass(frozen=True)
class _Fields:
    """A change of the solver's fields, of recipes for which it makes a difference."""

    changes: tuple[tuple[str, Any], ...]
    when: Callable[[Any], bool]

    def __call__(self, recipe: Any, parts: Parts) -> Parts:
        return parts._replace(solver=replace(parts.solver, **dict(self.changes))) if self.when(recipe) else parts


def _solver(name: str, says: str, when: Callable[[Any], bool] = _always, **changes: Any) -> Quirk:
    """A quirk of the solver's fields."""
    return Quirk(name, says, _Fields(tuple(changes.items()), when), lasting=True)


THIRD_ORDER = _solver(
    "third_order",
    "The third order takes half of m'' in multistep, and p2 - 1 for p2 in sde-dpmsolver++.",
    _third,
    third_order="published",
)
FINAL_NOISE = _solver("final_noise", "The last step adds noise, unless it leaves timestep 0.", final_noise=True)
INDEPENDENT_NOISE = _solver(
    "independent_noise",
    "Each call of a group draws noise of its own, so that the law is less accurate.",
    _sde,
    independent_noise=True,
)
NOISY_END = _solver("noisy_end", "The last step of a short run adds noise.", noisy_end=True)
NORMS = _solver(
    "norms", "Langevin steps take their norms from the whole batch.", _corrected, norms="batch"
)
RESCALED = _solver(
    "rescaled",
    "With s_noise = 0 the sample keeps the signal of a lower level.",
    _silent,
    rescaled=False,
)


def _late_churn(recipe: Any, parts: Parts) -> Parts:
    if not recipe.s_churn > 0:
        return parts
    if isinstance(parts.solver, solvers.Heun):
        return parts._replace(solver=_like(solvers.LateHeun, parts.solver))
    reread = not (hasattr(recipe, "timestep_spacing") and recipe.prediction_type == "v_prediction")
    return parts._replace(solver=_like(solvers.LateEuler, parts.solver, reread=reread))


LATE_CHURN = Quirk(
    "late_churn", "Churn is added after the model's call, at a level that the model has not seen.", _late_churn, True
)


def _blind(recipe: Any, parts: Parts) -> Parts:
    return parts._replace(solver=_like(solvers.BlindAdams, parts.solver))


BLIND_START = Quirk("blind_start", "The first output has no weight, since x0 is taken as 0 at pure noise.", _blind)


def _averaged(recipe: Any, parts: Parts) -> Parts:
    strided = isinstance(parts.solver, StridedAdams)
    kind = StridedVelocityAdams if strided else solvers.VelocityAdams
    velocity = recipe.prediction_type == "v_prediction"
    return parts._replace(solver=_like(kind, parts.solver)) if velocity else parts


AVERAGE_VELOCITY = Quirk("average_velocity", "Outputs of type v are averaged as they are.", _averaged)


def _table_betas(recipe: Any, parts: Parts) -> Parts:
    return parts._replace(solver=_like(solvers.TableDDPM, parts.solver))


TABLE_BETAS = Quirk(
    "table_betas", "Steps of one timestep take betas that are rounded apart from the levels.", _table_betas
)


def _swapped(recipe: Any, parts: Parts) -> Parts:
    swaps = recipe.invert_sigmas and isinstance(parts.solver, solvers.PingPong)
    return parts._replace(solver=solvers.SwappedPingPong()) if swaps else parts


SWAPPED = Quirk("swapped", "With invert_sigmas the data are drawn anew and the noise is kept.", _swapped)


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
        velocity = isinstance(parts.solver, solvers.VelocityAdams)
        kind = StridedVelocityAdams if velocity else StridedAdams
        changed = changed._replace(solver=_like(kind, parts.solver))
    return changed


STRIDE = Quirk("stride", "Steps aim T // n timesteps lower, whatever the spacing is.", _strided)


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
        if asked.timesteps is None:
            return super().__call__(path, asked, made)
        levels = Straight(path.num_train_timesteps).read(asked.timesteps, asked.sigmas, made)
        return levels._replace(times=None)


def _on_given(one: Any) -> Link:
    changed: Link = replace(one, on_given=True)
    return changed


def _double_shift(recipe: Any, parts: Parts) -> Parts:
    if not recipe.use_dynamic_shifting:
        parts = _spaced(parts, Even, lambda one: _like(ShiftedEven, one, factor=recipe.shift))
    changed = _spaced(parts, (Shift, DynamicShift, Terminal, Respace), _on_given)  # type: ignore[arg-type]
    if recipe.invert_sigmas:
        changed = changed._replace(spacing=GivenLevels() | changed.spacing)
    return changed


DOUBLE_SHIFT = Quirk("double_shift", "The shift is applied twice, and to given sigmas too.", _double_shift)


def _shifted_ends(recipe: Any, parts: Parts) -> Parts:
    if recipe.use_dynamic_shifting:
        return parts
    ends = shift(recipe.sigma_max, recipe.shift), shift(1 / recipe.num_train_timesteps, recipe.shift)
    return _spaced(parts, Even, lambda one: Even(float(ends[0]), float(ends[1])))


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


def _respaced_given(recipe: Any, parts: Parts, spaced: RespaceRatios) -> Parts:
    """Given sigmas are shifted and then spaced anew, as sigmas."""
    inner: list[Link] = [Shift(recipe.flow_shift)]
    inner += [] if recipe.shift_terminal is None else [Terminal(recipe.shift_terminal)]
    given = [ForGiven(one) for one in (*inner, Respace(spaced.kind))]
    links = list(parts.spacing.links)
    place = links.index(spaced) + 1
    return parts._replace(spacing=Chain((*links[:place], *given, *links[place:])))


def _shift_given(recipe: Any, parts: Parts) -> Parts:
    if not isinstance(parts.path, Straight):
        return parts
    if (spaced := _chain(parts).find(RespaceRatios)) is not None:
        return _respaced_given(recipe, parts, spaced)
    changed = _spaced(parts, (Shift, DynamicShift, Terminal), _on_given)  # type: ignore[arg-type]
    if not hasattr(recipe, "use_flow_sigmas"):
        changed = changed._replace(spacing=GivenLevels() | changed.spacing)
    return changed


SHIFT_GIVEN = Quirk("shift_given", "Given sigmas and timesteps are shifted too.", _shift_given)


def _last_level(recipe: Any, parts: Parts) -> Parts:
    stays = recipe.use_flow_sigmas or spacing_of_sigmas(recipe) is not None
    if recipe.final_sigmas_type == "zero" or not stays:
        return parts
    return _spaced(parts, End, lambda one: End("last", one.prior))


LAST_LEVEL = Quirk(
    "last_level",
    "With a spacing of sigmas, or flow sigmas, the last step of a run to sigma_min does nothing.",
    _last_level,
)


@dataclass(frozen=True)
class TinyEnd(End):
    """A run that ends at a tiny sigma, where all of the sample is taken for signal."""

    def level(self, path: Path) -> tuple[float, float]:
        return 1.0, float(self.to)


def _final_sigma(recipe: Any, parts: Parts) -> Parts:
    return _spaced(parts, End, lambda one: TinyEnd(1e-8)) if recipe.scheduler_type == "unipc" else parts


FINAL_SIGMA = Quirk("final_sigma", "UniPC ends a run at sigma = 1e-8.", _final_sigma)


@dataclass(frozen=True)
class GivenEnd(Given):
    """Reads sigmas whose last is the end of the run, whatever it is."""

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        given = None if asked.sigmas is None else checks.numbers("sigmas", asked.sigmas)
        if given is None or given.size < 2:
            return super().__call__(path, asked, made)
        checks.one_of(timesteps=asked.timesteps, sigmas=asked.sigmas)
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
    changed = _spaced(parts, End, lambda one: _like(EndGiven, one))
    return changed._replace(spacing=GivenEnd() | changed.spacing)


SIGMAS_END = Quirk("sigmas_end", "The last of given sigmas is the end of the run, whatever it is.", _sigmas_end)


@dataclass(frozen=True)
class LogLinear(Link):
    """One level more than steps, even in log(sigma) over the training run, whatever timesteps are given."""

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
        return Grid(
            np.append(chosen, end),
            kept.alphas,
            kept.sigmas,
            scales=path.scale(kept.alphas, kept.sigmas),
            prior=kept.prior,
            total=kept.total,
        )


def _log_linear(recipe: Any, parts: Parts) -> Parts:
    if recipe.interpolation_type != "log_linear" or spacing_of_sigmas(recipe) is not None:
        return parts
    inner = _chain(parts).without(Numbered, Respace)
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
    changed = _spaced(parts, Jumping, lambda one: _like(LateJumping, one))
    return changed._replace(solver=_like(LateRePaint, parts.solver))


LATE_UNDO = Quirk("late_undo", "A jump back adds the noise of timesteps that are too late.", _late_undo)


def _squared(recipe: Any, parts: Parts) -> Parts:
    return parts._replace(path=VarianceExploding(recipe.sigma_min**2, recipe.sigma_max**2, None, "sigma"))


SQUARED = Quirk("squared", "The noise levels are sigma^2.", _squared)


@dataclass(frozen=True)
class CountedEven(Even):
    """Even levels for a number of points and not of steps."""

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        return super().__call__(path, asked._replace(n=count("n", asked.n, least=2) - 1), made)


def _count_end(recipe: Any, parts: Parts) -> Parts:
    return _spaced(parts, Even, lambda one: _like(CountedEven, one))


COUNT_END = Quirk("count_end", "n counts the points of the grid, so that a run has n - 1 steps.", _count_end)


@dataclass(frozen=True)
class GivenRamp(Given):
    """Reads sigmas as shares of the way from sigma_max to sigma_min, in the powers 1 / rho of "karras"; of other kinds
    only their number counts."""

    rho: float | None = None

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        if asked.sigmas is None:
            return super().__call__(path, asked, made)
        checks.one_of(timesteps=asked.timesteps, sigmas=asked.sigmas)
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
        from multisched.spacings.placement import Trailing

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
        return _spaced(parts, End, lambda one: End("last", one.prior))
    return parts._replace(spacing=RepeatedInverse(_chain(parts)))


INVERSE_GRID = Quirk(
    "inverse_grid", "The last step to the noise may stay where it is, and flow sigmas fall.", _inverse_grid
)
