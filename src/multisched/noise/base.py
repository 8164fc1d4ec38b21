"""What a noise source is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise.addresses import check_place

Ids = Sequence[int]
"""Numbers of samples."""

Shape = tuple[int, ...]
"""The shape of one sample."""


class NoiseSource(Protocol):
    """Unit normals by address; no state, so nothing is carried along and resuming is free.

    This one method is all that a custom source needs. The sources here are `Source`s, which may draw on a device.
    """

    def normal(self, sample_ids: Sequence[int], step: int, draw: int, shape: tuple[int, ...]) -> np.ndarray:
        """float32 normals (len(sample_ids), *shape), each sample's its own."""


class Source(ABC):
    """A source that gives its normals on any backend.

    Attributes:
        on_device: whether `normal_on` computes on the device, in place of moving what `normal` drew on the host.
        traceable: whether `normal_on` takes a step and a draw that are integer arrays of the backend: traced numbers
            inside jit, scan or compile.
        wants_interval: whether the noise of a row is a path's `increment` over the interval that the row crosses.
    """

    on_device: ClassVar[bool] = False
    traceable: ClassVar[bool] = False
    wants_interval: ClassVar[bool] = False

    @abstractmethod
    def normal(self, sample_ids: Ids, step: int, draw: int, shape: Shape) -> np.ndarray:
        """float32 normals (len(sample_ids), *shape) on the host, each sample's its own."""

    def normal_on(self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape) -> Any:
        """The same as an array of a backend, on its device.

        Raises:
            ScheduleError: if the step or draw is traced, and the source is not `traceable`.
        """
        check_place(step, draw)
        for number in (step, draw):
            if not isinstance(number, (int, np.integer)):
                raise ScheduleError(
                    f"{type(self).__name__} is drawn on the host, where a traced step is not known: "
                    "take PhiloxNoise inside jit, scan or compile, or draw the noise beforehand."
                )
        return backend.asarray(self.normal(sample_ids, int(step), int(draw), shape), "float32", device)

    def increment(self, sample_ids: Ids, start: float, end: float, path: int, shape: Shape) -> np.ndarray:
        """float32 normals: the path's increment over an interval, divided by its deviation."""
        raise ScheduleError(f"{type(self).__name__} is no path and has no increments.")

    def check_batch(self, samples: int) -> None:  # noqa: B027  # most sources serve any batch
        """Refuse a batch of another size than the source is for.

        Raises:
            ScheduleError: if it is.
        """
