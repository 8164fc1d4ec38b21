"""Which of the training timesteps 0..T-1 a run of n steps visits, from the noisiest. (Lin et al. 2023, arXiv
2305.08891, table 2, compares the three.)"""

import numpy as np

from multisched.errors import ScheduleError
from multisched.schedules import checks
from multisched.values import shown

SPACINGS = ("leading", "trailing", "linspace")


def timesteps(
    spacing: str, n: int, total: int, offset: int = 0, spare: bool = False, whole: bool = True, last: int | None = None
) -> np.ndarray:
    """n of the timesteps 0..total-1 as float64 numbers, falling strictly.

        leading    i * (total // n) + offset,          i = n-1 .. 0
        trailing   round(total - i * total / n) - 1,   i = 0 .. n-1
        linspace   round((total - 1) * i / (n - 1)),   i = n-1 .. 0

    Halves round to even, up to the rounding of the stride. Only "leading" uses `offset`.

    Args:
        spare: whether "leading" and "linspace" place n + 1 points and leave the lowest out.
        whole: whether "linspace" rounds.
        last: timesteps from this one on are left out, which may leave "trailing" with fewer than n.

    Raises:
        ScheduleError: n is not in 1..total, the spacing is unknown, or the timesteps do not fall within 0..total-1.
    """
    checks.option("timestep_spacing", spacing, SPACINGS)
    n = checks.count("the number of steps", n, total)
    top, points = total if last is None else last, n + spare
    if spacing == "leading":
        chosen = np.arange(points)[::-1] * float(top // points) + offset
    elif spacing == "trailing":
        # The stride as np.arange(total, 0, -total / n) rounds it, so that halves fall as in the published code.
        stride = (top - total / n) - top
        chosen = np.round(top + np.arange(n) * stride) - 1.0
        chosen = chosen[chosen >= 0] if last is not None else chosen
    else:
        chosen = np.linspace(0, top - 1, points)[::-1]
        chosen = np.round(chosen) if whole else chosen
    chosen = chosen[:-1] if spare and spacing != "trailing" else chosen
    if chosen.size == 0 or chosen[0] > total - 1 or chosen[-1] < 0 or np.any(np.diff(chosen) >= 0):
        raise ScheduleError(
            f"{n} steps of the {top} timesteps with {spacing!r} spacing and steps_offset={offset} make the timesteps "
            f"{shown(chosen)}; they must fall strictly within 0..{total - 1}."
        )
    return chosen
