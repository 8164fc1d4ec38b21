"""One configuration of one scheduler class of diffusers against the recipe that `from_diffusers` makes of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import diffusers
import numpy as np
import torch
from impulse import DOUBLE_TOLERANCE, GRID_TOLERANCE, Tally, elementwise, our_rows, relative_error, their_rows

import multisched as ms

FLOOR = 1e-6  # error of float32 coefficients that says nothing
StepOnce = Callable[[Any, Any, Any, Any], Any]  # (output, timestep, sample, noise) -> next sample


class _Wide:
    """torch, with float64 where it says float32."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextmanager
def doubled(module: Any) -> Iterator[None]:
    """Let a module of diffusers compute in float64 where it asks for float32."""
    with mock.patch.object(module, "torch", _Wide()):
        yield


def ratios(plan: ms.Plan) -> np.ndarray:
    """sigma / alpha at the points of a plan."""
    return plan.sigmas / plan.alphas


def levels(plan: ms.Plan) -> np.ndarray:
    """sigma at the points of a plan."""
    return plan.sigmas.copy()


def widen_sigmas(scheduler: Any, plan: ms.Plan, of: Callable[[ms.Plan], np.ndarray] = ratios) -> None:
    """Give diffusers our noise levels in float64."""
    scheduler.sigmas = torch.from_numpy(np.asarray(of(plan)))


def compare(
    tally: Tally,
    config: dict[str, Any],
    run: dict[str, Any],
    step_with: Callable[[Any], StepOnce],
    module: Any,
    options: dict[str, Any] | None = None,
    widen: Callable[[Any, ms.Plan], None] = widen_sigmas,
    their_run: dict[str, Any] | None = None,
    of: Callable[[ms.Plan], np.ndarray] = ratios,
) -> None:
    """Timesteps, noise levels and rows: in float32 as diffusers has them, and in float64 from our levels.

    Args:
        tally: of the class named in it.
        config: of the class; `options` of our recipe that diffusers takes in `step`.
        run: arguments of our `plan`: n=, timesteps=, sigmas=, mu=; `their_run` those of `set_timesteps`.
        step_with: step_with(scheduler) -> the function that takes one step of it.
        module: of diffusers, where the scheduler's code is.
        widen: gives a scheduler float64 levels.
        of: what diffusers calls `sigmas`, of our plan.
    """
    recipe: Any = ms.from_diffusers({"_class_name": tally.name, **config})
    recipe = replace(recipe, **(options or {}))
    theirs = dict(run) if their_run is None else their_run
    if "n" in theirs:
        theirs["num_inference_steps"] = theirs.pop("n")
    what = (config, options, run)

    def make() -> Any:
        scheduler = getattr(diffusers.schedulers, tally.name)(**config)
        scheduler.set_timesteps(**theirs)
        return scheduler

    try:
        scheduler = make()
        length, sigmas = len(scheduler.timesteps), np.asarray(scheduler.sigmas, dtype=np.float64)
        timesteps = scheduler.timesteps.double().numpy()
    except Exception as error:
        tally.set_apart(f"raises {type(error).__name__}", what, lambda: recipe.plan(**run))
        return
    try:
        plan = recipe.plan(**run)
    except ms.ScheduleError as error:
        if timesteps.min() < 0 or np.any(np.diff(sigmas[:-1]) == 0):
            tally.set_apart("timesteps that do not fall", what, lambda: recipe.plan(**run))
        else:
            tally.refused(what, error)
        return
    if length != len(plan):
        extra = timesteps.min() < 0
        (
            tally.set_apart("n + 1 timesteps", what, lambda: recipe.plan(**run))
            if extra
            else tally.disagreements.append(f"{length} timesteps, ours {len(plan)}: {what}")
        )
        return
    try:
        stock = their_rows(scheduler, step_with(scheduler), plan.stages)
        wide = make()
        widen(wide, plan)
        with doubled(module):
            double = their_rows(wide, step_with(wide), plan.stages)
    except Exception as error:
        tally.set_apart(f"raises {type(error).__name__}", what, lambda: recipe.plan(**run))
        return
    if not (np.all(np.isfinite(stock)) and np.all(np.isfinite(double))):
        tally.set_apart("not a number", what, lambda: recipe.plan(**run))
        return
    rows = our_rows(plan)
    total = float(recipe.num_train_timesteps)
    own = max(relative_error(stock, double), FLOOR)
    tally.own = max(tally.own, own)
    tally.compare(
        what,
        {
            "timesteps": (np.append(plan.timesteps, total)[None], np.append(timesteps, total)[None], GRID_TOLERANCE),
            "sigmas": (*elementwise(of(plan), _points(sigmas, plan)), GRID_TOLERANCE),
            "rows": (rows, stock, 3 * own),
            "double": (rows, double, DOUBLE_TOLERANCE),
        },
    )


def _points(sigmas: np.ndarray, plan: ms.Plan) -> np.ndarray:
    """diffusers' sigmas at the points of our grid: two-call schedulers list the inner ones twice."""
    if len(sigmas) == len(plan.sigmas):
        return sigmas
    return np.concatenate([sigmas[:1], sigmas[1:-1:2], sigmas[-1:]])
