"""Recipes by the names that users give samplers."""

from typing import Any, Literal, get_args

from multisched.interop.diffusers import from_diffusers
from multisched.recommended import best
from multisched.schedulers import Recipe
from multisched.values import option

Sampler = Literal["auto"]


def sampler(name: Sampler, *, like: Any, calls: int, guidance: float | None = None) -> Recipe:
    """The recipe of a sampler for the model that a recipe was written for.

    Args:
        name: "auto", which chooses solver and spacing by the path, the calls and the guidance; see `recommended.best`,
            which says where it loses.
        like: a recipe that gives the path, the prediction type and the transforms; or what `from_diffusers` reads.
        calls: the number of model calls, each of them a step: plan as many.
        guidance: the weight of classifier-free guidance, 1 for none; None where it is not known.

    Raises:
        ScheduleError: if the name is not known, or as `from_diffusers` and `recommended.best` say.

    Example:
        >>> import multisched as ms
        >>> recipe = ms.sampler("auto", like=ms.FlowMatchEuler(), calls=4)
        >>> recipe.plan(4).sigmas.round(2).tolist()
        [1.0, 0.63, 0.29, 0.07, 0.0]
    """
    option("the name of a sampler", name, get_args(Sampler))
    return best(like if isinstance(like, Recipe) else from_diffusers(like), calls, guidance)
