"""What diffusers 0.42.1 does with configurations that mix the keys of two paths."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.grid import Grid
from multisched.interop.diffusers.clock import Looked, respaced
from multisched.predictions import Prediction
from multisched.schedulers.forward import Parts
from multisched.schedulers.multistep import DEISMultistep, Multistep, UniPCMultistep
from multisched.schedulers.quirk import Quirk
from multisched.schedules import Flow, Inverse, StagedFlow, checks
from multisched.schedules.flow import ExplodingFlow
from multisched.solvers import AncestralRF, PingPong, Solver
from multisched.solvers.base import Estimate, Next, Rows, nonzero


@dataclass(frozen=True)
class Misread(Prediction):
    """An output read by the formula of the other path.

        v on the straight path:     x0 = alpha * x - sigma * output,   or noise = alpha * output + sigma * x
        a velocity off it:          x0 = x - k * output,   or noise = (x - alpha * x0) / k,   k = sigma / alpha

    Args:
        of_noise: whether the solver asks for the noise.
    """

    of_noise: bool = False

    def weights(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        if self.name == "flow_prediction" and self.of_noise:
            return (alpha - 1) * alpha / nonzero(sigma), 1 / nonzero(alpha) - 1 + alpha
        if self.name == "flow_prediction":
            return (alpha - 1) * alpha / nonzero(sigma), alpha
        if self.of_noise:
            return -sigma, (1 - sigma**2) / nonzero(alpha)
        return (alpha**2 - 1) / nonzero(sigma), alpha


_OF_NOISE = ("dpmsolver", "sde-dpmsolver", "noise_prediction")


def _misread(recipe: Any, parts: Parts) -> Parts:
    straight, name = isinstance(parts.schedule, Flow), parts.prediction.name
    straight = straight and not getattr(parts.schedule, "curved", False)
    if name != ("v_prediction" if straight else "flow_prediction"):
        return parts
    noise = not getattr(recipe, "predict_x0", True) or getattr(recipe, "algorithm_type", "") in _OF_NOISE
    of_noise = name == "flow_prediction" if isinstance(recipe, DEISMultistep) else noise
    return parts._replace(prediction=Misread(name, of_noise=of_noise))


MISREAD = Quirk(
    "misread",
    "Outputs of type v on the straight path, and velocities off it, are read by the other's formula.",
    _misread,
)


@dataclass(frozen=True)
class Beyond(Solver):
    """A solver of the straight path that takes alpha = 1 - sigma at sigma > 1 too, on the path x0 + sigma * noise."""

    inner: Solver

    @property
    def order(self) -> int:
        return 0

    @property
    def draws(self) -> int:
        return self.inner.draws

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        bent = replace(row, alpha=1 - row.sigma, alpha_start=1 - row.sigma_start, alpha_next=1 - row.sigma_next)
        found = (x - bent.alpha * model.x0) / row.sigma
        return self.inner.update(bent, x, model._replace(noise=found, raw_noise=found), memory, noise)


def _beyond(recipe: Any, parts: Parts) -> Parts:
    apart = isinstance(parts.schedule, ExplodingFlow) and isinstance(parts.solver, PingPong | AncestralRF)
    return parts._replace(solver=Beyond(parts.solver)) if apart else parts


BEYOND = Quirk("beyond", "Above sigma = 1 the weight of the signal is 1 - sigma, below 0.", _beyond)


def _unconverted(recipe: Multistep, parts: Parts) -> Parts:
    flow = parts.schedule
    if not isinstance(flow, Flow) or flow.ratio_range is None or flow.ratio_range[0] > 1:
        return parts  # of ratios above 1 diffusers makes NaN
    if isinstance(recipe, UniPCMultistep) and flow.sigma_schedule == "karras":
        return parts  # these alone diffusers converts
    trained: Any = replace(recipe, use_flow_sigmas=False, quirks=()).parts().schedule
    trained = trained.schedule if isinstance(trained, Inverse) else trained
    top, bottom = flow.ratio_range
    changed = replace(
        flow, ratio_range=None, spaced_max=top, spaced_min=bottom, clock=Looked(trained=trained), shift=1.0
    )
    return parts._replace(schedule=replace(changed, use_dynamic_shifting=False, shift_terminal=None))


UNCONVERTED = Quirk(
    "unconverted", "With use_flow_sigmas, spaced ratios sigma / alpha are taken for sigmas as they are.", _unconverted
)


@dataclass(frozen=True)
class SpacedInverse(Inverse):
    """A run to the noise whose spaced ratios go from sigma_max, or the lowest of the table, to sigma_min, or the
    highest, and whose timesteps are visited once, so that steps are left out from its end."""

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        schedule: Any = self.schedule
        if isinstance(schedule, Flow) or schedule.sigma_schedule is None:
            made = super().grid(n, timesteps, sigmas, mu)
            return _once(made, made.timesteps[:-1])
        ratios, told = respaced(replace(schedule, timestep_rounding="none"), checks.steps(n), upward=True)
        told = np.round(told) if schedule.timestep_rounding == "nearest" else told
        point = replace(schedule, clock=None).point(np.append(ratios, ratios[-1:]))
        made = Grid(np.append(np.trunc(told), told[-1:]), point.alpha, point.sigma, scales=point.scale)
        return _once(made, told)


def _once(grid: Grid, told: np.ndarray) -> Grid:
    """The first steps of a grid, as many as there are timesteps, with each of those once."""
    first = np.sort(np.unique(told, return_index=True)[1])
    kept = slice(0, first.size + 1)
    times = np.append(grid.timesteps[first], grid.timesteps[first.size])
    return Grid(times, grid.alphas[kept], grid.sigmas[kept], scales=grid.scales[kept])


def _visited_once(recipe: Any, parts: Parts) -> Parts:
    if not isinstance(parts.schedule, Inverse):
        return parts
    return parts._replace(schedule=SpacedInverse(parts.schedule.schedule, parts.schedule.repeated))


VISITED_ONCE = Quirk(
    "visited_once",
    "A timestep that comes twice after rounding is visited once, and spaced ratios go from sigma_max to sigma_min.",
    _visited_once,
)


@dataclass(frozen=True)
class CutStages(StagedFlow):
    """Stages whose levels are those of the nearest timestep to each timestep cut to a whole number."""

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        made = super().grid(n, timesteps, sigmas, mu)
        told = made.timesteps[:-1]
        nearest = np.argmin(np.abs(told[None] - np.trunc(told)[:, None]), axis=1)
        levels = np.append(made.sigmas[nearest], made.sigmas[-1])
        return Grid(made.timesteps, 1 - levels, levels)


def _cut_levels(recipe: Any, parts: Parts) -> Parts:
    flow: Any = parts.schedule
    return parts._replace(schedule=CutStages(**vars(flow)))


CUT_LEVELS = Quirk("cut_levels", "Levels are looked up by timesteps that are cut to whole numbers.", _cut_levels)
