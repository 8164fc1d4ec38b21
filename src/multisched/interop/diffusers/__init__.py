"""Scheduler configurations of diffusers, read and written."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from multisched.errors import ScheduleError
from multisched.interop.diffusers import adams, distilled, dpm, flow, multistep, sigma, vp
from multisched.interop.diffusers.base import Peer
from multisched.schedulers import Recipe

PEERS: dict[str, Peer] = {
    **adams.PEERS,
    **distilled.PEERS,
    **dpm.PEERS,
    **flow.PEERS,
    **multistep.PEERS,
    **sigma.PEERS,
    **vp.PEERS,
}
"""Every class of diffusers 0.42.1 that is a table, by name."""

TOKENS = ("Amused", "BlockRefinement", "DiscreteDDIM", "EntropyBound", "VQDiffusion")
VERSION = "0.42.1"


@dataclass(frozen=True)
class Report:
    """What became of a configuration.

    Attributes:
        class_name: class of diffusers.
        used: keys that set an option of the recipe, with their values.
        ignored: keys that set none, each with the reason.
        defaulted: keys that the configuration lacks, with the values taken.
    """

    class_name: str
    used: Mapping[str, Any]
    ignored: Mapping[str, str]
    defaulted: Mapping[str, Any]

    def __str__(self) -> str:
        parts = {
            "used": [f"{key} = {value!r}" for key, value in self.used.items()],
            "ignored": [f"{key}: {reason}" for key, reason in self.ignored.items()],
            "defaulted": [f"{key} = {value!r}" for key, value in self.defaulted.items()],
        }
        return "\n".join([self.class_name, *(f"  {name} {line}" for name, lines in parts.items() for line in lines)])


def from_diffusers(config: Mapping[str, Any] | str | Path) -> Recipe:
    """The recipe that does what a scheduler of diffusers 0.42.1 does with this configuration.

    Known defects of diffusers are reproduced where they change numbers; the recipe's options show which. The recipe
    carries a `report` of the keys used, ignored and defaulted.

    Args:
        config: a dict, a path to a scheduler_config.json, or a folder of a saved scheduler or pipeline.

    Raises:
        ScheduleError: no configuration there, an unknown class, or a value that the recipe refuses.
    """
    given = config if isinstance(config, Mapping) else _read(Path(config))
    name = str(given.get("_class_name", "")).removeprefix("Flax")
    if name.removesuffix("Scheduler") in TOKENS:
        raise ScheduleError(f"{name} samples discrete tokens, which multisched does not do.")
    if name not in PEERS:
        raise ScheduleError(f"_class_name must be one of {', '.join(sorted(PEERS))}; given {name!r}.")
    peer = PEERS[name]
    used = {key: given[key] for key in peer.keys if key in given}
    options = {peer.keys[key]: tuple(v) if isinstance(v, list) else v for key, v in used.items()}
    recipe = peer.recipe(**{**peer.faithful, **peer.timed, **peer.convert(options)})
    report = Report(
        name, used, {key: _reason(peer, name, key) for key in given if key not in used}, _defaults(peer, given)
    )
    object.__setattr__(recipe, "report", report)
    return recipe


def to_diffusers(recipe: Recipe) -> dict[str, Any]:
    """The configuration of diffusers 0.42.1 that says this recipe; `from_diffusers` reads it back.

    Options that diffusers has not (those it takes in `step`, and corrections of its defects) are left out.

    Raises:
        ScheduleError: diffusers has no such scheduler.
    """
    report = recipe.report
    names = [name for name, peer in PEERS.items() if peer.recipe is type(recipe)]
    if not names:
        raise ScheduleError(f"diffusers has no scheduler that is {type(recipe).__name__}.")
    name = report.class_name if isinstance(report, Report) and report.class_name in names else names[0]
    values = {key: getattr(recipe, option) for key, option in PEERS[name].keys.items()}
    kept = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return {"_class_name": name, "_diffusers_version": VERSION, **kept}


def _read(path: Path) -> Mapping[str, Any]:
    places = [path, path / "scheduler_config.json", path / "scheduler" / "scheduler_config.json"]
    for place in places:
        if place.is_file():
            try:
                found = json.loads(place.read_text(encoding="utf-8"))
            except json.JSONDecodeError as error:
                raise ScheduleError(f"{place} is not JSON: {error}.") from None
            if not isinstance(found, dict):
                raise ScheduleError(f"{place} must hold a JSON object; it holds a {type(found).__name__}.")
            return found
    raise ScheduleError(f"there is no scheduler_config.json at {path}, nor in its folder scheduler.")


def _reason(peer: Peer, name: str, key: str) -> str:
    if key.startswith("_"):
        return "says where the configuration comes from"
    return peer.ignored.get(key, f"{name} has no such key")


def _defaults(peer: Peer, given: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {one.name: one.default for one in fields(peer.recipe) if one.default is not MISSING}  # type: ignore[arg-type]
    return {key: defaults[option] for key, option in peer.keys.items() if key not in given and option in defaults}
