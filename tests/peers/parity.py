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


@contextmanager
def exact_roots() -> Iterator[None]:
    """Let torch round its square roots as IEEE 754 says: some processors' builds round one in six otherwise, which
    moves what is cut to whole timesteps."""
    power = torch.Tensor.__pow__

    def rounded(base: torch.Tensor, exponent: Any) -> torch.Tensor:
        if exponent == 0.5 and base.dtype == torch.float32:
            return torch.from_numpy(np.asarray(np.sqrt(base.numpy())))
        return torch.sqrt(base) if exponent == 0.5 else power(base, exponent)

    with mock.patch.multiple(torch.Tensor, __pow__=rounded, sqrt=lambda base: rounded(base, 0.5)):
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
    their_levels: Callable[[Any], Any] = lambda scheduler: scheduler.sigmas,
    create: Callable[..., Any] | None = None,
    build: Callable[[], Any] | None = None,
    pairing: Callable[..., tuple[Any, Any]] = elementwise,
    time_tolerance: float = GRID_TOLERANCE,
    double_tolerance: Callable[[ms.Plan], float] = lambda _: DOUBLE_TOLERANCE,
) -> None:
    """Timesteps, noise levels and rows: in float32 as diffusers has them, and in float64 from our levels.

    Args:
        tally: of the class named in it.
        config: of the class; `options` of our recipe that diffusers takes in `step`.
        run: arguments of our `plan`: n=, timesteps=, sigmas=, mu=; `their_run` those of `set_timesteps`.
        step_with: step_with(scheduler) -> the function that takes one step of it.
        module: of diffusers, where the scheduler's code is.
        widen: gives a scheduler float64 levels.
        of: what diffusers calls `sigmas`, of our plan; `their_levels` the same of a scheduler that has none.
        create: makes the scheduler of its config; the class of the tally's name by default.
        build: makes a scheduler with its run set, where that takes more than its class and `set_timesteps`.
        pairing: how those levels are compared, each for its own size by default.
        time_tolerance: of timesteps, as a share of the largest, where float32 does not hold them to GRID_TOLERANCE.
        double_tolerance: of coefficients in float64, where diffusers' formulas lose digits of those too.
    """
    recipe: Any = ms.from_diffusers({"_class_name": tally.name, **config})
    recipe = replace(recipe, **(options or {}))
    theirs = dict(run) if their_run is None else their_run
    if "n" in theirs:
        theirs["num_inference_steps"] = theirs.pop("n")
    what = (config, options, run)

    def make() -> Any:
        if build is not None:
            return build()
        scheduler = (create or getattr(diffusers.schedulers, tally.name))(**config)
        scheduler.set_timesteps(**theirs)
        return scheduler

    try:
        with exact_roots():
            scheduler = make()
        whole = not scheduler.timesteps.dtype.is_floating_point
        length, sigmas = len(scheduler.timesteps), np.asarray(their_levels(scheduler), dtype=np.float64)
        timesteps = scheduler.timesteps.double().numpy()
    except Exception as error:
        tally.set_apart(f"raises {type(error).__name__}", what, lambda: recipe.plan(**run))
        return
    try:
        plan = recipe.plan(**run)
    except ms.ScheduleError as error:
        if timesteps.min() < 0 or np.any(np.diff(sigmas[:-1]) == 0):
            tally.set_apart("timesteps that do not fall", what, lambda: recipe.plan(**run))
        elif failure := _failure(scheduler, step_with):
            tally.set_apart(failure, what, lambda: recipe.plan(**run))
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
        exact = _exact(recipe).plan(**run)
        wide = make()
        widen(wide, exact)
        with doubled(module):
            double = their_rows(wide, step_with(wide), plan.stages)
    except Exception as error:
        tally.set_apart(f"raises {type(error).__name__}", what, lambda: recipe.plan(**run))
        return
    if not (np.all(np.isfinite(stock)) and np.all(np.isfinite(double))):
        tally.set_apart("not a number", what, lambda: recipe.plan(**run))
        return
    rows = our_rows(plan)
    level_tolerance = GRID_TOLERANCE
    if config.get("rescale_betas_zero_snr") and build is None:
        level_tolerance = _table_tolerance(create or getattr(diffusers.schedulers, tally.name), config, module)
    total = float(recipe.parts().path.num_train_timesteps)
    own = max(relative_error(stock, double), FLOOR)
    tally.own = max(tally.own, own)
    tally.compare(
        what,
        {
            "timesteps": (
                np.append(plan.timesteps, total)[None],
                np.append(timesteps, total)[None],
                0.0 if whole else time_tolerance,
            ),
            "sigmas": (*pairing(of(plan), _points(sigmas, plan)), level_tolerance),
            "rows": (rows, stock, 3 * own),
            "double": (our_rows(exact), double, double_tolerance(plan)),
        },
    )


def _exact(recipe: Any) -> Any:
    """The recipe with timesteps that are not rounded as diffusers does, for its sums in double precision."""
    return replace(recipe, quirks=tuple(one for one in recipe.quirks if one.name != "told"))


def _failure(scheduler: Any, step_with: Callable[[Any], StepOnce]) -> str:
    """How diffusers fails in a run, if it does."""
    try:
        rows = their_rows(scheduler, step_with(scheduler))
    except Exception as error:
        return f"raises {type(error).__name__}"
    return "" if np.all(np.isfinite(rows)) else "not a number"


def _table_tolerance(create: Callable[..., Any], config: dict[str, Any], module: Any) -> float:
    """Three times the float32 error of diffusers' own sigma / alpha: zero terminal SNR makes it large at both ends."""
    stock = create(**config).alphas_cumprod[:-1].double()
    with doubled(module):
        exact = create(**config).alphas_cumprod[:-1].double()
    ratio, wanted = (((1 - level) / level).sqrt().numpy() for level in (stock, exact))
    return max(GRID_TOLERANCE, 3 * relative_error(*elementwise(ratio, wanted)))


def _points(sigmas: np.ndarray, plan: ms.Plan) -> np.ndarray:
    """diffusers' sigmas at the points of our grid: two-call schedulers list the inner ones twice, and some hold one
    more than they use."""
    if any(plan.stages) and len(sigmas) > len(plan.sigmas):
        sigmas = np.concatenate([sigmas[:1], sigmas[1::2]])
    return sigmas[: len(plan.sigmas)]
