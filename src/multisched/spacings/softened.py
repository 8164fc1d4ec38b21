"""A link that places levels even in the logarithm of sigma / alpha, softened at both ends."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from multisched import checks
from multisched.errors import ScheduleError
from multisched.paths.base import Path, Points
from multisched.spacings.base import Asked, Link
from multisched.spacings.levels import soft_log
from multisched.values import check_options


@dataclass(frozen=True)
class SoftLog(Link):
    """n ratios k = sigma / alpha, even in

        s = log((k + low) / (1 + k / high))

    which is about log k between `low` and `high`. Below `low` the levels are even in k, and above `high` in 1 / k. So
    they may begin at pure noise, k = inf, where s = log high. With low = 0 and high = inf this is "exponential".

    Args:
        low: k below which levels are even in k; 0 for nowhere.
        high: k above which they are even in 1 / k; inf for nowhere, on a path that does not begin at pure noise.
        bottom: k of the cleanest level; None for 0.8 * n^-1.43, as longer runs gain from a cleaner one, but no cleaner
            than the model is trained on.
        top: k of the noisiest level; None for that of the path.

    Raises:
        ScheduleError: if a number is out of range, or the ends are out of order or beyond the path.

    Example:
        >>> ms.FlowMatchEuler().plan(6, spacing=ms.spacings.SoftLog()).sigmas.round(3).tolist()
        [1.0, 0.779, 0.544, 0.333, 0.17, 0.058, 0.0]
    """

    placing: ClassVar[bool] = True

    low: float = 0.1
    high: float = 3.0
    bottom: float | None = None
    top: float | None = None

    def __post_init__(self) -> None:
        check_options(self, not_negative=("low",), positive=("bottom",))
        for name in ("high", "top"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ScheduleError(f"{name} must be a number above 0, or inf; given {value!r}.")
        if self.low >= self.high:
            raise ScheduleError(f"low must be below high; given {self.low:g} and {self.high:g}.")
        if self.bottom is not None and self.top is not None and self.bottom >= self.top:
            raise ScheduleError(f"bottom must be below top; given {self.bottom:g} and {self.top:g}.")

    def check(self, path: Path) -> None:
        top, highest = self._top(path), _ratio(path, path.ends[0])
        if top > highest * (1 + 1e-9):
            raise ScheduleError(f"top must be at most {highest:g}, the path's noisiest sigma / alpha; given {top:g}.")
        if top == self.high == math.inf:
            raise ScheduleError(
                f"a run on {type(path).__name__} begins at pure noise, which high=inf never reaches; give a finite "
                "high, or a finite top."
            )
        if self.bottom is not None and self.bottom >= top:
            raise ScheduleError(f"bottom must be below {top:g}, the noisiest sigma / alpha; given {self.bottom:g}.")

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        self.check(path)  # a plan may be given another spacing than the recipe's
        n, top = checks.steps(asked.n), self._top(path)
        ratios = soft_log(top, min(self._bottom(path, n), top), n, self.low, self.high)
        first = path.ends[0] if self.top is None or math.isinf(top) else path.of_ratio(np.array(top))
        return Points(np.append(first, path.of_ratio(ratios[1:])))

    def _top(self, path: Path) -> float:
        return _ratio(path, path.ends[0]) if self.top is None else self.top

    def _bottom(self, path: Path, n: int) -> float:
        if self.bottom is not None:
            return self.bottom
        alpha, sigma = path.clean
        # A path may end above 0, which the last step has to lead to.
        return max(0.8 * math.pow(n, -1.43), _ratio(path, path.ends[1]), 2 * sigma / alpha)


def _ratio(path: Path, noise: float) -> float:
    """sigma / alpha where a path has this `noise`."""
    found = path.at(np.array(noise))
    return float(found.sigma / found.alpha) if found.alpha > 0 else math.inf
