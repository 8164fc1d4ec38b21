"""Runs that go back up to more noise: restarts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.paths.base import Path, Points
from multisched.paths.straight import Straight
from multisched.spacings.base import Asked, Link
from multisched.spacings.levels import between, karras
from multisched.values import CALLS, STEPS, check_options, count, real, shown

Interval = tuple[float, float, int, int]


@dataclass(frozen=True)
class Restart(Link):
    """A run that goes back up to more noise and comes down again, for `solvers.Restarted` (Xu et al. 2023, arXiv
    2306.14878, algorithm 1). Where it has come down to its level nearest to k = low, k = sigma / alpha, it goes up to
    k = high and comes down in so many steps, so many times. These steps stand as `Respace("karras")` places them.

    Without intervals it is A1111's "Restart". Of n steps, 9 are one restart from n = 20 on, and n // 4 are each of two
    from n = 36 on, between the run's levels nearest to k = 0.1 and 2. The other steps stand as `Respace("karras")`
    places them between the ends of the run, whatever the spacing was. Below n = 20 nothing is changed, nor is a run
    that has restarts already, so that `ms.sampler("restart")` takes a spacing with intervals of its own.

    Args:
        intervals: ((low, high, steps, times), ...), as in the paper; None for A1111's.
        on_given: whether it acts on given lists too.

    Raises:
        ScheduleError: if an interval is not four such numbers, the run has no level between its ends, or it gets more
            steps than a run may have.

    Example:
        >>> from multisched.spacings import Even, Restart
        >>> recipe = ms.Scheduler(ms.paths.Straight(), Even(), "flow_prediction", ms.solvers.Restarted())
        >>> plan = recipe.plan(4, spacing=Even(1.0, 0.25) | ms.spacings.Restart(((1.0, 3.0, 2, 1),)))
        >>> plan.sigmas.round(3).tolist()
        [1.0, 0.75, 0.75, 0.614, 0.5, 0.25, 0.0]
        >>> plan.grid.next_sigmas.round(3).tolist()
        [0.75, 0.5, 0.614, 0.5, 0.25, 0.0]
    """

    closing: ClassVar[bool] = True

    intervals: tuple[Interval, ...] | None = None
    on_given: bool = False  # type: ignore[misc]

    def __post_init__(self) -> None:
        check_options(self)
        if self.intervals is not None:
            if not isinstance(self.intervals, Sequence) or isinstance(self.intervals, str):
                raise ScheduleError(f"intervals are ((low, high, steps, times), ...); given {shown(self.intervals)}.")
            object.__setattr__(self, "intervals", tuple(map(_interval, self.intervals)))

    def __call__(self, path: Path, asked: Asked, made: Grid) -> Grid:
        if not made.chained:
            if self.intervals is None:
                return made
            raise ScheduleError("a run with restarts has steps that each end where the next one begins.")
        intervals = self.intervals
        if intervals is None:
            made, intervals = _published(path, made)
        total = len(made) + sum(steps * times for _, _, steps, times in intervals)
        if total > CALLS:
            raise ScheduleError(f"a run has at most {CALLS} model calls; with its restarts this one has {total} steps.")
        points = list(zip(made.timesteps, made.alphas, made.sigmas, made.scales, strict=True))
        ways: dict[int, list[list[Any]]] = {}
        for low, high, steps, times in intervals:
            place = _nearest(made, low)
            ways.setdefault(place, []).extend([_way_down(path, made, place, high, steps)] * times)
        begins, ends = [], []
        for place, point in enumerate(points[1:], 1):
            for way in ([points[place - 1]], *ways.get(place, [])):
                begins += way
                ends += [*way[1:], point]
        times, alphas, sigmas, scales = np.array([*begins, points[-1]], np.float64).T
        _, next_alphas, next_sigmas, _ = np.reshape(np.array(ends, np.float64), (-1, 4)).T
        return Grid(times, alphas, sigmas, next_alphas, next_sigmas, scales, made.prior)


def _interval(given: Any) -> Interval:
    """(low, high, steps, times)."""
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 4:
        raise ScheduleError(f"an interval of restarts is (low, high, steps, times); given {shown(given)}.")
    low, high = real("low", given[0]), real("high", given[1])
    if not 0 <= low < high < math.inf:
        raise ScheduleError(f"an interval of restarts has 0 <= low < high; given low={low:g} and high={high:g}.")
    return low, high, count("steps", given[2], STEPS), count("times", given[3], STEPS)


def _ratios(made: Grid) -> np.ndarray:
    with np.errstate(divide="ignore"):  # infinite at pure noise
        return np.asarray(made.sigmas / made.alphas)


def _noise(path: Path, made: Grid) -> np.ndarray:
    """The `noise` of the path at each point."""
    return np.asarray(made.sigmas) if isinstance(path, Straight) else _ratios(made)


def _nearest(made: Grid, ratio: float, first: int = 1) -> int:
    """The point, of those from the first one on, whose sigma / alpha is nearest."""
    return first + int(np.argmin(np.abs(_ratios(made)[first:] - ratio)))


def _published(path: Path, made: Grid) -> tuple[Grid, tuple[Interval, ...]]:
    """A1111's run and its interval."""
    n = len(made)
    if n < 20:
        return made, ()
    steps, times = (n // 4, 2) if n >= 36 else (9, 1)
    noise = _noise(path, made)
    placed = path.resolved(Points(between("karras", float(noise[0]), float(noise[-2]), n - steps * times)))
    ends = (made.timesteps[-1], made.alphas[-1], made.sigmas[-1])
    timesteps, alphas, sigmas = (np.append(one, end) for one, end in zip(placed, ends, strict=True))
    made = Grid(timesteps, alphas, sigmas, scales=path.scale(alphas, sigmas), prior=made.prior)
    low, high = (_nearest(made, ratio, first) for ratio, first in ((0.1, 1), (2.0, 0)))
    if high >= low:
        return made, ()
    return made, ((0.1, float(_ratios(made)[high]), steps, times),)


def _way_down(path: Path, made: Grid, place: int, high: float, steps: int) -> list[Any]:
    """The points where the steps of a restart to a point of the run begin."""
    ratios = _ratios(made)
    if not ratios[place] < high <= ratios[0]:
        raise ScheduleError(
            f"a restart leads up to a level that the run has passed; given high={high:g}, where sigma / alpha begins "
            f"at {ratios[0]:g} and has come down to {ratios[place]:g}."
        )
    top, bottom = float(path.of_ratio(np.array(high))), float(_noise(path, made)[place])
    return list(zip(*np.broadcast_arrays(*path.at(karras(top, bottom, steps + 1)[:-1])), strict=True))
