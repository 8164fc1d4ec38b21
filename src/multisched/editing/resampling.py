"""RePaint on any plan: inpainting that goes back to more noise on its way."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from multisched.backends import B
from multisched.editing.inpainting import Region
from multisched.editing.loop import begun, check_afresh
from multisched.errors import ScheduleError
from multisched.spacings import Jumping
from multisched.table.kernel import mix
from multisched.table.state import State


def repaint(
    model: Callable[[B, Any], B],
    plan: Any,
    noise: B,
    image: B,
    known: Any,
    rng: Any = 0,
    jump_length: int = 10,
    jump_n_sample: int = 10,
    loop: str = "python",
    callback: Callable[[int, State[B], B], object] | None = None,
) -> B:
    """Inpainting by resampling (Lugmayr et al. 2022, arXiv 2201.09865, eq. 8, algorithm 1 and section 4.2), with the
    steps of any plan whose solver does not look back. After each step to a level (alpha, sigma), with new noise z,

        x = known * (alpha * image + sigma * z) + (1 - known) * x

    and whenever a multiple of `jump_length` steps is left, x goes back as many, to the level (alpha_up, sigma_up)

        x = a * x + sqrt(sigma_up^2 - (a * sigma)^2) * z,   a = alpha_up / alpha

    so that these steps are taken `jump_n_sample` times. The filled part then fits the known one, in as many times the
    model calls. `ms.RePaint` is the same as a recipe of DDIM's steps, with `mask` for `known`.

    Args:
        model, plan, noise, image, known, loop, callback: as of `inpaint`.
        rng: seed, sequence of seeds or source of all noise but the first.
        jump_length: steps of a jump back.
        jump_n_sample: how often these steps are taken; 1 for no jumps.

    Returns:
        The images, in the dtype of the noise.

    Raises:
        ScheduleError: as `inpaint`, or if the solver looks back, or the noise is that of one path.

    Example:
        >>> recipe = ms.DDIM(clip_sample=False, eta=1.0)
        >>> model = ms.analysis.model_of(recipe, ms.analysis.Gaussian(0.5, 0.1))
        >>> noise, image = ms.noise.normal((1, 4), rng=0), np.full((1, 4), 0.25, np.float32)
        >>> known = np.array([1.0, 1.0, 0.0, 0.0])
        >>> ms.editing.repaint(model, recipe.plan(8), noise, image, known, 0, 2, 3)[0, :2].tolist()
        [0.25, 0.25]
    """
    run = begun(plan, noise, rng, loop, callback)
    if getattr(run.source, "wants_interval", False):
        raise ScheduleError(
            "a run that takes its steps more than once needs noise that is new each time, not a path's."
        )
    walk = Jumping(jump_length, jump_n_sample).walk(len(plan.grid)).tolist()
    check_afresh(plan, set(walk))
    region, state = Region(run, noise, image, known), plan.start(noise, None, run.wide)
    for place, (step, following) in enumerate(pairwise([*walk, len(plan.grid)])):
        number = plan.grid.first + place

        def after(point: int, state: State[B], number: int = number, up: int = following) -> State[B]:
            x = region.blended(point, state.sample, run.own_noise(number, 0, state.sample))
            if up < point:
                x = _renoised(plan, x, point, up, run.own_noise(number, 1, x))
            return state._replace(sample=x)

        rows = [(row, number) for row, _ in run.rows_of([step])]
        state = run.over(model, state, rows, after)
    found: B = run.narrowed(state.sample)
    return found


def _renoised(plan: Any, x: Any, point: int, up: int, z: Any) -> Any:
    """A sample at one point of a plan noised to an earlier one."""
    alpha, sigma, alpha_up, sigma_up = (float(one[k]) for k in (point, up) for one in (plan.alphas, plan.sigmas))
    a = alpha_up / alpha
    return mix(a, x, math.sqrt(max(sigma_up**2 - (a * sigma) ** 2, 0.0)), z)
