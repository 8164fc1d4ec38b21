"""sample_adaptive(): a run whose steps are as long as a tolerance allows, chosen for each sample as it goes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple

import numpy as np

from multisched import backends, checks
from multisched.backends import B
from multisched.denoiser import Denoiser
from multisched.errors import ScheduleError
from multisched.schedulers.base import Recipe
from multisched.values import real, shown

NEAR = 1e-5
"""How near to the end, in -log(k), a sample has arrived."""


class Adapted(NamedTuple, Generic[B]):
    """What `sample_adaptive` returns. Inside jit all of it are arrays.

    Attributes:
        sample: the samples, in the dtype of the noise.
        calls: model calls, each of the whole batch.
        accepted: (samples,) steps that each sample has taken.
        rejected: (samples,) steps that were too long and were tried again.
        arrived: (samples,) whether a sample has come to the end. Inside jit nothing can be raised: one that has not
            arrived in `most` tries, or whose steps are not finite, says so here, and is x0 as estimated on the way.

    Example:
        >>> model = ms.analysis.model_of(ms.FlowMatchEuler(), ms.analysis.Gaussian(1.0, 0.5))
        >>> run = ms.sample_adaptive(model, ms.FlowMatchEuler(), ms.noise.normal((2, 1), rng=0))
        >>> run.sample.shape, bool(np.all(run.arrived))
        ((2, 1), True)
    """

    sample: B
    calls: Any
    accepted: Any
    rejected: Any
    arrived: Any


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

    It runs inside jax.jit and jax.vmap too, as a loop that ends when all have arrived or `most` tries are over; step
    sizes are then computed in the dtype of the samples. JAX has its derivatives forward (jax.jvp, jax.jacfwd), also
    through the step sizes, and none backward; torch and MLX have them backward, with the step sizes held. torch.compile
    and mx.compile have no such loop: compile the model, not the run.

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
        most: tries that a run may take. Inside jit the run ends there.

    Returns:
        The samples, with the model calls, and the steps that were accepted and rejected.

    Raises:
        ScheduleError: if a number is out of range, the run does not arrive in `most` tries, or the noise is traced by
            another library than JAX.

    Example:
        >>> recipe = ms.FlowMatchEuler(shift=3.0)
        >>> model = ms.analysis.model_of(recipe, ms.analysis.Gaussian(mean=0.4, std=0.6))
        >>> found = ms.sample_adaptive(model, recipe, ms.noise.normal((4, 8)))
        >>> found.sample.shape, bool(found.accepted.max() < 100)
        ((4, 8), True)
    """
    if not isinstance(recipe, Recipe):
        raise ScheduleError(f"recipe must be a recipe, such as ms.FlowMatchEuler(); given {shown(recipe)}.")
    backend = backends.of(noise)
    if not len(noise.shape):
        raise ScheduleError("the noise needs an axis that counts samples; given a number.")
    if backend.compiling():
        raise ScheduleError("sample_adaptive chooses its steps as it goes; compile the model, not the run.")
    control = _Control(rtol, atol, order, first, longest, pid, safety, together)
    most = checks.count("most", most, 10**6)
    run = _Run(model, recipe, backend, noise, backend.unreadable(noise))
    try:
        tries, begun, end = run.tried(control, noise, top, bottom, most)
    except _UnreadableError:  # the noise has values, and what the model makes of it has none
        run = _Run(model, recipe, backend, noise, True)
        tries, begun, end = run.tried(control, noise, top, bottom, most)
    arrived = tries.t >= end - NEAR
    if not run.inside and not np.all(arrived):
        if not np.all(np.isfinite(tries.h)):
            raise ScheduleError("the model's output is not finite, or leads to samples that are not.")
        raise ScheduleError(f"the run has not arrived in {most} tries; give a larger rtol or atol, or most=.")
    ratio = run.xp.exp(-tries.t)
    y = run.x0(tries.y, ratio) if denoise else run.put(run.path.point(ratio).alpha) * tries.y
    sample: Any = backend.astype(y, noise.dtype)
    calls = begun + order * tries.count + denoise
    return Adapted(sample, calls, tries.accepted, tries.rejected, arrived)


class _UnreadableError(Exception):
    """What step sizes are to come of has no values."""


class _Tries(NamedTuple):
    """Where the samples of a run stand.

    Attributes:
        y: the samples (samples, ...), and of the last accepted step that of the lower order, `before`.
        t: (samples,) -log(k) of each.
        h: (samples,) lengths of their next steps.
        past: (3, samples) 1 / error of this try and of the last two accepted.
        accepted, rejected: (samples,) steps.
        count: tries.
    """

    y: Any
    before: Any
    t: Any
    h: Any
    past: Any
    accepted: Any
    rejected: Any
    count: Any


