"""Random configurations of diffusers' schedulers: options that many classes share."""

from typing import Any

import numpy as np

STEPS = (1, 2, 3, 4, 7, 20, 50, 999)
RARELY = 0.04  # share of the longest runs, which cost the most


def steps(rng: np.random.Generator, most: int = 999) -> int:
    """A number of steps up to `most`."""
    allowed = [n for n in STEPS if n <= most]
    weights = np.array([RARELY if n > 100 else (1 - RARELY) / max(1, len(allowed) - 1) for n in allowed])
    return int(rng.choice(allowed, p=weights / weights.sum()))


def trained(
    rng: np.random.Generator, schedules: tuple[str, ...] = ("linear", "scaled_linear", "squaredcos_cap_v2")
) -> dict[str, Any]:
    """A training schedule."""
    total = int(rng.choice((100, 250, 1000, 1000, 1000)))
    options: dict[str, Any] = {
        "num_train_timesteps": total,
        "beta_start": float(10 ** rng.uniform(-4.5, -2.5)),
        "beta_end": float(rng.uniform(0.01, 0.05)),
        "beta_schedule": str(rng.choice(schedules)),
    }
    if rng.random() < 0.15:
        options["trained_betas"] = np.sort(rng.uniform(1e-4, 0.03, total)).tolist()
    return options


def spaced(rng: np.random.Generator) -> dict[str, Any]:
    """Timesteps of a run."""
    return {
        "timestep_spacing": str(rng.choice(("linspace", "leading", "trailing"))),
        "steps_offset": int(rng.choice((0, 0, 1, 3))),
    }


def respaced(rng: np.random.Generator, *more: str) -> dict[str, Any]:
    """At most one of the flags that space the sigmas anew."""
    flags = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", *more)
    chosen = rng.choice((*flags, "none", "none"))
    return {str(chosen): True} if chosen != "none" else {}


def falling(rng: np.random.Generator, n: int, low: float, high: float) -> list[float]:
    """n numbers that fall strictly from below `high` to above `low`."""
    return np.sort(rng.uniform(low, high, n))[::-1].tolist()
