"""Spacings of recipes that are made by a sampler's name."""

from dataclasses import dataclass
from typing import Any, ClassVar

from multisched import checks, solvers
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.paths.base import Path, Points
from multisched.spacings.base import Asked, Link, Spacing
from multisched.spacings.direction import Inverse, Reversed
from multisched.spacings.named import respaced, spacing_of
from multisched.spacings.restart import Restart


@dataclass(frozen=True)
class Instead(Spacing):
    """A spacing in place of another, whose shift and direction stay; lists that a user gives are read by that one.

    Args:
        own: the other.
        spacing: a chain, or one of `spacings.NAMES`.

    Raises:
        ScheduleError: if the spacing is neither.
    """

    own: Spacing
    spacing: Any

    def __post_init__(self) -> None:
        spacing_of(self.spacing)

    @property
    def links(self) -> tuple[Link, ...]:
        return self.own.links

    def check(self, path: Path) -> None:
        self.own.check(path)
        spacing_of(self.spacing).check(path)

    def grid(self, path: Path, asked: Asked) -> Grid:
        return self.own.grid(path, asked) if asked.listed else respaced(path, self.own, self.spacing, asked)


@dataclass(frozen=True)
class Groups(Link):
    """The points of `solvers.DPMFast`: groups of calls that are even in the logarithm of the noise level."""

    placing: ClassVar[bool] = True

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        return Points(solvers.DPMFast.ratios(checks.steps(asked.n), *path.ends)[:-1])


def restarting(own: Spacing) -> Spacing:
    """A spacing with A1111's restarts.

    Raises:
        ScheduleError: if it leads to the noise.
    """
    if isinstance(own, Inverse) or any(isinstance(link, Reversed) for link in own.links):
        raise ScheduleError("restarts are part of a run to the data; `like` is a recipe whose runs lead to the noise.")
    return own | Restart()
