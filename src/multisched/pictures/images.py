"""Images of samples, by Pillow. Images are float32 (images, channels, h, w) in [-1, 1]."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.pictures.files import extra
from multisched.values import shown

TILE = 96
"""Pixels that a small image is enlarged to, at least."""
GAP, PAPER, INK = 6, 255, 40
"""Pixels between images; the grey of the sheet and of its labels."""
SIZE = 2_048  # pixels that images of a folder are resized to, at most
LETTERS = 15  # pixels of the height of labels
BROKEN = (OSError, ValueError, SyntaxError, MemoryError, TypeError, EOFError)  # readers differ on broken files


def folder(path: Path, size: int) -> np.ndarray:
    """The images of a folder in the order of their names, cut to squares and resized.

    Args:
        path: the folder; files that are no images are left out.
        size: of the result, in pixels.

    Returns:
        float32 (images, 3, size, size) in [-1, 1].

    Raises:
        ScheduleError: if there is no such folder, it has no images or a broken one, the size is out of range, or Pillow
            is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as place:
        ...     ms.pictures.grid(np.zeros((1, 3, 8, 8)), columns=1).save(f"{place}/grey.png")
        ...     ms.pictures.folder(place, size=16).shape
        (1, 3, 16, 16)
    """
    path = Path(path)
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
        except BROKEN:
            raise ScheduleError(f"{str(file)!r} is not an image that can be read.") from None
    return np.ascontiguousarray(np.stack(loaded).transpose(0, 3, 1, 2) / np.float32(127.5) - np.float32(1))


def nearest_distance(samples: np.ndarray, points: np.ndarray) -> float:
    """Root mean square difference per pixel between a sample and the image nearest to it, mean over the samples."""
    squares = (np.min(np.mean((sample - points) ** 2, axis=(1, 2, 3), dtype=np.float64)) for sample in samples)
    return float(np.mean([math.sqrt(square) for square in squares]))


def grid(images: np.ndarray, columns: int) -> Any:
    """A Pillow image of all images in rows, enlarged so that single pixels can be seen.

    Args:
        images: (images, 1 or 3, h, w) in [-1, 1]; what is beyond is cut off.
        columns: images in a row.

    Raises:
        ScheduleError: if Pillow is not installed.

    Example:
        >>> ms.pictures.grid(ms.digits.images()[:10], columns=5).size
        (516, 210)
    """
    return extra("PIL.Image", "Pillow").fromarray(_sheet(images, columns))


def trajectory(frames: Sequence[np.ndarray], labels: Sequence[str]) -> Any:
    """A Pillow image with the states of a run in rows, each with a label on its left, and a sample in each column.

    Args:
        frames: as many arrays (samples, 1 or 3, h, w) in [-1, 1]; what is beyond is cut off.
        labels: the text of each row, of a few lines.

    Raises:
        ScheduleError: if Pillow is not installed.

    Example:
        >>> picture = ms.pictures.trajectory([np.zeros((3, 1, 8, 8)), np.ones((3, 1, 8, 8))], ["noise", "end"])
        >>> picture.height
        210
    """
    image, draw, font = (extra(f"PIL.{name}", "Pillow") for name in ("Image", "ImageDraw", "ImageFont"))
    sheet = _sheet(np.concatenate(list(frames)), len(frames[0]))
    letters = font.load_default(LETTERS)
    measure = draw.Draw(image.new("L", (1, 1)))
    width = max(math.ceil(measure.multiline_textbbox((0, 0), text, font=letters)[2]) for text in labels) + 3 * GAP
    wide = np.full((sheet.shape[0], width, *sheet.shape[2:]), PAPER, dtype=np.uint8)
    picture = image.fromarray(np.concatenate([wide, sheet], axis=1))
    pen, down = draw.Draw(picture), (sheet.shape[0] - GAP) / len(frames)
    for row, text in enumerate(labels):
        middle = GAP / 2 + (row + 0.5) * down
        ink = INK if sheet.ndim == 2 else (INK,) * 3
        pen.multiline_text((2 * GAP, middle), text, fill=ink, font=letters, anchor="lm")
    return picture


def _sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """Bytes (h, w) or (h, w, 3) of the images in rows."""
    count, channels, height, width = images.shape
    scale = math.ceil(TILE / max(height, width))
    pixels = np.round((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)
    pixels = pixels.repeat(scale, axis=2).repeat(scale, axis=3).transpose(0, 2, 3, 1)
    down, across = height * scale + GAP, width * scale + GAP
    sheet = np.full((math.ceil(count / columns) * down + GAP, columns * across + GAP, channels), PAPER, dtype=np.uint8)
    for index, tile in enumerate(pixels):
        row, column = divmod(index, columns)
        top, left = GAP + row * down, GAP + column * across
        sheet[top : top + height * scale, left : left + width * scale] = tile
    return sheet[:, :, 0] if channels == 1 else sheet
