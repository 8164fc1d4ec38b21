"""Noise: sources addressed by (seed, sample, step, draw)."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import B
from multisched.errors import ScheduleError
from multisched.noise.host import START, HostNoise, NoiseSource
from multisched.values import whole

__all__ = ["HostNoise", "NoiseSource", "draw", "normal", "source"]


def source(rng: Any) -> NoiseSource:
    """The noise source that `rng` stands for: a source as it is, a seed, or a NumPy Generator (which gives a seed).

    Raises:
        ScheduleError: anything else.
    """
    if isinstance(rng, np.random.Generator):
        return HostNoise(int(rng.integers(2**63)))
    if isinstance(rng, (int, np.integer)):
        return HostNoise(rng)  # type: ignore[arg-type]  # NumPy's integers serve as well
    if hasattr(rng, "normal") and not isinstance(rng, (np.random.RandomState, ModuleType)):
        found: NoiseSource = rng
        return found
    raise ScheduleError(f"rng must be a seed, a noise source or a numpy Generator; given {type(rng).__name__}.")


def normal(shape: tuple[int, ...], rng: Any = 0, backend: Any = "numpy", device: Any = None, dtype: Any = None) -> Any:
    """Starting noise: unit normals, the same numbers on every backend.

    Args:
        shape: (samples, ...); sample k is the same whatever the number of samples.
        rng: a seed, a noise source, or a NumPy Generator.
        backend: a backend's name, a `Backend`, or an array to take it from.
        device: where to put the array; the backend's default.
        dtype: the library's own or a name; float32 by default.

    Raises:
        ScheduleError: an empty shape, or a backend, device, dtype or rng that is not known.
    """
    if not isinstance(shape, (tuple, list)) or not shape:
        raise ScheduleError(f"the shape of noise begins with the number of samples; given {shape!r}.")
    if min(shape := tuple(whole("an axis of the noise's shape", axis) for axis in shape)) < 0:
        raise ScheduleError(f"the shape of noise has no negative axis; given {shape}.")
    drawn = source(rng).normal(range(shape[0]), START, 0, shape[1:])
    array = backends.resolve(backend).asarray(drawn, dtype or "float32", device)
    backends.of(array).compute_dtype(array.dtype)
    return array


def draw(source: NoiseSource, step: int, draws: Sequence[int], sample: B) -> tuple[B, ...]:
    """The noise arrays of one row of a plan: float32, shaped as the sample and on its device.

    Args:
        source: where from.
        step, draws: their address, `Plan.noise_address(row)`.
        sample: (samples, ...); sample k takes the noise of sample k.

    Raises:
        ScheduleError: the sample has no axis that counts samples.
    """
    shape = tuple(sample.shape)
    if not shape:
        raise ScheduleError("noise is drawn for each sample of a batch; the sample has no axis.")
    backend = backends.of(sample)
    device = backend.device(sample)
    drawn = (source.normal(range(shape[0]), step, number, shape[1:]) for number in draws)
    return tuple(backend.asarray(values, "float32", device) for values in drawn)
