"""Inpainting by blending: what is known of an image is put back after each step, at the run's own level."""

from collections.abc import Callable
from typing import Any

from multisched import backends
from multisched.backends import B
from multisched.editing.loop import Run, begun
from multisched.errors import ScheduleError
from multisched.table.state import State, check_alike, check_device


def inpaint(
    model: Callable[[B, Any], B],
    plan: Any,
    noise: B,
    image: B,
    known: Any,
    rng: Any = 0,
    loop: str = "python",
    callback: Callable[[int, State[B], B], object] | None = None,
    x0: B | None = None,
    fresh: bool = False,
) -> B:
    """Fill in the unknown part of an image with any model and any plan (Song et al. 2020, arXiv 2011.13456).
    After each step to a level (alpha, sigma)

        x = known * (alpha * image + sigma * noise) + (1 - known) * x

    and at the end of a run x = known * image + (1 - known) * x, so that what is known is kept to the bit.

    Args:
        model: model(x, t) -> output, as of `ms.sample`.
        plan: from a recipe. One that begins part of the way (`strength=`, `start=`) begins with the noised image.
        noise: unit normals (samples, ...).
        image: shaped as the noise, or to be broadcast to it; values of the model's own range.
        known: 1 where the image is kept, 0 where it is filled in, and anything between for soft edges; of the same
            library, broadcast against the image. Pipelines of diffusers take 1 - known as `mask_image`.
        rng: seed, sequence of seeds or source of the noise of a stochastic plan, and of `fresh` noise.
        loop: "python", or "compile" for compiled steps. All of it runs inside `jax.jit`.
        callback: callback(row, state after it, estimate of x0), after each row.
        x0: what the unknown part begins with, noised to the plan's first level; None for pure noise, or for the image
            where the plan begins part of the way.
        fresh: whether the known part gets new noise at each step, as in RePaint, in place of `noise` at all of them, as
            in the pipelines of diffusers. Fixed noise keeps the run smooth, so it suits solvers that look back.

    Returns:
        The images, in the dtype of the noise.

    Raises:
        ScheduleError: if arrays do not go together, the loop is unknown, or it is no plan.

    Example:
        >>> recipe = ms.FlowMatchEuler()
        >>> model = ms.analysis.model_of(recipe, ms.analysis.Gaussian(0.5, 0.1))
        >>> noise, image = ms.noise.normal((1, 4), rng=0), np.full((1, 4), 0.25, np.float32)
        >>> found = ms.editing.inpaint(model, recipe.plan(8), noise, image, np.array([1.0, 1.0, 0.0, 0.0]))
        >>> found[0, :2].tolist(), bool(abs(found[0, 2:] - 0.5).max() < 0.3)
        ([0.25, 0.25], True)
    """
    run = begun(plan, noise, rng, loop, callback)
    region = Region(run, noise, image, known)
    if x0 is None and plan.grid.first > 0:
        x0 = run.narrowed(region.image)
    state = plan.start(noise, x0, run.wide)

    def after(point: int, state: State[B]) -> State[B]:
        number = plan.grid.first + point - 1
        z = run.own_noise(number, 0, state.sample) if fresh else region.noise
        return state._replace(sample=region.blended(point, state.sample, z))

    found: B = run.narrowed(run.over(model, state, run.rows_of(range(len(plan.grid))), after).sample)
    return found


class Region:
    """What is known of images, and where.

    Args:
        run: of the plan.
        noise, image, known: as of `inpaint`.

    Raises:
        ScheduleError: if arrays do not go together.
    """

    def __init__(self, run: Run, noise: Any, image: Any, known: Any) -> None:
        self.plan, backend = run.plan, run.backend
        self.noise = backend.astype(noise, run.wide)
        for name, array in (("image", image), ("known", known)):
            _check_broadcast(noise, array, name)
        image = backend.xp.broadcast_to(image, tuple(noise.shape))
        check_alike(noise, image, "image", "noise")
        self.image = backend.astype(image, run.wide)
        self.known = backend.astype(known, run.wide)

    def blended(self, point: int, sample: Any, noise: Any) -> Any:
        """A sample at a point of the run with the known part put back; at the end of a run that is the image itself."""
        grid = self.plan.grid
        ended = point == len(grid) and grid.first + len(grid) == grid.total
        there = self.image if ended else self.plan.add_noise(self.image, noise, point)
        return self.known * there + (1.0 - self.known) * sample


def _check_broadcast(noise: Any, array: Any, name: str) -> None:
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise ScheduleError(f"{name} must be an array; given {type(array).__name__}.")
    if backends.of(array) is not backends.of(noise):
        mine, its = backends.of(noise).name, backends.of(array).name
        raise ScheduleError(f"{name} is an array of {its}, the noise of {mine}.")
    shape, whole = tuple(array.shape), tuple(noise.shape)
    if len(shape) > len(whole) or any(n not in (1, m) for n, m in zip(shape[::-1], whole[::-1], strict=False)):
        raise ScheduleError(f"{name} has shape {shape}, which does not broadcast against the noise's {whole}.")
    check_device(noise, array, name, "noise")
