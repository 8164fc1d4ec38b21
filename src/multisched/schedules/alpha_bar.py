"""alpha_bar of a discrete schedule, from the options that say its betas and what is done to them."""

from functools import lru_cache
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.schedules import betas as beta_schedules
from multisched.schedules import checks
from multisched.values import TRAINING_TIMESTEPS, read_only, shown


def trained(betas: Any) -> tuple[float, ...]:
    """Custom betas as a hashable option.

    Raises:
        ScheduleError: if it is no list of finite numbers.
    """
    return tuple(checks.numbers("trained_betas", betas, TRAINING_TIMESTEPS).tolist())


def betas_of(schedule: Any) -> np.ndarray:
    """The betas of the options, in their precision."""
    total, dtype = schedule.num_train_timesteps, np.dtype(schedule.precision).type
    if schedule.trained_betas is None:
        ends = (schedule.beta_start, schedule.beta_end)
        chosen = beta_schedules.betas(schedule.beta_schedule, total, *ends, dtype, schedule.strict)
    else:
        chosen = np.asarray(schedule.trained_betas, dtype=dtype)
        fits = chosen.shape == (total,) and bool(np.all((chosen > 0) & (chosen < 1)))
        if schedule.strict and not fits:
            raise ScheduleError(f"trained_betas must be {total} numbers in (0, 1); given {shown(chosen)}.")
    return chosen


def betas_after(schedule: Any) -> np.ndarray:
    """beta_t of a `DiscreteVP`, float64 (T,), read-only: of the options, or of alpha_bar where that was changed."""
    if schedule.snr_shift_scale == 1.0 and not schedule.rescale_betas_zero_snr:
        chosen: np.ndarray = read_only(betas_of(schedule).astype(np.float64))
        return chosen
    level = alpha_bar(schedule)
    before = np.append(1.0, level[:-1])
    derived: np.ndarray = read_only(1 - level / np.where(before > 0, before, 1.0))
    return derived


def beyond_betas(schedule: Any, timesteps: np.ndarray, alphas: np.ndarray, sigmas: np.ndarray) -> None:
    """Refuse a run of a schedule that is not strict, two of whose timesteps lie beyond its betas.

    Raises:
        ScheduleError: if they have one level.
    """
    alike = (np.diff(sigmas) == 0) & (np.diff(alphas) == 0)
    if not schedule.strict and np.any(alike):
        found = int(np.argmax(alike))
        raise ScheduleError(
            f"timesteps {timesteps[found]:g} and {timesteps[found + 1]:g} have one noise level, since the betas make "
            "no other; a step between them leads nowhere; take fewer steps."
        )


@lru_cache(maxsize=64)
def alpha_bar(schedule: Any) -> np.ndarray:
    """alpha_bar_t of the options of a `DiscreteVP`, float64 (T,), read-only; one for each of the betas where it is not
    strict, and kept within [0, 1] there."""
    total, chosen = schedule.num_train_timesteps, betas_of(schedule)
    level = beta_schedules.alphas_cumprod(chosen)
    if schedule.snr_shift_scale != 1.0:
        level = beta_schedules.shift_snr(level, schedule.snr_shift_scale)
    if schedule.rescale_betas_zero_snr:
        if total < 2:
            raise ScheduleError("rescale_betas_zero_snr needs num_train_timesteps of at least 2; given 1.")
        level = beta_schedules.zero_terminal_snr(level.astype(np.float64))
        level[-1] = schedule.terminal_alpha_bar
    if not schedule.strict:
        level = np.clip(np.where(np.isfinite(level), level, 0.0), 0.0, 1.0) + 0.0  # and none is -0
    final: np.ndarray = read_only(level)
    return final
