"""How one scheduler class of diffusers is said as a recipe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from multisched.schedulers import Recipe
from multisched.schedulers.base import SETTINGS
from multisched.schedulers.quirk import Quirk


@dataclass(frozen=True)
class Peer:
    """A scheduler class of diffusers 0.42.1.

    Attributes:
        recipe: the class of the recipe. Its options are keys of the configuration, unless listed here.
        ours: options of the recipe that are no keys of the configuration (there they are arguments of `step`, or
            diffusers has no such choice).
        faithful: values of those that a recipe of this class has.
        renamed: keys of the configuration that have another name here.
        ignored: keys that diffusers accepts and that change nothing, each with the reason.
        convert: the recipe's options from those of the configuration, where values need a change.
        quirks: of the class, each set where it changes a recipe's parts.

    Example:
        >>> from multisched.interop.diffusers import Peer
        >>> Peer(ms.DDIM, ours=frozenset({"eta"})).recipe.__name__
        'DDIM'
    """

    recipe: type[Recipe]
    ours: tuple[str, ...] = ()
    faithful: Mapping[str, Any] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    convert: Callable[[dict[str, Any]], dict[str, Any]] = dict
    quirks: tuple[Quirk, ...] = ()

    @property
    def keys(self) -> dict[str, str]:
        """The option that each key of the configuration sets."""
        names = {option: key for key, option in self.renamed.items()}
        options = (one.name for one in fields(self.recipe) if one.name not in (*self.ours, *SETTINGS))
        return {names.get(option, option): option for option in options}
