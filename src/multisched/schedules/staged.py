"""The stages of pyramidal flow matching (Jin et al. 2024, arXiv 2410.05954), as Helios samples them."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.schedules import checks
from multisched.schedules.base import variance_preserving
from multisched.schedules.flow import Flow, shift
from multisched.values import shown

TOP = 0.999  # noise level that a stage begins at
STAGES = 100  # at most


@dataclass(frozen=True)
class StagedFlow(Flow):
    """One of several stages, each a straight path of its own from sigma = 0.999 to 0; or all of the path if it is one.

    The stages share out the timesteps of the whole path by the noise that each removes. One after the first begins at

        1 - s / (sqrt(1 + 1 / gamma) * (1 - s) + s),      s = 1 - sigma

    instead of sigma, for the noise put back between the stages. Within a share the timestep falls evenly with sigma.

    Args:
        num_train_timesteps, use_dynamic_shifting, time_shift_type, final_sigma, shift_given: as `Flow`.
        whole_shift: shift of the whole path.
        stages, stage: how many, and which of them, from 0.
        stage_range: shares of the whole path's timesteps that the stages begin and end at, from 0 to 1.
        gamma: correlation of the noise put back within a block of an upsampled sample.
        spare: points placed below those that a run visits.
        curved: whether the levels are sigma / alpha on the variance-preserving path instead.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    whole_shift: float = 1.0
    stages: int = 3
    stage: int = 0
    stage_range: tuple[float, ...] = (0.0, 1 / 3, 2 / 3, 1.0)
    gamma: float = 1 / 3
    spare: int = 0
    curved: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
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
        if not 0 < self.gamma < math.inf or not 0 < self.whole_shift < math.inf:
            raise ScheduleError(f"gamma and shift must be positive; given {self.gamma} and {self.whole_shift}.")

    @cached_property
    def _told(self) -> tuple[float, float]:
        """The first and last of T timesteps of the stage."""
        total, corrected = self.num_train_timesteps, math.sqrt(1 + 1 / self.gamma)
        path = np.flip(shift(1 - np.linspace(1, 1 / total, total + 1), self.whole_shift))
        ends = [int(end * total) for end in self.stage_range[: self.stages + 1]]
        clean = [1 - float(path[end]) for end in ends[:-1]]
        begin = [1 - s / (corrected * (1 - s) + s) if k else 1 - s for k, s in enumerate(clean)]
        removed = np.cumsum([0.0, *(b - float(path[end]) for b, end in zip(begin, ends[1:], strict=True))])
        first, last = (min(int(share * total), total - 1) for share in (removed / removed[-1])[self.stage :][:2])
        top, bottom = min(float(path[first]) * total, 999.0), float(path[last]) * total
        return top, top + (bottom - top) * (total - 1) / total

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """As that of `Flow`; a `final_sigma` is all the noise there is at the end of the path, where alpha = 1."""
        made = super().grid(n, timesteps, sigmas, mu)
        alphas, sigmas = variance_preserving(made.sigmas) if self.curved else (made.alphas, made.sigmas)
        ended = alphas if self.final_sigma is None else np.append(alphas[:-1], 1.0)
        return replace(made, alphas=ended, sigmas=sigmas, next_alphas=None, next_sigmas=None)

    @property
    def _scale(self) -> tuple[float, float, float, float]:
        """Two timesteps and the noise levels they are told at."""
        total = self.num_train_timesteps
        if self.stages == 1:
            return total, 0.0, 1.0, 0.0
        return *self._told, *((1.0, 0.0) if self.use_dynamic_shifting else (TOP, TOP / total))

    @cached_property
    def _clean(self) -> float:
        """The timestep that sigma = 0 is told at."""
        first, last, top, bottom = self._scale
        return last - bottom * ((first - last) / (top - bottom))

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

    def _timesteps(self, sigma: np.ndarray) -> np.ndarray:
        first, last, top, bottom = self._scale
        return last + (sigma - bottom) * ((first - last) / (top - bottom))

    def _even(self, n: int) -> np.ndarray:
        top = 1.0 if self.stages == 1 else TOP
        return np.linspace(top, top / self.num_train_timesteps, n + self.spare + (self.stages == 1))[:n]
