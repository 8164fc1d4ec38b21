"""Links that place the points of a run, for a number of steps."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from multisched import checks
from multisched.errors import ScheduleError
from multisched.paths.base import Path, Points
from multisched.paths.discrete import Discrete
from multisched.spacings import trained
from multisched.spacings.base import Asked, Link
from multisched.values import check_options


class Numbered(Link):
    """A placement on the training timesteps 0..T-1, see `trained.timesteps`."""

    placing: ClassVar[bool] = True

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        return path.place(self.numbers(path, asked.n))

    @abstractmethod
    def numbers(self, path: Path, n: Any) -> np.ndarray:
        """n of the training timesteps."""


@dataclass(frozen=True)
class Clipped(Numbered):
    """A placement by one of the rules of `trained.timesteps`, whose runs may begin later.

    Args:
        lambda_min: timesteps whose log(alpha / sigma) is below this are not visited.
    """

    lambda_min: float = field(default=-math.inf, kw_only=True)

    def __post_init__(self) -> None:
        check_options(self)

    @abstractmethod
    def rule(self) -> dict[str, Any]:
        """The arguments of that rule."""

    def numbers(self, path: Path, n: Any) -> np.ndarray:
        return trained.timesteps(n=n, total=path.training, last=self._last(path), **self.rule())

    def _last(self, path: Path) -> int | None:
        """The number of timesteps whose log(alpha / sigma) is high enough."""
        if self.lambda_min == -math.inf or not isinstance(path, Discrete):
            return None
        with np.errstate(divide="ignore"):
            return int(np.sum(-np.log(path.ratios) >= self.lambda_min))


@dataclass(frozen=True)
class Leading(Clipped):
    """i * (T // n) + offset, i = n-1 .. 0 (Lin et al. 2023, arXiv 2305.08891, table 2).

    Args:
        offset: added to each timestep.
        spare: whether n + 1 points are placed and the lowest is left out.

    Example:
        >>> ms.DDIM().plan(4, spacing=ms.spacings.Leading(offset=1)).timesteps.tolist()
        [751.0, 501.0, 251.0, 1.0]
    """

    offset: int = 0
    spare: bool = False

    def rule(self) -> dict[str, Any]:
        return {"spacing": "leading", "offset": self.offset, "spare": self.spare}


@dataclass(frozen=True)
class Trailing(Clipped):
    """round(T - i * T / n) - 1, i = 0 .. n-1 (arXiv 2305.08891, table 2).

    Example:
        >>> ms.DDIM().plan(4, spacing=ms.spacings.Trailing()).timesteps.tolist()
        [999.0, 749.0, 499.0, 249.0]
    """

    def rule(self) -> dict[str, Any]:
        return {"spacing": "trailing"}


@dataclass(frozen=True)
class Linspace(Clipped):
    """(T - 1) * i / (n - 1), i = n-1 .. 0 (arXiv 2305.08891, table 2).

    Args:
        spare: whether n + 1 points are placed and the lowest is left out.
        whole: whether timesteps are rounded.

    Example:
        >>> ms.DDIM().plan(4, spacing=ms.spacings.Linspace()).timesteps.tolist()
        [999.0, 666.0, 333.0, 0.0]
    """

    spare: bool = False
    whole: bool = True

    def rule(self) -> dict[str, Any]:
        return {"spacing": "linspace", "spare": self.spare, "whole": self.whole}


@dataclass(frozen=True)
class Simple(Clipped):
    """T - 1 - floor(i * T / n), i = 0 .. n-1 (ComfyUI).

    Example:
        >>> ms.DDIM().plan(4, spacing=ms.spacings.Simple()).timesteps.tolist()
        [999.0, 749.0, 499.0, 249.0]
    """

    def rule(self) -> dict[str, Any]:
        return {"spacing": "simple"}


@dataclass(frozen=True)
class SGMUniform(Clipped):
    """(T - 1) * (1 - i / n), i = 0 .. n-1 (Stability's generative-models).

    Args:
        whole: whether timesteps are rounded.

    Example:
        >>> ms.DDIM().plan(4, spacing=ms.spacings.SGMUniform()).timesteps.tolist()
        [999.0, 749.0, 500.0, 250.0]
    """

    whole: bool = True

    def rule(self) -> dict[str, Any]:
        return {"spacing": "sgm_uniform", "whole": self.whole}


@dataclass(frozen=True)
class DDIMUniform(Clipped):
    """i * (T // n) + 1, i = n-1 .. 0 (the first DDIM code).

    Example:
        >>> ms.DDIM().plan(4, spacing=ms.spacings.DDIMUniform()).timesteps.tolist()
        [751.0, 501.0, 251.0, 1.0]
    """

    def rule(self) -> dict[str, Any]:
        return {"spacing": "ddim_uniform"}


WORDS: dict[trained.TimestepSpacing, Callable[[int, bool, bool, float], Numbered]] = {
    "leading": lambda offset, spare, whole, lam: Leading(offset, spare, lambda_min=lam),
    "trailing": lambda offset, spare, whole, lam: Trailing(lambda_min=lam),
    "linspace": lambda offset, spare, whole, lam: Linspace(spare, whole, lambda_min=lam),
    "simple": lambda offset, spare, whole, lam: Simple(lambda_min=lam),
    "sgm_uniform": lambda offset, spare, whole, lam: SGMUniform(whole, lambda_min=lam),
    "ddim_uniform": lambda offset, spare, whole, lam: DDIMUniform(lambda_min=lam),
}


def numbered(
    word: trained.TimestepSpacing,
    offset: int = 0,
    spare: bool = False,
    whole: bool = True,
    lambda_min: float = -math.inf,
) -> Numbered:
    """The placement that the option `timestep_spacing` names.

    Raises:
        ScheduleError: if it names none.
    """
    checks.option("timestep_spacing", word, tuple(WORDS))
    return WORDS[word](offset, spare, whole, lambda_min)


@dataclass(frozen=True)
class Even(Link):
    """n levels at even distances.

    Args:
        top: the noisiest.
        bottom: the cleanest; None for 1 / T.
        spare: whether n + 1 points are placed and the lowest is left out.
        last_step: size of the step before that point, as a share of the others, in (0, 1].

    Raises:
        ScheduleError: if the ends are out of order, or the share is out of range.

    Example:
        >>> ms.FlowMatchEuler().plan(4, spacing=ms.spacings.Even()).sigmas.round(3).tolist()
        [1.0, 0.667, 0.334, 0.001, 0.0]
        >>> ms.FlowMatchEuler().plan(4, spacing=ms.spacings.Even(bottom=0.1)).sigmas.round(3).tolist()
        [1.0, 0.7, 0.4, 0.1, 0.0]
    """

    placing: ClassVar[bool] = True

    top: float = 1.0
    bottom: float | None = None
    spare: bool = False
    last_step: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, positive=("top",), not_negative=("bottom",))
        if self.bottom is not None and self.bottom > self.top:
            raise ScheduleError(f"sigma_min must be in [0, sigma_max] or None; given {self.bottom!r}.")
        if not 0 < self.last_step <= 1:
            raise ScheduleError(f"last_step must be in (0, 1]; given {self.last_step!r}.")

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        total = path.num_train_timesteps
        n = checks.steps(asked.n, total if self.bottom is None else None)
        top, bottom = self.ends(1 / total if self.bottom is None else self.bottom)
        if self.spare:
            bottom = top - (top - bottom) * (n - 1) / (n - 1 + self.last_step)
        return Points(np.linspace(top, bottom, n))

    def ends(self, bottom: float) -> tuple[float, float]:
        """The ends of the even levels."""
        return self.top, bottom


@dataclass(frozen=True)
class Trained(Link):
    """n levels between the noisiest and the cleanest that the model is trained on, to be spaced by a later link.

    Example:
        >>> print(ms.ScoreSdeVp().parts().spacing)
        Times(top=1.0, bottom=0.001, spare=False) | End(to=0.0, prior=None)
        >>> ms.ScoreSdeVp().plan(4).timesteps.round(3).tolist()
        [1.0, 0.667, 0.334, 0.001]
    """

    placing: ClassVar[bool] = True

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        top, bottom = path.ends
        return Points(np.linspace(top, bottom, checks.steps(asked.n)))


@dataclass(frozen=True)
class Times(Link):
    """n even times, on a path with a time of its own.

    Args:
        top: the latest; None for that of the path.
        bottom: the earliest.
        spare: whether n + 1 times are placed and the earliest is left out.

    Example:
        >>> ms.Scheduler(
        ...     ms.paths.TrigFlow(), ms.spacings.Times(), "edm", ms.solvers.Consistency()
        ... ).plan(2).timesteps.round(4).tolist()
        [1.5708, 0.7854]
    """

    placing: ClassVar[bool] = True

    top: float | None = None
    bottom: float = 0.0
    spare: bool = True

    def __post_init__(self) -> None:
        check_options(self)

    def check(self, path: Path) -> None:
        if self.top is None and not hasattr(path, "top"):
            raise ScheduleError(
                f"{type(self).__name__} needs top= on {type(path).__name__}, which has no latest time of its own."
            )

    def __call__(self, path: Any, asked: Asked, made: Any) -> Points:
        n, top = checks.steps(asked.n), path.top if self.top is None else self.top
        return Points(times=np.linspace(top, self.bottom, n + self.spare)[:n])


@dataclass(frozen=True)
class LinearQuadratic(Link):
    """From 1 to 1 - threshold in n // 2 even steps, then on a parabola to 0 (Genmo's Mochi 1).

    Args:
        threshold: how much noise the even steps remove.
        top: what all levels are multiplied with.

    Raises:
        ScheduleError: if the threshold is out of range.

    Example:
        >>> ms.FlowMatchEuler().plan(8, spacing=ms.spacings.LinearQuadratic()).sigmas.round(3).tolist()
        [1.0, 0.994, 0.988, 0.981, 0.975, 0.909, 0.725, 0.422, 0.0]
    """

    placing: ClassVar[bool] = True

    threshold: float = 0.025
    top: float = 1.0

    def __post_init__(self) -> None:
        check_options(self, positive=("top",))
        if not 0 < self.threshold < 1:
            raise ScheduleError(f"threshold must be in (0, 1); given {self.threshold!r}.")

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        return Points(self.top * trained.linear_quadratic(checks.steps(asked.n), self.threshold))
