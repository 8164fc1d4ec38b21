"""Sources around another: chosen samples of it, and linear maps of its normals."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise.addresses import purpose
from multisched.noise.base import Ids, Shape, Source, below
from multisched.noise.host import source
from multisched.values import check_options, shown

PATHS = 1 << 8
"""Paths of a row that a wrapper leaves to the noise itself."""

Draw = Callable[[int, Shape], Any]


class Around(Source):
    """A source around another, with the same capabilities."""

    source: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", source(self.source))
        for power in ("on_device", "traceable", "wants_interval"):
            object.__setattr__(self, power, getattr(self.source, power, False))


@dataclass(frozen=True)
class Select(Around):
    """Chosen samples of another source: sample k is its sample ids[k].

    With it one image of a batch, or a part of the batch on another device, is drawn as it is in the whole:
    `ms.sample(model, plan, noise[8:], rng=ms.noise.Select(7, range(8, 16)))`.

    Args:
        source: where the noise comes from; anything that `rng=` takes.
        ids: numbers of its samples, >= 0.

    Raises:
        ScheduleError: if an id is no whole number >= 0, or the batch has another number of samples.

    Example:
        >>> request = ms.noise.Select(ms.noise.HostNoise(0), ids=(7,))
        >>> alone = request.normal([0], 0, 0, (3,))
        >>> bool(np.all(alone == ms.noise.HostNoise(0).normal([7], 0, 0, (3,))))
        True
    """

    source: Any
    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        try:
            ids = tuple(self.ids)
        except TypeError:
            raise ScheduleError(f"samples are numbered by a list of ids; given {shown(self.ids)}.") from None
        if not all(isinstance(one, (int, np.integer)) and not isinstance(one, bool) and one >= 0 for one in ids):
            raise ScheduleError(f"samples are numbered by whole numbers >= 0; given {shown(ids)}.")
        object.__setattr__(self, "ids", tuple(int(one) for one in ids))
        super().__post_init__()

    def normal(self, sample_ids: Ids, step: int, draw: int, shape: Shape) -> np.ndarray:
        return np.asarray(self.source.normal(self._chosen(sample_ids), step, draw, shape))

    def normal_on(self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape) -> Any:
        if not isinstance(self.source, Source):
            return super().normal_on(backend, device, sample_ids, step, draw, shape)
        return self.source.normal_on(backend, device, self._chosen(sample_ids), step, draw, shape)

    def uniform_on(
        self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape
    ) -> Any:
        if not isinstance(self.source, Source):
            return super().uniform_on(backend, device, sample_ids, step, draw, shape)
        return self.source.uniform_on(backend, device, self._chosen(sample_ids), step, draw, shape)

    def increment(self, sample_ids: Ids, start: float, end: float, path: int, shape: Shape) -> np.ndarray:
        return np.asarray(self.source.increment(self._chosen(sample_ids), start, end, path, shape))

    def check_batch(self, samples: int) -> None:
        if samples != len(self.ids):
            raise ScheduleError(f"{len(self.ids)} samples are selected; the batch has {samples}.")

    def _chosen(self, sample_ids: Ids) -> list[int]:
        if any(not 0 <= sample < len(self.ids) for sample in sample_ids):
            raise ScheduleError(f"{len(self.ids)} samples are selected; given {shown(list(sample_ids))}.")
        return [self.ids[sample] for sample in sample_ids]


@dataclass(frozen=True)
class Wrapper(Around):
    """A linear map of a source's unit normals, and of further ones, to normals of variance 1 that are correlated.

    Computed in float64 and rounded once around a source of the host, on the device around one that draws there.

    Args:
        source: anything that `rng=` takes.

    Raises:
        ScheduleError: if the source already has a wrapper of this kind.
    """

    source: Any = 0

    def __post_init__(self) -> None:
        check_options(self)
        super().__post_init__()
        inner = self.source
        while inner is not None:
            if isinstance(inner, type(self)):
                raise ScheduleError(f"{type(self).__name__} goes around a source once; given one that has it already.")
            inner = getattr(inner, "source", None)

    @abstractmethod
    def shaped(self, backend: Backend[Any], device: Any, white: Any, more: Draw, shape: Shape) -> Any:
        """The correlated noise.

        Args:
            backend, device: where.
            white: the source's normals, (samples, *shape).
            more: more(purpose, shape) draws others, (samples, *shape), that belong to the same address.
            shape: of a sample.
        """

    def normal(self, sample_ids: Ids, step: int, draw: int, shape: Shape) -> np.ndarray:
        def more(kind: int, size: Shape) -> np.ndarray:
            return np.asarray(self._white.normal(sample_ids, step, purpose(kind, draw), size), np.float64)

        return self._on_host(self.source.normal(sample_ids, step, draw, shape), more, shape)

    def normal_on(self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape) -> Any:
        if not self.on_device:
            return super().normal_on(backend, device, sample_ids, step, draw, shape)

        def more(kind: int, size: Shape) -> Any:
            return self._white.normal_on(backend, device, sample_ids, step, purpose(kind, draw), size)

        white = self.source.normal_on(backend, device, sample_ids, step, draw, shape)
        return self.shaped(backend, device, white, more, shape)

    def increment(self, sample_ids: Ids, start: float, end: float, path: int, shape: Shape) -> np.ndarray:
        def more(kind: int, size: Shape) -> np.ndarray:
            return np.asarray(self._white.increment(sample_ids, start, end, path + kind * PATHS, size), np.float64)

        return self._on_host(self.source.increment(sample_ids, start, end, path, shape), more, shape)

    def uniform_on(
        self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape
    ) -> Any:
        """The source's own, which are not correlated."""
        white = self._white
        if isinstance(white, Source):
            return white.uniform_on(backend, device, sample_ids, step, draw, shape)
        normals = white.normal(sample_ids, step, draw, shape)
        return below(backend, backend.asarray(normals, "float32", device))

    def check_batch(self, samples: int) -> None:
        if isinstance(self.source, Source):
            self.source.check_batch(samples)

    def _on_host(self, white: np.ndarray, more: Draw, shape: Shape) -> np.ndarray:
        return np.asarray(self.shaped(backends.get("numpy"), None, white.astype(np.float64), more, shape), np.float32)

    @property
    def _white(self) -> Any:
        """The source within all wrappers, which has the other normals."""
        inner = self.source
        while isinstance(inner, Wrapper):
            inner = inner.source
        return inner
