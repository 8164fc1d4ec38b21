"""sample(): the loop over a plan."""

from collections.abc import Callable, Iterable, Mapping
from types import MethodType
from typing import Any
from weakref import ref

import numpy as np

from multisched import backends, noise as noise_sources
from multisched.backends import B, Backend
from multisched.errors import ScheduleError
from multisched.guidance.base import Guidance
from multisched.guidance.guided import Guide, Guided, guide, stacked
from multisched.table.kernel import advance, scaled
from multisched.table.packed import Layout
from multisched.table.plan import Plan
from multisched.table.state import State, check_all
from multisched.values import option

LOOPS = ("auto", "python", "compile", "scan")
MOST = 32  # rows of scans that are kept for a model


def sample(
    model: Callable[..., B],
    plan: Plan,
    noise: B,
    rng: Any = 0,
    loop: str = "auto",
    callback: Callable[[int, State[B], B], object] | None = None,
    progress: bool = False,
    x0: B | None = None,
    inputs: Mapping[str, B] | None = None,
    guidance: Guidance | None = None,
    conditions: Mapping[Any, Any] | None = None,
    models: Mapping[Any, Callable[..., B]] | None = None,
    batched: bool = False,
) -> B:
    """Run a plan from noise to samples.

    Half precision narrows what the model is given and what is returned; the state between is float32.

    Args:
        model: model(x, t) -> output; x shaped and typed as the noise, t a 0-d float array on its device. With
            `conditions` it is called as model(x, t, condition).
        plan: from a recipe.
        noise: unit normals (samples, ...).
        rng: seed, sequence of seeds (one per sample) or source of the noise of a stochastic plan.
        loop: "python", with eager steps, equal on all backends; "compile", the same with compiled steps (torch, JAX,
            MLX); "scan", one graph of the whole run, whose size does not grow with the steps (JAX: the model is traced
            once, as by `jax.jit`: with other weights it must be another callable, such as a new `functools.partial`;
            and noise that a graph cannot draw, as `noise.PhiloxNoise` can, is drawn beforehand); "auto", "scan" where
            the noise is traced by `jax.jit`, `jax.grad` and the like, "compile" on MLX from 65,536 elements on, where
            compiled steps take 0.3 to 0.8 of the time, else "python". On torch compiled steps take half as long from
            about a million elements on if the solver has several registers, but the first takes seconds, as much as
            hundreds of rows of 8 million elements: choose "compile" for many runs.
        callback: callback(row, state after it, estimate of x0), after each row; not with "scan".
        progress: whether to show a progress bar (needs tqdm, in the extra "cli"); not with "scan".
        x0: clean samples to start from instead of pure noise (image to image).
        inputs: the arrays that the plan's `inputs` name, such as an image and a mask.
        guidance: how the outputs of several branches of the model become one, see `multisched.guidance`. With "scan"
            there is a graph for each part of the rows that calls the same branches.
        conditions: what the model is given for each branch, by the names in `guidance.branches`; without guidance,
            that of "conditional" alone. Each is passed on as it is: an array, a dictionary, tuple or list of them, or
            anything else. With "scan" other things must be hashable, or the loop is compiled anew each time.
        models: other models for single branches, such as {"weak": other}. Such a branch has the condition of the
            conditional one unless it is given its own.
        batched: whether the branches of a model are called as one, with x and the arrays of the conditions, of one row
            per sample, behind each other along the first axis; t stays 0-d.

    Returns:
        The samples, in the dtype of the noise.

    Raises:
        ScheduleError: if the loop is unknown, an output has another shape or library, tqdm is missing, or the guidance
            fits neither the plan nor the conditions.

    Example:
        >>> plan = ms.FlowMatchEuler(shift=3.0).plan(28)
        >>> image = ms.sample(lambda x, t: 0.9 * x, plan, ms.noise.normal((2, 3, 8, 8), rng=0))
        >>> image.shape
        (2, 3, 8, 8)
    """
    option("loop", loop, LOOPS)
    if not isinstance(plan, Plan):
        raise ScheduleError(f"sample() runs a plan, which recipe.plan(n) makes; given {type(plan).__name__}.")
    backend = backends.of(noise)
    source = noise_sources.source(rng)
    narrow: Any = noise.dtype
    state = plan.start(noise, x0, backend.compute_dtype(narrow), **(inputs or {}))
    guided = None
    if guidance is not None or conditions is not None or models is not None:
        guided = guide(plan, backend, guidance, conditions, models, batched)
    watched = callback is not None or progress
    if loop == "scan" and watched:
        raise ScheduleError("loop='scan' runs all rows in one graph, without callback or progress bar.")
    if loop == "scan" or (loop == "auto" and backend.traced(noise) and not watched):
        result = _scan(model, plan, backend, state, source, narrow, guided)
    else:
        compile = loop == "compile" or (loop == "auto" and backend.compiles_early(state.sample))
        result = _loop(model, plan, backend, state, source, narrow, compile, callback, progress, guided)
    found: B = backend.astype(result, narrow)
    return found


