"""The grid: where on the path x = alpha * x0 + sigma * noise each step begins and ends."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.values import Value, anywhere, namespace, read_only, real, shown, whole


@dataclass(frozen=True, eq=False)
class Grid(Value):
    """The points of a sampling run, from the noisiest to the cleanest. All float64.

    Attributes:
        timesteps: (steps + 1,) what the model is given at each point.
        alphas, sigmas: (steps + 1,) weights of the clean sample and of the noise at each point.
        next_alphas, next_sigmas: (steps,) the level that each step aims at. By default the next point's; a schedule
            whose steps aim elsewhere (the fixed stride of early DDIM code) gives its own.
        scales: (steps + 1,) what the sample is multiplied with before the model sees it; ones by default.
        prior: weight of unit-variance data in a run's first sample, which starts as hypot(prior * alpha, sigma) times
            unit normals. None starts from the unit normals themselves.
        first, total: number of the first step in the whole schedule that this grid is a part of, and its steps.

    Raises:
        ScheduleError: shapes that do not fit, or a value that is not finite or is negative.

    Example:
        >>> grid = ms.Grid(timesteps=[1000.0, 500.0, 0.0], alphas=[0.0, 0.5, 1.0], sigmas=[1.0, 0.5, 0.0])
        >>> len(grid), grid.next_sigmas.tolist()
        (2, [0.5, 0.0])
    """

    timesteps: Any
    alphas: Any
    sigmas: Any
    next_alphas: Any = None
    next_sigmas: Any = None
    scales: Any = None
    prior: float | None = None
    first: int = 0
    total: int = -1

    def __post_init__(self) -> None:
        for name in ("timesteps", "alphas", "sigmas"):
            object.__setattr__(self, name, read_only(getattr(self, name), name))
            if len(getattr(self, name).shape) != 1:
                raise ScheduleError(f"{name} must be a list of numbers; given {shown(getattr(self, name))}.")
        self._check_numbers()
        chained = self.next_alphas is None and self.next_sigmas is None
        parts = {
            "next_alphas": self.alphas[1:] if chained else self.next_alphas,
            "next_sigmas": self.sigmas[1:] if chained else self.next_sigmas,
            "scales": namespace(self.sigmas).ones_like(self.sigmas) if self.scales is None else self.scales,
        }
        for name, values in parts.items():
            object.__setattr__(self, name, read_only(values, name))
        if not self.sigmas.shape[0]:
            raise ScheduleError("a grid has at least one point; given none.")
        object.__setattr__(self, "total", len(self) if self.total < 0 else self.total)
        self._validate()

    def _check_numbers(self) -> None:
        if self.prior is not None:
            object.__setattr__(self, "prior", real("prior", self.prior))
            if not 0 <= self.prior < math.inf:
                raise ScheduleError(f"prior must be a finite number >= 0, or None; given {self.prior!r}.")
        for name in ("first", "total"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))

    def _validate(self) -> None:
        points = self.sigmas.shape[0] if self.sigmas.ndim == 1 else 0
        names = ("timesteps", "alphas", "sigmas", "scales", "next_alphas", "next_sigmas")
        lengths = (points, points, points, points, points - 1, points - 1)
        arrays = tuple(getattr(self, name) for name in names)
        if points == 0 or any(array.shape != (n,) for array, n in zip(arrays, lengths, strict=True)):
            shapes = ", ".join(str(tuple(array.shape)) for array in arrays)
            raise ScheduleError(
                "a grid of n steps has n + 1 timesteps, alphas, sigmas and scales and n next_alphas and next_sigmas; "
                f"given shapes {shapes}."
            )
        for name, values in zip(names, arrays, strict=True):
            least = -math.inf if name == "timesteps" else 0.0
            if anywhere(~(abs(values) < math.inf) | (values < least)):
                wanted = "be finite" if name == "timesteps" else "be finite and not negative"
                raise ScheduleError(f"the grid's {name} must {wanted}; given {shown(values)}.")

    def __len__(self) -> int:
        """Number of steps."""
        return int(self.sigmas.shape[0]) - 1

    @property
    def chained(self) -> bool:
        """Whether each step ends where the next begins."""
        pairs = ((self.next_alphas, self.alphas[1:]), (self.next_sigmas, self.sigmas[1:]))
        return not any(anywhere(a != b) for a, b in pairs)

    @property
    def init_noise_sigma(self) -> Any:
        """What unit normals are scaled by to begin a run without a clean sample: a float, or a 0-d array of the grid's
        library where that is not NumPy."""
        if self.prior is None or not len(self):
            return 1.0
        alpha, sigma = self.alphas[0], self.sigmas[0]
        if isinstance(self.sigmas, np.ndarray):
            return math.hypot(self.prior * float(alpha), float(sigma))
        return namespace(sigma).sqrt((self.prior * alpha) ** 2 + sigma**2)

    def timed(self, timesteps: Any) -> "Grid":
        """This grid with other timesteps."""
        return replace(self, timesteps=timesteps)

    def mirrored(self) -> "Grid":
        """The same points the other way round, each with its own time: those of a run that takes this one back.

        Raises:
            ScheduleError: if the steps do not join.
        """
        if not self.chained:
            raise ScheduleError("steps that do not join cannot be taken the other way round.")
        flip = namespace(self.sigmas).flip
        return Grid(
            flip(self.timesteps),
            flip(self.alphas),
            flip(self.sigmas),
            scales=flip(self.scales),
            first=self.total - self.first - len(self),
            total=self.total,
        )

    def part(self, start: int, stop: int) -> "Grid":
        """Steps start..stop-1 of this grid."""
        if (start, stop) == (0, len(self)):
            return self
        points, steps = slice(start, stop + 1), slice(start, stop)
        return Grid(
            self.timesteps[points],
            self.alphas[points],
            self.sigmas[points],
            self.next_alphas[steps],
            self.next_sigmas[steps],
            self.scales[points],
            self.prior,
            self.first + start,
            self.total,
        )
