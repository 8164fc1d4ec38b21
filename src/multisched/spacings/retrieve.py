"""Timesteps for a number of steps out of a list of noise levels."""

from typing import Any

import numpy as np

from multisched import backends, checks
from multisched.errors import ScheduleError
from multisched.values import FLOAT32, STEPS, TRAINING_TIMESTEPS, shown


def retrieve_timesteps(
    device: Any, sigmas: Any, steps: int, num_train_timesteps: int, sigmas_override: Any = None
) -> tuple[Any, int]:
    """Resample a list of noise levels to `steps` of them, and give their timesteps sigma * num_train_timesteps.

    The levels are taken at the evenly spaced positions i * (len - 1) / (steps - 1), interpolated linearly between
    neighbours. A list that is no longer than `steps` is taken whole, and so is `sigmas_override`. A closing 0, the end
    of a run, is left out of `sigmas`, since the model is not asked there.

    Args:
        device: where to put the timesteps, of the backend of `sigmas`; None for its default. For a plain list, a
            backend's name or an array of it also serves.
        sigmas: (len,) falling noise levels, a list or an array of any backend.
        steps: number of steps.
        num_train_timesteps: timesteps of the training schedule.
        sigmas_override: levels to use as they are.

    Returns:
        (timesteps, count): float32 (count,) on the backend and device, and their number.

    Raises:
        ScheduleError: levels that are empty, not finite or do not fall, or a count below 1.

    Example:
        >>> timesteps, count = ms.retrieve_timesteps(None, [1.0, 0.75, 0.5, 0.25, 0.0], 2, 1000)
        >>> timesteps.tolist(), count
        ([1000.0, 250.0], 2)
    """
    steps = checks.count("steps", steps, STEPS)
    total = checks.count("num_train_timesteps", num_train_timesteps, TRAINING_TIMESTEPS)
    backend, device = _place(device, sigmas)
    if sigmas_override is not None:
        levels = checks.descending("sigmas_override", sigmas_override)
    else:
        levels = checks.descending("sigmas", sigmas, TRAINING_TIMESTEPS)
        levels = levels[:-1] if levels.size > 1 and levels[-1] == 0 else levels
        if steps < levels.size:
            levels = np.interp(np.linspace(0, levels.size - 1, steps), np.arange(levels.size), levels)
    if levels[-1] < 0:
        raise ScheduleError(f"noise levels must not be negative; given {shown(levels)}.")
    if not levels[0] * total <= FLOAT32:
        raise ScheduleError(f"timesteps are float32, which cannot hold {levels[0]:.4g} * {total}.")
    return backend.asarray(levels * total, "float32", device), int(levels.size)


def _place(device: Any, sigmas: Any) -> tuple[backends.Backend[Any], Any]:
    if hasattr(sigmas, "shape"):
        return backends.of(sigmas), device
    if isinstance(device, str):
        try:
            return backends.get(device), None
        except ScheduleError:
            return backends.get("numpy"), device
    if hasattr(device, "shape"):
        found = backends.of(device)
        return found, found.device(device)
    library = type(device).__module__.partition(".")[0].removesuffix("lib")
    return backends.get(library if library in backends.BUILTIN else "numpy"), device
