"""The probability flow of a model, followed by many steps: where the rows of a plan ought to lead."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from multisched.spacings.levels import soft_log
from multisched.table.plan import Plan

LOW, HIGH = 0.1, 10.0  # the steps are even in log((k + LOW) / (1 + k / HIGH)), k = sigma / alpha


def after_each_row(
    ask: Callable[[np.ndarray, float], np.ndarray], plan: Plan, start: np.ndarray, steps: int
) -> list[np.ndarray]:
    """The samples of the flow at the level that each row of a plan leads to: that at which the next row asks the model,
    or where the run ends.

    By Runge and Kutta's fourth-order method, with y = x / m, m = hypot(alpha, sigma) and theta = atan2(sigma, alpha),

        dy / dtheta = (alpha * y - m * x0) / sigma

    A run to sigma = 0 takes x0 from the cleanest level that the model is trained on, or that the plan visits.

    Args:
        ask: the model's output for what it sees and a timestep.
        plan: from pure noise to data, made by a recipe.
        start: (samples, ...) float64, the first samples of a run.
        steps: in all, about; each stretch between two levels has one at least.
    """
    (alphas, sigmas), path = (one[:, 0] for one in (plan.rows.alpha, plan.rows.sigma)), plan.path
    with np.errstate(divide="ignore"):
        ratios = sigmas / alphas  # infinite at pure noise
    cleanest = path.at(np.array(float(path.trained(0))))
    end = float(plan.sigmas[-1] / plan.alphas[-1])
    stop = end or min(float(ratios.min()), float(cleanest.sigma / cleanest.alpha))
    visited = sorted({*ratios.tolist(), stop}, reverse=True)
    flow = _Flow(ask, path, plan.prediction)
    y = start / math.hypot(alphas[0], sigmas[0])
    found, rate = {visited[0]: y}, steps / max(_place(visited[0]) - _place(stop), LOW)
    for high, low in pairwise(visited):
        y = found[low] = flow.carried(
            y, soft_log(high, low, math.ceil(rate * (_place(high) - _place(low))) + 1, LOW, HIGH)
        )
    last = y * math.hypot(plan.alphas[-1], plan.sigmas[-1]) if end else plan.alphas[-1] * flow.x0(y, stop)[0]
    levels = zip(ratios[1:].tolist(), alphas[1:], sigmas[1:], strict=True)
    return [*(found[k] * math.hypot(alpha, sigma) for k, alpha, sigma in levels), last]


def _place(ratio: float) -> float:
    return math.log(HIGH) if math.isinf(ratio) else math.log((ratio + LOW) / (1 + ratio / HIGH))


class _Flow:
    """The flow of a model on a path, in y and sigma / alpha."""

    def __init__(self, ask: Callable[[np.ndarray, float], np.ndarray], path: Any, prediction: Any) -> None:
        self._ask, self._path, self._prediction = ask, path, prediction

    def x0(self, y: np.ndarray, ratio: float) -> tuple[np.ndarray, float, float]:
        """x0, alpha and sigma."""
        path = self._path
        point = path.at(np.array(path.ends[0])) if math.isinf(ratio) else path.point(np.array(ratio))
        timestep, alpha, sigma, scale = (float(one) for one in point)
        seen = scale * math.hypot(alpha, sigma) * y
        x0 = self._prediction.denoised(seen, self._ask(seen, timestep), scale * alpha, scale * sigma)
        return np.asarray(x0), alpha, sigma

    def slope(self, y: np.ndarray, ratio: float) -> np.ndarray:
        """dy / dtheta."""
        x0, alpha, sigma = self.x0(y, ratio)
        slope: np.ndarray = (alpha * y - math.hypot(alpha, sigma) * x0) / sigma
        return slope

    def carried(self, y: np.ndarray, ratios: np.ndarray) -> np.ndarray:
        """y at the last of these levels, from the first."""
        for begin, end in pairwise(ratios.tolist()):
            high, low = math.atan(begin), math.atan(end)
            h, middle = low - high, math.tan((high + low) / 2)
            k1 = self.slope(y, begin)
            k2 = self.slope(y + h / 2 * k1, middle)
            k3 = self.slope(y + h / 2 * k2, middle)
            k4 = self.slope(y + h * k3, end)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y
