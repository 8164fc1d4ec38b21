"""What a schedule is: the levels (alpha, sigma) of every timestep, and the grids of its sampling runs."""

from typing import Any, Protocol

from multisched.backends import Backend
from multisched.grid import Grid


class Schedule(Protocol):
    """A noise schedule with its inference grids; frozen and hashable."""

    @property
    def num_train_timesteps(self) -> int:
        """Timesteps of the training schedule."""

    @property
    def init_noise_sigma(self) -> float:
        """What unit normals are scaled by to begin a run."""

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """The grid of a run: of n steps, or over the timesteps or noise levels given."""

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        """(alpha, sigma) at training timesteps: float64 for host numbers, or on the device for arrays of `backend`."""
