"""Noise: sources addressed by (seed, sample, step, draw)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from multisched import backends
from multisched.backends import B
from multisched.errors import ScheduleError
from multisched.noise.addresses import START, UNIFORM, purpose
from multisched.noise.base import NoiseSource, Source, below
from multisched.noise.brownian import BrownianNoise
from multisched.noise.framework import FrameworkNoise
from multisched.noise.host import HostNoise, source
from multisched.noise.native import NativeNoise
from multisched.noise.philox import PhiloxNoise
from multisched.noise.shaped import ColouredNoise, OffsetNoise, PyramidNoise
from multisched.noise.torch_cuda import TorchCudaNoise
from multisched.noise.wrapper import Select
from multisched.values import shown, whole

if TYPE_CHECKING:
    from multisched.backends.types import JaxArray, MLXArray, NumPyArray, TorchTensor

__all__ = [
    "START",
    "BrownianNoise",
    "ColouredNoise",
    "FrameworkNoise",
    "HostNoise",
    "NativeNoise",
    "NoiseSource",
    "OffsetNoise",
    "PhiloxNoise",
    "PyramidNoise",
    "Select",
    "Source",
    "TorchCudaNoise",
    "draw",
    "draw_row",
    "normal",
    "source",
    "uniform",
]

AXES, ELEMENTS = 32, 1 << 34
"""Axes and elements that are drawn at once, at most."""


@overload
def normal(
    shape: tuple[int, ...], rng: Any = 0, backend: Literal["numpy"] = "numpy", device: Any = None, dtype: Any = None
) -> "NumPyArray": ...
@overload
def normal(
    shape: tuple[int, ...], rng: Any = 0, *, backend: Literal["torch"], device: Any = None, dtype: Any = None
) -> "TorchTensor": ...
@overload
def normal(
    shape: tuple[int, ...], rng: Any = 0, *, backend: Literal["jax"], device: Any = None, dtype: Any = None
) -> "JaxArray": ...
@overload
def normal(
    shape: tuple[int, ...], rng: Any = 0, *, backend: Literal["mlx"], device: Any = None, dtype: Any = None
) -> "MLXArray": ...
@overload
def normal(shape: tuple[int, ...], rng: Any = 0, *, backend: B, device: Any = None, dtype: Any = None) -> B: ...
@overload
def normal(
    shape: tuple[int, ...], rng: Any = 0, backend: Any = "numpy", device: Any = None, dtype: Any = None
) -> Any: ...
def normal(shape: tuple[int, ...], rng: Any = 0, backend: Any = "numpy", device: Any = None, dtype: Any = None) -> Any:
    """Starting noise: unit normals, the same numbers on every backend.

    Args:
        shape: (samples, ...); sample k is the same whatever the number of samples.
        rng: a seed, a sequence of seeds (one per sample), a noise source, a NumPy Generator, or a key of JAX or MLX or
            a torch.Generator, which draw as in their frameworks (`FrameworkNoise`).
        backend: a backend's name, a `Backend`, or an array to take it from.
        device: where to put the array; the backend's default.
        dtype: the library's own or a name; float32 by default.

    Raises:
        ScheduleError: if the shape is empty, the backend, device, dtype or rng is unknown, or the seeds are not as
            many as the samples.

    Example:
        >>> noise = ms.noise.normal((2, 2), rng=0)
        >>> noise.astype(float).round(3).tolist()
        [[0.047, -1.355], [0.326, -1.281]]
        >>> bool(np.all(ms.noise.normal((3, 2), rng=0)[:2] == noise))
        True
    """
    shape = _checked(shape)
    found = backends.resolve(backend)
    drawn = _drawn(source(rng), found, device, START, 0, shape)
    array = drawn if dtype is None else found.astype(drawn, found.dtype(dtype))
    found.compute_dtype(array.dtype)
    return array


def uniform(
    shape: tuple[int, ...],
    rng: Any = 0,
    step: Any = 0,
    draw: Any = 0,
    backend: Any = "numpy",
    device: Any = None,
    dtype: Any = None,
) -> Any:
    """Uniforms in (0, 1) by address, apart from the normals of that address: of a seed the same bits on every backend,
    multiples of 2^-23 and a half, so that 0 and 1 are never among them.

    Args:
        shape, rng, backend, device, dtype: as `normal`. Of a source that has no words of its own, such as a key of JAX,
            they are the shares of the normal law below its normals.
        step, draw: their address. With a `traceable` source (`PhiloxNoise`, a key) the step may be a traced integer
            array of the backend.

    Raises:
        ScheduleError: as `normal`, or if the step is traced and the source is drawn on the host.

    Example:
        >>> ms.noise.uniform((3,), rng=0, step=5).astype(float).round(3).tolist()
        [0.297, 0.665, 0.967]
    """
    shape, found = _checked(shape), backends.resolve(backend)
    origin, place = source(rng), purpose(UNIFORM, draw)
    if isinstance(origin, Source):
        origin.check_batch(shape[0])
        drawn = origin.uniform_on(found, device, range(shape[0]), step, place, shape[1:])
    else:
        drawn = below(found, _drawn(origin, found, device, step, place, shape))
    array = drawn if dtype is None else found.astype(drawn, found.dtype(dtype))
    found.compute_dtype(array.dtype)
    return array


def draw(
    source: NoiseSource, step: Any, draws: Sequence[Any], sample: B, interval: tuple[float, float] | None = None
) -> tuple[B, ...]:
    """The noise arrays of one row of a plan: float32, shaped as the sample and on its device.

    Args:
        source: where from.
        step, draws: their address, `Plan.noise_address(row)`; integer arrays of the backend for a `traceable` source.
        sample: (samples, ...); sample k takes the noise of sample k.
        interval: what the row crosses, `Plan.rows.interval(row)`, for a source that is a path.

    Raises:
        ScheduleError: if the sample has no axis that counts samples, the source is for another number of them, or it
            is a path and the row crosses no interval.

    Example:
        >>> like = np.zeros((2, 3), np.float32)
        >>> first, second = ms.noise.draw(ms.noise.PhiloxNoise(0), 5, (0, 1), like)
        >>> first.shape, bool(np.any(first == second))
        ((2, 3), False)
    """
    shape = tuple(sample.shape)
    if not shape:
        raise ScheduleError("noise is drawn for each sample of a batch; the sample has no axis.")
    backend = backends.of(sample)
    device = backend.device(sample)
    if not getattr(source, "wants_interval", False):
        return tuple(_drawn(source, backend, device, step, number, shape) for number in draws)
    if interval is None:
        raise ScheduleError(f"{type(source).__name__} is a path; it needs the interval that a row crosses.")
    path_of: Any = source
    path_of.check_batch(shape[0])
    increments = (path_of.increment(range(shape[0]), *interval, path, shape[1:]) for path in range(len(draws)))
    return tuple(backend.asarray(values, "float32", device) for values in increments)


def draw_row(source: NoiseSource, plan: Any, row: int, sample: B) -> tuple[B, ...] | None:
    """`draw` for a row of a plan; None for a row that adds no noise.

    Args:
        source: where from.
        plan: whose row it is.
        row: its number.
        sample: (samples, ...); sample k takes the noise of sample k.

    Example:
        >>> plan = ms.EulerAncestral().plan(4)
        >>> (z,) = ms.noise.draw_row(ms.noise.HostNoise(0), plan, 0, np.zeros((2, 3), np.float32))
        >>> z.shape, ms.noise.draw_row(ms.noise.HostNoise(0), plan, 3, np.zeros((2, 3), np.float32)) is None
        ((2, 3), True)
    """
    if not plan.needs_noise(row):
        return None
    interval = plan.rows.interval(row) if getattr(source, "wants_interval", False) else None
    step, draws = plan.noise_address(row)
    return draw(source, step, draws, sample, interval)


def _checked(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list)) or not shape:
        raise ScheduleError(f"the shape of noise begins with the number of samples; given {shown(shape)}.")
    sizes = tuple([whole("an axis of the noise's shape", axis) for axis in shape])  # torch.compile reads no generator
    if min(sizes) < 0:
        raise ScheduleError(f"the shape of noise has no negative axis; given {shown(shape)}.")
    if len(sizes) > AXES or math.prod([max(axis, 1) for axis in sizes]) > ELEMENTS:
        raise ScheduleError(f"noise has at most {AXES} axes and {ELEMENTS} elements; given the shape {shown(shape)}.")
    return sizes


def _drawn(source: NoiseSource, backend: Any, device: Any, step: Any, draw: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(source, Source):
        source.check_batch(shape[0])
        return source.normal_on(backend, device, range(shape[0]), step, draw, shape[1:])
    return backend.asarray(source.normal(range(shape[0]), step, draw, shape[1:]), "float32", device)
