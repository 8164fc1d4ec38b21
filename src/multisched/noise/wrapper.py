"""What a wrapper around a source is."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise.addresses import purpose
from multisched.noise.base import Around, Source
from multisched.noise.rng import source
from multisched.values import check_options

PATHS = 1 << 8
"""Paths of a row that a wrapper leaves to the noise itself."""

Draw = Callable[[int, tuple[int, ...]], Any]


@dataclass(frozen=True)
class Wrapper(Around):
    """A linear map of a source's unit normals, and of further ones, to normals of variance 1 that are correlated.

    Computed in float64 and rounded once around a source of the host, on the device around one that draws there.

    Args:
        source: anything that `rng=` takes.

    Raises:
        ScheduleError: a source that already has a wrapper of this kind.
    """

    source: Any = 0

    def __post_init__(self) -> None:
        check_options(self)
        object.__setattr__(self, "source", source(self.source))
        inner = self.source
        while inner is not None:
            if isinstance(inner, type(self)):
                raise ScheduleError(f"{type(self).__name__} goes around a source once; given one that has it already.")
            inner = getattr(inner, "source", None)

    @abstractmethod
    def shaped(self, backend: Backend[Any], device: Any, white: Any, more: Draw, shape: tuple[int, ...]) -> Any:
        """The correlated noise.

        Args:
            backend, device: where.
            white: the source's normals, (samples, *shape).
            more: more(purpose, shape) draws others, (samples, *shape), that belong to the same address.
            shape: of a sample.
        """

    def normal(self, sample_ids: Sequence[int], step: int, draw: int, shape: tuple[int, ...]) -> np.ndarray:
        def more(kind: int, size: tuple[int, ...]) -> np.ndarray:
            drawn: np.ndarray = self._white.normal(sample_ids, step, purpose(kind, draw), size)
            return drawn.astype(np.float64)

        return self._on_host(self.source.normal(sample_ids, step, draw, shape), more, shape)

    def normal_on(
        self,
        backend: Backend[Any],
        device: Any,
        sample_ids: Sequence[int],
        step: Any,
        draw: Any,
        shape: tuple[int, ...],
    ) -> Any:
        if not self.on_device:
            return super().normal_on(backend, device, sample_ids, step, draw, shape)

        def more(kind: int, size: tuple[int, ...]) -> Any:
            return self._white.normal_on(backend, device, sample_ids, step, purpose(kind, draw), size)

        white = self.source.normal_on(backend, device, sample_ids, step, draw, shape)
        return self.shaped(backend, device, white, more, shape)

    def increment(
        self, sample_ids: Sequence[int], start: float, end: float, path: int, shape: tuple[int, ...]
    ) -> np.ndarray:
        def more(kind: int, size: tuple[int, ...]) -> np.ndarray:
            drawn: np.ndarray = self._white.increment(sample_ids, start, end, path + kind * PATHS, size)
            return drawn.astype(np.float64)

        return self._on_host(self.source.increment(sample_ids, start, end, path, shape), more, shape)

    def check_batch(self, samples: int) -> None:
        if isinstance(self.source, Source):
            self.source.check_batch(samples)

    def _on_host(self, white: np.ndarray, more: Draw, shape: tuple[int, ...]) -> np.ndarray:
        found = self.shaped(backends.get("numpy"), None, white.astype(np.float64), more, shape)
        return np.asarray(found).astype(np.float32)

    @property
    def _white(self) -> Any:
        """The source within all wrappers, which has the other normals."""
        inner = self.source
        while isinstance(inner, Wrapper):
            inner = inner.source
        return inner
