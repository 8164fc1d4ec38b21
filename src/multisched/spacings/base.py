"""What a spacing is: a chain of small links that place the steps of a run on a path, one after the other."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np

from multisched import checks
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.paths.base import Path, Points
from multisched.values import check_options, real, shown

Found = TypeVar("Found", bound="Link")
TimeShift = Literal["exponential", "linear"]


class Asked(NamedTuple):
    """Which run a plan was asked for, see `Recipe.plan`.

    Attributes:
        n: the number of steps.
        timesteps: given times, decreasing.
        sigmas: given levels, decreasing.
        ratios: given levels sigma / alpha, decreasing.
        mu: the shift of the image's size.

    Example:
        >>> ms.spacings.Asked(n=4)
        Asked(n=4, timesteps=None, sigmas=None, ratios=None, mu=None)
    """

    n: int | None = None
    timesteps: Any = None
    sigmas: Any = None
    ratios: Any = None
    mu: float | None = None

    @property
    def listed(self) -> bool:
        """Whether it is a list of points and not a number of steps."""
        return self.timesteps is not None or self.sigmas is not None or self.ratios is not None


class Spacing(ABC):
    """Where the steps of a run stand on a path; frozen and hashable. Spacings are joined by `|`.

    Example:
        >>> from multisched.spacings import Even, Shift
        >>> ms.FlowMatchEuler().plan(4, spacing=Even(1.0, 0.25) | Shift(3.0)).sigmas.tolist()
        [1.0, 0.9, 0.75, 0.5, 0.0]
    """

    @abstractmethod
    def grid(self, path: Path, asked: Asked) -> Grid:
        """The grid of a run.

        Raises:
            ScheduleError: if the spacing does not fit the path, or what was asked for is not possible.
        """

    @property
    @abstractmethod
    def links(self) -> "tuple[Link, ...]":
        """The links, in order."""

    def check(self, path: Path) -> None:  # noqa: B027 (most have nothing to check)
        """Refuse options that do not fit the path."""

    def __or__(self, other: "Spacing") -> "Chain":
        if not isinstance(other, Spacing):
            return NotImplemented
        return Chain(self.links + other.links)


class Link(Spacing):
    """One rule of a chain.

    Attributes:
        placing: whether it places points. Such a link begins a chain.
        closing: whether it comes after the end, and changes the whole grid.
        replaced: whether, though closing, it goes where a run is given another spacing than the recipe's own.
        on_given: whether it also acts on the lists that a user gives (`timesteps=`, `sigmas=`).

    Example:
        >>> isinstance(ms.spacings.Shift(3.0), ms.spacings.Link)
        True
        >>> print(ms.spacings.Trailing() | ms.spacings.Reversed())
        Trailing(lambda_min=-inf) | Reversed()
    """

    placing: ClassVar[bool] = False
    closing: ClassVar[bool] = False
    replaced: ClassVar[bool] = False
    on_given: ClassVar[bool] = False

    @property
    def links(self) -> "tuple[Link, ...]":
        return (self,)

    def grid(self, path: Path, asked: Asked) -> Grid:
        return Chain((self,)).grid(path, asked)

    def acts(self, asked: Asked) -> bool:
        """Whether it acts in such a run."""
        return not asked.listed or self.on_given

    @abstractmethod
    def __call__(self, path: Path, asked: Asked, made: Any) -> Any:
        """What is made of the points, or of the grid, that the links before have made; None for the first of them."""


@dataclass(frozen=True)
class Chain(Spacing):
    """Links in order: first the one that places points, then those that move them, then the end, then those that change
    the whole grid. Without an `End` a run ends at the clean sample.

    Args:
        parts: the links.

    Raises:
        ScheduleError: if one of them is no link, or they stand in another order.

    Example:
        >>> chain = ms.spacings.Even() | ms.spacings.Shift(3.0)
        >>> print(chain)
        Even(top=1.0, bottom=None, spare=False, last_step=1.0) | Shift(factor=3.0, on_given=False)
        >>> ms.FlowMatchEuler().plan(4, spacing=chain).sigmas.round(3).tolist()
        [1.0, 0.857, 0.601, 0.003, 0.0]
    """

    parts: tuple[Link, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.parts, tuple) or not all(isinstance(one, Link) for one in self.parts):
            raise ScheduleError(f"a chain is made of links, such as ms.spacings.Even(); given {shown(self.parts)}.")
        ordered = [one for one in self.parts if not isinstance(one, Given)]
        for before, after in pairwise(ordered):
            rank = _rank(before)
            if rank > _rank(after) or rank == _rank(after) in (_PLACES, _ENDS):
                raise ScheduleError(
                    f"{shown(after)} cannot follow {shown(before)}: a chain has one link that places points, then "
                    "those that move them, one End, and then those that change the whole grid."
                )

    @property
    def links(self) -> tuple[Link, ...]:
        return self.parts

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.parts))

    def find(self, kind: type[Found]) -> Found | None:
        """The first link of a kind, or None."""
        return next((one for one in self.parts if isinstance(one, kind)), None)

    def without(self, *kinds: type[Link]) -> "Chain":
        """The chain without the links of these kinds."""
        return Chain(tuple(one for one in self.parts if not isinstance(one, kinds)))

    def exchanged(self, kind: type[Link], link: Link) -> "Chain":
        """The chain with another link in place of each of a kind."""
        return Chain(tuple(link if isinstance(one, kind) else one for one in self.parts))

    @property
    def end(self) -> "End":
        """Where its runs end."""
        return self.find(End) or End()

    def check(self, path: Path) -> None:
        for link in self.parts:
            link.check(path)

    def grid(self, path: Path, asked: Asked) -> Grid:
        made: Any = (self.find(Given) or Given())(path, asked, self.end.level(path)) if asked.listed else None
        acting = [one for one in self.parts if one.acts(asked) and not isinstance(one, Given)]
        if asked.mu is not None and not any(isinstance(one, DynamicShift) for one in acting):
            raise ScheduleError(_no_mu(path, asked))
        if not asked.listed:
            checks.one_of(n=asked.n, timesteps=None, sigmas=None)
        for link in acting:
            if made is None and not link.placing:
                break
            if link.closing and isinstance(made, Points):
                made = End()(path, asked, made)
            made = _applied(link, path, asked, made)
        if made is None:
            raise ScheduleError(
                f"the spacing {shown(self)} places no points; begin it with a link that does, such as Even()."
            )
        grid: Grid = made if isinstance(made, Grid) else End()(path, asked, made)
        if asked.listed:
            checks.same_length(asked.n, len(grid))
        return grid


def _applied(link: Link, path: Path, asked: Asked, made: Any) -> Any:
    """What a link makes. One that somebody has written may not look at n itself."""
    if made is not None:
        return link(path, asked, made)
    try:
        placed: Points = link(path, asked, None)
        if 0 in map(np.size, placed):
            checks.steps(asked.n)
        return placed
    except (TypeError, ValueError) as error:
        if not isinstance(error, ScheduleError):
            checks.steps(asked.n)
        raise


_PLACES, _MOVES, _ENDS, _CLOSES = range(4)


def _rank(link: Link) -> int:
    """Where a link stands in a chain."""
    if isinstance(link, End):
        return _ENDS
    return _PLACES if link.placing else _CLOSES if link.closing else _MOVES


def _no_mu(path: Path, asked: Asked) -> str:
    if asked.listed and path.velocity(0.5, 0.5) == (-1.0, 1.0):
        return f"given sigmas and timesteps are taken as they are, so mu={shown(asked.mu)} has no use."
    return f"mu={shown(asked.mu)} has no use: it belongs to flow schedules, where use_dynamic_shifting is on."


@dataclass(frozen=True)
class Given(Link):
    """Reads the lists that a user gives, as the path understands them.

    Example:
        >>> recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.Given(), "flow_prediction", ms.solvers.Euler())
        >>> recipe.plan(sigmas=[1.0, 0.6, 0.1]).sigmas.tolist()
        [1.0, 0.6, 0.1, 0.0]
    """

    on_given: ClassVar[bool] = True

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        if asked.ratios is not None:
            checks.one_of(timesteps=asked.timesteps, sigmas=asked.sigmas, ratios=asked.ratios, mu=asked.mu)
            return path.read_ratios(checks.ratios(asked.ratios), made)
        return path.read(asked.timesteps, asked.sigmas, made)


@dataclass(frozen=True)
class End(Link):
    """Where a run ends.

    Args:
        to: sigma there, 0 for the clean sample; "sigma_min" for the cleanest level that the model is trained on; or
            "last", which stays at the last level.
        prior: weight of unit-variance data in the first sample of a run, see `Grid`; None for that of the path.

    Raises:
        ScheduleError: if `to` is none of these.

    Example:
        >>> chain = ms.spacings.Even(bottom=0.2) | ms.spacings.End("last")
        >>> ms.FlowMatchEuler().plan(3, spacing=chain).sigmas.round(3).tolist()
        [1.0, 0.6, 0.2, 0.2]
    """

    on_given: ClassVar[bool] = True

    to: float | Literal["sigma_min", "last"] = 0.0
    prior: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.to, str):
            checks.option("the end of a run", self.to, ("sigma_min", "last"))
        elif not 0 <= real("the end of a run", self.to) < np.inf:
            raise ScheduleError(f"a run ends at a sigma >= 0, 'sigma_min' or 'last'; given {self.to!r}.")

    def check(self, path: Path) -> None:
        if not isinstance(self.to, str) and self.to >= 1 and path.alpha_of(0.5) != 1:
            raise ScheduleError(f"a run on {type(path).__name__} ends at a sigma in [0, 1); given {self.to!r}.")

    def level(self, path: Path) -> tuple[float, float]:
        """(alpha, sigma) there; of "last", of the clean sample."""
        if isinstance(self.to, str):
            return path.last if self.to == "sigma_min" else path.clean
        return path.clean if self.to == 0 else (path.alpha_of(self.to), self.to)

    def __call__(self, path: Path, asked: Asked, made: Points) -> Grid:
        times, alphas, sigmas = path.resolved(made)
        alpha, sigma = (float(alphas[-1]), float(sigmas[-1])) if self.to == "last" else self.level(path)
        alphas, sigmas = np.append(alphas, alpha), np.append(sigmas, sigma)
        prior = path.prior if self.prior is None else self.prior
        end = path.timestep_of(alpha, sigma)
        return Grid(np.append(times, end), alphas, sigmas, scales=path.scale(alphas, sigmas), prior=prior)


@dataclass(frozen=True)
class DynamicShift(Link):
    """`Shift` by a factor of each run's own, which follows the image size (Esser et al. 2024, arXiv 2403.03206, section
    5.3.2). It alone knows `mu`.

    Args:
        kind: the factor is exp(mu) ("exponential") or mu ("linear").
        on_given: whether it acts on given lists too.

    Example:
        >>> chain = ms.spacings.Even() | ms.spacings.DynamicShift("linear")
        >>> recipe = ms.Scheduler(ms.paths.Straight(), chain, "flow_prediction", ms.solvers.Euler())
        >>> recipe.plan(4, mu=1.0).sigmas.round(3).tolist()
        [1.0, 0.667, 0.334, 0.001, 0.0]
        >>> recipe.plan(4, mu=3.0).sigmas.round(3).tolist()
        [1.0, 0.857, 0.601, 0.003, 0.0]
    """

    kind: TimeShift = "exponential"
    on_given: bool = False  # type: ignore[misc]

    def __post_init__(self) -> None:
        check_options(self)

    def acts(self, asked: Asked) -> bool:
        return super().acts(asked) and asked.ratios is None

    def factor(self, mu: float | None) -> float:
        """What sigma / (1 - sigma) is multiplied with."""
        if mu is None:
            raise ScheduleError(
                "this schedule is shifted by the image size: give mu=, which recipe.mu(tokens) computes."
            )
        # exp(700) is about the largest float64
        if not abs(mu) <= 700 or (self.kind == "linear" and mu <= 0):
            raise ScheduleError(
                f"mu must be in [-700, 700], and positive for the linear time shift; given {shown(mu)}."
            )
        return float(np.exp(mu)) if self.kind == "exponential" else mu

    def __call__(self, path: Path, asked: Asked, made: Points) -> Points:
        return made.moved(path.shifted(path.noise_of(made), self.factor(asked.mu)))
