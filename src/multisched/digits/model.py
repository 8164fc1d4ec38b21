"""The network with its weights, as a model of `RECIPE`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import Backend
from multisched.digits.network import CLASSES, SIDE, forward
from multisched.errors import ScheduleError
from multisched.schedulers import FlowMatchEuler
from multisched.values import real, shown

RECIPE = FlowMatchEuler()
"""What the network was trained for: flow matching, timesteps 0..1000, no shift."""

NONE = CLASSES
"""The class that stands for no class."""

WEIGHTS = Path(__file__).with_name("weights.npz")


@dataclass(frozen=True, eq=False)
class Network:
    """A class-conditional denoiser of digits, 8 x 8 pixels in [-1, 1], for any array library.

    Args:
        weights: by name, arrays of one library, see `network.shapes`.

    Example:
        >>> from multisched import digits
        >>> net = digits.load("numpy")
        >>> noise = ms.noise.normal((2, 1, 8, 8), rng=0, backend="numpy")
        >>> images = ms.sample(digits.guided(net, [3, 7], 2.0), digits.RECIPE.plan(8), noise)
        >>> images.shape
        (2, 1, 8, 8)
    """

    weights: Mapping[str, Any]

    def __call__(self, x: Any, t: Any, condition: Any) -> Any:
        """The velocity, noise - x0.

        Args:
            x: floating (samples, 1, 8, 8), of the library of the weights.
            t: timesteps in 0..1000: a number, or an array () or (samples,).
            condition: the digit 0..9, or 10 (`NONE`) for none: an int for all samples, or integers (samples,). Those of
                the host are checked; an array on a device is not read, and what it holds beyond 0..10 counts for no
                label at all.

        Returns:
            Shape and dtype of x.

        Raises:
            ScheduleError: if x or the condition has another shape, or the condition is no such number.
        """
        backend, like = backends.of(x), self.weights["label"]
        shape = tuple(x.shape)
        if len(shape) != 4 or shape[1:] != (1, SIDE, SIDE):
            raise ScheduleError(f"the network sees samples (samples, 1, 8, 8); given the shape {shape}.")
        if backends.of(like) is not backend:
            raise ScheduleError(f"x is an array of {backend.name}, the weights are of {backends.of(like).name}.")
        device = backend.device(like)
        if isinstance(t, (int, float, np.ndarray, np.generic)):
            t = backend.asarray(t, like.dtype, device)
        if isinstance(condition, (int, list, tuple, np.ndarray, np.generic)):
            condition = conditions(condition, backend, device)
        asked = tuple(condition.shape)
        if asked not in ((), (1,)) and (len(asked) != 1 or asked[0] != shape[0]):
            raise ScheduleError(f"the condition is one class, or one for each of {shape[0]} samples; given {asked}.")
        return forward(self.weights, x, t, condition)


def load(backend: Any = "numpy", device: Any = None) -> Network:
    """The network that was trained by examples/pipeline/train.py, with its weights on a device.

    Args:
        backend: a backend's name, a `Backend`, or an array to take it from.
        device: where to put the weights; the backend's default.

    Raises:
        ScheduleError: if the backend or the device is unknown.

    Example:
        >>> network = ms.digits.load("numpy")
        >>> sum(one.size for one in network.weights.values()) < 300_000
        True
        >>> network(np.zeros((1, 1, 8, 8), np.float32), 500.0, condition=3).shape
        (1, 1, 8, 8)
    """
    found = backends.resolve(backend)
    return Network({name: found.asarray(values, "float32", device) for name, values in shipped().items()})


@cache
def shipped() -> Mapping[str, np.ndarray]:
    """The weights of the package as NumPy arrays, float32; they are kept in float16."""
    with np.load(WEIGHTS) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def conditions(digits: Any, backend: Any = "numpy", device: Any = None) -> Any:
    """Digits 0..9, or 10 for no class, as an int32 array of a backend: () or (samples,).

    Args:
        digits: a number, or a list or an array of them.
        backend: a name, a `Backend`, or an array to take it from.
        device: where to put them; the backend's default.

    Raises:
        ScheduleError: if they are no such numbers.

    Example:
        >>> ms.digits.conditions([3, 7, ms.digits.NONE]).tolist()
        [3, 7, 10]
    """
    if type(digits) is int and 0 <= digits <= NONE:  # also while a compiler reads this, as for guidance
        return backends.resolve(backend).asarray(digits, "int32", device)
    try:
        values = np.asarray(digits)
        good = values.dtype.kind in "iu" and values.ndim <= 1 and bool(np.all((values >= 0) & (values <= NONE)))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ScheduleError(f"a class is a digit, 0 to 9, or {NONE} for none; given {shown(digits)}.")
    return backends.resolve(backend).asarray(values.astype(np.int32), "int32", device)


def guided(network: Network, condition: Any, guidance: Any = 1.0) -> Callable[[Any, Any], Any]:
    """model(x, t) with classifier-free guidance (arXiv 2207.12598, whose weight w is guidance - 1):

        output = without + guidance * (with - without)

    Args:
        network: whose output with the class and without it are combined.
        condition: see `Network`.
        guidance: 1 for none, at one call of the network; 0 for no class, at one call too; any other takes two.

    Raises:
        ScheduleError: if the guidance is no number from 0 to 100.

    Example:
        >>> model = ms.digits.guided(ms.digits.load(), [3, 7], guidance=2.0)
        >>> images = ms.sample(model, ms.digits.RECIPE.plan(8), ms.noise.normal((2, 1, 8, 8), rng=0))
        >>> images.shape
        (2, 1, 8, 8)
    """
    guidance = real("guidance", guidance)
    if not 0 <= guidance <= 100:
        raise ScheduleError(f"guidance must be a number in 0..100; given {guidance!r}.")

    def model(x: Any, t: Any) -> Any:
        if guidance == 1:
            return network(x, t, condition)
        without = network(x, t, NONE)
        return without if guidance == 0 else without + guidance * (network(x, t, condition) - without)

    return model


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A model of `RECIPE` as an estimate of x0 at any level of any path, so that recipes of all paths run with it.

    With s = sigma / (alpha + sigma), x / (alpha + sigma) = (1 - s) * x0 + s * noise lies on the straight path, so

        x0 = x / (alpha + sigma) - s * model(x / (alpha + sigma), 1000 * s)

    Args:
        model: model(x, t), such as `guided` makes.

    Example:
        >>> denoiser = ms.digits.Denoiser(ms.digits.guided(ms.digits.load(), 3, 2.0))
        >>> denoiser.denoised(ms.backends.get("numpy"), np.zeros((1, 1, 8, 8), np.float32), 0.5, 0.5).shape
        (1, 1, 8, 8)
    """

    model: Callable[[Any, Any], Any]

    def denoised(self, backend: Backend[Any], x: Any, alpha: float, sigma: float) -> Any:
        """The estimate of x0 in x = alpha * x0 + sigma * noise, alpha and sigma numbers of the host."""
        total = alpha + sigma
        on_path, s = x * (1.0 / total), sigma / total
        return on_path - s * self.model(on_path, RECIPE.num_train_timesteps * s)