@dataclass(frozen=True)
class _Control:
    """How long steps are."""

    rtol: float
    atol: float
    order: int
    first: float
    longest: float
    pid: tuple[float, float, float]
    safety: float
    together: bool

    def __post_init__(self) -> None:
        checks.count("order", self.order, 3, least=2)
        if not real("longest", self.longest) > 0:
            raise ScheduleError(f"longest must be above 0; given {shown(self.longest)}.")
        if checks.numbers("pid", self.pid).size != 3:
            raise ScheduleError(f"pid must be three numbers, P, I and D; given {shown(self.pid)}.")
        for name in ("rtol", "atol", "first", "safety"):
            if not 0 < real(name, value := getattr(self, name)) < math.inf:
                raise ScheduleError(f"{name} must be a positive number; given {shown(value)}.")

    def next(self, run: "_Run", end: float, tries: _Tries) -> _Tries:
        """After one more try of all samples that have not arrived."""
        xp, running = run.xp, self.running(run, end, tries)
        aim = xp.where(running, xp.minimum(tries.t + tries.h, end), tries.t)
        low, high = run.steps(self.order, tries.y, tries.t, aim)
        error = run.error(low, high, tries.before, self.atol, self.rtol)
        error = xp.where(xp.isfinite(error), error, math.nan)  # which no factor is at least `safety` of
        error = xp.sqrt(xp.mean(error**2)) + 0 * error if self.together else error

        inverse = 1 / (error + 1e-8)
        begun = tries.count > 0
        past = xp.stack([inverse, *(xp.where(begun, tries.past[k], inverse) for k in (1, 2))])
        factor = 1 + xp.atan(self._product(past) - 1)
        taken = (factor >= self.safety) & running
        return _Tries(
            y=run.where(taken, high, tries.y),
            before=run.where(taken, low, tries.before),
            t=xp.where(taken, aim, tries.t),
            h=xp.where(running, xp.minimum(tries.h * factor, self.longest), tries.h),
            past=xp.where(taken, xp.stack([past[0], past[0], past[1]]), past),
            accepted=tries.accepted + run.whole(taken),
            rejected=tries.rejected + run.whole(running & ~taken),
            count=tries.count + 1,
        )

    def _product(self, past: Any) -> Any:
        p, i, d = self.pid
        a, b, c = ((p + i + d) / self.order, -(p + 2 * d) / self.order, d / self.order)
        return past[0] ** a * past[1] ** b * past[2] ** c

    def running(self, run: "_Run", end: float, tries: _Tries) -> Any:
        """(samples,) whether a sample is still on its way."""
        return (tries.t < end - NEAR) & run.xp.isfinite(tries.h)


class _Run(Denoiser):
    """The tries of a run."""

    def tried(
        self, control: _Control, noise: Any, top: float | None, bottom: float | None, most: int
    ) -> tuple[_Tries, int, float]:
        """The last try of a run, the calls before the first, and -log(k) where it ends."""
        y, start, begun = self.begin(noise, top)
        bottom = self.ratio(self.path.ends[1]) if bottom is None else real("bottom", bottom)
        if not 0 < bottom < start:
            raise ScheduleError(f"a run falls from top to bottom, above 0; given {start:g} and {bottom:g}.")
        end = -math.log(bottom)
        return self.loop(control, y, -math.log(start), end, most), begun, end

    def loop(self, control: _Control, y: Any, start: float, end: float, most: int) -> _Tries:
        """The last try of a run."""
        of, xp, count = self.shape[:1], self.xp, 0
        kinds: dict[str, Any] = {"dtype": self.wide} if self.inside else {}
        none = self.whole(xp.zeros(of))
        t, h = xp.full(of, start, **kinds), xp.full(of, min(control.first, control.longest), **kinds)
        tries = _Tries(y, y, t, h, xp.ones((3, *of), **kinds), none, none, count)

        def going(tries: _Tries) -> Any:
            return xp.any(control.running(self, end, tries)) & (tries.count < most)

        if self.inside:
            tries = tries._replace(count=xp.sum(none))
            found: _Tries = self.backend.loop(going, lambda tries: control.next(self, end, tries), tries)
            return found
        while going(tries):
            tries = control.next(self, end, tries)
        return tries

    def _noise(self, y: Any, t: Any) -> Any:
        ratio = self.xp.exp(-t)
        return (y - self.x0(y, ratio)) / self.put(ratio)

    def steps(self, order: int, y: Any, t: Any, end: Any) -> tuple[Any, Any]:
        """The step of the lower and of the higher order (arXiv 2206.00927, algorithms 4 and 5)."""
        xp, h, r1 = self.xp, end - t, 1 / order
        gone = xp.expm1(h)
        noise = self._noise(y, t)
        middle = y - self.put(xp.exp(-t - r1 * h) * xp.expm1(r1 * h)) * noise
        slope = self._noise(middle, t + r1 * h) - noise
        euler = y - self.put(xp.exp(-end) * gone) * noise
        second = euler - self.put(xp.exp(-end) * gone / (2 * r1)) * slope
        if order == 2:
            return euler, second
        r2, share = 2 / 3, xp.where(h > 0, h, 1.0)
        bend = xp.where(h > 0, xp.expm1(r2 * h) / (r2 * share) - 1, 0.0)
        later = y - self.put(xp.exp(-t - r2 * h) * xp.expm1(r2 * h)) * noise
        later = later - self.put(xp.exp(-t - r2 * h) * r2 / r1 * bend) * slope
        curve = self._noise(later, t + r2 * h) - noise
        return second, euler - self.put(xp.exp(-end) / r2 * xp.where(h > 0, gone / share - 1, 0.0)) * curve

    def error(self, low: Any, high: Any, before: Any, atol: float, rtol: float) -> Any:
        """(samples,) sizes of the errors, beside the tolerance."""
        xp = self.backend.xp
        size = rtol * xp.where(xp.abs(low) > xp.abs(before), xp.abs(low), xp.abs(before))
        share = (low - high) / xp.where(size > atol, size, xp.zeros_like(size) + atol)
        flat = xp.reshape(share * share, (self.shape[0], -1))
        mean = xp.mean(flat, axis=1)
        if self.inside:
            return xp.sqrt(mean + 1e-30)  # which has a derivative where a sample has arrived
        if self.backend.unreadable(mean):
            raise _UnreadableError
        return np.sqrt(np.asarray(self.backend.to_numpy(mean), dtype=np.float64))

    def where(self, taken: Any, new: Any, old: Any) -> Any:
        """The new samples where so."""
        return self.backend.xp.where(self.put(taken) > 0.5, new, old)
