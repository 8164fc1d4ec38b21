"""The grid: where on the path x = alpha * x0 + sigma * noise each step begins and ends."""

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from multisched.errors import ScheduleError
from multisched.values import Value, read_only, shown


@dataclass(frozen=True, eq=False)
class Grid(Value):
    """The points of a sampling run, from the noisiest to the cleanest. All float64.

    Attributes:
        timesteps: (steps + 1,) what the model is given at each point.
        alphas, sigmas: (steps + 1,) weights of the clean sample and of the noise at each point.
        next_alphas, next_sigmas: (steps,) the level that each step aims at. By default the next point's; a schedule
            whose steps aim elsewhere (the fixed stride of early DDIM code) gives its own.
        first, total: number of the first step in the whole schedule that this grid is a part of, and its steps.

    Raises:
        ScheduleError: shapes that do not fit, or a value that is not finite or is negative.
    """

    timesteps: Any
    alphas: Any
    sigmas: Any
    next_alphas: Any = None
    next_sigmas: Any = None
    first: int = 0
    total: int = -1

    def __post_init__(self) -> None:
        chained = self.next_alphas is None and self.next_sigmas is None
        parts = {
            "timesteps": self.timesteps,
            "alphas": self.alphas,
            "sigmas": self.sigmas,
            "next_alphas": self.alphas[1:] if chained else self.next_alphas,
            "next_sigmas": self.sigmas[1:] if chained else self.next_sigmas,
        }
        for name, values in parts.items():
            object.__setattr__(self, name, read_only(values))
        object.__setattr__(self, "total", len(self) if self.total < 0 else self.total)
        self._validate()

    def _validate(self) -> None:
        points = self.sigmas.shape[0] if self.sigmas.ndim == 1 else 0
        lengths = (points, points, points, points - 1, points - 1)
        arrays = (self.timesteps, self.alphas, self.sigmas, self.next_alphas, self.next_sigmas)
        if points == 0 or any(array.shape != (n,) for array, n in zip(arrays, lengths, strict=True)):
            shapes = ", ".join(str(tuple(array.shape)) for array in arrays)
            raise ScheduleError(
                "a grid of n steps has n + 1 timesteps, alphas and sigmas and n next_alphas and next_sigmas; "
                f"given shapes {shapes}."
            )
        for name, values in zip(("timesteps", "alphas", "sigmas", "next_alphas", "next_sigmas"), arrays, strict=True):
            xp = array_namespace(values)
            if not bool(xp.all(xp.isfinite(values))):
                raise ScheduleError(f"the grid's {name} must be finite; given {shown(values)}.")
            if name != "timesteps" and bool(xp.any(values < 0)):
                raise ScheduleError(f"the grid's {name} must not be negative; given {shown(values)}.")

    def __len__(self) -> int:
        """Number of steps."""
        return int(self.sigmas.shape[0]) - 1

    @property
    def chained(self) -> bool:
        """Whether each step ends where the next begins."""
        pairs = ((self.next_alphas, self.alphas[1:]), (self.next_sigmas, self.sigmas[1:]))
        return all(bool(array_namespace(a).all(a == b)) for a, b in pairs)

    def part(self, start: int, stop: int) -> "Grid":
        """Steps start..stop-1 of this grid."""
        points, steps = slice(start, stop + 1), slice(start, stop)
        return Grid(
            self.timesteps[points],
            self.alphas[points],
            self.sigmas[points],
            self.next_alphas[steps],
            self.next_sigmas[steps],
            self.first + start,
            self.total,
        )
