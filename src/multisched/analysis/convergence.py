"""The order at which a solver converges, measured."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from multisched import backends, checks
from multisched.analysis.exact import Distribution, Mixture
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.schedulers import Recipe
from multisched.values import shown

# Three bumps, two of them close and narrow, along which the flow bends; and where it is followed from.
BUMPS = Mixture(means=[[-1.2], [0.3], [1.0]], stds=[0.5, 0.35, 0.4], weights=[0.4, 0.25, 0.35])
BEGIN = np.linspace(-1.8, 1.9, 5)[:, None]
ROUNDING = 1e-11  # errors below this say nothing
FINE = 4000  # steps of the reference


def order(
    recipe: Recipe,
    steps: Sequence[int] = (24, 48, 96, 192),
    between: tuple[float, float] = (1.0, 0.4),
    target: Distribution = BUMPS,
) -> float:
    """The measured order of a recipe's solver: the slope of log error over log steps between the last two numbers of
    steps whose errors are above rounding.

    The perfect model of a mixture of Gaussians is asked on grids that are even in log(sigma / alpha) and a little in
    its square, so that steps differ. The exact end of the flow is found by Runge and Kutta's method in 4,000 steps.

    Args:
        recipe: gives the path, the prediction type and the solver. Its spacing is not used.
        steps: at least two numbers of steps, rising. Multiples of 2 and 3 fill the groups of singlestep solvers.
        between: sigma / alpha where runs begin and end.
        target: another law of clean samples, in one dimension: samples (n, 1).

    Raises:
        ScheduleError: if the solver adds noise or transforms outputs, so that it follows no flow, or if too few errors
            are above rounding.

    Example:
        >>> round(ms.analysis.order(ms.FlowMatchHeun()), 1)
        2.0
    """
    parts = recipe.parts()
    if parts.solver.draws or parts.solver.inputs or parts.output_transform or parts.denoised_transform:
        raise ScheduleError(f"{type(recipe).__name__} follows no flow of its own, by which an order could be measured.")
    numbers = checks.numbers("steps", list(steps)).astype(int)
    top, bottom = checks.descending("between", list(between))
    if numbers.size < 2 or np.any(np.diff(numbers) <= 0) or numbers[0] < 1 or bottom <= 0:
        raise ScheduleError(
            "an order is measured by two rising numbers of steps or more, between levels above 0; given "
            f"{shown(steps)} and {shown(between)}."
        )
    wanted = _end(target, top, bottom)
    errors = np.array([np.max(np.abs(_run(recipe, target, top, bottom, int(n)) - wanted)) for n in numbers])
    above = np.flatnonzero(errors > ROUNDING)
    if above.size < 2 or not np.all(np.isfinite(errors)):
        raise ScheduleError(f"errors of {shown(errors)} say nothing of an order; give fewer steps.")
    first, last = above[-2:]
    return float(np.log(errors[first] / errors[last]) / np.log(numbers[last] / numbers[first]))


@lru_cache(maxsize=4)
def _end(target: Distribution, top: float, bottom: float) -> Any:
    """y = x / alpha at the end, along dy / dlog(k) = y - x0."""
    backend = backends.get("numpy")

    def slope(y: Any, u: float) -> Any:
        return y - target.denoised(backend, y, 1.0, np.exp(u))

    y, u, h = BEGIN * top, np.log(top), (np.log(bottom) - np.log(top)) / FINE
    for k in range(FINE):
        at = u + k * h
        k1 = slope(y, at)
        k2 = slope(y + h / 2 * k1, at + h / 2)
        k3 = slope(y + h / 2 * k2, at + h / 2)
        k4 = slope(y + h * k3, at + h)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def _run(recipe: Recipe, target: Distribution, top: float, bottom: float, n: int) -> np.ndarray:
    """y at the end of n steps, the model asked at the level of each row."""
    backend, parts, even = backends.get("numpy"), recipe.parts(), np.linspace(0, 1, n + 1)
    point = parts.path.point(top * (bottom / top) ** (even + 0.2 * even * (1 - even)))
    plan = recipe.plan_over(Grid(point.timestep, point.alpha, point.sigma, scales=point.scale))
    state = plan.start(BEGIN * top * plan.alphas[0])
    for number in range(len(plan)):
        row = plan.rows.single(number)
        x0 = target.denoised(backend, state.sample, row.alpha, row.sigma)
        a, b = parts.solver.target(parts.prediction, row.alpha, row.sigma, row.scale)
        output = a * x0 + b * (state.sample - row.alpha * x0) / row.sigma
        state = plan.step(state, np.concatenate([output] * parts.solver.outputs, axis=1))
    return np.asarray(state.sample / plan.alphas[-1])
