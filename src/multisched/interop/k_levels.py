"""k-diffusion's functions of noise levels, for arrays of any library."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from multisched import backends, checks
from multisched.errors import ScheduleError
from multisched.spacings.levels import karras, polyexponential
from multisched.values import real, shown


def get_sigmas_karras(
    n: int, sigma_min: float, sigma_max: float, rho: float = 7.0, device: Any = None, backend: Any = "torch"
) -> Any:
    """(n + 1,) float32, the noise levels of Karras et al. (2022), arXiv 2206.00364, equation 5, and 0.

    Args:
        n: number of steps.
        sigma_min: the last level above 0.
        sigma_max: the first level.
        rho: the power that the levels are even in.
        device: of the levels.
        backend: a library's name, or an array to take it from.

    Raises:
        ScheduleError: if a number is out of range, or the library is not installed.

    Example:
        >>> from multisched.interop.k_diffusion import get_sigmas_karras
        >>> get_sigmas_karras(3, 0.1, 10.0, backend="numpy").round(2).astype(float).round(2).tolist()
        [10.0, 1.45, 0.1, 0.0]
    """
    return _levels(karras, n, sigma_min, sigma_max, rho, device, backend)


def get_sigmas_exponential(
    n: int, sigma_min: float, sigma_max: float, device: Any = None, backend: Any = "torch"
) -> Any:
    """(n + 1,) float32, noise levels even in their logarithm, and 0.

    Args:
        n: number of steps.
        sigma_min: the last level above 0.
        sigma_max: the first level.
        device: of the levels.
        backend: a library's name, or an array to take it from.

    Raises:
        ScheduleError: if a number is out of range, or the library is not installed.

    Example:
        >>> from multisched.interop.k_diffusion import get_sigmas_exponential
        >>> get_sigmas_exponential(3, 0.1, 10.0, backend="numpy").astype(float).round(2).tolist()
        [10.0, 1.0, 0.1, 0.0]
    """
    return _levels(polyexponential, n, sigma_min, sigma_max, 1.0, device, backend)


def get_sigmas_polyexponential(
    n: int, sigma_min: float, sigma_max: float, rho: float = 1.0, device: Any = None, backend: Any = "torch"
) -> Any:
    """(n + 1,) float32, noise levels whose logarithm falls as the power rho of an even ramp, and 0.

    Args:
        n: number of steps.
        sigma_min: the last level above 0.
        sigma_max: the first level.
        rho: the power; 1 is `get_sigmas_exponential`.
        device: of the levels.
        backend: a library's name, or an array to take it from.

    Raises:
        ScheduleError: if a number is out of range, or the library is not installed.

    Example:
        >>> from multisched.interop.k_diffusion import get_sigmas_polyexponential
        >>> get_sigmas_polyexponential(3, 0.1, 10.0, rho=2.0, backend="numpy").astype(float).round(2).tolist()
        [10.0, 0.32, 0.1, 0.0]
    """
    return _levels(polyexponential, n, sigma_min, sigma_max, rho, device, backend)


def get_sigmas_vp(
    n: int,
    beta_d: float = 19.9,
    beta_min: float = 0.1,
    eps_s: float = 1e-3,
    device: Any = None,
    backend: Any = "torch",
) -> Any:
    """(n + 1,) float32, the noise levels of the linear variance-preserving SDE (Song et al. 2021, arXiv 2011.13456,
    equation 33), sqrt(exp(beta_d t^2 / 2 + beta_min t) - 1) for n even times from 1 to eps_s, and 0.

    Args:
        n: number of steps.
        beta_d: what the rate gains from t = 0 to 1.
        beta_min: the rate at t = 0.
        eps_s: the last time above 0.
        device: of the levels.
        backend: a library's name, or an array to take it from.

    Raises:
        ScheduleError: if a number is out of range, or the library is not installed.

    Example:
        >>> from multisched.interop.k_diffusion import get_sigmas_vp
        >>> get_sigmas_vp(3, backend="numpy").astype(float).round(2).tolist()
        [152.17, 3.42, 0.01, 0.0]
    """
    rates = {"beta_d": beta_d, "beta_min": beta_min, "eps_s": eps_s}
    for name, value in rates.items():
        if not 0 < real(name, value) < math.inf:
            raise ScheduleError(f"{name} must be a number above 0; given {shown(value)}.")
    times = np.linspace(1.0, eps_s, checks.steps(n))
    return _put(np.sqrt(np.expm1(beta_d * times**2 / 2 + beta_min * times)), backend, device)


def _levels(
    kind: Callable[[float, float, int, float], np.ndarray],
    n: int,
    sigma_min: float,
    sigma_max: float,
    rho: float,
    device: Any,
    backend: Any,
) -> Any:
    low, high, power = real("sigma_min", sigma_min), real("sigma_max", sigma_max), real("rho", rho)
    if not 0 < low <= high < math.inf:
        raise ScheduleError(f"sigma_min and sigma_max must obey 0 < sigma_min <= sigma_max; given {low!r}, {high!r}.")
    if not 0.1 <= power < math.inf:
        raise ScheduleError(f"rho must be a number of at least 0.1; given {power!r}.")
    return _put(kind(high, low, checks.steps(n), power), backend, device)


def _put(levels: np.ndarray, backend: Any, device: Any) -> Any:
    return backends.resolve(backend).asarray(np.append(levels, 0.0), "float32", device)
