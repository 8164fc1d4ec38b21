"""The stages of pyramidal flow matching (Jin et al. 2024, arXiv 2410.05954), as Helios samples them."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from multisched import checks
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.paths.base import Point, Points, variance_preserving
from multisched.paths.lookup import numbers
from multisched.paths.straight import Straight, shift
from multisched.values import check_options, namespace, shown

TOP = 0.999  # noise level that a stage begins at
STAGES = 100  # at most


@dataclass(frozen=True)
class Staged(Straight):
    """One of several stages, each a straight path of its own from sigma = 0.999 to 0; or all of the path if it is one.

    The stages share out the times of the whole path by the noise that each removes. One after the first begins at

        1 - s / (sqrt(1 + 1 / gamma) * (1 - s) + s),      s = 1 - sigma

    instead of sigma, for the noise put back between the stages. Within a share the time falls evenly with sigma.

    Args:
        num_train_timesteps: T of the whole path.
        shift: of the whole path.
        stages: how many there are.
        stage: which of them this is, from 0.
        stage_range: shares of the whole path's times that the stages begin and end at, from 0 to 1.
        gamma: correlation of the noise put back within a block of an upsampled sample.
        whole: whether the times of a stage belong to levels from 1 to 0, as in runs with a dynamic shift.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> path = ms.Helios().parts().path
        >>> path.stages, path.stage_range
        (3, (0.0, 0.3333333333333333, 0.6666666666666666, 1.0))
    """

    shift: float = 1.0
    stages: int = 3
    stage: int = 0
    stage_range: tuple[float, ...] = (0.0, 1 / 3, 2 / 3, 1.0)
    gamma: float = 1 / 3
    whole: bool = False
    curved: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self)
        checks.count("stages", self.stages, STAGES)
        if self.stages > self.num_train_timesteps:
            total = self.num_train_timesteps
            raise ScheduleError(f"stages must be at most num_train_timesteps; given {self.stages} and {total}.")
        ends = checks.numbers("stage_range", self.stage_range)
        object.__setattr__(self, "stage_range", tuple(ends.tolist()))
        if not 0 <= self.stage < self.stages:
            raise ScheduleError(f"stage must be in 0..{self.stages - 1}, below stages; given {self.stage}.")
        if ends.size <= self.stages or np.any(np.diff(ends) <= 0) or ends[0] < 0 or ends[-1] > 1:
            raise ScheduleError(
                f"stage_range must be at least stages + 1 = {self.stages + 1} numbers that rise within [0, 1]; "
                f"given {shown(self.stage_range)}."
            )
        if not 0 < self.gamma < math.inf or not 0 < self.shift < math.inf:
            raise ScheduleError(f"gamma and shift must be positive; given {self.gamma} and {self.shift}.")

    @cached_property
    def _stage_times(self) -> tuple[float, float]:
        """The first and last of T times of the stage."""
        total, corrected = self.num_train_timesteps, math.sqrt(1 + 1 / self.gamma)
        path = np.flip(shift(1 - np.linspace(1, 1 / total, total + 1), self.shift))
        ends = [int(end * total) for end in self.stage_range[: self.stages + 1]]
        clean = [1 - float(path[end]) for end in ends[:-1]]
        begin = [1 - s / (corrected * (1 - s) + s) if k else 1 - s for k, s in enumerate(clean)]
        removed = np.cumsum([0.0, *(b - float(path[end]) for b, end in zip(begin, ends[1:], strict=True))])
        if not removed[-1] > 0:
            raise ScheduleError(f"shift={self.shift:g} leaves the stages no noise to remove; give a smaller one.")
        first, last = (min(int(share * total), total - 1) for share in (removed / removed[-1])[self.stage :][:2])
        top, bottom = min(float(path[first]) * total, 999.0), float(path[last]) * total
        return top, top + (bottom - top) * (total - 1) / total

    @property
    def _scale(self) -> tuple[float, float, float, float]:
        """Two times and the noise levels they belong to."""
        total = self.num_train_timesteps
        if self.stages == 1:
            return total, 0.0, 1.0, 0.0
        return *self._stage_times, *((1.0, 0.0) if self.whole else (TOP, TOP / total))

    @cached_property
    def _clean(self) -> float:
        """The time that belongs to sigma = 0."""
        first, last, top, bottom = self._scale
        return last - bottom * ((first - last) / (top - bottom))

    @property
    def ends(self) -> tuple[float, float]:
        top = 1.0 if self.stages == 1 else TOP
        return top, top / self.num_train_timesteps

    def of_ratio(self, ratio: Any) -> Any:
        return numbers(ratio)[1] if self.curved else super().of_ratio(ratio)

    def read_ratios(self, ratios: Any, end: tuple[float, float]) -> Points:
        if self.curved:
            checks.within("ratios", ratios, 0, 1)
        return super().read_ratios(ratios, end)

    def times(self, sigma: Any) -> Any:
        first, last, top, bottom = self._scale
        return last + (sigma - bottom) * ((first - last) / (top - bottom))

    def at(self, noise: Any) -> Point:
        if not self.curved:
            return super().at(noise)
        return Point(self.times(noise), *variance_preserving(noise), namespace(noise).ones_like(noise))

    def alpha_of(self, sigma: Any) -> Any:
        return (1 - sigma) if not self.curved else np.sqrt((1 - sigma) * (1 + sigma))

    def timestep_of(self, alpha: float, sigma: float) -> float:
        first, last, top, bottom = self._scale
        sigma = sigma / alpha if self.curved and alpha else sigma
        return self._clean + sigma * ((first - last) / (top - bottom))

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        first, last, top, bottom = self._scale
        if backend is None:
            timesteps = np.asarray(timesteps, dtype=np.float64)
        sigma = (timesteps - self._clean) * ((top - bottom) / (first - last))
        alpha, sigma = super().levels(sigma * self.num_train_timesteps, backend)
        scale = (1 + sigma * sigma) ** -0.5
        return (scale, scale * sigma) if self.curved else (alpha, sigma)


class CurvedStage(Staged):
    """The same with its levels taken for sigma / alpha on the variance-preserving path.

    Example:
        >>> path = ms.Helios(use_flow_sigmas=False).parts().path
        >>> alpha, sigma = path.levels(ms.Helios(use_flow_sigmas=False).plan(3).timesteps)
        >>> (alpha**2 + sigma**2).round(6).tolist()
        [1.0, 1.0, 1.0]
    """

    curved: ClassVar[bool] = True
