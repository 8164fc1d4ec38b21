"""Scheduler configurations of diffusers, read and written."""

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from multisched.errors import ScheduleError
from multisched.interop.diffusers import adams, distilled, dpm, flow, lenient, multistep, sigma, source, vp
from multisched.interop.diffusers.base import Peer
from multisched.notebook import report_html
from multisched.schedulers import Recipe
from multisched.values import arithmetic, hint

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
        reproduced: one sentence for each defect of diffusers that the recipe reproduces.
        accepted: one sentence for each value that is accepted with strict=False alone.

    Example:
        >>> recipe = ms.from_diffusers({"_class_name": "DDIMScheduler", "clip_sample": False})
        >>> recipe.report.class_name, sorted(recipe.report.used)
        ('DDIMScheduler', ['clip_sample'])
    """

    class_name: str
    used: Mapping[str, Any]
    ignored: Mapping[str, str]
    defaulted: Mapping[str, Any]
    reproduced: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()

    def __reduce__(self) -> Any:
        told = (self.reproduced, self.accepted)
        return _report, (self.class_name, *told, dict(self.used), dict(self.ignored), dict(self.defaulted))

    def __str__(self) -> str:
        parts = {
            "used": [f"{key} = {value!r}" for key, value in self.used.items()],
            "ignored": [f"{key}: {reason}" for key, reason in self.ignored.items()],
            "defaulted": [f"{key} = {value!r}" for key, value in self.defaulted.items()],
            "reproduced": list(self.reproduced),
            "accepted": list(self.accepted),
        }
        return "\n".join([self.class_name, *(f"  {name} {line}" for name, lines in parts.items() for line in lines)])

    _repr_html_ = report_html


def _report(
    name: str,
    sentences: tuple[str, ...],
    accepted: tuple[str, ...],
    used: dict[str, Any],
    ignored: dict[str, str],
    defaulted: dict[str, Any],
) -> Report:
    """A report of mappings that nobody can write to."""
    kept = (MappingProxyType(used), MappingProxyType(ignored), MappingProxyType(defaulted))
    return Report(name, *kept, sentences, accepted)


@arithmetic()
def from_diffusers(
    config: Any, *, subfolder: str | None = None, revision: str | None = None, strict: bool = True
) -> Recipe:
    """The recipe that does what a scheduler of diffusers 0.42.1 does with this configuration.

    Known defects of diffusers are reproduced where they change numbers; the recipe's options show which. The recipe
    carries a `report` of the keys used, ignored and defaulted, and of the defects that it reproduces. The report stays
    that of the configuration where `dataclasses.replace` changes options.

    Args:
        config: a dict; a scheduler object of diffusers, or anything else that has a mapping as its `config`; a path to
            a scheduler_config.json or to a pipeline's model_index.json; a folder of a saved scheduler or pipeline; or
            the name of a repository of the Hugging Face Hub, such as "org/model", where no folder is called so. That
            needs huggingface_hub, whose cache and settings count (HF_HUB_OFFLINE, HF_HOME, tokens).
        subfolder: of the folder or the repository; by default its own, or "scheduler".
        revision: branch, tag or commit of the repository; its main branch by default.
        strict: whether values are refused that no sampler should have, see `Recipe.strict`. If not, the report says in
            `accepted` which there are; a run is then refused only if it visits a timestep that cannot be stepped from.

    Raises:
        ScheduleError: if there is no configuration there, if its class is not one that is known, or if the recipe
            refuses a value.

    Example:
        >>> recipe = ms.from_diffusers({"_class_name": "DDIMScheduler", "sample_max_value": 0.5}, strict=False)
        >>> recipe.report.accepted
        ('sample_max_value must be at least 1; given 0.5.',)
    """
    given = source.read(config, subfolder, revision)
    name = source.class_name(given, tuple(PEERS), TOKENS)
    peer = PEERS[name]
    left = given.get("_use_default_values")
    # diffusers lists there what its scheduler was not given; another class has defaults of its own.
    absent = {key for key in left if isinstance(key, str)} if isinstance(left, (list, tuple)) else set()
    used = {key: given[key] for key in peer.keys if key in given and key not in absent}
    options = {peer.keys[key]: tuple(v) if isinstance(v, list) else v for key, v in used.items()}
    options, changed = (options, {}) if strict else lenient.read_as(peer.recipe, options)
    try:
        recipe = _recipe(peer, options, strict)
        told = () if strict else (*changed.values(), *_accepted(peer, recipe, options))
    except (TypeError, AttributeError, KeyError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, ScheduleError):
            raise
        raise ScheduleError(
            f"{name} has a value of a kind that none of its keys takes: {source.brief(used)}."
        ) from None
    ignored = {key: _reason(peer, name, key) for key in given if key not in used and key not in absent}
    parts = recipe.parts()
    sentences = tuple(quirk.says for quirk in recipe.quirks if quirk.change(recipe, parts) != parts)
    return replace(recipe, report=_report(name, sentences, told, used, ignored, _defaults(peer, used)))


def _recipe(peer: Peer, options: Mapping[str, Any], strict: bool) -> Recipe:
    """The recipe of the options that a configuration sets, with the quirks that change it."""
    more = {} if strict else {"strict": False}
    recipe = peer.recipe(**{**peer.faithful, **peer.convert(dict(options)), **more})
    parts = recipe.parts()
    return replace(
        recipe, quirks=tuple(one for one in peer.quirks if one.lasting or one.change(recipe, parts) != parts)
    )


def _accepted(peer: Peer, recipe: Recipe, options: Mapping[str, Any]) -> tuple[str, ...]:
    refused = lenient.accepted(lambda some: _recipe(peer, some, True), options)
    return (*refused, *lenient.unsteppable(recipe))


def to_diffusers(recipe: Recipe) -> dict[str, Any]:
    """The configuration of diffusers 0.42.1 that says this recipe; `from_diffusers` reads it back.

    Options that diffusers has not (those it takes in `step`, and corrections of its defects) are left out.

    Args:
        recipe: a named recipe, or what `from_diffusers` made.

    Raises:
        ScheduleError: diffusers has no such scheduler.

    Example:
        >>> config = ms.to_diffusers(ms.FlowMatchEuler(shift=3.0))
        >>> config["_class_name"], config["shift"]
        ('FlowMatchEulerDiscreteScheduler', 3.0)
    """
    report = recipe.report
    names = [name for name, peer in PEERS.items() if peer.recipe is type(recipe)]
    if not names:
        raise ScheduleError(f"diffusers has no scheduler that is {type(recipe).__name__}.")
    name = report.class_name if isinstance(report, Report) and report.class_name in names else names[0]
    values = {key: getattr(recipe, option) for key, option in PEERS[name].keys.items()}
    kept = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return {"_class_name": name, "_diffusers_version": VERSION, **kept}


def __getattr__(name: str) -> Any:
    """Our classes in place of diffusers' own, under their names; and what puts a recipe into a pipeline. They import
    diffusers when they are asked for."""
    if name in PEERS:
        from multisched.interop.diffusers.face import face_of

        return face_of(name)
    if name in ("RecipeScheduler", "as_scheduler", "patch"):
        from multisched.interop.diffusers import composed

        return getattr(composed, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint(name, [*PEERS])}")


def _reason(peer: Peer, name: str, key: str) -> str:
    if key.startswith("_"):
        return "says where the configuration comes from"
    if key in peer.ignored:
        return peer.ignored[key]
    near = difflib.get_close_matches(key, peer.keys, 1, 0.6)
    return f"{name} has no such key" + (f"; did you mean {near[0]}?" if near else "")


def _defaults(peer: Peer, given: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {one.name: one.default for one in fields(peer.recipe) if one.default is not MISSING}
    return {key: defaults[option] for key, option in peer.keys.items() if key not in given and option in defaults}
