"""A model on a path, asked at a level of its own for each sample."""

import math
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.schedulers.base import Recipe
from multisched.values import real

FAR = 1e3
"""sigma / alpha to which one step of Euler leads from pure noise."""


class Denoiser:
    """The x0 of y = x / alpha, at a level of its own for each sample.

    `xp` is the namespace of numbers (samples,): NumPy's, or inside jit that of the samples.
    """

    def __init__(self, model: Any, recipe: Recipe, backend: Backend[Any], noise: Any, inside: bool) -> None:
        parts = recipe.parts()
        self.path, self.prediction, self.change = parts.path, parts.prediction, parts.denoised_transform
        self.model, self.backend = model, backend
        self.narrow, self.shape, self.device = noise.dtype, tuple(noise.shape), backend.device(noise)
        self.wide, self.inside = backend.compute_dtype(noise.dtype), inside
        self.xp = backend.xp if inside else np

    def whole(self, values: Any) -> Any:
        """Whole numbers (samples,)."""
        return self.backend.astype(values, self.xp.int32) if self.inside else values.astype(np.int64)

    def put(self, values: Any) -> Any:
        """Numbers (samples,), or one, as an array that broadcasts with the samples."""
        if isinstance(values, (np.ndarray, np.generic, float)):
            column = np.broadcast_to(values, self.shape[:1]).reshape(-1, *self._ones)
            return self.backend.asarray(column, self.wide, self.device)
        return self.backend.xp.reshape(self.backend.astype(values, self.wide), (-1, *self._ones))

    @property
    def _ones(self) -> tuple[int, ...]:
        return (1,) * (len(self.shape) - 1)

    def ratio(self, noise: float) -> float:
        """sigma / alpha at a `noise` of the path."""
        point = self.path.at(np.array(noise))
        return float(point.sigma / point.alpha) if point.alpha else math.inf

    def begin(self, noise: Any, top: float | None) -> tuple[Any, float, int]:
        """The first sample, where it stands, and how many calls lead there."""
        start = self.ratio(self.path.ends[0]) if top is None else real("top", top)
        z = self.backend.astype(noise, self.wide)
        if start < math.inf:
            prior = self.path.prior
            return self.put(start if prior is None else math.hypot(start, prior)) * z, start, 0
        point = self.path.at(np.array(self.path.ends[:1]))
        return self._x0(self.put(point.sigma * point.scale) * z, *point) + FAR * z, FAR, 1

    def x0(self, y: Any, ratio: Any) -> Any:
        """The estimate of x0."""
        point = self.path.point(ratio)
        return self._x0(self.put(point.scale * point.alpha) * y, *point)

    def _x0(self, x: Any, timestep: Any, alpha: Any, sigma: Any, scale: Any) -> Any:
        times = self.backend.xp.reshape(self.put(timestep), (-1,))
        output = self.model(self.backend.astype(x, self.narrow), times)
        if tuple(output.shape) != self.shape:
            raise ScheduleError(f"the model's output must be shaped as its input, {self.shape}; given {output.shape}.")
        levels = (scale * alpha, scale * sigma)
        of_x, of_output = (self.put(self.prediction.denoised(*one, *levels)) for one in ((1.0, 0.0), (0.0, 1.0)))
        x0 = of_x * x + of_output * self.backend.astype(output, self.wide)
        return x0 if self.change is None else self.change(self.backend, x0)
