"""Guidance: one output made of those of several branches of a model.

    guidance = ms.guidance.interval(ms.guidance.cfg(3.5), 0.2, 0.8) | ms.guidance.rescale(0.7)
    conditions = {"conditional": prompt, "unconditional": empty}
    image = ms.sample(model, plan, noise, guidance=guidance, conditions=conditions)

The model is then called as model(x, t, condition), once for each branch that `guidance.branches` names. In a loop of
your own, `guidance.step(outputs, level, sample, memory)` is the same as a pure function of arrays.
"""

from typing import TYPE_CHECKING

from multisched.lazy import attached

if TYPE_CHECKING:
    from multisched.guidance.aligned import magnitude_aware as magnitude_aware, tangential as tangential
    from multisched.guidance.base import Chain as Chain, Guidance as Guidance
    from multisched.guidance.intervals import interval as interval
    from multisched.guidance.level import Level as Level, Levels as Levels, levels as levels
    from multisched.guidance.linear import (
        autoguidance as autoguidance,
        cfg as cfg,
        perturbed_attention as perturbed_attention,
    )
    from multisched.guidance.perpendicular import perp_neg as perp_neg
    from multisched.guidance.plus_plus import cfg_plus_plus as cfg_plus_plus
    from multisched.guidance.projected import apg as apg, apg_mix as apg_mix
    from multisched.guidance.rescaled import rescale as rescale
    from multisched.guidance.scales import dynamic as dynamic
    from multisched.guidance.zero_star import cfg_zero_star as cfg_zero_star

PLACES = {
    "aligned": "magnitude_aware tangential",
    "base": "Chain Guidance",
    "intervals": "interval",
    "level": "Level Levels levels",
    "linear": "autoguidance cfg perturbed_attention",
    "perpendicular": "perp_neg",
    "plus_plus": "cfg_plus_plus",
    "projected": "apg apg_mix",
    "rescaled": "rescale",
    "scales": "dynamic",
    "zero_star": "cfg_zero_star",
}
"""The modules, and the names that are taken from each."""

if not TYPE_CHECKING:
    __getattr__, __dir__, __all__ = attached(__name__, PLACES)
