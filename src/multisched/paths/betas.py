"""Discrete noise schedules: the variances beta_t of a training run, and what follows from them."""

import math
from typing import Any, Literal, get_args

import numpy as np

from multisched import checks
from multisched.errors import ScheduleError
from multisched.values import TRAINING_TIMESTEPS, real, shown

BetaSchedule = Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp"]
BETA_SCHEDULES = get_args(BetaSchedule)
_BARS = {"squaredcos_cap_v2": "cosine", "laplace": "laplace", "exp": "exp"}


def betas(
    schedule: str, total: int, start: float, end: float, dtype: Any = np.float64, strict: bool = True
) -> np.ndarray:
    """beta_t for t = 0..total-1.

        linear             evenly from start to end (Ho et al. 2020, arXiv 2006.11239, section 4)
        scaled_linear      evenly in sqrt(beta) (Rombach et al. 2022, arXiv 2112.10752, its code)
        squaredcos_cap_v2, laplace, exp   from an alpha_bar, see `betas_for_alpha_bar`
        sigmoid            start + (end - start) * sigmoid(-6..6)  (Xu et al. 2022, arXiv 2203.02923, its code)

    Args:
        dtype: the precision that the training code had; its rounding is part of the schedule.
        strict: whether start and end must obey 0 < start <= end < 1.

    Raises:
        ScheduleError: if the schedule is unknown, or start and end do not obey that; if they are not finite, or below 0
            for "scaled_linear".
    """
    checks.option("beta_schedule", schedule, BETA_SCHEDULES)
    if schedule in _BARS:
        return betas_for_alpha_bar(total, alpha_transform_type=_BARS[schedule]).astype(dtype)
    lowest = 0.0 if schedule == "scaled_linear" else -math.inf
    if not strict and not (lowest <= min(start, end) and math.isfinite(start) and math.isfinite(end)):
        allowed = "finite numbers" if lowest else "finite numbers >= 0"
        raise ScheduleError(f"beta_start and beta_end must be {allowed}; given {start}, {end}.")
    if strict and not 0 < start <= end < 1:
        raise ScheduleError(f"beta_start and beta_end must obey 0 < beta_start <= beta_end < 1; given {start}, {end}.")
    if schedule == "linear":
        chosen = np.linspace(start, end, total, dtype=dtype)
    elif schedule == "sigmoid":
        chosen = 1 / (1 + np.exp(-np.linspace(-6, 6, total, dtype=dtype))) * dtype(end - start) + dtype(start)
    else:
        chosen = np.linspace(start**0.5, end**0.5, total, dtype=dtype) ** 2
    return chosen


def betas_for_alpha_bar(
    num_diffusion_timesteps: int, max_beta: float = 0.999, alpha_transform_type: str = "cosine"
) -> np.ndarray:
    """Betas that follow a continuous alpha_bar(t), t in [0, 1].

        beta_i = min(1 - alpha_bar(t_i+1) / alpha_bar(t_i), max_beta),   t_i = i / count

        cosine   alpha_bar(t) = cos((t + 0.008) / 1.008 * pi / 2)^2   (arXiv 2102.09672, eq. 17)
        exp      alpha_bar(t) = exp(-12 t)
        laplace  log-SNR with a Laplace law: lam = -sign(1/2 - t) * log(1 - 2 |1/2 - t|) / 2,
                 alpha_bar = sqrt(snr / (1 + snr)), snr = exp(lam)      (Hang et al. 2024, arXiv 2407.03297)

    Args:
        num_diffusion_timesteps: number of betas.
        max_beta: upper bound, which keeps the last steps from being singular.
        alpha_transform_type: one of the three names.

    Returns:
        float64 ndarray (num_diffusion_timesteps,).

    Raises:
        ScheduleError: if the count is below 1, max_beta outside (0, 1], or the name unknown.

    Example:
        >>> ms.betas_for_alpha_bar(4).round(3).tolist()
        [0.153, 0.417, 0.708, 0.999]
    """
    total = checks.count("num_diffusion_timesteps", num_diffusion_timesteps, TRAINING_TIMESTEPS)
    max_beta = real("max_beta", max_beta)
    checks.option("alpha_transform_type", alpha_transform_type, tuple(_ALPHA_BARS))
    if not 0 < max_beta <= 1:
        raise ScheduleError(f"max_beta must be in (0, 1]; given {shown(max_beta)}.")
    alpha_bar = np.array([_ALPHA_BARS[alpha_transform_type](t) for t in (np.arange(total + 1) / total).tolist()])
    betas: np.ndarray = np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], max_beta)
    return betas


def _laplace(t: float) -> float:
    lam = -0.5 * math.copysign(1, 0.5 - t) * math.log(1 - 2 * abs(0.5 - t) + 1e-6)
    snr = math.exp(lam)
    return math.sqrt(snr / (1 + snr))


_ALPHA_BARS = {
    "cosine": lambda t: math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2,
    "exp": lambda t: math.exp(-12.0 * t),
    "laplace": _laplace,
}


def rescale_zero_terminal_snr(betas: Any) -> np.ndarray:
    """Betas shifted and scaled so that the last step is pure noise, the first unchanged (Lin et al. 2023, arXiv
    2305.08891, algorithm 1).

        r_t <- (r_t - r_T) * r_1 / (r_1 - r_T),   r_t = sqrt(alpha_bar_t)

    Args:
        betas: (T,) numbers in (0, 1), T at least 2.

    Returns:
        ndarray (T,) of the dtype of `betas` (float64 for a list); the last is 1.

    Raises:
        ScheduleError: fewer than two betas, or one outside (0, 1).

    Example:
        >>> betas = ms.rescale_zero_terminal_snr(np.linspace(0.1, 0.5, 4))
        >>> float(np.prod(1 - betas))
        0.0
    """
    single = getattr(betas, "dtype", None) == np.float32
    given: np.ndarray = checks.numbers("betas", betas, TRAINING_TIMESTEPS).astype("float32" if single else "float64")
    if given.ndim != 1 or given.size < 2 or not np.all((given > 0) & (given < 1)):
        raise ScheduleError(f"betas must be at least two numbers in (0, 1); given {shown(betas)}.")
    level = zero_terminal_snr(alphas_cumprod(given))
    rescaled: np.ndarray = 1 - np.concatenate([level[:1], level[1:] / level[:-1]])
    return rescaled


def zero_terminal_snr(alpha_bar: np.ndarray) -> np.ndarray:
    """alpha_bar shifted and scaled in its square root so that the last is 0, the first unchanged."""
    root = np.sqrt(alpha_bar)
    level: np.ndarray = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
    return level


def shift_snr(alpha_bar: np.ndarray, scale: float) -> np.ndarray:
    """alpha_bar / (scale + (1 - scale) * alpha_bar): the signal-to-noise ratio divided by `scale` (Yang et al. 2024,
    arXiv 2408.06072, its code)."""
    return alpha_bar / (scale + (1 - scale) * alpha_bar)


def alphas_cumprod(betas: np.ndarray) -> np.ndarray:
    """alpha_bar_t, the product of 1 - beta up to t, in the dtype of `betas`."""
    return np.cumprod(1 - betas, dtype=np.float64).astype(betas.dtype)
