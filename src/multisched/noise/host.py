"""Noise drawn on the host: the same numbers on every backend, for every batch size and order of work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from multisched.errors import ScheduleError

START = -1
"""The step number of the starting noise."""


class NoiseSource(Protocol):
    """Unit normals by address; no state, so nothing is carried along and resuming is free."""

    def normal(self, sample_ids: Sequence[int], step: int, draw: int, shape: tuple[int, ...]) -> np.ndarray:
        """float32 normals (len(sample_ids), *shape), each sample's its own."""


@dataclass(frozen=True)
class HostNoise:
    """NumPy's Philox generator, seeded by (seed, sample, step, draw); drawn in float64, rounded to float32 once.

    Args:
        seed: a whole number >= 0.

    Raises:
        ScheduleError: a negative or fractional seed.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise ScheduleError(f"a seed is a whole number >= 0; given {self.seed!r}.")

    def normal(self, sample_ids: Sequence[int], step: int, draw: int, shape: tuple[int, ...]) -> np.ndarray:
        drawn = [self._generator(sample, step, draw).standard_normal(shape) for sample in sample_ids]
        return np.asarray(drawn, dtype=np.float32).reshape((len(drawn), *shape))

    def _generator(self, sample: int, step: int, draw: int) -> np.random.Generator:
        address = np.random.SeedSequence(int(self.seed), spawn_key=(sample, step - START, draw))
        return np.random.Generator(np.random.Philox(address))
