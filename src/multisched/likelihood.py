"""The log-density of samples under a model, by the probability flow."""

import math
from collections.abc import Callable
from typing import Any, Generic, Literal, NamedTuple

import numpy as np

from multisched import backends, noise as noise_sources
from multisched.backends import B, Backend
from multisched.density import log_prob
from multisched.errors import ScheduleError
from multisched.noise import START
from multisched.noise.addresses import PROBE, purpose
from multisched.table.plan import Plan
from multisched.values import count, option

Trace = Literal["hutchinson", "exact"]
TRACES = ("hutchinson", "exact")
Derivative = Literal["own", "differences"]
DERIVATIVES = ("own", "differences")
MOST = 4096  # elements of a sample whose exact trace is taken


class Likelihood(NamedTuple, Generic[B]):
    """What `log_likelihood` returns.

    Attributes:
        log_prob: (samples,) the log-density of each sample, in nats.
        noise: (samples, ...) where the flow leads from it: unit normals, if the samples are the model's.

    Example:
        >>> model = ms.analysis.model_of(ms.FlowMatchEuler(), ms.analysis.Gaussian(0.0, 1.0))
        >>> plan, x = ms.FlowMatchHeun().plan(50), np.array([[0.0]])
        >>> found = ms.log_likelihood(model, plan, x, trace="exact", derivative="differences")
        >>> round(float(found.log_prob[0]), 2), round(-0.5 * float(np.log(2 * np.pi)), 2)
        (-0.92, -0.92)
    """

    log_prob: B
    noise: B


def log_likelihood(
    model: Callable[[B, Any], B],
    plan: Plan,
    sample: B,
    *,
    trace: Trace = "hutchinson",
    probes: int = 1,
    rng: Any = 0,
    derivative: Derivative = "own",
    divergence: Callable[[B, Any], Any] | None = None,
) -> Likelihood[B]:
    """The log-density of samples under the law that the probability flow makes of a run's starting noise (Song et al.
    2020, arXiv 2011.13456, eq. 39), over the points of a plan from the last to the first.

        y = x / (alpha + sigma),   s = sigma / (alpha + sigma),   dy / ds = noise - x0 = v(y, s)
        log p(y_end) = log p(y_start) + integral of div v ds from s_end to s_start

    by Runge and Kutta's classical method of fourth order, four calls and divergences a step. The part of v that is
    linear in x enters the divergence exactly; the trace is that of the model's own derivative.

    The plan's grid and prediction count, its solver does not. It is the density at the plan's last level: of clean
    samples where that is sigma = 0. There the model is evaluated just above, since many are not defined at it.

    Args:
        model: model(x, t) -> output, as of `ms.sample`; each sample's output may depend on that sample alone.
        plan: of a recipe without changes to x0 or to the output, such as clipping.
        sample: (samples, ...); float64 for errors below 1e-5.
        trace: "hutchinson", an unbiased estimate by random signs (Rademacher; Grathwohl et al. 2018, arXiv 1810.01367),
            the same ones all along the run; or "exact", with as many derivatives as a sample has elements.
        probes: signs drawn for each sample, whose estimates are averaged.
        rng: seed or source of the signs.
        derivative: "own", the array library's (torch, JAX and MLX have one); or "differences", central ones, which
            every library has, to be taken in float64.
        divergence: divergence(x, t) -> (samples,), that of the model's output in closed form, in place of a trace.

    Raises:
        ScheduleError: if the plan changes x0 or the output, its steps do not join, the library has no derivatives, or
            an option is not one of those named.

    Example:
        >>> recipe = ms.FlowMatchEuler()
        >>> model = ms.analysis.model_of(recipe, ms.analysis.Gaussian(mean=0.5, std=0.3))
        >>> sample = 0.5 + 0.3 * ms.noise.normal((2, 4)).astype("float64")
        >>> found = ms.log_likelihood(model, recipe.plan(20), sample, trace="exact", derivative="differences")
        >>> wanted = ms.log_prob(sample, 0.0 * sample + 0.5, 0.3)
        >>> bool((abs(found.log_prob - wanted) < 1e-3).all())
        True
    """
    option("trace", trace, TRACES)
    option("derivative", derivative, DERIVATIVES)
    _check(plan)
    backend = backends.of(sample)
    run = _Run(model, plan, backend, sample, derivative, divergence)
    if divergence is None:
        run.signs = run.chosen(trace, count("probes", probes), noise_sources.source(rng))
    return run.density(sample)


def _check(plan: Any) -> None:
    if not isinstance(plan, Plan):
        raise ScheduleError(f"log_likelihood follows a plan, which recipe.plan(n) makes; given {type(plan).__name__}.")
    if plan.denoised_transform is not None or plan.output_transform is not None or plan.tableau.outputs > 1:
        raise ScheduleError(
            f"{plan.name} changes the model's output or x0 on the way, and the flow has no density that is known: make "
            "the recipe without it, such as with clip_sample=False."
        )
    if plan.path is None or plan.prediction is None or not plan.grid.chained:
        raise ScheduleError("log_likelihood needs a plan of recipe.plan(n), with its path, whose steps join.")


