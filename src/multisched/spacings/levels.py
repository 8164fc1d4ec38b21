"""Where a run of n steps asks the model, between two noise levels: ratios k = sigma / alpha, falling from `top` to
`bottom`. All float64 (n,). A single step is at `top`."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from multisched import checks
from multisched.errors import ScheduleError
from multisched.values import shown


def karras(top: float, bottom: float, n: int, rho: float = 7.0) -> np.ndarray:
    """Even in k^(1/rho) (Karras et al. 2022, arXiv 2206.00364, eq. 5)."""
    return np.linspace(top ** (1 / rho), bottom ** (1 / rho), n) ** rho


def exponential(top: float, bottom: float, n: int) -> np.ndarray:
    """Even in log k."""
    return polyexponential(top, bottom, n, 1.0)


def polyexponential(top: float, bottom: float, n: int, rho: float = 1.0) -> np.ndarray:
    """log k falls as the power rho of an even ramp; rho = 1 is `exponential`."""
    ramp = np.linspace(1, 0, n) ** rho
    return np.exp(ramp * math.log(top) + (1 - ramp) * math.log(bottom))


def lu(top: float, bottom: float, n: int, rho: float = 1.0) -> np.ndarray:
    """Even in (half log-SNR)^(1 / rho) (Lu et al. 2022, arXiv 2211.01095, section 6.1); rho = 1 is `exponential`."""
    ends = [math.copysign(abs(lam) ** (1 / rho), lam) for lam in (math.log(top), math.log(bottom))]
    ramp = np.linspace(ends[0], ends[1], n)
    return np.exp(np.copysign(np.abs(ramp) ** rho, ramp))


def beta(top: float, bottom: float, n: int, a: float = 0.6, b: float = 0.6) -> np.ndarray:
    """Quantiles of a Beta(a, b) law, which crowd at both ends (Lee et al. 2024, arXiv 2407.12173, section 4)."""
    return bottom + (top - bottom) * beta_quantile(1 - np.linspace(0, 1, n), a, b)


def kl_optimal(top: float, bottom: float, n: int) -> np.ndarray:
    """Even in arctan k (Sabour et al. 2024, arXiv 2404.14507, theorem 3.1)."""
    found = np.tan(np.linspace(math.atan(top), math.atan(bottom), n))
    return np.clip(found, bottom, top)  # which rounding would leave


def linear(top: float, bottom: float, n: int) -> np.ndarray:
    """Even in k."""
    return np.linspace(top, bottom, n)


def soft_log(top: float, bottom: float, n: int, low: float = 0.1, high: float = 3.0) -> np.ndarray:
    """Even in s = log((k + low) / (1 + k / high)): in k where k is small, in log k, and in 1 / k where it is large, up
    to `top`, which may be infinite."""
    ends = [(math.log(high) if math.isinf(k) else math.log((k + low) / (1 + k / high))) for k in (top, bottom)]
    share = np.exp(np.linspace(ends[0], ends[1], n)[1:])
    return np.append(top, (share - low) / (1 - share / high))


Kind = Literal["karras", "exponential", "polyexponential", "beta", "lu", "kl_optimal", "linear"]
KINDS: dict[Kind, Callable[[float, float, int], np.ndarray]] = {
    "karras": karras,
    "exponential": exponential,
    "polyexponential": polyexponential,
    "beta": beta,
    "lu": lu,
    "kl_optimal": kl_optimal,
    "linear": linear,
}


def between(kind: Kind, top: float, bottom: float, n: int) -> np.ndarray:
    """`n` ratios of the kind named.

    Raises:
        ScheduleError: if the kind is unknown, or the ends do not obey 0 < bottom < top.
    """
    checks.option("sigma_schedule", kind, tuple(KINDS))
    if not (min(top, bottom) > 0 and max(top, bottom) < math.inf) or (bottom >= top and n > 1):
        raise ScheduleError(
            f"noise levels must run from a larger to a smaller one above 0; given {top:g} to {bottom:g}."
        )
    return KINDS[kind](top, bottom, n)


def decreasing(name: str, n: int, found: np.ndarray) -> np.ndarray:
    """The levels that n steps of a name make.

    Raises:
        ScheduleError: if they do not fall to one above 0.
    """
    # The first may be infinite, at pure noise.
    if not (found.size and np.all(np.isfinite(found[1:])) and np.all(np.diff(found) < 0) and found[-1] > 0):
        raise ScheduleError(f"{n} steps of spacing {name!r} make no decreasing levels here: {shown(found)}.")
    return found


def one_kind(**flags: bool) -> str | None:
    """The one kind whose flag use_..._sigmas is set, or None.

    Raises:
        ScheduleError: more than one is set.
    """
    chosen = [name for name, on in flags.items() if on]
    if len(chosen) > 1:
        listed = " and ".join(f"use_{name}" for name in chosen)
        raise ScheduleError(f"a grid has one spacing of its sigmas; given {listed}.")
    return chosen[0].partition("_")[0] if chosen else None


def beta_quantile(share: np.ndarray, a: float, b: float) -> np.ndarray:
    """x with I_x(a, b) = share, by Newton's method on the side of the law where the series converges fast.

    I_x(a, b) = x^a / (a B(a, b)) * sum over k of  (a)_k (1 - b)_k / ((a + 1)_k k!) * x^k     (DLMF 8.17.7)
    """
    whole = math.exp(math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    half = _incomplete(np.array(0.5), a, b) / whole
    low = share <= half
    target = np.where(low, share, 1 - share) * whole
    p, q = np.where(low, a, b), np.where(low, b, a)
    x = np.minimum((target * p) ** (1 / p), 0.5)
    for _ in range(50):
        safe = np.where(x > 0, x, 0.5)
        slope = safe ** (p - 1) * (1 - safe) ** (q - 1)
        x = np.clip(np.where(x > 0, x - (_incomplete(x, p, q) - target) / slope, 0), 0, 0.5)
    return np.where(low, x, 1 - x)


def _incomplete(x: np.ndarray, a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """The incomplete beta function for x in [0, 1/2]."""
    term = np.ones(np.broadcast_shapes(np.shape(x), np.shape(a)))
    total = term / a
    for k in range(1, 60):
        term = term * (k - b) / k * x
        total = total + term / (a + k)
    return x**a * total