def _loop(
    model: Callable[[Any, Any], Any],
    plan: Plan,
    backend: Backend[Any],
    state: State[Any],
    source: Any,
    narrow: Any,
    compile: bool,
    callback: Callable[[int, State[Any], Any], object] | None,
    progress: bool,
    guided: Guide | None,
) -> Any:
    """The sample at the end, row by row."""
    timesteps = backend.rows(backend.asarray(plan.timesteps, state.sample.dtype, backend.device(state.sample)))
    memory = () if guided is None else guided.guidance.start(state.sample)
    draws, noisy, scaled = None, plan.stochastic, plan.layout.scale is not None
    narrowed = narrow != state.sample.dtype
    for row in _shown(len(plan), plan.name, progress):
        before, t = state, timesteps[row]
        seen = plan.model_input(state) if scaled else state.sample
        if narrowed:
            seen = backend.astype(seen, narrow)
        if guided is None:
            output = model(seen, t)
        else:
            output, memory = guided.output(backend, model, row, seen, t, before.sample, memory, compile)
        if noisy:
            draws = noise_sources.draw_row(source, plan, row, before.sample)
        state = plan.step(before, output, draws, compile=compile)
        backend.flush(state.sample, *state.memory)
        if callback is not None:
            callback(row, state, plan.denoised(before, output))
    return state.sample


def _scan(
    model: Callable[..., Any],
    plan: Plan,
    backend: Backend[Any],
    state: State[Any],
    source: Any,
    narrow: Any,
    guided: Guide | None,
) -> Any:
    """The sample at the end, by the array library's own loop over the rows of the table; with guidance, by one for each
    part of the rows that calls the same branches."""
    sample, device = state.sample, backend.device(state.sample)
    table = plan.table(backend, device, sample.dtype)[: len(plan), ...]
    inside = plan.stochastic and getattr(source, "traceable", False)
    noise: tuple[Any, ...] = ()
    if inside:
        addresses = [(step, draws[0]) for step, draws in map(plan.noise_address, range(len(plan)))]
        noise = tuple(backend.asarray(one, "int32", device) for one in zip(*addresses, strict=True))
    elif plan.stochastic:
        none = (backend.xp.zeros_like(sample),) * plan.noise_draws
        rows = [noise_sources.draw_row(source, plan, row, sample) or none for row in range(len(plan))]
        noise = tuple(map(backend.xp.stack, zip(*rows, strict=True)))
    settings = (backend, plan.layout, narrow, source if inside else None)
    if guided is None:
        body = _body(model, *settings, None)
        return backend.scan(body, (sample, state.memory, (), ()), (table, noise, ()))[0]
    arrays = tuple(backend.asarray(one) if isinstance(one, np.ndarray) else one for one in guided.arrays)
    carry = (sample, state.memory, guided.guidance.start(sample), arrays)
    for part in guided.parts:
        rows_here = slice(part.rows.start, part.rows.stop)
        taken = (
            table[rows_here, ...],
            tuple(one[rows_here, ...] for one in noise),
            stacked(backend, part.numbers, sample),
        )
        carry = backend.scan(_body(model, *settings, part.guided), carry, taken)
    return carry[0]


_bodies: dict[int, tuple[Any, dict[Any, Callable[..., Any]]]] = {}
"""By the id of a model's owner: a weak reference to it, and the rows of its scans."""


def _body(
    model: Callable[..., Any], backend: Backend[Any], layout: Layout, narrow: Any, source: Any, guided: Guided | None
) -> Callable[..., Any]:
    """One row of a scan. The same function for the same model and layout as long as the model lives, so that it is
    compiled once: it holds no model."""
    owner, function = getattr(model, "__self__", model), getattr(model, "__func__", None)
    try:
        place, key = id(owner), (function, layout, narrow, source, guided)
        hash(key)
        kept = ref(owner, lambda _: _bodies.pop(place, None))
    except TypeError:  # what cannot be held weakly, or compared, is compiled each time
        return _new_body(lambda: model, backend, layout, narrow, source, guided)
    _, bodies = _bodies.setdefault(place, (kept, {}))
    if key not in bodies:

        def alive() -> Any:
            found = kept()
            return found if function is None else MethodType(function, found)

        if len(bodies) >= MOST:
            bodies.pop(next(iter(bodies)))
        bodies[key] = _new_body(alive, backend, layout, narrow, source, guided)
    return bodies[key]


def _new_body(
    model: Callable[[], Callable[..., Any]],
    backend: Backend[Any],
    layout: Layout,
    narrow: Any,
    source: Any,
    guided: Guided | None,
) -> Callable[..., Any]:
    """One row of a scan with the model that `model()` gives. With a source, the noise is drawn in it, at the addresses
    that are then given in place of the noise."""

    def body(carry: tuple[Any, ...], inputs: tuple[Any, ...]) -> tuple[Any, None]:
        sample, registers, kept, arrays = carry
        state, (coefficients, noise, numbers) = State(sample, registers, 0), inputs
        if source is not None:
            step, first = noise
            noise = noise_sources.draw(source, step, [first + k for k in range(layout.draws)], sample)
        weights = layout.weights_of(backend, coefficients, sample.ndim, ending=False)
        seen = sample if layout.scale is None else scaled(backend, weights.scale, sample)
        seen, t = backend.astype(seen, narrow), coefficients[layout.timestep]
        if guided is None:
            output = model()(seen, t)
        else:
            outputs = guided.outputs(backend, model(), seen, t, arrays)
            output, kept = guided.combined(backend, outputs, numbers, sample, kept)
        check_all(backend, layout, state, output, noise)
        sample, *memory = advance(backend, layout, weights, state, output, noise)
        return (sample, tuple(memory), kept, arrays), None

    return body


def _shown(count: int, name: str, progress: bool) -> Iterable[int]:
    """The numbers of the rows, with a progress bar if wanted."""
    if not progress:
        return range(count)
    try:
        from tqdm import tqdm
    except ImportError:
        raise ScheduleError("progress=True needs the package tqdm: install multisched-diffusion[cli].") from None
    bar: Iterable[int] = tqdm(range(count), desc=name, unit="call")
    return bar
