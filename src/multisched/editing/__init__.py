"""Editing of images by any model and plan: inpainting, inversion, FlowEdit, and hand-over between models.

Image to image (SDEdit, Meng et al. 2021, arXiv 2108.01073) needs no function: it is `recipe.plan(n, strength=0.6)`, and
`ms.sample(model, plan, noise, x0=image)`.

    inpaint, repaint               fill in a part of an image
    inverse, invert                the noise of an image, to the solver's order
    exact_invert, exact_sample     and back, to the last bit
    flow_edit                      from one condition to another, without inversion
    handover, upscale              from one model to another, or to another size
"""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.editing.exact import (
        Pair as Pair,
        exact_invert as exact_invert,
        exact_sample as exact_sample,
    )
    from multisched.editing.flowedit import flow_edit as flow_edit
    from multisched.editing.inpainting import inpaint as inpaint
    from multisched.editing.inversion import inverse as inverse, invert as invert
    from multisched.editing.resampling import repaint as repaint
    from multisched.editing.two_models import handover as handover, upscale as upscale

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attached(
        __name__,
        {
            "exact": "Pair exact_invert exact_sample",
            "flowedit": "flow_edit",
            "two_models": "handover upscale",
            "inpainting": "inpaint",
            "inversion": "inverse invert",
            "resampling": "repaint",
        },
    )
