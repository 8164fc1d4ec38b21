"""Where a configuration of diffusers comes from: a dict, an object, a file or a folder; and what it is not."""

import difflib
import json
import os
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multisched.errors import ScheduleError

MOST = 16 * 2**20  # bytes of a file
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60
_short.maxlist = _short.maxtuple = _short.maxdict = 3
_short.maxlevel = 2
REPOSITORY = r"[\w.-]+/[\w.-]+"
"""What the Hub calls a repository: its owner and its name."""
_WAY = "give a scheduler's dict, scheduler_config.json, or the folder of a saved pipeline"


def brief(value: Any) -> str:
    """A value for a message, of at most 120 characters."""
    try:
        text = " ".join(_short.repr(value).split())
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 120 else text[:117] + "..."


def read(config: Any, subfolder: str | None = None, revision: str | None = None) -> Mapping[str, Any]:
    """The configuration that was given, or that is in the place given.

    Raises:
        ScheduleError: if there is none.
    """
    if isinstance(config, (str, os.PathLike)):
        return _from_place(config, subfolder, revision)
    for name, value in (("subfolder", subfolder), ("revision", revision)):
        if value is not None:
            raise ScheduleError(f"{name}= is for a folder or a repository of the Hub; given a {type(config).__name__}.")
    inner = config if isinstance(config, Mapping) else getattr(config, "config", None)
    if not isinstance(inner, Mapping):
        raise ScheduleError(f"a {type(config).__name__} is no configuration; {_WAY}.")
    for key in inner:
        if not isinstance(key, str):
            raise ScheduleError(f"the keys of a configuration are strings; given {brief(key)}.")
    if inner is not config:
        # The class that the object is of counts, not that which its configuration was made for.
        return {**inner, "_class_name": type(config).__name__}
    found: Mapping[str, Any] = inner
    return found


def _files(subfolder: str | None) -> tuple[str, ...]:
    """Where a scheduler, or a pipeline, keeps its scheduler's configuration."""
    name = "scheduler_config.json"
    return (name, f"scheduler/{name}") if subfolder is None else (f"{subfolder}/{name}",)


def _downloaded(repository: str, subfolder: str | None, revision: str | None) -> str:
    """The file of a repository of the Hub, from its cache if it is there.

    Raises:
        ScheduleError: if huggingface_hub is not installed, or the file is not to be had.
    """
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError:
        raise ScheduleError(
            f"there is no folder {brief(repository)}; to read it from the Hub, pip install huggingface_hub."
        ) from None
    for file in reversed(_files(subfolder)):
        try:
            return str(hf_hub_download(repository, file, revision=revision))
        except EntryNotFoundError as error:
            missing: Exception = error
        except Exception as error:  # of the network, the repository, the revision, or a name that the Hub refuses
            why = brief(" ".join(str(error).split()))
            raise ScheduleError(f"{brief(repository)} cannot be read from the Hub: {why}") from None
    why = f"no {' and no '.join(_files(subfolder))}"
    if "LocalEntryNotFound" in type(missing).__name__:
        why += " in the cache, and the Hub cannot be reached"
    raise ScheduleError(f"{brief(repository)} on the Hub has {why}.") from None


def class_name(given: Mapping[str, Any], known: tuple[str, ...], tokens: tuple[str, ...]) -> str:
    """The class of diffusers that a configuration names.

    Raises:
        ScheduleError: if it names none, or one that is not known.
    """
    name = given.get("_class_name")
    if name is None and isinstance(given.get("_target_"), str):  # as Hydra says it
        name = given["_target_"].rpartition(".")[2]
    if name is None or name == "":
        raise ScheduleError("the configuration names no class; add _class_name, such as 'EulerDiscreteScheduler'.")
    if isinstance(name, (list, tuple)) or not isinstance(name, str):
        raise ScheduleError(f"_class_name must be one name, such as 'DDIMScheduler'; given {brief(name)}.")
    name = name.removeprefix("Flax")
    if name in known:
        return name
    if name.removesuffix("Scheduler") in tokens:
        raise ScheduleError(f"{name} samples discrete tokens, which multisched does not do.")
    if name.endswith("Pipeline"):
        raise ScheduleError(f"{brief(name)} is a pipeline's; {_WAY}.")
    meant = _meant(name[:80], known)
    hint = f"did you mean {meant}?" if meant else "it must be a scheduler class of diffusers, such as DDIMScheduler."
    raise ScheduleError(f"_class_name {brief(name)} is not known; {hint}")


def _meant(name: str, known: tuple[str, ...]) -> str:
    """The class that a name which is not known may stand for; "" where that cannot be told."""
    stem, stems = name.removesuffix("Scheduler"), [one.removesuffix("Scheduler") for one in known]
    near = difflib.get_close_matches
    found = (
        [one for one in stems if one == stem]
        or near(f"{stem}Discrete", stems, 1, 0.9)
        or near(stem, stems, 1, 0.8)
        or [one for one in stems if len(stem) > 2 and one.startswith(stem)]
        or [one.removesuffix("Scheduler") for one in near(name, known, 1, 0.8)]
    )
    return f"{found[0]}Scheduler" if found else ""


def _from_place(place: Any, subfolder: str | None, revision: str | None) -> Mapping[str, Any]:
    try:
        path = Path(place)
        if path.name == "model_index.json":
            path = path.parent
        inside = [path / file for file in _files(subfolder)]
        found = next((one for one in (path, *inside) if one.is_file()), None)
        if found is None and isinstance(place, str) and re.fullmatch(REPOSITORY, place) and not path.exists():
            found = Path(_downloaded(place, subfolder, revision))
        elif revision is not None:
            raise ScheduleError(f"revision= is for a repository of the Hub; {brief(str(place))} is a file or a folder.")
        if found is None:
            missing = f"there is no scheduler_config.json at {brief(str(place))}, nor in its folder scheduler."
            raise ScheduleError(missing)
        if found.stat().st_size > MOST:
            size = found.stat().st_size
            raise ScheduleError(f"{brief(str(found))} has {size} bytes; a configuration has at most {MOST}.")
        text = found.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise ScheduleError(f"{brief(str(found))} is not UTF-8 text.") from None
    except (OSError, TypeError, ValueError) as error:
        if isinstance(error, ScheduleError):
            raise
        raise ScheduleError(f"{brief(str(place))} cannot be read: {brief(str(error))}.") from None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScheduleError(f"{brief(str(found))} is not JSON: {brief(str(error))}.") from None
    if not isinstance(content, dict):
        raise ScheduleError(f"{brief(str(found))} must hold a JSON object; it holds a {type(content).__name__}.")
    return content
