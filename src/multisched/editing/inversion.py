"""Inversion: the noise that a deterministic run would make an image of."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from multisched.backends import B
from multisched.editing.loop import begun
from multisched.errors import ScheduleError
from multisched.table.plan import Plan
from multisched.table.state import State
from multisched.table.tableau import tabulate
from multisched.values import arithmetic, namespace, option

Times = Literal["auto", "next", "own"]


@arithmetic()
def inverse(plan: Any, times: Times = "auto") -> Plan:
    """The plan that takes a deterministic run back, from the data to the noise, by the same solver.

    Args:
        plan: from a recipe, to the data.
        times: which times are passed to the model. "next": at each step the time that it leads to, as in DDIM inversion
            (Mokady et al. 2022, arXiv 2211.09794, section 3.1), so that a step and its inverse pass the same one.
            "own": the time of each point, which a solver keeps its order with; the clean point, at which no model was
            trained, passes the next one. "auto": "next" for solvers of one call a step without memory, such as Euler's
            and DDIM's, else "own".

    Raises:
        ScheduleError: if the plan adds noise, goes to the noise already, was made by no recipe, or its solver cannot
            take the steps the other way.

    Example:
        >>> plan = ms.FlowMatchEuler().plan(4)
        >>> plan.timesteps.round().tolist(), ms.editing.inverse(plan).timesteps.round().tolist()
        ([1000.0, 667.0, 334.0, 1.0], [1.0, 334.0, 667.0, 1000.0])
    """
    option("times", times, ("auto", "next", "own"))
    grid = check_invertible(plan).grid.mirrored()
    try:
        rows, tableau = tabulate(plan.solver, grid, plan.prediction, plan.path)
    except ScheduleError as error:
        if not isinstance(grid.sigmas, np.ndarray) or grid.sigmas[0] > 0:
            raise
        way = "such a run is inverted if it ends with noise left, as with spacings.End('sigma_min')"
        raise ScheduleError(f"{str(error).rstrip('.')}; {way}.") from None
    plain = len(tableau) == len(grid) and len(tableau.registers) == 1
    where, told = namespace(grid.sigmas).where, rows.timestep
    if times == "next" or (times == "auto" and plain):
        told = where(rows.stage == 0, rows.of(grid.timesteps, 1), told)
    else:
        told = where(rows.sigma == 0, rows.of(grid.timesteps, 1), told)
    found: Plan = replace(plan, rows=replace(rows, timestep=told), tableau=tableau, noise_parameters=None, history=0)
    return found


def check_invertible(plan: Any) -> Plan:
    """The plan, if its run can be taken back.

    Raises:
        ScheduleError: if it cannot.
    """
    if not isinstance(plan, Plan):
        raise ScheduleError(f"a plan is inverted, which recipe.plan(n) makes; given {type(plan).__name__}.")
    if plan.solver is None:
        raise ScheduleError(f"this plan of {plan.name} does not say which solver made it; make it by recipe.plan(n).")
    if plan.noise_draws or plan.noise_transform is not None:
        raise ScheduleError(
            f"{plan.name} adds noise, so that no run leads back; use a deterministic solver, such as DDIM with eta=0."
        )
    if plan.inputs:
        raise ScheduleError(f"{plan.name} needs the inputs {', '.join(plan.inputs)}; its runs are not inverted.")
    if np.any(np.asarray(plan.sigmas[1:] * plan.alphas[:-1] > plan.sigmas[:-1] * plan.alphas[1:])):
        raise ScheduleError(f"this run of {plan.name} goes to the noise; give the plan of the run to the data.")
    return plan


def invert(
    model: Callable[[B, Any], B],
    plan: Any,
    x0: B,
    times: Times = "auto",
    loop: str = "python",
    callback: Callable[[int, State[B], B], object] | None = None,
) -> B:
    """The noise of which `ms.sample(model, plan, noise)` makes an image, by the solver of the plan: DDIM inversion
    (Song et al. 2020, arXiv 2010.02502, eq. 14 run to the noise), and on flows Euler's steps to the noise
    (Liu et al. 2022, arXiv 2209.03003, eq. 1). It is the run of `inverse(plan, times)`, so that image and noise agree
    up to the solver's order. `exact_invert` is exact.

    Args:
        model: model(x, t) -> output, as of `ms.sample`.
        plan: of the run to the data, deterministic.
        x0: clean images (samples, ...), floating. Half precision is kept in float32 on the way.
        times: as of `inverse`.
        loop: "python", or "compile" for compiled steps. All of it runs inside `jax.jit`.
        callback: callback(row, state after it, estimate of x0), after each row of the inverse plan.

    Returns:
        The noise, scaled so that `plan.start(noise)` is the sample at the plan's first level; shaped and typed as x0.

    Raises:
        ScheduleError: as `inverse`.

    Example:
        >>> recipe = ms.FlowMatchHeun()
        >>> model = ms.analysis.model_of(recipe, ms.analysis.Gaussian(0.5, 0.5))
        >>> noise = ms.editing.invert(model, recipe.plan(40), np.full((1, 1), 1.0))
        >>> round(noise.item(), 2)  # x0 = 1 is one deviation above the mean
        1.0
    """
    turned = inverse(plan, times)
    if hasattr(getattr(plan.solver, "solver", plan.solver), "turned"):
        raise ScheduleError(f"{plan.solver} couples two samples, and the noise is both: use editing.exact_invert.")
    run = begun(turned, x0, 0, loop, callback)
    state = run.plan.start(x0, None, run.wide)
    end = run.over(model, state, run.rows_of(range(len(run.plan.grid)))).sample
    found: B = run.narrowed(end / float(plan.grid.init_noise_sigma))
    return found
