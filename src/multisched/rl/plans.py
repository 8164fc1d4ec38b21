"""The plans of roll-outs, by the names of their papers."""

from dataclasses import replace
from typing import Any, Literal

from multisched.errors import ScheduleError
from multisched.schedulers import Recipe, Scheduler
from multisched.schedulers.forward import made
from multisched.solvers import DDIM, FlowSDE
from multisched.table.plan import Plan
from multisched.values import count, option, shown

Method = Literal["ddpo", "flow_grpo", "dance_grpo", "flow_cps"]
METHODS = ("ddpo", "flow_grpo", "dance_grpo", "flow_cps")


def plan(
    method: Method,
    like: Recipe,
    n: int,
    window: tuple[int, int] | None = None,
    noise_level: float | None = None,
    **asked: Any,
) -> Plan:
    """The plan of a roll-out of n steps.

        ddpo        DDIM with eta = 1 (Black et al. 2023, arXiv 2305.13301)
        flow_grpo   the SDE of Flow-GRPO (Liu et al. 2025, arXiv 2505.05470)
        dance_grpo  that of DanceGRPO (Xue et al. 2025, arXiv 2505.07818)
        flow_cps    steps that keep the amounts of data and noise (Wang and Yu 2025, arXiv 2509.05952)

    With a window the steps within it have noise and the others are steps of the ODE, Euler's (MixGRPO, Li et al. 2025,
    arXiv 2507.21802).

    Args:
        method: one of these names.
        like: recipe of the model.
        n: number of steps.
        window: (start, stop), the steps start..stop-1; None for all. Not with "ddpo".
        noise_level: of the SDE, see `solvers.FlowSDE`; with "ddpo" eta.
        asked: what else `Recipe.plan` takes, such as mu= or spacing=.

    Raises:
        ScheduleError: if the name is unknown, the window is not within 0..n, or as `Recipe.plan`.

    Example:
        >>> mixed = ms.rl.plan("flow_grpo", ms.FlowMatchEuler(shift=3.0), 8, window=(2, 4))
        >>> ms.rl.noisy_rows(mixed)
        (2, 3)
    """
    option("method", method, METHODS)
    if not isinstance(like, Recipe):
        raise ScheduleError(f"like must be a recipe, such as ms.FlowMatchEuler(); given {shown(like)}.")
    parts = made(like)
    if method == "ddpo":
        if window is not None:
            raise ScheduleError("a window is for the methods of flows; 'ddpo' has noise in every step: leave it out.")
        solver: Any = DDIM(eta=1.0 if noise_level is None else noise_level)
    else:
        level = {"flow_grpo": 0.7, "dance_grpo": 0.3, "flow_cps": 0.7}[method] if noise_level is None else noise_level
        solver = FlowSDE(method, level)
    recipe = Scheduler(parts.path, parts.spacing, parts.prediction, solver)
    found = recipe.plan(n, **asked)
    if window is None:
        return found
    low, high = _shares(found, window)
    return replace(recipe, solver=replace(solver, t_min=low, t_max=high)).plan(n, **asked)


def _shares(whole: Plan, window: tuple[int, int]) -> tuple[float, float]:
    """t_min and t_max, half-way from the steps of a window to those beside it."""
    steps = len(whole.grid)
    try:
        start, stop = (count("a step of the window", one, steps, 0) for one in window)
    except (TypeError, ValueError) as error:
        if isinstance(error, ScheduleError):
            raise
        raise ScheduleError(f"a window is (start, stop); given {shown(window)}.") from None
    if start >= stop:
        raise ScheduleError(f"a window (start, stop) has a step, start < stop; given {shown(window)}.")
    share = (whole.sigmas / (whole.alphas + whole.sigmas)).tolist()
    return 0.5 * (share[stop - 1] + share[stop]), 1.0 if start == 0 else 0.5 * (share[start - 1] + share[start])


def window(iteration: int, steps: int, size: int = 4, stride: int = 1, every: int = 25) -> tuple[int, int]:
    """MixGRPO's window at an iteration of training: it moves on by `stride` steps every so many iterations, from the
    noisiest steps to the cleanest, and stays there (Li et al. 2025, arXiv 2507.21802).

    Args:
        iteration: of the optimiser, from 0.
        steps: of the plan.
        size: steps of the window.
        stride: steps that it moves by.
        every: iterations between two moves.

    Raises:
        ScheduleError: if a number is no count, or the window is longer than the plan.

    Example:
        >>> [ms.rl.window(k, steps=10, size=4, every=25) for k in (0, 24, 25, 9999)]
        [(0, 4), (0, 4), (1, 5), (6, 10)]
    """
    steps, size = count("steps", steps), count("size", size, steps)
    moved = count("iteration", iteration, None, 0) // count("every", every) * count("stride", stride)
    start = min(moved, steps - size)
    return start, start + size
