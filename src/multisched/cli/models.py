"""What `multisched sample` draws with: the network of digits, or the exact denoiser of a data set; and the sampler that
--sampler names."""

import argparse
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from multisched import backends, digits, pictures
from multisched.analysis import DataSet
from multisched.backends import Backend
from multisched.cli.parser import MODELS
from multisched.cli.runs import Denoising
from multisched.errors import ScheduleError
from multisched.interop import samplers
from multisched.schedulers import Recipe
from multisched.values import option, shown

GUIDANCE = 1.5
"""Between 1, which comes nearest to the distribution of the digits, and 2, whose digits are the clearest."""
SIZE = 32
"""Pixels that the images of --data are resized to."""
NETWORK = (("--class", "digit"), ("--guidance", "guidance"))
KNOWN = (("--data", "data"), ("--size", "size"), ("--blur", "blur"))


class Model(NamedTuple):
    """What draws.

    Attributes:
        denoiser: gives the estimates of x0.
        shape: (channels, h, w) of its images.
        points: the images that it knows by heart, float32 (points, channels, h, w); None for a network.
        told: what is said of its images.
    """

    denoiser: Denoising
    shape: tuple[int, ...]
    points: np.ndarray | None
    told: str


@dataclass(frozen=True, eq=False)
class Blurred:
    """A data set with noise of deviation b on every pixel. With x = alpha * x0 + sigma * noise and x0 = y + b * more, y
    from the data set,

        tau = sqrt((alpha * b)^2 + sigma^2)                 the noise that y is seen through
        x0  = y0 + alpha * b^2 / tau^2 * (x - alpha * y0)   y0 = E[y | x], as of `DataSet` at (alpha, tau)

    Args:
        data: the data set.
        b: the deviation, at least 0.
    """

    data: DataSet
    b: float

    def denoised(self, backend: Backend[Any], x: Any, alpha: float, sigma: float) -> Any:
        """The estimate of x0 in x, alpha and sigma numbers of the host."""
        tau = math.hypot(alpha * self.b, sigma)
        y0 = self.data.denoised(backend, x, alpha, tau)
        return y0 + (alpha * self.b**2 / tau**2) * (x - alpha * y0)


def check_alone(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, and say which model it is.

    Raises:
        ScheduleError: if an option of the network is given beside one of a data set, or a value is not allowed.
    """
    if options.model is None:
        options.model = "digits" if all(getattr(options, place) is None for _, place in KNOWN) else "exact"
    option("--model", options.model, MODELS)
    network = options.model == "digits"
    for name, place in KNOWN if network else NETWORK:
        if getattr(options, place) is not None:
            other, needed = ("exact", "the exact model of a data set") if network else ("digits", "the network")
            raise ScheduleError(f"{name} is for {needed}; leave it out, or take --model {other}.")
    if options.size is not None and options.data is None:
        raise ScheduleError("--size is for the images of --data; the digits have 8 x 8 pixels.")
    if options.digit is not None and not 0 <= options.digit <= 9:
        raise ScheduleError(f"--class must be a digit, 0 to 9; given {shown(options.digit)}.")
    if options.guidance is not None and not 0 <= options.guidance <= 100:
        raise ScheduleError(f"--guidance must be a number in 0..100; given {options.guidance!r}.")
    if options.blur is not None and not 0 <= options.blur <= 10:
        raise ScheduleError(f"--blur must be a number in 0..10, where pixels are in -1..1; given {options.blur!r}.")


def sampled(name: str, like: Recipe, options: argparse.Namespace) -> tuple[str, Recipe]:
    """The recipe of --sampler on the path of a scheduler, and its name; the scheduler itself where none is given."""
    if options.sampler is None:
        return name, like
    if options.sampler != "auto":
        return options.sampler, samplers.sampler(options.sampler, like)
    if options.spacing is not None:
        raise ScheduleError("--sampler auto chooses its spacing itself; leave out --spacing.")
    guidance = _guidance(options) if options.model == "digits" else 1.0
    return "auto", samplers.sampler("auto", like, calls=options.steps, guidance=guidance)


def model_of(options: argparse.Namespace) -> Model:
    """The model on its backend.

    Raises:
        ScheduleError: if there is no such backend, device or folder.
    """
    return _network(options) if options.model == "digits" else _exact(options)


def _network(options: argparse.Namespace) -> Model:
    net = digits.load(options.backend, options.device)
    asked = np.arange(options.count) % 10 if options.digit is None else np.array(options.digit)
    guidance, classes = _guidance(options), digits.conditions(asked, options.backend, options.device)
    what = "digits 0 to 9 in turn" if options.digit is None else f"digit {options.digit}"
    told = f"{what}, guidance {guidance:g}" if guidance else "digits of any class"
    return Model(digits.Denoiser(digits.guided(net, classes, guidance)), (1, 8, 8), None, told)


def _exact(options: argparse.Namespace) -> Model:
    size, blur = SIZE if options.size is None else options.size, options.blur or 0.0
    points = digits.images() if options.data is None else pictures.folder(options.data, size)
    data = DataSet(backends.get(options.backend).asarray(points, "float32", options.device))
    told = (
        f"{len(points)} images with noise of deviation {blur:g} on them, which the model knows by heart"
        if blur
        else f"an exact denoiser knows its {len(points)} images by heart and draws them again; --blur 0.2 adds noise "
        "to them, --model digits is a network that has learnt from digits"
    )
    return Model(Blurred(data, blur) if blur else data, points.shape[1:], points, told)


def _guidance(options: Any) -> float:
    return GUIDANCE if options.guidance is None else float(options.guidance)
