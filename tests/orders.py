"""The page docs/orders.md: how fast each solver comes to the flow or to the law that it is a method for, measured.

PYTHONPATH=src python tests/orders.py > docs/orders.md
"""

import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
from test_law import PATHS, _grid
from zoo import SOLVERS

import multisched as ms
from multisched import solvers
from multisched.solvers import Solver

STEPS = (24, 48, 96, 192, 384)
DRAWN_STEPS = (120, 240, 480, 960, 1920, 3840)
SETTLED = 0.05  # between two slopes that follow each other
NEAR = 0.15  # to what is stated, at least

# Mean and deviation of the data that laws are measured on.
DATA = ms.analysis.Gaussian(0.4, 0.6)

# What has neither an order nor a weak order that could be measured.
UNMEASURED = {
    "CFGPlusPlus": "follows the flow of its solver where both outputs are the same, none under guidance",
    "Consistency": "is exact for a consistency model: any number of calls gives samples of it",
    "LCM": "is exact for a consistency model: any number of calls gives samples of it",
    "PingPong": "is exact for a consistency model; with a perfect denoiser its law is another in any number of calls",
    "Restarted": "runs as its solver does, and its grids lead up again: tests/test_restart.py measures its law",
    "RePaint": "is given a part of the image, which is no Gaussian",
}

# The stochastic solvers whose law is measured; `weak_order` says what they state.
LAWS: tuple[Solver, ...] = (
    solvers.DPMMultistepSDE(),
    solvers.DPMMultistepSDE(halved=False),
    solvers.DPMMultistepSDE(2, 0.5),
    solvers.DPMMultistepSDE(2, solver_type="midpoint"),
    solvers.DPMMultistepSDE(1),
    solvers.RESMultistep(1.0),
    solvers.RESMultistep(0.5),
    solvers.Midpoint("x0", 1.0),
    solvers.Midpoint("x0", 1.0, aim="share"),
    solvers.Midpoint("noise", 1.0, aim="share"),
    solvers.Midpoint("velocity", 1.0, aim="share"),
    solvers.ERSDE(1),
    solvers.ERSDE(2),
    solvers.ERSDE(3),
    solvers.StochasticAdams(),
    solvers.StochasticAdams(calls=1, tau=0.5),
    solvers.FlowSDE(),
    solvers.FlowSDE("dance_grpo", 0.3),
    solvers.FlowSDE("dance_grpo", 1.0, True),
    solvers.FlowSDE(t_min=0.3, t_max=0.8),
    solvers.ExponentialRK("res_2s", 1.0),
    solvers.ExponentialRK("res_3s", 1.0),
    solvers.ExponentialRK("seeds_2", 1.0),
    solvers.ExponentialRK("seeds_3", 1.0),
    solvers.ExponentialRK("seeds_3", 0.5),
    solvers.ExponentialRK("heun", 1.0),
    solvers.ExponentialRK("heun", 0.5),
    solvers.ExponentialRK("heun_phi_1", 1.0),
    solvers.AncestralRF(),
    solvers.AncestralRF(0.3),
    solvers.ChurnedMidpoint(4.0),
    solvers.DDIM(0.3, use_clipped_model_output=True),
    solvers.DDIM(1.0),
    solvers.DDPM(),
    solvers.DDPM("fixed_large"),
    solvers.DDPM("fixed_small_log"),
    solvers.DPMMultistep(1, "sde-dpmsolver++"),
    solvers.DPMMultistep(2, "sde-dpmsolver++"),
    solvers.DPMMultistep(2, "sde-dpmsolver++", lower_order_final=False),
    solvers.DPMMultistep(2, "sde-dpmsolver++", lower_order_final=False, euler_at_final=True),
    solvers.DPMMultistep(2, "sde-dpmsolver", "heun"),
    solvers.DPMMultistep(3, "sde-dpmsolver++", lower_order_final=False),
    solvers.DPMSinglestep(1, "sde-dpmsolver++"),
    solvers.DPMSinglestep(2, "sde-dpmsolver++"),
    solvers.DPMSinglestep(3, "sde-dpmsolver++", "heun"),
    solvers.ERSDE(rule="interpolated"),
    solvers.ERSDE(terms=20),
    solvers.Euler(3.0),
    solvers.EulerMaruyama(),
    solvers.ExponentialAdams(True, 2, 2, "bh1", tau=1.0),
    solvers.ExponentialAdams(True, 3, 4, "bh1", tau=0.6),
    solvers.ExponentialAdams(True, 3, 0, "bh1", tau=1.0),
    solvers.ExponentialAdams(False, 2, 1, tau=1.0),
    solvers.Heun(4.0),
    solvers.Midpoint(eta=1.0),
    solvers.Midpoint("x0", 1.0, True),  # the noise at the middle is no part of the step's
    solvers.PredictorCorrector(correct_steps=0),
    solvers.RescaledSDE(),
    solvers.RescaledSDE("tan"),
    solvers.TCD(),
)


def named(solver: Solver) -> str:
    """A solver as it is written, without the options that are the default ones."""
    changed = ((one.name, getattr(solver, one.name), one.default) for one in fields(solver))
    options = (f"{name}={named(v) if isinstance(v, Solver) else repr(v)}" for name, v, usual in changed if v != usual)
    return f"{type(solver).__name__}({', '.join(options)})"


