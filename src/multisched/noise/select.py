"""Chosen samples of a source."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise.base import Around, Source
from multisched.noise.rng import source


@dataclass(frozen=True)
class Select(Around):
    """Chosen samples of another source: sample k is its sample ids[k].

    With it one image of a batch, or a part of the batch on another device, is drawn as it is in the whole:
    `ms.sample(model, plan, noise[8:], rng=ms.noise.Select(7, range(8, 16)))`.

    Args:
        source: where the noise comes from; anything that `rng=` takes.
        ids: numbers of its samples, >= 0.

    Raises:
        ScheduleError: an id that is no whole number >= 0, or a batch that has not as many samples.
    """

    source: Any
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        ids = tuple(self.ids)
        if not all(isinstance(one, (int, np.integer)) and not isinstance(one, bool) and one >= 0 for one in ids):
            raise ScheduleError(f"samples are numbered by whole numbers >= 0; given {ids!r}.")
        object.__setattr__(self, "ids", tuple(int(one) for one in ids))
        object.__setattr__(self, "source", source(self.source))

    def normal(self, sample_ids: Sequence[int], step: int, draw: int, shape: tuple[int, ...]) -> np.ndarray:
        found: np.ndarray = self.source.normal(self._chosen(sample_ids), step, draw, shape)
        return found

    def normal_on(
        self,
        backend: Backend[Any],
        device: Any,
        sample_ids: Sequence[int],
        step: Any,
        draw: Any,
        shape: tuple[int, ...],
    ) -> Any:
        if not isinstance(self.source, Source):
            return super().normal_on(backend, device, sample_ids, step, draw, shape)
        return self.source.normal_on(backend, device, self._chosen(sample_ids), step, draw, shape)

    def increment(
        self, sample_ids: Sequence[int], start: float, end: float, path: int, shape: tuple[int, ...]
    ) -> np.ndarray:
        found: np.ndarray = self.source.increment(self._chosen(sample_ids), start, end, path, shape)
        return found

    def check_batch(self, samples: int) -> None:
        if samples != len(self.ids):
            raise ScheduleError(f"{len(self.ids)} samples are selected; the batch has {samples}.")

    def _chosen(self, sample_ids: Sequence[int]) -> list[int]:
        if any(not 0 <= sample < len(self.ids) for sample in sample_ids):
            raise ScheduleError(f"{len(self.ids)} samples are selected; given {list(sample_ids)}.")
        return [self.ids[sample] for sample in sample_ids]
