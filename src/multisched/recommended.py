"""The sampler with the smallest error, for a path, a number of calls and a guidance, as measured on trained networks.

The numbers were chosen by a race of samplers on small class-conditional networks of scikit-learn's digits: noise
prediction on Stable Diffusion's betas, flow matching, and EDM. Error is the deviation of the last sample from the
network's own probability flow. `python -m benchmarks.accuracy` measures it again.
"""

import math
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from multisched.errors import ScheduleError
from multisched.paths.base import Path
from multisched.paths.discrete import Discrete
from multisched.paths.exploding import VarianceExploding
from multisched.paths.straight import Straight
from multisched.schedulers import Recipe, Scheduler
from multisched.solvers import LCM, TCD, AngleAdams, Consistency, PiFlow
from multisched.spacings import Chain, End, Link, RespaceRatios, SoftLog, Trained
from multisched.values import STEPS, count, real, shown

Kind = Literal["vp", "flow", "edm"]
UNKNOWN = 3.0
"""The guidance that is taken where it is not known: damping for it costs little without guidance, while no damping
doubles the error of guided runs."""


class Upto(NamedTuple):
    """What holds for runs of up to so many calls, and of more than the entry before."""

    calls: float
    value: Any


ALL = math.inf
LOGARITHMIC = SoftLog(0.0, math.inf, 0.08)
KARRAS = (Trained(), RespaceRatios("karras"))
# Spacings. On a discrete path the usual ones are as good as any, with a bottom of 0.08 in the shortest runs. On the
# others SoftLog is 1.5 to 3.3 times better than the usual ones, for any solver, and its bottom has to fall as runs get
# longer: flow, 20 calls, error 5.8e-3 with bottom 0.0292 and 1.5e-3 with 0.01.
SPACINGS: dict[Kind, tuple[Upto, ...]] = {
    "vp": (
        Upto(8, (LOGARITHMIC,)),
        Upto(12, KARRAS),
        Upto(16, (Trained(), RespaceRatios("exponential"))),  # on a convolutional network 10 % better than Karras's
        Upto(ALL, KARRAS),
    ),
    "flow": (
        Upto(6, (SoftLog(0.1, 3.0, 0.08),)),
        Upto(10, (SoftLog(0.1, 3.0, 0.0292),)),
        Upto(12, (SoftLog(0.1, 3.0, 0.02),)),  # error 5.3e-3; with high = 10, or low = 0.03, 1.1e-2
        Upto(16, (SoftLog(0.03, 3.0, 0.012),)),
        Upto(30, (SoftLog(0.1, 10.0, 0.01),)),
        Upto(ALL, (SoftLog(0.1, 10.0, 0.003),)),  # 50 calls: 2.4e-4; with high = 3 and bottom 0.02, 3e-3
    ),
}
SPACINGS["edm"] = (*SPACINGS["flow"][:-1], Upto(ALL, KARRAS))
# Above guidance 5 the model is so steep at low noise that short runs leave it out.
STEEP: dict[Kind, tuple[Upto, ...]] = {
    "vp": (Upto(15, (LOGARITHMIC,)), *SPACINGS["vp"][-1:]),
    "flow": (Upto(8, (SoftLog(0.1, 3.0, 0.08),)), *SPACINGS["flow"][1:]),
    "edm": (Upto(8, (SoftLog(0.1, 3.0, 0.08),)), *SPACINGS["edm"][1:]),
}

WHOLE = {"even": False, "damping": 0.0}
NONE = {"corrector": 0}
# Options of the solver, for guidance up to 2, up to 5, and above. Correctors that are not damped double the error at
# guidance 7 and 8 to 12 calls (vp, 10 calls: 0.27 with damping 1, 0.12 without a corrector).
STRENGTHS: dict[Kind, tuple[tuple[Upto, ...], ...]] = {
    "vp": (
        (Upto(ALL, {"damping": 1.0}),),
        (Upto(8, {"damping": 4.0}), Upto(ALL, {"damping": 2.0})),
        (Upto(30, NONE), Upto(ALL, {"damping": 2.0})),
    ),
    "flow": (
        (Upto(7, {"damping": 1.0}), Upto(15, {"damping": 0.25}), Upto(ALL, WHOLE)),
        (Upto(8, {"damping": 4.0}), Upto(11, {"damping": 2.0}), Upto(15, {"damping": 0.25}), Upto(ALL, WHOLE)),
        (Upto(15, NONE), Upto(ALL, {"damping": 12.0})),
    ),
}
# At 50 calls 9.2e-5 instead of 2.0e-4.
LONG = Upto(ALL, {"predictor": 3, "corrector": 4, **WHOLE})
STRENGTHS["edm"] = (
    *((*one[:-1], Upto(30, one[-1].value), LONG) for one in STRENGTHS["flow"][:2]),
    STRENGTHS["flow"][2],
)


