"""The samplers that "auto" is compared with: usual solvers on the spacings that they are used with, one call a step.

Tables of these equal diffusers' and k-diffusion's numbers, see tests/peers, so they are run by multisched.
"""

import math
from collections.abc import Iterator

import multisched as ms
from benchmarks.networks import RECIPES
from multisched.interop.diffusers.solvers import HalfCurved
from multisched.solvers import (
    ERSDE,
    Adams,
    DPMMultistep,
    Euler,
    ExponentialAdams,
    GradientEstimation,
    RESMultistep,
    Solver,
)
from multisched.spacings import End, Even, Named, Shift, Spacing


def unipc(order: int, rule: str = "bh2", data: bool = True, falling: float = math.inf) -> Solver:
    """UniPC, of lower order in the last steps unless falling = 0."""
    return ExponentialAdams(data, order, order + 1, rule, falling)  # type: ignore[arg-type]


SOLVERS: dict[str, Solver] = {
    "Euler": Euler(),
    "DPM++ 2M": DPMMultistep(2, lower_order_final=True),
    "DPM++ 2M whole": DPMMultistep(2, lower_order_final=False),
    "DPM++ 2M heun": DPMMultistep(2, solver_type="heun", lower_order_final=True),
    "DPM++ 3M": DPMMultistep(3, lower_order_final=True),
    "DPM++ 3M published": HalfCurved(3, lower_order_final=True),
    "UniPC 2": unipc(2),
    "UniPC 2 bh1": unipc(2, "bh1"),
    "UniPC 2 exact": unipc(2, "exact"),
    "UniPC 2 whole": unipc(2, falling=0),
    "UniPC 3": unipc(3),
    "UniPC 3 bh1": unipc(3, "bh1"),
    "UniPC 3 exact": unipc(3, "exact"),
    "UniPC 3 whole": unipc(3, falling=0),
    "UniPC 2 noise": unipc(2, data=False),
    "UniPC 2 noise whole": unipc(2, data=False, falling=0),
    "UniPC 3 noise": unipc(3, data=False),
    "DEIS 2": ExponentialAdams(False, 2, falling=15),
    "DEIS 3": ExponentialAdams(False, 3, falling=15),
    "SA-Solver, tau 0": ExponentialAdams(True, 2, 2, "bh1", math.inf),
    "iPNDM 2": Adams("even", "euler", 2),
    "iPNDM 3": Adams("even", "euler", 3),
    "iPNDM 4": Adams("even", "euler", 4),
    "LMS": Adams("exact", "euler", 4),
    "RES multistep": RESMultistep(),
    "gradient estimation": GradientEstimation(),
    "ER-ODE 3": ERSDE(3, "ode"),
    "ER-ODE 3 interpolated": ERSDE(3, "ode", rule="interpolated"),
}

FEW = ("Euler", "DPM++ 2M", "DPM++ 3M", "UniPC 2", "UniPC 3", "UniPC 2 noise", "DEIS 2", "DEIS 3", "iPNDM 2", "iPNDM 3")
FEW += ("iPNDM 4", "ER-ODE 3")
"""Solvers that are run on the U-Nets and the exact models too, which are slow."""

COMMON = ("Euler", "DPM++ 2M", "DPM++ 3M", "UniPC 2", "UniPC 3", "DEIS 2", "iPNDM 4")
"""The solvers that are used most, as libraries have them by default."""

OURS = {
    "iPNDM 3, our spacing": SOLVERS["iPNDM 3"],
    "UniPC 2, our spacing": SOLVERS["UniPC 2"],
    "DPM++ 2M, our spacing": SOLVERS["DPM++ 2M"],
}
"""Usual solvers on the spacing of "auto", which says what of a gain is the solver's."""

USUAL = (
    *("DPM++ 2M, karras", "UniPC 2, karras", "UniPC 2, linspace", "Euler, trailing", "iPNDM 4, karras"),
    *("DPM++ 2M, shift 1", "UniPC 2, shift 1", "UniPC 2, shift 3", "Euler, shift 1", "Euler, shift 3", "Euler, karras"),
)
"""Settings that people meet first, kept in the file of every cell."""

CHOICES = {
    "DPM++ 3M: as published, over exact": ("DPM++ 3M published", "DPM++ 3M"),
    "DPM++ 2M: heun, over midpoint": ("DPM++ 2M heun", "DPM++ 2M"),
    "DPM++ 2M: whole order, over lower at the end": ("DPM++ 2M whole", "DPM++ 2M"),
    "DPM++: 3M, over 2M": ("DPM++ 3M", "DPM++ 2M"),
    "UniPC 2: exact, over bh2": ("UniPC 2 exact", "UniPC 2"),
    "UniPC 2: bh1, over bh2": ("UniPC 2 bh1", "UniPC 2"),
    "UniPC 3: exact, over bh2": ("UniPC 3 exact", "UniPC 3"),
    "UniPC 3: bh1, over bh2": ("UniPC 3 bh1", "UniPC 3"),
    "UniPC 3: whole order, over lower at the end": ("UniPC 3 whole", "UniPC 3"),
    "UniPC 2: noise, over data": ("UniPC 2 noise", "UniPC 2"),
    "ER-SDE 3 without noise: interpolated, over published": ("ER-ODE 3 interpolated", "ER-ODE 3"),
    "Adams 4: exact weights, over even": ("LMS", "iPNDM 4"),
    "iPNDM: 4 calls, over 3": ("iPNDM 4", "iPNDM 3"),
}
"""Choices between options: the names of the two solvers."""


def _named(*names: str) -> dict[str, Spacing]:
    return {name: Named(name) for name in names}  # type: ignore[arg-type]


SPACINGS: dict[str, dict[str, Spacing]] = {
    "vp": _named("karras", "exponential", "linspace", "trailing", "beta", "kl_optimal", "align_your_steps_sd1"),
    "flow": {
        "shift 1": Even(1.0, 0.0, True),
        "shift 3": Even(1.0, 0.0, True) | Shift(3.0),
        "shift 5": Even(1.0, 0.0, True) | Shift(5.0),
        **_named("beta"),
    },
    "edm": _named("karras", "exponential", "kl_optimal"),
}


def peers(kind: str, few: bool = False) -> Iterator[tuple[str, ms.Recipe]]:
    """The named settings of a kind of model; with the solvers of `FEW` alone if wanted."""
    parts = RECIPES[kind].parts()
    for solver, update in SOLVERS.items():
        if few and solver not in FEW:
            continue
        for spacing, place in SPACINGS[kind].items():
            yield f"{solver}, {spacing}", ms.Scheduler(parts.path, place | End(), parts.prediction, update)
