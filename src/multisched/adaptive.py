"""sample_adaptive(): a run whose steps are as long as a tolerance allows, chosen for each sample as it goes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple

import numpy as np

from multisched import backends, checks
from multisched.backends import B, Backend
from multisched.errors import ScheduleError
from multisched.schedulers.base import Recipe
from multisched.values import real, shown

FAR = 1e3
"""sigma / alpha from which a run from pure noise is controlled; one step of Euler leads there."""


class Adapted(NamedTuple, Generic[B]):
    """What `sample_adaptive` returns.

    Attributes:
        sample: the samples, in the dtype of the noise.
        calls: model calls, each of the whole batch.
        accepted: (samples,) steps that each sample has taken.
        rejected: (samples,) steps that were too long and were tried again.
    """

    sample: B
    calls: int
    accepted: np.ndarray
    rejected: np.ndarray


def sample_adaptive(
    model: Callable[[B, Any], B],
    recipe: Recipe,
    noise: B,
    *,
    rtol: float = 0.05,
    atol: float = 0.0078,
    order: int = 3,
    first: float = 0.05,
    longest: float = 1.0,
    pid: tuple[float, float, float] = (0.0, 1.0, 0.0),
    safety: float = 0.81,
    top: float | None = None,
    bottom: float | None = None,
    denoise: bool = True,
    together: bool = False,
    most: int = 1000,
) -> Adapted[B]:
    """Run from noise to samples by DPM-Solver-12 or -23 (Lu et al. 2022, arXiv 2206.00927, appendix C), with a step
    size for each sample. k-diffusion and ComfyUI call it "dpm_adaptive".

        y = x / alpha = x0 + k * noise,   k = sigma / alpha,   h a step in -log(k)
        low   order 1 or 2, high  order 2 or 3, from the same calls
        error = RMS of (low - high) / max(atol, rtol * max(|low|, |low before|))
        h is multiplied with 1 + arctan(e_1^a * e_2^b * e_3^c - 1), e_i = 1 / error of this try and of the last accepted
        a = (P + I + D) / order,   b = -(P + 2 D) / order,   c = D / order         (a PID controller, Soderlind 2003)

    A step is accepted where that factor is at least `safety`. A sample that has arrived waits for the others.

    Args:
        model: model(x, t) -> output; x shaped and typed as the noise, t (samples,) on its device.
        recipe: says the path, the prediction and the change of x0; its solver and spacing count for nothing.
        noise: unit normals (samples, ...).
        rtol: relative tolerance of a step.
        atol: absolute tolerance.
        order: 2 or 3.
        first: length of the first step.
        longest: length of a step at most. At high noise the tolerance is wide, and the error of longer steps cannot be
            told from so few calls; math.inf is k-diffusion's.
        pid: P, I and D of the controller.
        safety: the least factor of a step that is accepted.
        top: sigma / alpha where the run begins; None for the noisiest level of the path.
        bottom: where it ends; None for the cleanest level that the model is trained on.
        denoise: whether one more call leads from there to x0.
        together: whether one step size serves the whole batch, as in k-diffusion; samples then depend on one another.
        most: tries that a run may take.

    Returns:
        The samples, with the model calls, and the steps that were accepted and rejected.

    Raises:
        ScheduleError: if a number is out of range, the run does not arrive in `most` tries, or the noise is traced.

    Example:
        >>> import multisched as ms
        >>> recipe = ms.FlowMatchEuler(shift=3.0)
        >>> model = ms.analysis.model_of(recipe, ms.analysis.Gaussian(mean=0.4, std=0.6))
        >>> found = sample_adaptive(model, recipe, ms.noise.normal((4, 8)))
        >>> found.sample.shape, bool(found.accepted.max() < 100)
        ((4, 8), True)
    """
    if not isinstance(recipe, Recipe):
        raise ScheduleError(f"recipe must be a recipe, such as ms.FlowMatchEuler(); given {shown(recipe)}.")
    backend = backends.of(noise)
    if not len(noise.shape):
        raise ScheduleError("the noise needs an axis that counts samples; given a number.")
    if backend.traced(noise):
        raise ScheduleError("sample_adaptive chooses its steps on the host; call it outside jit, or run a plan inside.")
    checks.count("order", order, 3, least=2)
    if not real("longest", longest) > 0:
        raise ScheduleError(f"longest must be above 0; given {shown(longest)}.")
    if checks.numbers("pid", pid).size != 3:
        raise ScheduleError(f"pid must be three numbers, P, I and D; given {shown(pid)}.")
    for name, value in {"rtol": rtol, "atol": atol, "first": first, "safety": safety}.items():
        if not 0 < real(name, value) < math.inf:
            raise ScheduleError(f"{name} must be a positive number; given {shown(value)}.")
    run = _Run(model, recipe, backend, noise.dtype, noise.shape)
    y, start = run.begin(noise, top)
    bottom = run.ratio(run.path.ends[1]) if bottom is None else real("bottom", bottom)
    if not 0 < bottom < start:
        raise ScheduleError(f"a run falls from top to bottom, above 0; given {start:g} and {bottom:g}.")
    control = _Control(noise.shape[0], min(first, longest), longest, pid, order, safety)
    t, end, before = np.full(noise.shape[0], -math.log(start)), -math.log(bottom), y
    for _ in range(checks.count("most", most, 10**6)):
        if np.all(t >= end - 1e-5):
            break
        aim = np.minimum(end, t + control.h)
        low, high = run.steps(y, t, aim, order)
        error = run.error(low, high, before, atol, rtol)
        if not np.all(np.isfinite(error)):
            raise ScheduleError("the model's output is not finite, or leads to samples that are not.")
        error = np.full_like(error, math.sqrt(np.mean(error**2))) if together else error
        taken = control.propose(error, t < end - 1e-5)
        y, before = run.where(taken, high, y), run.where(taken, low, before)
        t = np.where(taken, aim, t)
    else:
        raise ScheduleError(f"the run has not arrived in {most} tries; give a larger rtol or atol, or most=.")
    y = run.x0(y, np.exp(-t)) if denoise else run.put(run.path.point(np.exp(-t)).alpha) * y
    sample: Any = backend.astype(y, noise.dtype)
    return Adapted(sample, run.calls, control.accepted, control.rejected)


@dataclass
class _Control:
    """The step sizes of all samples."""

    samples: int
    first: float
    longest: float
    pid: tuple[float, float, float]
    order: int
    safety: float
    h: np.ndarray = field(init=False)
    accepted: np.ndarray = field(init=False)
    rejected: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        p, i, d = self.pid
        self.powers = np.array([p + i + d, -(p + 2 * d), d])[:, None] / self.order
        self.h, self.past = np.full(self.samples, self.first), np.zeros((0, self.samples))
        self.accepted, self.rejected = (np.zeros(self.samples, dtype=int) for _ in range(2))

    def propose(self, error: np.ndarray, running: np.ndarray) -> np.ndarray:
        """Which samples take their step; their next lengths follow."""
        inverse = 1 / (error + 1e-8)
        past = np.tile(inverse, (3, 1)) if not len(self.past) else np.concatenate([inverse[None], self.past[1:]])
        factor = 1 + np.arctan(np.prod(past**self.powers, axis=0) - 1)
        fits = factor >= self.safety
        taken: np.ndarray = fits & running
        self.past = np.where(taken, np.stack([past[0], past[0], past[1]]), past)
        self.h = np.where(running, np.minimum(self.h * factor, self.longest), self.h)
        self.accepted += taken
        self.rejected += running & ~fits
        return taken


class _Run:
    """A model on a path, in y = x / alpha."""

    def __init__(self, model: Any, recipe: Recipe, backend: Backend[Any], narrow: Any, shape: tuple[int, ...]) -> None:
        parts = recipe.parts()
        self.path, self.prediction, self.change = parts.path, parts.prediction, parts.denoised_transform
        self.model, self.backend, self.narrow, self.shape = model, backend, narrow, tuple(shape)
        self.calls, self.device, self.wide = 0, None, backend.compute_dtype(narrow)

    def put(self, values: Any) -> Any:
        """Numbers (samples,) of the host, as an array that broadcasts with the samples."""
        column = np.broadcast_to(values, self.shape[:1]).reshape(-1, *[1] * (len(self.shape) - 1))
        return self.backend.asarray(column, self.wide, self.device)

    def ratio(self, noise: float) -> float:
        """sigma / alpha at a `noise` of the path."""
        point = self.path.at(np.array(noise))
        return float(point.sigma / point.alpha) if point.alpha else math.inf

    def begin(self, noise: Any, top: float | None) -> tuple[Any, float]:
        """The first sample, and where it stands."""
        self.device = self.backend.device(noise)
        start = self.ratio(self.path.ends[0]) if top is None else real("top", top)
        z = self.backend.astype(noise, self.wide)
        if start < math.inf:
            prior = self.path.prior
            return self.put(start if prior is None else math.hypot(start, prior)) * z, start
        point = self.path.at(np.array(self.path.ends[:1]))
        return self._x0(self.put(point.sigma * point.scale) * z, *point) + FAR * z, FAR

    def x0(self, y: Any, ratio: np.ndarray) -> Any:
        """The estimate of x0."""
        point = self.path.point(ratio)
        return self._x0(self.put(point.scale * point.alpha) * y, *point)

    def _x0(self, x: Any, timestep: Any, alpha: Any, sigma: Any, scale: Any) -> Any:
        times = np.broadcast_to(np.asarray(timestep), self.shape[:1])
        output = self.model(self.backend.astype(x, self.narrow), self.backend.asarray(times, self.wide, self.device))
        if tuple(output.shape) != self.shape:
            raise ScheduleError(f"the model's output must be shaped as its input, {self.shape}; given {output.shape}.")
        self.calls += 1
        levels = (scale * alpha, scale * sigma)
        of_x, of_output = (self.put(self.prediction.denoised(*one, *levels)) for one in ((1.0, 0.0), (0.0, 1.0)))
        x0 = of_x * x + of_output * self.backend.astype(output, self.wide)
        return x0 if self.change is None else self.change(self.backend, x0)

    def _noise(self, y: Any, t: np.ndarray) -> Any:
        return (y - self.x0(y, np.exp(-t))) / self.put(np.exp(-t))

    def steps(self, y: Any, t: np.ndarray, end: np.ndarray, order: int) -> tuple[Any, Any]:
        """The step of the lower and of the higher order (arXiv 2206.00927, algorithms 4 and 5)."""
        h, r1 = end - t, 1 / order
        gone = np.expm1(h)
        noise = self._noise(y, t)
        middle = y - self.put(np.exp(-t - r1 * h) * np.expm1(r1 * h)) * noise
        slope = self._noise(middle, t + r1 * h) - noise
        euler = y - self.put(np.exp(-end) * gone) * noise
        second = euler - self.put(np.exp(-end) * gone / (2 * r1)) * slope
        if order == 2:
            return euler, second
        r2, share = 2 / 3, np.where(h > 0, h, 1.0)
        bend = np.where(h > 0, np.expm1(r2 * h) / (r2 * share) - 1, 0.0)
        later = y - self.put(np.exp(-t - r2 * h) * np.expm1(r2 * h)) * noise
        later = later - self.put(np.exp(-t - r2 * h) * r2 / r1 * bend) * slope
        curve = self._noise(later, t + r2 * h) - noise
        return second, euler - self.put(np.exp(-end) / r2 * np.where(h > 0, gone / share - 1, 0.0)) * curve

    def error(self, low: Any, high: Any, before: Any, atol: float, rtol: float) -> np.ndarray:
        """(samples,) sizes of the errors, beside the tolerance."""
        xp = self.backend.xp
        size = rtol * xp.where(xp.abs(low) > xp.abs(before), xp.abs(low), xp.abs(before))
        share = (low - high) / xp.where(size > atol, size, xp.zeros_like(size) + atol)
        flat = xp.reshape(share * share, (self.shape[0], -1))
        return np.sqrt(np.asarray(self.backend.to_numpy(xp.mean(flat, axis=1)), dtype=np.float64))

    def where(self, taken: np.ndarray, new: Any, old: Any) -> Any:
        """The new samples where so."""
        return self.backend.xp.where(self.put(taken.astype(np.float64)) > 0.5, new, old)
