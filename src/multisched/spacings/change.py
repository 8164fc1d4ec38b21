"""Links that move the points of a run."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.paths.base import Path, Points
from multisched.paths.straight import Straight
from multisched.spacings import levels
from multisched.spacings.base import Asked, Link
from multisched.values import check_options, shown

Rounding = Literal["nearest", "down"]


@dataclass(frozen=True)
class Shift(Link):
    """More steps at high noise: sigma / alpha times a factor. On the straight path that is factor * sigma /
    (1 + (factor - 1) * sigma) (Esser et al. 2024, arXiv 2403.03206, eq. 23).

    Args:
        factor: above 1 for more steps at high noise.
        on_given: whether it acts on given lists too.

    Raises:
        ScheduleError: if the factor is not positive.

    Example:
        >>> ms.FlowMatchEuler().plan(4, spacing=ms.spacings.Even() | ms.spacings.Shift(3.0)).sigmas.round(3).tolist()
        [1.0, 0.857, 0.601, 0.003, 0.0]
    """

    factor: float = 1.0
    on_given: bool = False  # type: ignore[misc]

    def __post_init__(self) -> None:
        check_options(self, positive=("factor",))

    def acts(self, asked: Asked) -> bool:
        return super().acts(asked) and asked.ratios is None

    def __call__(self, path: Path, asked: Asked, made: Points) -> Points:
        return made if self.factor == 1 else made.moved(path.shifted(path.noise_of(made), self.factor))


@dataclass(frozen=True)
class Terminal(Link):
    """Stretches the levels so that the last one is `level`: 1 - (1 - sigma) * (1 - level) / (1 - sigma_last). A single
    level of 1 stays as it is.

    Args:
        level: the last noise level before the end, in (0, 1).
        on_given: whether it acts on given lists too.

    Raises:
        ScheduleError: if the level is out of range.

    Example:
        >>> ms.FlowMatchEuler().plan(4, spacing=ms.spacings.Even() | ms.spacings.Terminal(0.1)).sigmas.round(3).tolist()
        [1.0, 0.7, 0.4, 0.1, 0.0]
    """

    level: float
    on_given: bool = False  # type: ignore[misc]

    def __post_init__(self) -> None:
        check_options(self)
        if not 0 < self.level < 1:
            raise ScheduleError(f"shift_terminal must be in (0, 1) or None; given {self.level!r}.")

    def check(self, path: Path) -> None:
        straight(path, self)

    def acts(self, asked: Asked) -> bool:
        return super().acts(asked) and asked.ratios is None

    def __call__(self, path: Path, asked: Asked, made: Points) -> Points:
        at = path.noise_of(made)
        return made if at[-1] == 1 else made.moved(1 - (1 - at) * ((1 - self.level) / (1 - at[-1])))


@dataclass(frozen=True)
class Respace(Link):
    """Places as many levels anew between two of them: in sigma / alpha, or on straight paths in sigma.

    Args:
        kind: one of `spacings.levels.KINDS`, such as "karras" or "exponential".
        top: the noisiest level; None for the first that the links before have placed.
        bottom: the cleanest; None for the last of those.
        on_given: whether it acts on given lists too.

    Raises:
        ScheduleError: if the kind is not known, or the ends are out of order.

    Example:
        >>> chain = ms.spacings.Even(bottom=0.01) | ms.spacings.Respace("exponential") | ms.spacings.End()
        >>> ms.FlowMatchEuler().plan(3, spacing=chain).sigmas.round(3).tolist()
        [1.0, 0.1, 0.01, 0.0]
    """

    kind: levels.Kind
    top: float | None = None
    bottom: float | None = None
    on_given: bool = False  # type: ignore[misc]

    def __post_init__(self) -> None:
        check_options(self)

    def acts(self, asked: Asked) -> bool:
        return super().acts(asked) and asked.ratios is None

    def placed(self, path: Path, made: Points) -> np.ndarray:
        """The levels."""
        at = path.noise_of(made)
        top = float(at[0]) if self.top is None else self.top
        bottom = float(at[-1]) if self.bottom is None else self.bottom
        return levels.between(self.kind, top, bottom, at.size)

    def __call__(self, path: Path, asked: Asked, made: Points) -> Points:
        return Points(self.placed(path, made), made.times if asked.listed else None)


@dataclass(frozen=True)
class RespaceRatios(Respace):
    """`Respace` in sigma / alpha on a straight path too.

    Example:
        >>> chain = ms.spacings.Leading(1) | ms.spacings.RespaceRatios("karras") | ms.spacings.End()
        >>> plan = ms.DDIM().plan(4, spacing=chain)
        >>> (plan.sigmas / plan.alphas).round(3).tolist()
        [17.511, 3.304, 0.368, 0.015, 0.0]
    """

    def __call__(self, path: Path, asked: Asked, made: Points) -> Points:
        return Points(path.of_ratio(self.placed(path, made)))


@dataclass(frozen=True)
class Karras(Link):
    """`Respace("karras")` with another power (Karras et al. 2022, arXiv 2206.00364, eq. 5).

    Args:
        rho: levels are even in sigma^(1/rho), at least 0.1.

    Raises:
        ScheduleError: if rho is out of range.

    Example:
        >>> chain = ms.spacings.Named("karras") | ms.spacings.End()
        >>> ms.EDMEuler().plan(4, spacing=chain).sigmas.round(3).tolist()
        [80.0, 9.723, 0.47, 0.002, 0.0]
        >>> ms.EDMEuler().plan(4, spacing="karras") == ms.EDMEuler().plan(4, spacing=chain)
        True
    """

    rho: float = 7.0

    def __post_init__(self) -> None:
        check_options(self)
        if not 0.1 <= self.rho < np.inf:
            raise ScheduleError(f"rho must be a number of at least 0.1; given {self.rho!r}.")

    def __call__(self, path: Path, asked: Asked, made: Points) -> Points:
        at = path.noise_of(made)
        return Points(levels.karras(float(at[0]), float(at[-1]), at.size, self.rho))


@dataclass(frozen=True)
class Cap(Link):
    """Keeps noise levels from exceeding a limit; below 1 a solver never starts at pure noise.

    Args:
        level: the limit, in (0, 1].

    Raises:
        ScheduleError: if it is out of range.

    Example:
        >>> chain = ms.spacings.Even() | ms.spacings.Cap(0.9)
        >>> ms.FlowMatchEuler().plan(4, spacing=chain).sigmas.round(3).tolist()
        [0.9, 0.667, 0.334, 0.001, 0.0]
    """

    on_given: ClassVar[bool] = True

    level: float

    def __post_init__(self) -> None:
        check_options(self)
        if not 0 < self.level <= 1:
            raise ScheduleError(f"a cap must be in (0, 1]; given {self.level!r}.")

    def check(self, path: Path) -> None:
        straight(path, self)

    def __call__(self, path: Path, asked: Asked, made: Points) -> Points:
        return made.moved(np.minimum(path.noise_of(made), self.level))


@dataclass(frozen=True)
class Round(Link):
    """Rounds the times that are passed to the model; the levels stay.

    Args:
        how: "nearest", or "down", where what is within 1e-6 of a whole number counts as that.

    Raises:
        ScheduleError: if it is neither.

    Example:
        >>> chain = ms.spacings.Linspace() | ms.spacings.End() | ms.spacings.Round("down")
        >>> ms.DDIM().plan(5, spacing=chain).timesteps.tolist()
        [999.0, 749.0, 500.0, 250.0, 0.0]
        >>> ms.DDIM().plan(5, spacing=ms.spacings.Linspace()).timesteps.tolist()
        [999.0, 749.0, 500.0, 250.0, 0.0]
    """

    on_given: ClassVar[bool] = True
    closing: ClassVar[bool] = True
    replaced: ClassVar[bool] = True

    how: Rounding = "nearest"

    def __post_init__(self) -> None:
        check_options(self)

    def __call__(self, path: Path, asked: Asked, made: Grid) -> Grid:
        times = made.timesteps[:-1]
        if isinstance(path, Straight) and asked.timesteps is not None:
            return made  # given to be passed to the model as they are
        rounded = np.round(times) if self.how == "nearest" else np.trunc(times + 1e-6)
        return made.timed(np.append(rounded, made.timesteps[-1:]))


def straight(path: Path, link: Link) -> None:
    """Refuse a link of the straight path on another."""
    if not isinstance(path, Straight):
        raise ScheduleError(f"{shown(link)} belongs on the straight path; given {type(path).__name__}.")
