"""Hand-over of a run from one model to another: at a level, or to another size."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np

from multisched.backends import B
from multisched.editing.loop import begun
from multisched.errors import ScheduleError
from multisched.table.state import State
from multisched.values import real, shown


def handover(
    base: Callable[[B, Any], B],
    refiner: Callable[[B, Any], B],
    plan: Any,
    noise: B,
    boundary: float,
    rng: Any = 0,
    loop: str = "python",
    callback: Callable[[int, State[B], B], object] | None = None,
    x0: B | None = None,
) -> B:
    """One run by two models: the base takes the steps from times at or above the boundary, the refiner those below it
    (Balaji et al. 2022, arXiv 2211.01324, section 4; Podell et al. 2023, arXiv 2307.01952, section 2.5). The solver's
    memory is handed over too, so that with one model twice it is `ms.sample` to the bit.

    In diffusers' words, of a model trained on T timesteps, denoising_end = denoising_start = 0.8 is the boundary
    (1 - 0.8) * T, and boundary_ratio = 0.875 is 0.875 * T.

    Args:
        base: model(x, t) -> output, as of `ms.sample`, for noisy samples.
        refiner: the same, for cleaner ones.
        plan: from a recipe that both models are of.
        noise: unit normals (samples, ...).
        boundary: the time at which the refiner takes over, in the unit of `plan.timesteps`.
        rng: seed, sequence of seeds or source of the noise of a stochastic plan.
        loop: "python", or "compile" for compiled steps. All of it runs inside `jax.jit`.
        callback: callback(row, state after it, estimate of x0), after each row.
        x0: clean samples to start from instead of pure noise.

    Returns:
        The samples, in the dtype of the noise.

    Raises:
        ScheduleError: if the boundary is no number, the loop is unknown, or it is no plan.

    Example:
        >>> recipe, asked = ms.FlowMatchEuler(), []
        >>> models = [lambda x, t, name=name: asked.append(name) or x for name in ("base", "refiner")]
        >>> _ = ms.editing.handover(*models, recipe.plan(4), ms.noise.normal((1, 2)), boundary=500)
        >>> asked
        ['base', 'base', 'refiner', 'refiner']
    """
    run = begun(plan, noise, rng, loop, callback)
    times, steps = np.asarray(plan.grid.timesteps[:-1]), range(len(plan.grid))
    noisier = times >= real("boundary", boundary)
    if len(times) > 1 and times[-1] > times[0]:  # a path whose time goes up to the data
        noisier = times <= boundary
    state = plan.start(noise, x0, run.wide)
    for early, part in groupby(steps, key=lambda k: bool(noisier[k])):
        state = run.over(base if early else refiner, state, run.rows_of(part))
    found: B = run.narrowed(state.sample)
    return found


def upscale(
    base: Callable[[B, Any], B],
    refiner: Callable[[B, Any], B],
    plan: Any,
    finer: Any,
    noise: B,
    resize: Callable[[B], B],
    rng: Any = 0,
    loop: str = "python",
    callback: Callable[[int, State[B], B], object] | None = None,
) -> B:
    """A run that goes on in another size. The base takes the steps of one plan; the estimate of x0 that it ends with is
    resized and noised to the first level of the other plan, whose steps the refiner takes:

        x = alpha * resize(x0) + sigma * z

    with new unit normals z of the new size. The resized sample itself would not do: the noise in it is no longer of
    variance 1, nor independent from pixel to pixel.

    A picture of m times the width hides less at the same level: noise of deviation sigma has sigma / m in the mean of
    the m x m pixels that were one. So `finer` begins at m times the sigma / alpha at which the base ended, or above
    (Hoogeboom et al. 2023, arXiv 2301.11093, section 3.1); give it by `strength=`, `start=` or `ratios=`.

    Args:
        base: model(x, t) -> output, as of `ms.sample`, of the size of the noise.
        refiner: the same, of the new size; it may be the base.
        plan: of the base, to its end or cut by `stop=`.
        finer: the plan of the refiner, begun part of the way.
        noise: unit normals (samples, ...).
        resize: resize(x0) -> x0 of another size, of the same library.
        rng: seed, sequence of seeds or source of the noise of both.
        loop: "python", or "compile" for compiled steps. All of it runs inside `jax.jit`.
        callback: callback(row, state after it, estimate of x0), after each row of either plan.

    Returns:
        The samples of the new size, in the dtype of the noise.

    Raises:
        ScheduleError: if one of them is no plan, or it begins with pure noise, which would forget the base's picture.

    Example:
        >>> recipe = ms.FlowMatchEuler()
        >>> model = ms.analysis.model_of(recipe, ms.analysis.Gaussian(0.5, 0.1))
        >>> half, rest = recipe.plan(8, stop=4), recipe.plan(8, start=3)
        >>> ms.editing.upscale(model, model, half, rest, ms.noise.normal((1, 4)), lambda x: np.repeat(x, 2, 1)).shape
        (1, 8)
    """
    first, second = begun(plan, noise, rng, loop, callback), begun(finer, noise, rng, loop, callback)
    if not len(finer) or not float(finer.alphas[0]) > 0:
        raise ScheduleError(
            "the finer plan must begin where some of the picture is left: give it strength=, start= or ratios=; "
            f"given alpha = {shown(float(finer.alphas[0]))} at its first level, of {len(finer)} calls."
        )
    estimates: list[Any] = []

    def keep(row: int, state: State[Any], x0: Any) -> None:
        estimates.append(x0)
        if callback is not None:
            callback(row, state, x0)

    last = len(plan.grid) - 1
    state = first.over(base, plan.start(noise, None, first.wide), first.rows_of(range(last)))
    state = first._replace(callback=keep).over(base, state, first.rows_of([last]))
    x0 = resize(state.sample if float(plan.sigmas[-1]) == 0 else estimates[-1])
    state = finer.start(first.own_noise(plan.grid.first + last + 1, 0, x0), x0)
    found: B = second.narrowed(second.over(refiner, state, second.rows_of(range(len(finer.grid)))).sample)
    return found
