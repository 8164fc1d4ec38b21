"""Quirks: where published code departs from the paper that it cites, kept so that its numbers can be reproduced."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from multisched.errors import ScheduleError
from multisched.schedulers.forward import Parts
from multisched.values import shown


@dataclass(frozen=True)
class Quirk:
    """One departure. A recipe read from a configuration has those that change its numbers; `replace(recipe, quirks=())`
    mends them.

    Args:
        name: for messages.
        says: what it does, in one sentence.
        change: (recipe, parts) -> the parts with the departure, or the same parts where it changes nothing.
        whole: whether it is about a run as a whole, and so none of a single step (`Recipe.between`).
        lasting: whether a recipe has it even where it changes nothing, since an option of a step may let it matter.

    Example:
        >>> [quirk.name for quirk in ms.from_diffusers({"_class_name": "DDPMScheduler"}).quirks]
        ['final_noise']
    """

    name: str
    says: str
    change: Callable[[Any, Parts], Parts]
    lasting: bool = False
    whole: bool = False

    def applied(self, recipe: Any, parts: Parts) -> Parts:
        """The parts with the departure.

        Raises:
            ScheduleError: if the recipe is of a class that it does not belong to.
        """
        try:
            return self.change(recipe, parts)
        except (AttributeError, TypeError, StopIteration):
            raise ScheduleError(f"the quirk {self.name} does not belong to {type(recipe).__name__}.") from None

    def __repr__(self) -> str:
        return self.name


def check_quirks(quirks: Any) -> None:
    """Refuse what is no tuple of quirks.

    Raises:
        ScheduleError: if it is none.
    """
    if not isinstance(quirks, tuple) or not all(isinstance(one, Quirk) for one in quirks):
        raise ScheduleError(f"quirks must be a tuple of schedulers.quirk.Quirk; given {shown(quirks)}.")
