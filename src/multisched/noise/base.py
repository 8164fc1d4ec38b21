"""What a noise source is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.noise import gaussian
from multisched.noise.addresses import check_place

UNIT = 2.0**-23
"""What uniforms in (0, 1) lie apart: they are whole multiples of it and a half, so that float32 holds u and 1 - u."""

Ids = Sequence[int]
"""Numbers of samples."""

Shape = tuple[int, ...]
"""The shape of one sample."""


class NoiseSource(Protocol):
    """Unit normals by address; no state, so nothing is carried along and resuming is free.

    This one method is all that a custom source needs. The sources here are `Source`s, which may draw on a device.

    Example:
        >>> class Zeros:
        ...     def normal(self, sample_ids, step, draw, shape):
        ...         return np.zeros((len(sample_ids), *shape), np.float32)
        >>> plan = ms.EulerAncestral().plan(4)
        >>> ms.sample(lambda x, t: 0.0 * x, plan, np.ones((1, 2), np.float32), rng=Zeros()).shape
        (1, 2)
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

    Example:
        >>> issubclass(ms.noise.HostNoise, ms.noise.Source)
        True
        >>> ms.noise.HostNoise(0).traceable, ms.noise.PhiloxNoise(0).traceable
        (False, True)
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
        self.check_host(step, draw)
        return backend.asarray(self.normal(sample_ids, int(step), int(draw), shape), "float32", device)

    def uniform_on(
        self, backend: Backend[Any], device: Any, sample_ids: Ids, step: Any, draw: Any, shape: Shape
    ) -> Any:
        """float32 uniforms in (0, 1) at an address, as an array of a backend: here the shares of the normal law below
        the normals of that address.

        Raises:
            ScheduleError: as `normal_on`.
        """
        return below(backend, self.normal_on(backend, device, sample_ids, step, draw, shape))

    def increment(self, sample_ids: Ids, start: float, end: float, path: int, shape: Shape) -> np.ndarray:
        """float32 normals: the path's increment over an interval, divided by its deviation."""
        raise ScheduleError(f"{type(self).__name__} is no path and has no increments.")

    def check_host(self, step: Any, draw: Any) -> None:
        """Refuse an address that is drawn on the host, and that the host does not know.

        Raises:
            ScheduleError: if the step or draw is traced, or has no address.
        """
        check_place(step, draw)
        for number in (step, draw):
            if not isinstance(number, (int, np.integer)):
                raise ScheduleError(
                    f"{type(self).__name__} is drawn on the host, where a traced step is not known: "
                    "take PhiloxNoise inside jit, scan or compile, or draw the noise beforehand."
                )

    def check_batch(self, samples: int) -> None:  # noqa: B027  # most sources serve any batch
        """Refuse a batch of another size than the source is for.

        Raises:
            ScheduleError: if it is.
        """


def below(backend: Backend[Any], normals: Any) -> Any:
    """The share of the normal law below each of float32 normals, kept within (0, 1)."""
    return backend.xp.clip(gaussian.cdf(backend.xp, normals), UNIT / 2, 1 - UNIT / 2)
