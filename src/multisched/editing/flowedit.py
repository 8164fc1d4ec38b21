"""FlowEdit: from one image to another along the difference of two velocities."""

from collections.abc import Callable
from typing import Any

import numpy as np

from multisched.backends import B
from multisched.editing.loop import Run, begun, check_afresh, estimates
from multisched.errors import ScheduleError
from multisched.table.kernel import mix
from multisched.values import real, whole


def flow_edit(
    source: Callable[[B, Any], B],
    target: Callable[[B, Any], B],
    plan: Any,
    x0: B,
    rng: Any = 0,
    n_avg: int = 1,
    n_min: int = 0,
    n_max: int | None = None,
    unconditional: Callable[[B, Any], B] | None = None,
    source_scale: float = 1.0,
    target_scale: float = 1.0,
) -> B:
    """Editing without inversion, by two models of a flow (Kulikov et al. 2024, arXiv 2412.08629). From
    z = x0, at each of the last n_max steps but n_min, from sigma to sigma_next,

        x = (1 - sigma) * x0 + sigma * noise,   y = x + z - x0
        z = z + (sigma_next - sigma) * mean over n_avg noises of  v_target(y) - v_source(x)

    The last n_min steps are the plan's own, of y by the target alone. Where source and target are one model, z is x0 to
    the bit. All of it runs inside `jax.jit`.

    Args:
        source: model(x, t) -> output with the condition that describes x0, as of `ms.sample`.
        target: the same model with the condition that is wanted.
        plan: of a flow, alpha = 1 - sigma. Its prediction type says what the outputs are; of its solver only the last
            n_min steps are taken, the rest are Euler's.
        x0: clean images (samples, ...), floating.
        rng: seed, sequence of seeds or source of the noise.
        n_avg: noises that a step takes the mean over.
        n_min: steps at the end that the target takes alone, for changes of style.
        n_max: steps from the end that anything is done at; None for all. With fewer, less of x0 is changed.
        unconditional: the model without a condition, for guidance; None where the models have theirs inside.
        source_scale, target_scale: guidance w, output = unconditional + w * (conditional - unconditional).

    Returns:
        The edited images, shaped and typed as x0.

    Raises:
        ScheduleError: if the path is no flow's, a number is out of range, or there is guidance and no unconditional
            model.

    Example:
        >>> recipe = ms.FlowMatchEuler()
        >>> low, high = (ms.analysis.model_of(recipe, ms.analysis.Gaussian(m, 0.1)) for m in (0.0, 1.0))
        >>> x0 = np.full((1, 1), 0.05)
        >>> round(ms.editing.flow_edit(low, high, recipe.plan(20), x0).item(), 2)
        1.05
    """
    run = begun(plan, x0, rng)
    first, last = _bounds(run, n_avg, n_min, n_max)
    scales = [real(name, value) for name, value in (("source_scale", source_scale), ("target_scale", target_scale))]
    if unconditional is None and scales != [1.0, 1.0]:
        raise ScheduleError("guidance needs the model without a condition: give unconditional=, or scales of 1.")
    velocities = [_Velocity(run, *one) for one in zip((source, target), (unconditional,) * 2, scales, strict=True)]
    clean = run.backend.astype(x0, run.wide)
    z = clean
    for k in range(first, last):
        steps = [_difference(run, velocities, clean, z, k, draw) for draw in range(n_avg)]
        z = z + float(plan.sigmas[k + 1] - plan.sigmas[k]) * (sum(steps[1:], steps[0]) / n_avg)
    if last < len(plan.grid):
        y = plan.add_noise(clean, run.own_noise(plan.grid.first + last, 0, clean), last) + (z - clean)
        state = plan.start(y, None)._replace(sample=y)
        z = run.over(velocities[1].output, state, run.rows_of(range(last, len(plan.grid)))).sample
    found: B = run.narrowed(z)
    return found


def _bounds(run: Run, n_avg: int, n_min: int, n_max: int | None) -> tuple[int, int]:
    """The first step that anything is done at, and the first that the target takes alone."""
    plan, steps = run.plan, len(run.plan.grid)
    if not np.allclose(np.asarray(plan.alphas) + np.asarray(plan.sigmas), 1.0, atol=1e-6):
        raise ScheduleError(f"FlowEdit needs a flow, alpha = 1 - sigma; the levels of {plan.name} are others.")
    most, least = steps if n_max is None else whole("n_max", n_max), whole("n_min", n_min)
    if not 0 <= least <= most <= steps:
        raise ScheduleError(f"n_min and n_max must obey 0 <= n_min <= n_max <= {steps}; given {least} and {most}.")
    if whole("n_avg", n_avg) < 1:
        raise ScheduleError(f"n_avg must be at least 1; given {n_avg}.")
    if least:
        check_afresh(plan, {steps - least})
    return steps - most, steps - least


class _Velocity:
    """noise - x0 as a model says it, with guidance."""

    def __init__(self, run: Run, model: Any, unconditional: Any, scale: float) -> None:
        self._run, self._model, self._unconditional, self._scale = run, model, unconditional, scale

    def output(self, x: Any, t: Any) -> Any:
        """The model's output."""
        found = self._model(x, t)
        if self._scale == 1.0:
            return found
        wide, base = self._run.wide, self._unconditional(x, t)
        base, found = (self._run.backend.astype(one, wide) for one in (base, found))
        return base + self._scale * (found - base)

    def __call__(self, x: Any, k: int) -> Any:
        """At point k of the run."""
        plan, backend = self._run.plan, self._run.backend
        t = backend.asarray(np.asarray(plan.grid.timesteps[k]), x.dtype, backend.device(x))
        level = [float(one[k]) for one in (plan.alphas, plan.sigmas, plan.grid.scales)]
        output = backend.astype(self.output(self._run.narrowed(level[2] * x), t), x.dtype)
        x0, noise = estimates(plan, *level)
        return mix(noise[0] - x0[0], x, noise[1] - x0[1], output)


def _difference(run: Run, velocities: list[_Velocity], clean: Any, z: Any, k: int, draw: int) -> Any:
    """v_target - v_source at point k for one noise."""
    noise = run.own_noise(run.plan.grid.first + k, draw, clean)
    x = run.plan.add_noise(clean, noise, k)
    # z - x0 first, so that y is x to the bit where nothing has changed.
    return velocities[1](x + (z - clean), k) - velocities[0](x, k)
