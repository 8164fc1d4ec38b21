"""Placements of models that were distilled on the steps of another run, or trained on a few levels."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from multisched import checks
from multisched.errors import ScheduleError
from multisched.paths.base import Path, Points
from multisched.spacings.base import Asked, Given, Link
from multisched.spacings.placement import Numbered, Times
from multisched.values import check_options


@dataclass(frozen=True)
class Skipping(Numbered):
    """n of the timesteps that a model was distilled on, the noisiest first.

        k * (T // original_inference_steps) - 1,   k = 1 .. original_inference_steps * strength

    The "skipping step" of Luo et al. 2023 (arXiv 2310.04378, section 4.3).

    Args:
        original_inference_steps: their number, in 1..T.
        strength: share of them that is used, the cleanest, for image to image; in (0, 1].

    Raises:
        ScheduleError: if one of them is out of range.

    Example:
        >>> ms.LCM().plan(4).timesteps.tolist()
        [999.0, 759.0, 499.0, 259.0]
    """

    original_inference_steps: int = 50
    strength: float = 1.0

    def __post_init__(self) -> None:
        check_options(self)
        checks.within("strength", np.array(self.strength), 0, 1)

    def check(self, path: Path) -> None:
        wanted, total = (
            checks.count("original_inference_steps", self.original_inference_steps),
            path.num_train_timesteps,
        )
        if wanted > total:
            raise ScheduleError(
                f"original_inference_steps must be in 1..num_train_timesteps = {total}; given {wanted}."
            )

    def numbers(self, path: Path, n: Any) -> np.ndarray:
        used = int(self.original_inference_steps * self.strength)
        if not used:
            raise ScheduleError(
                f"strength={self.strength!r} leaves none of the {self.original_inference_steps} steps of the "
                f"distillation; give at least {1 / self.original_inference_steps:.4g}."
            )
        skipped = np.floor(np.linspace(0, used, checks.steps(n, used), endpoint=False))
        return np.asarray((used - skipped) * (path.num_train_timesteps // self.original_inference_steps) - 1)


@dataclass(frozen=True)
class Decoder(Numbered):
    """16 * min(round(64 * i / n), 63), i = n .. 1 (Betker et al. 2023, the consistency decoder of DALL-E 3, its
    code).

    Example:
        >>> ms.ConsistencyDecoder().plan(2).timesteps.tolist()
        [1008.0, 512.0]
    """

    def numbers(self, path: Path, n: Any) -> np.ndarray:
        n = checks.steps(n, 32)
        return np.asarray(16 * np.minimum(np.round(64 * np.arange(n, 0, -1) / n), 63))


@dataclass(frozen=True)
class Ramp(Link):
    """The first of T = num_train_timesteps levels that are even in sigma^(1/rho), and every (T // n)-th after it (Song
    et al. 2023, arXiv 2303.01469, its code).

    Args:
        rho: the power.

    Example:
        >>> chain = ms.spacings.Ramp(rho=7.0) | ms.spacings.End()
        >>> ms.EDMEuler().plan(4, spacing=chain).sigmas.round(3).tolist()
        [80.0, 17.498, 2.504, 0.168, 0.0]
    """

    placing: ClassVar[bool] = True

    rho: float = 7.0

    def __post_init__(self) -> None:
        check_options(self)
        if not 0.1 <= self.rho < np.inf:
            raise ScheduleError(f"rho must be a number of at least 0.1; given {self.rho!r}.")

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        n = checks.steps(asked.n, path.num_train_timesteps)
        return self.of_places(path, np.arange(n) * (path.num_train_timesteps // n))

    def of_places(self, path: Path, places: np.ndarray) -> Points:
        """The levels at places among the T, 0 the noisiest."""
        top, bottom = path.ends
        share = places / max(path.num_train_timesteps - 1, 1)
        ends = [end ** (1 / self.rho) for end in (top, bottom)]
        sigmas = np.where(share == 1, bottom, np.interp(share, (0, 1), ends) ** self.rho)
        return Points(checks.falling(checks.trimmed(np.append(sigmas, bottom), bottom)))


@dataclass(frozen=True)
class GivenPlaces(Given):
    """Reads timesteps as places among the levels of a `Ramp`, 0 the noisiest.

    Args:
        ramp: the levels.

    Example:
        >>> recipe = ms.CMStochasticIterative()
        >>> recipe.plan(timesteps=[39, 0]).sigmas.round(3).tolist()
        [80.0, 0.002, 0.002]
    """

    ramp: Ramp = Ramp()

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        if asked.timesteps is None:
            return super().__call__(path, asked, made)
        checks.one_of(timesteps=asked.timesteps, sigmas=asked.sigmas)
        places = checks.descending("timesteps", asked.timesteps)[::-1]
        checks.within("timesteps", places, 0, path.num_train_timesteps - 1)
        return self.ramp.of_places(path, places)


@dataclass(frozen=True)
class TwoTimes(Times):
    """Even times; a run of two steps has its second time at `middle`.

    Args:
        middle: that time; None for half of the first.

    Raises:
        ScheduleError: if the times are out of order.

    Example:
        >>> ms.SCM().plan(2).timesteps.round(4).tolist()
        [1.5708, 1.3]
    """

    middle: float | None = None
    most: ClassVar[float] = 1.5708

    def __post_init__(self) -> None:
        super().__post_init__()
        top = self.most if self.top is None else self.top
        if not 0 < (top / 2 if self.middle is None else self.middle) < top <= self.most:
            wanted = "0 < intermediate_timesteps < max_timesteps <= pi / 2"
            raise ScheduleError(f"timesteps must obey {wanted}; given {self.middle!r} and {top!r}.")

    def __call__(self, path: Any, asked: Asked, made: Any) -> Points:
        found = super().__call__(path, asked, made)
        if asked.n != 2 or self.middle is None:
            return found
        return Points(times=np.array([found.times[0], self.middle]))
