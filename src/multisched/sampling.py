"""sample(): the loop over a plan."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multisched import backends
from multisched import noise as noise_sources
from multisched.backends import B
from multisched.errors import ScheduleError
from multisched.plan import Plan
from multisched.step import State

LOOPS = ("auto", "python")


def sample(
    model: Callable[[B, Any], B],
    plan: Plan,
    noise: B,
    rng: Any = 0,
    loop: str = "auto",
    callback: Callable[[int, State[B], B], object] | None = None,
    progress: bool = False,
    x0: B | None = None,
    inputs: Mapping[str, B] | None = None,
) -> B:
    """Run a plan from noise to samples.

    Half precision narrows what the model is given and what is returned; the state between is float32.

    Args:
        model: model(x, t) -> output; x shaped and typed as the noise, t a 0-d float array on its device.
        plan: from a recipe.
        noise: unit normals (samples, ...).
        rng: seed, sequence of seeds (one per sample) or source of the noise of a stochastic plan.
        loop: "auto" or "python".
        callback: callback(row, state after it, estimate of x0), after each row.
        progress: whether to show a progress bar (needs tqdm, in the extra "cli").
        x0: clean samples to start from instead of pure noise (image to image).
        inputs: the arrays that the plan's `inputs` name, such as an image and a mask.

    Returns:
        The samples, in the dtype of the noise.

    Raises:
        ScheduleError: an unknown loop, an output of another shape or library, or tqdm missing.
    """
    if loop not in LOOPS:
        raise ScheduleError(f"loop must be one of {', '.join(map(repr, LOOPS))}; given {loop!r}.")
    if not isinstance(plan, Plan):
        raise ScheduleError(f"sample() runs a plan, which recipe.plan(n) makes; given {type(plan).__name__}.")
    backend = backends.of(noise)
    source = noise_sources.source(rng)
    narrow: Any = noise.dtype
    dtype = backend.compute_dtype(narrow)
    timesteps: Any = backend.asarray(plan.timesteps, dtype, backend.device(noise))
    state = plan.start(noise, x0, dtype, **(inputs or {}))
    for row in _rows(len(plan), plan.name, progress):
        before = state
        output = model(backend.astype(plan.model_input(before), narrow), timesteps[row, ...])
        draws = None
        if plan.needs_noise(row):
            address, interval = plan.noise_address(row), plan.rows.interval(row)
            draws = noise_sources.draw(source, *address, before.sample, interval)
        state = plan.step(before, output, draws)
        backend.flush(state.sample, *state.memory)
        if callback is not None:
            callback(row, state, plan.denoised(before, output))
    result: B = backend.astype(state.sample, narrow)
    return result


def _rows(count: int, name: str, progress: bool) -> Iterable[int]:
    if not progress:
        return range(count)
    try:
        from tqdm import tqdm
    except ImportError:
        raise ScheduleError("progress=True needs the package tqdm: install multisched-diffusion[cli].") from None
    bar: Iterable[int] = tqdm(range(count), desc=name, unit="call")
    return bar
