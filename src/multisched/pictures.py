"""Data sets of images and pictures of samples, for the command line. Images are float32 (images, channels, h, w) in
[-1, 1]. Pillow, scikit-learn and Matplotlib, from the extra "cli", are imported where they are used."""

import io
import math
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.table.plan import Plan
from multisched.values import shown

TILE = 64
"""Pixels that a small image is enlarged to, at least."""
GAP = 4
SIZE = 2_048  # pixels that images of a folder are resized to, at most


def extra(module: str, package: str) -> Any:
    """A module of the extra "cli".

    Raises:
        ScheduleError: if it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise ScheduleError(f"{package} is missing: install multisched-diffusion[cli].") from None


def digits() -> np.ndarray:
    """The 1,797 handwritten digits that come with scikit-learn, (1797, 1, 8, 8).

    Raises:
        ScheduleError: if scikit-learn is not installed.
    """
    images = extra("sklearn.datasets", "scikit-learn").load_digits().images
    return np.asarray(images[:, None] / 8 - 1, dtype=np.float32)


def folder(path: Path, size: int) -> np.ndarray:
    """The images of a folder in the order of their names, cut to squares and resized: (images, 3, size, size).

    Raises:
        ScheduleError: if there is no such folder, it has no images or a broken one, the size is out of range, or Pillow
            is not installed.
    """
    image, ops = extra("PIL.Image", "Pillow"), extra("PIL.ImageOps", "Pillow")
    if not 1 <= size <= SIZE:
        allowed = "at least 1" if size < 1 else f"in 1..{SIZE}"
        raise ScheduleError(f"--size must be {allowed}; given {shown(size)}.")
    if not path.is_dir():
        raise ScheduleError(f"the folder {str(path)!r} does not exist.")
    known = {ending for ending, kind in image.registered_extensions().items() if kind in image.OPEN}
    try:
        listed = sorted(path.iterdir())
    except OSError as error:
        raise ScheduleError(f"the folder {str(path)!r} cannot be read: {error.strerror}.") from None
    files = sorted(file for file in listed if file.is_file() and file.suffix.lower() in known)
    if not files:
        raise ScheduleError(f"the folder {str(path)!r} has no images.")
    loaded = []
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", image.DecompressionBombWarning)
                with image.open(file) as opened:
                    loaded.append(np.asarray(ops.fit(ops.exif_transpose(opened).convert("RGB"), (size, size))))
        except (image.DecompressionBombError, image.DecompressionBombWarning):
            raise ScheduleError(f"{str(file)!r} is an image of more pixels than Pillow takes for safe.") from None
        except (OSError, ValueError, SyntaxError, MemoryError, TypeError, EOFError):  # readers differ on broken files
            raise ScheduleError(f"{str(file)!r} is not an image that can be read.") from None
    return np.ascontiguousarray(np.stack(loaded).transpose(0, 3, 1, 2) / np.float32(127.5) - np.float32(1))


def nearest_distance(samples: np.ndarray, points: np.ndarray) -> float:
    """Root mean square difference per pixel between a sample and the image nearest to it, mean over the samples."""
    squares = (np.min(np.mean((sample - points) ** 2, axis=(1, 2, 3), dtype=np.float64)) for sample in samples)
    return float(np.mean([math.sqrt(square) for square in squares]))


def grid(images: np.ndarray, columns: int) -> Any:
    """A Pillow image of all images in rows of `columns`, enlarged so that single pixels can be seen.

    Raises:
        ScheduleError: if Pillow is not installed.
    """
    count, channels, height, width = images.shape
    scale = math.ceil(TILE / max(height, width))
    pixels = np.round((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)
    pixels = pixels.repeat(scale, axis=2).repeat(scale, axis=3).transpose(0, 2, 3, 1)
    down, across = height * scale + GAP, width * scale + GAP
    sheet = np.full((math.ceil(count / columns) * down + GAP, columns * across + GAP, channels), 96, dtype=np.uint8)
    for index, tile in enumerate(pixels):
        row, column = divmod(index, columns)
        top, left = GAP + row * down, GAP + column * across
        sheet[top : top + height * scale, left : left + width * scale] = tile
    return extra("PIL.Image", "Pillow").fromarray(sheet[:, :, 0] if channels == 1 else sheet)


def plot(plans: Iterable[Plan]) -> Any:
    """A Matplotlib figure of the plans' noise levels and timesteps. The axis of the levels is logarithmic, without 0.

    Raises:
        ScheduleError: if Matplotlib is not installed.
    """
    plans = list(plans)
    size = (10, max(4.5, 0.5 + 0.2 * len(plans)))
    figure = extra("matplotlib.figure", "Matplotlib").Figure(figsize=size, layout="constrained")
    left, right = figure.subplots(1, 2)
    for plan in plans:
        shown = plan.sigmas > 0
        left.plot(np.flatnonzero(shown), plan.sigmas[shown], ".-", label=plan.name)
        right.plot(plan.timesteps, ".-", label=plan.name)
    left.set(yscale="log", xlabel="step", ylabel="sigma")
    right.set(xlabel="model call", ylabel="timestep")
    figure.legend(*left.get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    return figure


def save(write: Callable[..., object], path: Path, force: bool = False) -> None:
    """Write a picture.

    Args:
        write: write(file, format=) writes it to an open file.
        path: where to.
        force: whether to overwrite an existing file of other content.

    Raises:
        ScheduleError: if the file cannot be written, or exists with other content.
    """
    memory = io.BytesIO()
    try:
        write(memory, format=extra("PIL.Image", "Pillow").registered_extensions()[path.suffix.lower()])
        if path.is_file() and not force and path.read_bytes() != memory.getvalue():
            raise ScheduleError(f"{str(path)!r} is there already and is another picture; --force writes over it.")
        path.write_bytes(memory.getvalue())
    except ScheduleError:
        raise
    except (OSError, ValueError) as error:
        raise ScheduleError(f"{str(path)!r} cannot be written: {getattr(error, 'strerror', None) or error}.") from None


def check_writable(path: Path) -> None:
    """Check a picture's path before the work is done.

    Raises:
        ScheduleError: if there is no such folder, the name does not end in a picture format, or Pillow is not
            installed.
    """
    image = extra("PIL.Image", "Pillow")
    if not path.parent.is_dir():
        raise ScheduleError(f"the folder {str(path.parent)!r} of --out does not exist.")
    if image.registered_extensions().get(path.suffix.lower()) not in image.SAVE:
        raise ScheduleError(f"--out must end in .png or another picture format; given {path.name!r}.")
