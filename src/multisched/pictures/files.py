"""Pictures in files, and the packages that make them."""

import io
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from multisched.errors import ScheduleError

# What is written must be the same again: no date, and no random names inside.
UNDATED: Mapping[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
SALT = "multisched"


def extra(module: str, package: str) -> Any:
    """A module of the extra "cli".

    Raises:
        ScheduleError: if it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise ScheduleError(f"{package} is missing: install multisched-diffusion[cli].") from None


def formats(figure: bool) -> dict[str, str]:
    """The endings of files that figures, or images, can be written to, and the format of each."""
    if figure:
        known = extra("matplotlib.backend_bases", "Matplotlib").FigureCanvasBase.filetypes
        return {f".{name}": name for name in known if name not in ("raw", "rgba")}
    image = extra("PIL.Image", "Pillow")
    return {ending: kind for ending, kind in image.registered_extensions().items() if kind in image.SAVE}


def check_writable(path: Path, figure: bool) -> None:
    """Check a picture's path before the work is done.

    Args:
        path: where the picture is to go.
        figure: whether it is a figure of Matplotlib; else an image of Pillow.

    Raises:
        ScheduleError: if there is no such folder, the name does not end in a format of pictures, or the package is not
            installed.
    """
    known = formats(figure)
    if not path.parent.is_dir():
        raise ScheduleError(f"the folder {str(path.parent)!r} of --out does not exist.")
    if path.suffix.lower() not in known:
        often = ".png, .svg, .pdf or another format of Matplotlib" if figure else ".png or another picture format"
        raise ScheduleError(f"--out must end in {often}; given {path.name!r}.")


def save(picture: Any, path: str | Path, force: bool = False) -> None:
    """Write a picture. The same picture gives the same bytes.

    Args:
        picture: a figure of Matplotlib, or an image of Pillow.
        path: the file; its ending says the format.
        force: whether to overwrite an existing file of other content.

    Raises:
        ScheduleError: if the file cannot be written, or exists with other content.

    Example:
        >>> import pathlib, tempfile
        >>> figure = ms.pictures.plot([ms.DDIM().plan(5)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ms.pictures.save(figure, f"{folder}/levels.svg")
        ...     pathlib.Path(f"{folder}/levels.svg").read_bytes()[:5]
        b'<?xml'
    """
    path = Path(path)
    try:
        content = encoded(picture, path.suffix)
        if path.is_file() and not force and path.read_bytes() != content:
            raise ScheduleError(f"{str(path)!r} is there already and is another picture; --force writes over it.")
        path.write_bytes(content)
    except ScheduleError:
        raise
    except (OSError, ValueError) as error:
        raise ScheduleError(f"{str(path)!r} cannot be written: {getattr(error, 'strerror', None) or error}.") from None


def encoded(picture: Any, ending: str) -> bytes:
    """A picture as the bytes of a file whose name ends so.

    Raises:
        ScheduleError: if no pictures are in such files.
    """
    memory, figure = io.BytesIO(), hasattr(picture, "savefig")
    known = formats(figure)
    kind = known.get(ending.lower())
    if kind is None:
        raise ScheduleError(f"no picture is written to a file that ends in {ending!r}.")
    if figure:
        with extra("matplotlib", "Matplotlib").rc_context({"svg.hashsalt": SALT}):
            picture.savefig(memory, format=kind, metadata=UNDATED.get(kind), dpi=200)
    else:
        picture.save(memory, format=kind)
    return memory.getvalue()
