"""The straight path of flow matching, alpha = 1 - sigma.

Lipman et al. 2022 (arXiv 2210.02747); Liu et al. 2022 (arXiv 2209.03003). Runs go from noise (sigma = 1) to data.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from multisched import checks
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.paths.base import Path, Point, Points
from multisched.paths.lookup import numbers
from multisched.values import TRAINING_TIMESTEPS, check_options, namespace, shown


def shift(sigmas: Any, factor: float) -> Any:
    """factor * sigma / (1 + (factor - 1) * sigma): more steps at high noise for factor > 1 (Esser et al. 2024, arXiv
    2403.03206, eq. 23)."""
    # The denominator is written so that sigma = 1 stays exactly 1.
    return factor * sigmas / (factor * sigmas + (1 - sigmas))


@dataclass(frozen=True)
class Straight(Path):
    """The straight path with T training times t = T * sigma; its `noise` is sigma.

    Args:
        num_train_timesteps: T, the length of the training run.
        inverted: whether T * (1 - sigma) is passed to the model, how much data there is.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> alpha, sigma = ms.paths.Straight().levels(np.array([0.0, 250.0, 1000.0]))
        >>> alpha.tolist(), sigma.tolist()
        ([1.0, 0.75, 0.0], [0.0, 0.25, 1.0])
    """

    num_train_timesteps: int = 1000
    inverted: bool = False

    def __post_init__(self) -> None:
        check_options(self, counts={"num_train_timesteps": TRAINING_TIMESTEPS})

    @property
    def ends(self) -> tuple[float, float]:
        return 1.0, 1 / self.num_train_timesteps

    def trained(self, number: Any) -> Any:
        return (np.asarray(number) + 1) / self.training

    def of_ratio(self, ratio: Any) -> Any:
        _, ratio = numbers(ratio)
        return ratio / (1 + ratio)

    def shifted(self, noise: Any, factor: float) -> Any:
        return shift(noise, factor)

    def alpha_of(self, sigma: Any) -> Any:
        return 1 - sigma

    def times(self, sigma: Any) -> Any:
        """What is passed to the model at levels."""
        return ((1 - sigma) if self.inverted else sigma) * self.num_train_timesteps

    def time_of(self, share: Any) -> Any:
        return self.times(numbers(share)[1])

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        if backend is None:
            timesteps = checks.times(timesteps, self.num_train_timesteps)
        elif not str(timesteps.dtype).endswith(("float32", "float64")):
            timesteps = backend.xp.astype(timesteps, backend.xp.float32)
        share = timesteps / self.num_train_timesteps
        return (share, 1 - share) if self.inverted else (1 - share, share)

    def at(self, noise: Any) -> Point:
        return Point(self.times(noise), self.alpha_of(noise), noise, namespace(noise).ones_like(noise))

    def point(self, ratio: Any) -> Point:
        return self.at(self.of_ratio(ratio))

    def timestep_of(self, alpha: float, sigma: float) -> float:
        return float(self.times(sigma))

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any] | None:
        return -1.0, 1.0

    def noise_of(self, points: Points) -> Any:
        return self.levels(points.times)[1] if points.noise is None else points.noise

    def read_ratios(self, ratios: Any, end: tuple[float, float]) -> Points:
        return self.read(None, self.of_ratio(ratios), end)

    def resolved(self, points: Points) -> tuple[Any, Any, Any]:
        levels = self.noise_of(points)
        if not (np.all(np.diff(levels) < 0) and levels[-1] > 0):
            raise ScheduleError(f"these options make noise levels that do not fall strictly to 0: {shown(levels)}.")
        return super().resolved(points)

    def read(self, timesteps: Any, sigmas: Any, end: tuple[float, float]) -> Points:
        """Sigmas in (0, 1], decreasing; times in (0, T], decreasing, or in [0, T) and increasing where `inverted`. With
        both, the times are what is passed to the model at each sigma."""
        told, total = None, self.num_train_timesteps
        if timesteps is not None:
            told = checks.numbers("timesteps", timesteps)
            name = "num_train_timesteps - timesteps" if self.inverted else "timesteps"
            levels = _opened(name, total - told if self.inverted else told, total) / total
            told = told[: levels.size]
        if sigmas is not None:
            levels = _opened("sigmas", sigmas, 1.0)
            if told is not None and told.size != levels.size:
                raise ScheduleError(f"timesteps and sigmas must have one length; given {told.size} and {levels.size}.")
        return Points(noise=levels, times=told)


def _opened(name: str, values: Any, top: float) -> np.ndarray:
    """Decreasing levels in (0, top], without the 0 that may close them."""
    chosen = checks.descending(name, values)
    checks.within(name, chosen, 0.0, top)
    chosen = chosen[:-1] if chosen[-1] == 0 else chosen
    if chosen.size == 0:
        raise ScheduleError(f"{name} must hold a level above 0; given {shown(values)}.")
    return chosen


@dataclass(frozen=True)
class Exploding(Straight):
    """The times of `Straight` on the path x0 + sigma * noise, for levels above 1.

    Example:
        >>> alpha, sigma = ms.paths.Exploding().levels(np.array([100.0, 1000.0, 14000.0]))
        >>> alpha.tolist(), sigma.tolist()
        ([1.0, 1.0, 1.0], [0.1, 1.0, 14.0])
    """

    prior: ClassVar[float | None] = 0.0

    def of_ratio(self, ratio: Any) -> Any:
        return numbers(ratio)[1]

    def alpha_of(self, sigma: Any) -> Any:
        return namespace(sigma).ones_like(sigma) if hasattr(sigma, "dtype") else 1.0

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        xp = np if backend is None else backend.xp
        share = (np.asarray(timesteps, dtype=np.float64) if backend is None else timesteps) / self.num_train_timesteps
        sigma = 1 - share if self.inverted else share
        return xp.ones_like(sigma), sigma

    def velocity(self, alpha: Any, sigma: Any) -> None:
        """None: the path is not straight."""
