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
from multisched.solvers import LCM, TCD, AngleAdams, Consistency, Euler, PiFlow, Solver
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
KARRAS = (Trained(), RespaceRatios("karras"))
EARLY, STEEP = (SoftLog(0.3, 3.0, 0.15),), (SoftLog(0.1, 3.0, 0.15),)
FLOW = (
    Upto(10, (SoftLog(0.1, 3.0, 0.0292),)),
    Upto(12, (SoftLog(0.1, 3.0, 0.02),)),  # error 5.3e-3; with high = 10, or low = 0.03, 1.1e-2
    Upto(16, (SoftLog(0.03, 3.0, 0.012),)),
    Upto(30, (SoftLog(0.1, 10.0, 0.01),)),
    Upto(ALL, (SoftLog(0.1, 10.0, 0.003),)),  # 50 calls: 2.4e-4; with high = 3 and bottom 0.02, 3e-3
)
# Spacings, for guidance up to 2, up to 5, and above. SoftLog is better than the usual ones for any solver, 1.5 to 3.3
# times on the straight path and EDM's, and up to 2 times on a discrete path. Its bottom has to fall as runs get longer:
# flow, 20 calls, error 5.8e-3 with bottom 0.0292 and 1.5e-3 with 0.01. It has to be the higher, the steeper guidance
# makes the model at low noise: vp, guidance 7, 8 calls, 0.28 on the logarithmic spacing to 0.08, 0.13 on STEEP.
SPACINGS: dict[Kind, tuple[tuple[Upto, ...], ...]] = {
    "vp": (
        (Upto(6, (SoftLog(0.1, 10.0, 0.08),)), Upto(11, (SoftLog(0.1, 10.0, 0.0292),)), Upto(ALL, KARRAS)),
        (
            Upto(5, STEEP),
            Upto(8, (SoftLog(0.1, 10.0, 0.08),)),
            Upto(11, (SoftLog(0.1, 10.0, 0.0292),)),
            Upto(ALL, KARRAS),
        ),
        (Upto(6, EARLY), Upto(9, STEEP), Upto(15, (SoftLog(0.1, 10.0, 0.08),)), Upto(ALL, KARRAS)),
    ),
    "flow": (
        (Upto(6, (SoftLog(0.1, 3.0, 0.08),)), *FLOW),
        (Upto(5, STEEP), Upto(8, (SoftLog(0.1, 3.0, 0.08),)), *FLOW),
        (Upto(5, EARLY), Upto(6, STEEP), Upto(8, (SoftLog(0.1, 3.0, 0.08),)), *FLOW),
    ),
}
SPACINGS["edm"] = tuple((*one[:-1], Upto(ALL, KARRAS)) for one in SPACINGS["flow"])

WHOLE = {"even": False, "damping": 0.0}
NONE = {"corrector": 0}
EULER = None
# Options of the solver, for guidance up to 2, up to 5, and above. At guidance 7 and 8 to 12 calls, correctors that are
# not damped double the error (vp, 10 calls: 0.27 with damping 1, 0.12 without a corrector); at guidance 3 and 5 to 7
# calls any corrector adds a third (flow, 7 calls: 0.057 and 0.036). In the shortest runs at guidance 7 nothing
# extrapolates well (flow, 5 calls: Euler 0.21, second order 0.49).
STRENGTHS: dict[Kind, tuple[tuple[Upto, ...], ...]] = {
    "vp": (
        (Upto(ALL, {"damping": 1.0}),),
        (Upto(8, NONE), Upto(ALL, {"damping": 2.0})),
        (Upto(6, EULER), Upto(30, NONE), Upto(ALL, {"damping": 2.0})),
    ),
    "flow": (
        (Upto(7, {"damping": 1.0}), Upto(15, {"damping": 0.25}), Upto(ALL, WHOLE)),
        (
            Upto(7, NONE),
            Upto(8, {"damping": 4.0}),
            Upto(11, {"damping": 2.0}),
            Upto(15, {"damping": 0.25}),
            Upto(ALL, WHOLE),
        ),
        (Upto(5, EULER), Upto(15, NONE), Upto(ALL, {"damping": 12.0})),
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

    Where it loses. At 20 calls on EDM models without guidance, UniPC on the exponential spacing was 1.3 to 2.7 times
    better. At 12 to 20 calls on noise prediction it is hardly better than UniPC or DEIS on Karras's spacing, and was up
    to 1.4 times worse; on a convolutional network of the noise, too. On exact models of mixtures of Gaussians, undamped
    solvers are better. Where guidance is above 5 and not told, errors are mostly 1.4 to 3.8 times larger. All networks
    were small; large images, and models that want a shift, were not measured.

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
    links: tuple[Link, ...] = _upto(SPACINGS[kind][_strength(guidance)], calls)
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


def _strength(guidance: float) -> int:
    """The column of the tables."""
    return (guidance > 2) + (guidance > 5)


def _solver(kind: Kind, calls: int, guidance: float) -> Solver:
    options = _upto(STRENGTHS[kind][_strength(guidance)], calls)
    if options is EULER:
        return Euler()
    solver = AngleAdams(2, 3, 1.0, "lam", far=50.0 if kind == "flow" else math.inf)
    solver = replace(solver, reach=15.0 if kind == "vp" else 1.0, **options)
    # t = 0 is a level that the model was trained on. Worth 2.5 times at 50 calls, 8 % at 20, and harmful up to 10.
    return replace(solver, clean=kind == "vp" and calls > (15 if guidance > 5 else 12))


def _upto(entries: tuple[Upto, ...], calls: int) -> Any:
    return next(one.value for one in entries if calls <= one.calls)