def opened(solver: Solver) -> Solver:
    """A stochastic solver as a law is measured of it: noise of the paper's scale, at all levels. Churn is of 4."""
    wide = {"s_noise": 1.0, "s_tmin": 0.0, "s_tmax": math.inf, "tau_start": 0.0, "tau_end": math.inf, "falling": 0.0}
    known = {one.name for one in fields(solver)}
    return replace(solver, **{name: value for name, value in wide.items() if name in known})


def _public(solver: Solver) -> bool:
    return type(solver) in vars(solvers).values() or getattr(solvers, type(solver).__name__, None) is type(solver)


CASES = [one for one in SOLVERS if _public(one) and type(one).__name__ not in UNMEASURED]
ORDERS = [one for one in CASES if one.draws == 0 and one.order]
DRAWN = {opened(one): one.weak_order for one in LAWS}


class Measured(NamedTuple):
    """A slope of log error over log steps, and the larger number of steps that it was measured at."""

    slope: float
    steps: int

    def __str__(self) -> str:
        return f"{self.slope:.2f} at {self.steps}"


def order_of(solver: Solver, path: str) -> Measured:
    """The order of convergence, where it has settled or errors come down to rounding."""
    (schedule, prediction) = PATHS[path]
    recipe = ms.Scheduler(*schedule, prediction, solver)
    return _settled(lambda few, many: ms.analysis.order(recipe, (few, many)), STEPS)


def weak_order_of(solver: Solver, path: str) -> Measured:
    """The order at which mean and variance at the end of a run come to the exact ones."""
    return _settled(
        lambda few, many: math.log2(law_error(solver, path, few) / law_error(solver, path, many)), DRAWN_STEPS
    )


def law_error(solver: Solver, path: str, n: int) -> float:
    """Of mean and variance after n steps from the exact law."""
    plan = _plan(solver, path, n)
    found = ms.analysis.moments(plan, DATA, "marginal")
    alpha, sigma = plan.alphas[-1], plan.sigmas[-1]
    variance = (alpha * DATA.std) ** 2 + sigma**2
    off = (found.mean[0] - alpha * DATA.mean) / math.sqrt(variance), found.covariance[0, 0] / variance - 1
    return float(np.sum(np.abs(off)))


def _plan(solver: Solver, path: str, n: int) -> ms.Plan:
    """The run; Euler and Maruyama's is of n even times, down to the clean sample."""
    if isinstance(solver, solvers.EulerMaruyama):
        times = ms.spacings.Times(1.0, 1 / n, spare=False) | ms.spacings.End()
        return ms.Scheduler(ms.paths.LinearVP(), times, "epsilon", solver).plan(n)
    schedule, prediction = PATHS[path]
    return ms.Scheduler(*schedule, prediction, solver).plan_over(_grid(path, n))


def _settled(slope: Callable[[int, int], float], steps: tuple[int, ...]) -> Measured:
    """The first slope that is close to the one before it, or the last that can be measured."""
    found: list[Measured] = []
    for few, many in itertools.pairwise(steps):
        try:
            found.append(Measured(slope(few, many), many))
        except ms.ScheduleError:
            if not found:
                raise
            break  # errors are those of rounding from here on
        if len(found) > 1 and abs(found[-1].slope - found[-2].slope) < SETTLED:
            break
    return found[-1]


HEAD = """# Orders and laws

Written by `nox -s orders`; do not edit.

## Orders of convergence

Deterministic solvers against the probability flow of a mixture of three Gaussians, from sigma / alpha = 1 to 0.4
(`multisched.analysis.order`). A slope is that of log error over log steps between two numbers of steps, the second
twice the first, and named. It is the first that is within 0.05 of the slope before it, from 24 steps on, or the last
one whose errors are above rounding. Each is within 0.15 of the order that the solver states.
"""
LAW_HEAD = """
## Laws of stochastic solvers

The mean and the variance that a run ends with, for the perfect model of a Gaussian, against the exact ones, from
sigma / alpha = 8 to 0.1 (`multisched.analysis.moments`); no samples are drawn. `EulerMaruyama` runs on
`paths.LinearVP`, from noise to the clean sample. Slopes are as above, from 120 steps on. Noise has the scale of the
paper and is added at all levels: with another s_noise the law is another one in any number of steps. That mean and
variance of a Gaussian converge at an order is necessary for a weak order of as much, and not sufficient.

`Midpoint` with `noisy_middle`, "DPM++ SDE" of k-diffusion, is of weak order 1 only: the noise on the way to the middle
is drawn apart from that of the step.
"""
REST_HEAD = """
## Not measured
"""


def _table(kind: str, rows: list[tuple[Solver, int]], measure: Callable[[Solver, str], Measured]) -> list[str]:
    lines = [f"| solver | {kind}, stated | {' | '.join(PATHS)} |", f"| --- | --- |{' --- |' * len(PATHS)}"]
    for solver, stated in rows:
        cells = (str(measure(solver, path)) for path in PATHS)
        lines.append(f"| `{named(solver)}` | {stated} | {' | '.join(cells)} |")
    return lines


def page() -> str:
    """All of it."""
    orders = _table("order", [(one, one.order) for one in ORDERS], order_of)
    laws = _table("weak order", list(DRAWN.items()), weak_order_of)
    rest = [f"- `{name}` {reason}." for name, reason in UNMEASURED.items()]
    return "\n".join([HEAD, *orders, LAW_HEAD, *laws, REST_HEAD, *rest, ""])


if __name__ == "__main__":
    sys.stdout.write(page())
