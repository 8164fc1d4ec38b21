"""Which of the training timesteps 0..T-1 a run of n steps visits, from the noisiest. Lin et al. 2023 (arXiv
2305.08891, table 2) compares the first three; the others: ComfyUI, Stability's generative-models, the first DDIM code.
"""

from typing import Literal, get_args

import numpy as np

from multisched import checks
from multisched.errors import ScheduleError
from multisched.values import shown

TimestepSpacing = Literal["leading", "trailing", "linspace", "simple", "sgm_uniform", "ddim_uniform"]
SPACINGS = get_args(TimestepSpacing)


def timesteps(
    spacing: str, n: int, total: int, offset: int = 0, spare: bool = False, whole: bool = True, last: int | None = None
) -> np.ndarray:
    """n of the timesteps 0..total-1 as float64 numbers, falling strictly.

        leading        i * (total // n) + offset,          i = n-1 .. 0
        trailing       round(total - i * total / n) - 1,   i = 0 .. n-1
        linspace       round((total - 1) * i / (n - 1)),   i = n-1 .. 0
        simple         total - 1 - floor(i * total / n),   i = 0 .. n-1
        sgm_uniform    round((total - 1) * (1 - i / n)),   i = 0 .. n-1
        ddim_uniform   i * (total // n) + 1,               i = n-1 .. 0

    Halves round to even, up to the rounding of the stride. Only "leading" uses `offset`.

    Args:
        spare: whether "leading" and "linspace" place n + 1 points and leave the lowest out.
        whole: whether "linspace" and "sgm_uniform" round.
        last: timesteps from this one on are left out, which may leave "trailing" with fewer than n.

    Raises:
        ScheduleError: n is not in 1..total, the spacing is unknown, or the timesteps do not fall within 0..total-1.
    """
    checks.option("timestep_spacing", spacing, SPACINGS)
    chosen = _place(spacing, n, total, offset, spare, whole, last)
    doubled = chosen[1:][np.diff(chosen) >= 0]
    if doubled.size:
        fits = (
            k for k in range(n - 1, 0, -1) if np.all(np.diff(_place(spacing, k, total, offset, spare, whole, last)) < 0)
        )
        raise ScheduleError(
            f"{n} steps with {spacing!r} spacing visit timestep {doubled[0]:g} twice, and a step between equal noise "
            f"levels leads nowhere; take at most {next(fits, 1)} steps, or timestep_spacing='trailing'."
        )
    if chosen.size == 0 or chosen[0] > total - 1 or chosen[-1] < 0:
        raise ScheduleError(
            f"{n} steps of the {total if last is None else last} timesteps with {spacing!r} spacing and "
            f"steps_offset={offset} make the timesteps {shown(chosen)}; they must fall strictly within 0..{total - 1}."
        )
    return chosen


def _place(spacing: str, n: int, total: int, offset: int, spare: bool, whole: bool, last: int | None) -> np.ndarray:
    """Those timesteps, whatever they are."""
    n = checks.steps(n, total)
    top, points = total if last is None else last, n + spare
    if spacing == "leading":
        chosen = np.arange(points)[::-1] * float(top // points) + offset
    elif spacing == "trailing":
        # The stride as np.arange(total, 0, -total / n) rounds it, so that halves fall as in the published code.
        stride = (top - total / n) - top
        chosen = np.round(top + np.arange(n) * stride) - 1.0
        chosen = chosen[chosen >= 0] if last is not None else chosen
    elif spacing == "simple":
        chosen = top - 1 - np.floor(np.arange(n) * (top / n))
    elif spacing == "ddim_uniform":
        chosen = np.arange(n)[::-1] * float(top // n) + 1
    else:
        points = n + 1 if spacing == "sgm_uniform" else points
        chosen = np.linspace(0, top - 1, points)[::-1]
        chosen = np.round(chosen) if whole else chosen
    return chosen[:n]


def bong_tangent(n: int) -> np.ndarray:
    """n noise levels from 1 along two arctangents that meet at 1/2, after about three fifths (RES4LYF).

        1/2 + 1/2 * (atan(s * (m - i)) - atan(s)) / (atan(s * m) - atan(s)),   i = 0 .. m-2
        1/2 - 1/2 * atan(s * j) / atan(s * (n + 1 - m)),                       j = 0 .. n-m

    m = floor(0.6 * (n + 2)), s = 8 / (n + 2). A single step begins at 1.
    """
    if n == 1:
        return np.ones(1)
    middle, slope = int((n + 2) * 0.6), 8 / (n + 2)
    high = np.arctan(slope * np.arange(middle, 1, -1))
    low = np.arctan(slope * np.arange(n + 1 - middle)) / np.arctan(slope * (n + 1 - middle))
    least = np.arctan(slope)
    return np.append(0.5 + 0.5 * (high - least) / (np.arctan(slope * middle) - least), 0.5 - 0.5 * low)


def linear_quadratic(n: int, threshold: float = 0.025) -> np.ndarray:
    """n noise levels of a flow: from 1 to 1 - threshold in L even steps, then on a parabola to 0 (Genmo's Mochi 1).

    1 - r * i - (1 - r * n) * max(i - L, 0)^2 / (n - L)^2,   L = n // 2, r = threshold / L
    """
    even, step = max(n // 2, 1), np.arange(n)
    rate = threshold / even
    return 1 - rate * step - (1 - rate * n) * (np.maximum(step - even, 0) / max(n - even, 1)) ** 2