def best(like: Recipe, calls: int, guidance: float | None = None) -> Recipe:
    """The recipe for as many model calls that has the smallest error by measurement: `AngleAdams`, one call a step, on
    a spacing and with a damping that follow from the path, the number of calls and the guidance.

    Where it loses, in the race that it was chosen by. At guidance 7 and 5 calls on flow models its error is 1.6 times
    that of Euler. At guidance 7 on noise prediction, DPM++ 2M on `SoftLog(0, inf, 0.08)` is 4 to 16 % better. At
    guidance 3 and 5 calls, iPNDM of order 2 is 1.1 to 1.5 times better. On a convolutional network of the noise, UniPC
    is 1.4 times better at 15 calls. On such models without guidance, UniPC's noise form is 5 to 10 % better from 20
    calls on. On exact models of mixtures of Gaussians, undamped solvers are better. Large images, and models that want
    a shift, were not measured.

    Args:
        like: gives the path, the prediction type and the transforms; its spacing and solver are replaced.
        calls: the number of model calls, which is that of the steps. Plan as many: `best(like, 10).plan(10)`.
        guidance: the weight of classifier-free guidance, 1 for none; None where it is not known, which is taken for 3.

    Raises:
        ScheduleError: if the model is a distilled one, the path is none of those measured, or a number is out of range.
    """
    if not isinstance(like, Recipe):
        raise ScheduleError(f"like must be a recipe, such as ms.FlowMatchEuler(); given {shown(like)}.")
    calls = count("calls", calls, STEPS)
    guidance = UNKNOWN if guidance is None else real("guidance", guidance)
    if not 0 <= guidance < math.inf:
        raise ScheduleError(f"guidance must be a number >= 0, or None; given {guidance!r}.")
    parts = like.parts()
    if isinstance(parts.solver, (LCM, TCD, Consistency, PiFlow)) or parts.solver.inputs:
        raise ScheduleError(
            f"the model of {type(like).__name__} has no probability flow to follow; sample with that recipe itself."
        )
    kind = kind_of(parts.path)
    links: tuple[Link, ...] = _upto(STEEP[kind] if guidance > 5 else SPACINGS[kind], calls)
    end = End(0.0, Chain(parts.spacing.links).end.prior)
    return Scheduler(
        parts.path,
        Chain((*links, end)),
        parts.prediction,
        _solver(kind, calls, guidance),
        parts.output_transform,
        parts.denoised_transform,
        strict=like.strict,
    )


def kind_of(path: Path) -> Kind:
    """Which of the measured models those of a path are like.

    Raises:
        ScheduleError: if they are like none.
    """
    if isinstance(path, Discrete) and path.ends[0] < math.inf:
        return "vp"
    if type(path) is Straight or isinstance(path, Discrete):
        return "flow"  # both begin at pure noise
    if isinstance(path, VarianceExploding):
        return "edm"
    raise ScheduleError(
        f"'auto' was measured on discrete paths, the straight path and VarianceExploding; given {type(path).__name__}."
    )


def _solver(kind: Kind, calls: int, guidance: float) -> AngleAdams:
    strength = _upto(STRENGTHS[kind][(guidance > 2) + (guidance > 5)], calls)
    solver = AngleAdams(2, 3, 1.0, "lam", far=50.0 if kind == "flow" else math.inf)
    solver = replace(solver, reach=15.0 if kind == "vp" else 1.0, **strength)
    # t = 0 is a level that the model was trained on. Worth 2.5 times at 50 calls, 8 % at 20, and harmful up to 10.
    return replace(solver, clean=kind == "vp" and calls > (15 if guidance > 5 else 12))


def _upto(entries: tuple[Upto, ...], calls: int) -> Any:
    return next(one.value for one in entries if calls <= one.calls)