class _Run:
    def __init__(self, model: Any, plan: Plan, backend: Backend[Any], sample: Any, derivative: str, given: Any) -> None:
        self.model, self.plan, self.backend, self.given = model, plan, backend, given
        self.wide, self.device = backend.compute_dtype(sample.dtype), backend.device(sample)
        self.narrow, self.shape, self.own = sample.dtype, tuple(sample.shape), derivative == "own"
        if len(self.shape) < 2:
            raise ScheduleError(
                f"a likelihood is of samples (samples, ...), with elements to each; given shape {self.shape}."
            )
        self.size, self.double = math.prod(self.shape[1:]), str(self.wide).endswith("float64")
        self.signs: list[Any] = []

    def chosen(self, trace: str, probes: int, source: Any) -> list[Any]:
        """The directions whose products with the derivative are summed, and then divided by `averaged`."""
        if trace == "exact":
            if self.size > MOST:
                raise ScheduleError(
                    f"trace='exact' takes a derivative for each of {self.size} elements of a sample, at most {MOST}; "
                    "take trace='hutchinson'."
                )
            rows = np.eye(self.size).reshape((self.size, 1, *self.shape[1:]))
            self.averaged = 1
            return [self.backend.asarray(np.broadcast_to(row, self.shape), self.wide, self.device) for row in rows]
        self.averaged = probes
        found = []
        for number in range(probes):
            (z,) = noise_sources.draw(source, START, (purpose(PROBE, number),), self.zeros())
            one = self.backend.xp.ones_like(z)
            found.append(self.backend.astype(self.backend.xp.where(z < 0, -one, one), self.wide))
        return found

    def zeros(self) -> Any:
        return self.backend.asarray(np.zeros(self.shape), self.wide, self.device)

    def density(self, sample: Any) -> Likelihood[Any]:
        xp, grid = self.backend.xp, self.plan.grid
        alphas, sigmas, times = (one[::-1].tolist() for one in (grid.alphas, grid.sigmas, grid.timesteps))
        shares = [sigma / (alpha + sigma) for alpha, sigma in zip(alphas, sigmas, strict=True)]
        y = self.backend.astype(sample, self.wide) / (alphas[0] + sigmas[0])
        total = xp.sum(0.0 * y, axis=tuple(range(1, y.ndim)))
        for k in range(len(grid)):
            ends = [(alphas[j], sigmas[j], times[j]) for j in (k, k + 1)]
            y, gained = self.step(y, shares[k], shares[k + 1], *ends)
            total = total + gained
        start = alphas[-1] + sigmas[-1]
        last, scale = y * start, float(grid.init_noise_sigma)
        prior = log_prob(last, 0.0 * last, scale)
        moved = self.size * (math.log(start) - math.log(alphas[0] + sigmas[0]))
        return Likelihood(prior + total + moved, self.backend.astype(last / scale, self.narrow))

    def step(self, y: Any, low: float, high: float, first: Any, last: Any) -> tuple[Any, Any]:
        """y and the integral of its divergence after Runge and Kutta's step from one share of noise to the next."""
        h = high - low
        if low == 0:
            first = self.point(h * (1e-6 if self.double else 1e-3))
        middle = self.point(low + h / 2)
        v1, d1 = self.flow(y, first)
        v2, d2 = self.flow(y + h / 2 * v1, middle)
        v3, d3 = self.flow(y + h / 2 * v2, middle)
        v4, d4 = self.flow(y + h * v3, last)
        return y + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4), h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)

    def point(self, share: float) -> tuple[float, float, float]:
        """(alpha, sigma, timestep) of the path at a share of noise."""
        found = self.plan.path.point(np.array([share / (1 - share)]))
        return float(found.alpha[0]), float(found.sigma[0]), float(found.timestep[0])

    def flow(self, y: Any, level: tuple[float, float, float]) -> tuple[Any, Any]:
        """v and its divergence: v = c_x * x + c_o * output, of the flow's two equations."""
        alpha, sigma, time = level
        size, scale = alpha + sigma, float(self.plan.path.scale(alpha, sigma))
        a, b = self.plan.prediction.weights(scale * alpha, scale * sigma)
        d = scale * (alpha * b - sigma * a)
        if d == 0:
            raise ScheduleError(
                f"a model of {self.plan.prediction.name!r} has no velocity at timestep {time:g}: leave that point out."
            )
        c_x, c_o = -(a + b) * scale / d, scale * size / d
        output, trace = self.output(scale * size * y, time)
        return c_x * size * y + c_o * output, c_x * size * self.size + c_o * scale * size * trace

    def output(self, seen: Any, time: float) -> tuple[Any, Any]:
        """The model's output and the trace of its derivative, (samples,)."""
        t = self.backend.asarray(time, self.wide, self.device)

        def asked(x: Any) -> Any:
            return self.backend.astype(self.model(self.backend.astype(x, self.narrow), t), self.wide)

        if self.given is not None:
            return asked(seen), self.given(self.backend.astype(seen, self.narrow), t)
        total: Any = 0.0
        output = None
        for sign in self.signs:
            if self.own:
                output, product = self.backend.vjp(asked, seen, sign)
            else:
                h = 1e-4 if self.double else 1e-2
                product = (asked(seen + h * sign) - asked(seen - h * sign)) / (2 * h)
            total = total + self.backend.xp.sum(product * sign, axis=tuple(range(1, seen.ndim)))
        return asked(seen) if output is None else output, total / self.averaged
