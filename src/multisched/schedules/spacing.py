"""Which of the training timesteps 0..T-1 a run of n steps visits, from the noisiest. (Lin et al. 2023, arXiv
2305.08891, table 2, compares the three.)"""

import numpy as np

from multisched.errors import ScheduleError
from multisched.schedules import checks

SPACINGS = ("leading", "trailing", "linspace")


def timesteps(spacing: str, n: int, total: int, offset: int = 0) -> np.ndarray:
    """n of the timesteps 0..total-1 as float64 whole numbers, falling strictly.

        leading    i * (total // n) + offset,          i = n-1 .. 0
        trailing   round(total - i * total / n) - 1,   i = 0 .. n-1
        linspace   round((total - 1) * i / (n - 1)),   i = n-1 .. 0

    Halves round to even, up to the rounding of the stride. Only "leading" uses `offset`.

    Raises:
        ScheduleError: n is not in 1..total, the spacing is unknown, or the offset leads outside 0..total-1.
    """
    checks.option("timestep_spacing", spacing, SPACINGS)
    n = checks.count("the number of steps", n, total)
    if spacing == "leading":
        chosen = np.arange(n)[::-1] * float(total // n) + offset
    elif spacing == "trailing":
        # The stride as np.arange(total, 0, -total / n) rounds it, so that halves fall as in the published code.
        stride = (total - total / n) - total
        chosen = np.round(total + np.arange(n) * stride) - 1.0
    else:
        chosen = np.round(np.linspace(0, total - 1, n))[::-1]
    if chosen[0] > total - 1 or chosen[-1] < 0:
        raise ScheduleError(
            f"steps_offset={offset} with {n} steps asks for timesteps {chosen[-1]:g}..{chosen[0]:g}; "
            f"the schedule has 0..{total - 1}."
        )
    return chosen
