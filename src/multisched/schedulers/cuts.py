"""Runs that begin or end part of the way, and what their calls are told."""

from dataclasses import replace

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.paths.base import Path
from multisched.spacings.base import Chain, Spacing
from multisched.table.plan import Plan
from multisched.values import real, shown, whole


def told(plan: Plan, times: np.ndarray | None) -> Plan:
    """A plan with the timesteps of the calls of each step; as it is where each has one call, or its own."""
    if times is None or times.shape[1] == 1:
        return plan
    rows = plan.rows
    found = times[plan.grid.first + rows.step, np.minimum(rows.stage, times.shape[1] - 1)]
    return replace(plan, rows=replace(rows, timestep=np.where(np.isnan(found), rows.timestep, found)))


def ended(plan: Plan, path: Path) -> Plan:
    """A plan that ends before its run does, with an end timestep that is as exact as that of a whole run."""
    grid = plan.grid
    end = path.timestep_of(float(grid.alphas[-1]), float(grid.sigmas[-1]))
    grid = replace(grid, timesteps=np.append(grid.timesteps[:-1], end))
    return replace(plan, rows=replace(plan.rows, grid=grid))


def bounds(steps: int, start: int | None, stop: int | None, strength: float | None) -> tuple[int, int]:
    """First step and end of a partial run."""
    if strength is not None:
        if start is not None:
            raise ScheduleError(
                f"give start or strength, not both; given start={shown(start)}, strength={shown(strength)}."
            )
        strength = real("strength", strength)
        if not 0 <= strength <= 1:
            raise ScheduleError(f"strength must be in [0, 1]; given {shown(strength)}.")
        start = steps - int(steps * strength)
        if start == steps and strength and steps:
            raise ScheduleError(
                f"strength={strength!r} of {steps} steps is less than one step; give at least {1 / steps:.4g}, or 0."
            )
    first = 0 if start is None else whole("start", start)
    end = steps if stop is None else whole("stop", stop)
    if not 0 <= first <= end <= steps:
        raise ScheduleError(f"start and stop must obey 0 <= start <= stop <= {steps}; given {first} and {end}.")
    return first, end


def between(path: Path, spacing: Spacing, times: list[float]) -> Grid:
    """The points at times, and the end of the runs of a spacing."""
    end = spacing.end.level(path) if isinstance(spacing, Chain) else path.clean
    alphas, sigmas = (np.append(*pair) for pair in zip(path.levels(np.array(times)), end, strict=True))
    return Grid(np.append(times, path.timestep_of(*end)), alphas, sigmas, scales=path.scale(alphas, sigmas))
