"""Targets of few-step models: mean flows and consistency models."""

import math
from collections.abc import Callable
from typing import Any, Generic, NamedTuple

from multisched import backends
from multisched.backends import B
from multisched.errors import ScheduleError
from multisched.table.state import check_alike
from multisched.values import count, real


class Target(NamedTuple, Generic[B]):
    """A model's output, and what it is to be. Let no gradient into the target: `target.detach()`,
    `jax.lax.stop_gradient(target)`.

    Attributes:
        output: of the model, shaped as the sample.
        target: shaped as it.

    Example:
        >>> ms.training.Target(output=np.zeros(2), target=np.ones(2)).target.tolist()
        [1.0, 1.0]
    """

    output: B
    target: B


def mean_flow_target(model: Callable[[B, Any, Any], B], z: B, velocity: B, t: B, r: B) -> Target[B]:
    """The target of a mean flow u(z, r, t), the average velocity from t to r (Geng et al. 2025, arXiv 2505.13447).

        target = v - (t - r) * (v du/dz + du/dt),    the derivative of u(z, r, t) along (v, 0, 1)

    Args:
        model: model(z, r, t) -> u, with a derivative of its own (torch, JAX, MLX).
        z: (1 - t) * x0 + t * noise, (samples, ...).
        velocity: noise - x0, or that with guidance.
        t, r: (samples,) times in [0, 1], r <= t; 1 is noise. With r = t it is flow matching.

    Raises:
        ScheduleError: if the arrays do not go together, or the library has no derivatives.

    Example:
        >>> import torch
        >>> velocity, one = torch.tensor([[1.0, 2.0]]), torch.tensor([0.8])
        >>> found = ms.training.mean_flow_target(lambda z, t, r: z * t, torch.zeros(1, 2), velocity, one, one)
        >>> found.target.tolist()
        [[1.0, 2.0]]
    """
    check_alike(z, velocity, "the velocity", "sample")
    check_alike(t, r, "r", "time")
    backend = backends.of(z)
    xp, wide, there = backend.xp, _columns(backend, t, z), _columns(backend, r, z)
    output, change = backend.jvp(model, (z, r, t), (velocity, xp.zeros_like(r), xp.ones_like(t)))
    v: Any = velocity
    target: B = v - (wide - there) * change
    return Target(output, target)


def scm_target(
    model: Callable[[B, Any], B],
    x: B,
    velocity: B,
    t: B,
    sigma_data: float = 0.5,
    warmup: float = 1.0,
    normalize: float | None = 0.1,
) -> Target[B]:
    """The target F + g of a consistency model f = cos(t) * x - sin(t) * sigma_data * F(x / sigma_data, t) on TrigFlow
    (Lu and Song 2024, arXiv 2410.11081).

        g = -cos(t)^2 * (sigma_data * F - v) - r * cos(t) * sin(t) * (x + sigma_data * dF/dt)
        g <- g / (|g| + c)

    Args:
        model: model(x / sigma_data, t) -> F, with a derivative of its own (torch, JAX, MLX).
        x: cos(t) * x0 + sin(t) * sigma_data * noise, (samples, ...).
        velocity: dx/dt: cos(t) * sigma_data * noise - sin(t) * x0 to train from data; sigma_data times a teacher's F to
            distil.
        t: (samples,) times in [0, pi / 2].
        sigma_data: standard deviation of the data, above 0.
        warmup: r, which grows from 0 to 1 in the first iterations.
        normalize: c; None for the tangent as it is, which with warmup=1 is cos(t) * df/dt.

    Raises:
        ScheduleError: if the arrays do not go together, the library has no derivatives, or a number is out of range.

    Example:
        >>> import torch
        >>> x, velocity, t = torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([0.5])
        >>> ms.training.scm_target(lambda x, t: x, x, velocity, t).target.shape
        torch.Size([1, 2])
    """
    check_alike(x, velocity, "the velocity", "sample")
    numbers = {"sigma_data": sigma_data, **({} if normalize is None else {"normalize": normalize})}
    for name, value in numbers.items():
        if not 0 < real(name, value) < math.inf:
            raise ScheduleError(f"{name} must be a positive number; given {value!r}.")
    if not 0 <= real("warmup", warmup) <= 1:
        raise ScheduleError(f"warmup must be in [0, 1]; given {warmup!r}.")
    backend = backends.of(x)
    xp, wide = backend.xp, _columns(backend, t, x)
    here, v = x, velocity
    cos, sin = xp.cos(wide), xp.sin(wide)
    both: Any = xp.cos(t) * xp.sin(t)
    one: Any = here
    output, change = backend.jvp(model, (one / sigma_data, t), (cos * sin * v / sigma_data, both))
    tangent = -cos * cos * (sigma_data * output - v) - warmup * (cos * sin * one + sigma_data * change)
    if normalize is not None:
        size = xp.sqrt(xp.sum(tangent * tangent, axis=tuple(range(1, tangent.ndim)), keepdims=True))
        tangent = tangent / (size + normalize)
    return Target(output, output + tangent)


def pseudo_huber(one: B, other: B, c: float | None = None) -> B:
    """sqrt(|one - other|^2 + c^2) - c of each sample, (samples,) (Song and Dhariwal 2023, arXiv 2310.14189).

    Args:
        one, other: (samples, ...).
        c: above 0; None for 0.00054 times the square root of a sample's elements, as the paper has it.

    Raises:
        ScheduleError: if the arrays do not go together, or c is not positive.

    Example:
        >>> ms.training.pseudo_huber(np.array([[3.0, 4.0]]), np.zeros((1, 2)), c=1e-3).round(3).tolist()
        [4.999]
    """
    check_alike(one, other, "the other", "sample")
    chosen = 0.00054 * math.sqrt(math.prod(one.shape[1:])) if c is None else real("c", c)
    if not 0 < chosen < math.inf:
        raise ScheduleError(f"c must be a positive number; given {c!r}.")
    xp, first = backends.of(one).xp, one
    apart: Any = first - other  # type: ignore[operator]
    found: B = xp.sqrt(xp.sum(apart * apart, axis=tuple(range(1, apart.ndim))) + chosen**2) - chosen
    return found


def consistency_steps(iteration: int, total: int, first: int = 10, last: int = 1280) -> int:
    """How many levels the interval is cut into at an iteration of consistency training; it doubles as training goes on
    (Song and Dhariwal 2023, arXiv 2310.14189).

        N(k) = min(s0 * 2^floor(k / K'), s1) + 1,   K' = floor(K / (log2(floor(s1 / s0)) + 1))

    The levels are those of Karras et al. with rho = 7: `spacings.levels.karras`.

    Args:
        iteration: k, from 0.
        total: K, the iterations of the training.
        first: s0.
        last: s1, at least s0.

    Raises:
        ScheduleError: if a number is no count, or last is below first.

    Example:
        >>> [ms.training.consistency_steps(k, 8000) for k in (0, 1000, 7999)]
        [11, 21, 1281]
    """
    k, total = count("iteration", iteration, None, 0), count("total", total)
    first, last = count("first", first), count("last", last)
    if last < first:
        raise ScheduleError(f"last must be at least first; given first={first} and last={last}.")
    each = max(int(total / (math.log2(last // first) + 1)), 1)
    return int(min(first * 2 ** min(k // each, 64), last)) + 1


def _columns(backend: Any, t: Any, like: Any) -> Any:
    return backend.xp.reshape(t, (*t.shape, *(1,) * (len(like.shape) - len(t.shape))))
