"""First steps of several calls, whose inner levels are looked up by their times."""

from dataclasses import replace
from typing import Any

import numpy as np

from multisched.solvers.rows import Rows
from multisched.values import namespace


def inner(rows: Rows, path: Any, calls: int, several: np.ndarray) -> Rows:
    """First steps of two or four calls: the inner of four are asked half way in time, in whole timesteps where the
    grid's are."""
    if calls != 4:
        return rows
    stage, times = np.asarray(rows.stage)[:, 0], np.asarray(rows.grid.timesteps)
    begin, end = (times[np.asarray(rows.step)[:, 0] + k] for k in (0, 1))
    half = (begin - end) // 2 if np.all(times == np.round(times)) else (begin - end) / 2
    rows = moved(rows, several & (stage % 3 > 0), end + half, path, "")
    return moved(rows, several & (stage < 2), end + half, path, "_next")


def moved(rows: Rows, where: np.ndarray, times: Any, path: Any, end: str) -> Rows:
    """`rows` with the level at one end at other times, where so."""
    xp, where = namespace(rows.sigma), where[:, None]
    times = np.where(where, times[:, None], np.asarray(rows.timestep))
    alpha, sigma = path.levels(times)
    columns = {f"alpha{end}": alpha, f"sigma{end}": sigma}
    if not end:
        columns |= {"timestep": times, "scale": path.scale(alpha, sigma)}
    put = {name: xp.where(xp.asarray(where), xp.asarray(new), getattr(rows, name)) for name, new in columns.items()}
    return replace(rows, **put)
