"""The device code: the weighted sums of a row. A step does arithmetic on samples here and in `transforms` alone.

Half precision is widened to float32 for the sums and rounded back once.
"""

import math
from functools import lru_cache
from typing import Any

from multisched import backends
from multisched.backends import B, Backend
from multisched.backends.base import Cut, Terms
from multisched.table.in_turn import in_turn, served
from multisched.table.packed import Layout, Weights, countable
from multisched.table.state import State, check_alike
from multisched.transforms import Clip, Transform, apply, split


def scaled(backend: Backend[B], scale: Any, sample: B) -> B:
    """The sample times a scale, rounded once."""
    (found,) = backend.weighted_sums((Terms((scale,), (0,)),), (sample,), sample.dtype)
    return found


def advance(
    backend: Backend[Any],
    layout: Layout,
    weights: Weights,
    state: State[Any],
    output: Any,
    noise: tuple[Any, ...],
    out: State[Any] | None = None,
) -> tuple[Any, ...]:
    """The registers after a row, the sample first, in the dtype of the sample.

    Args:
        backend, layout: of the arrays, and of the table that the row is of.
        weights: of the row.
        state: before the row; its index is not looked at.
        output: the model's.
        noise: unit normals, `layout.draws` of them or none.
        out: a state whose arrays are written to.
    """
    sample, dtype = state.sample, state.sample.dtype
    outputs: tuple[Any, ...] = (output,)
    if not layout.plain:
        outputs, noise = _transformed(backend, layout, weights, sample, output, noise)
    if layout.masked is None:
        into = None if out is None else (out.sample, *out.memory)
        registers = _sums(backend, layout, weights, state, outputs, noise, dtype, into)
    else:
        wide, *memory = _sums(backend, layout, weights, state, outputs, noise, backend.compute_dtype(dtype), None)
        known, mask = (memory[k] for k in layout.masked)
        registers = tuple(backend.astype(one, dtype) for one in (known * mask + wide * (1.0 - mask), *memory))
    if weights.ended is None:
        return registers
    return backend.xp.where(weights.ended, sample, registers[0]), *registers[1:]


def _sums(
    backend: Backend[Any],
    layout: Layout,
    weights: Weights,
    state: State[Any],
    outputs: tuple[Any, ...],
    noise: tuple[Any, ...],
    dtype: Any,
    out: tuple[Any, ...] | None,
) -> tuple[Any, ...]:
    """The sums of a row. An x0 that is only clipped on the way is the backend's: it need not be a whole array."""
    before = (state.sample, *state.memory, *outputs)
    if layout.folded:
        return backend.weighted_sums(weights.sums, (*before, *noise), dtype, out)
    transforms, (_, choice) = layout.denoised_transforms, weights.choices
    if isinstance(choice, int) and isinstance(transforms[0], Clip):
        factors, chosen, _ = weights.x0
        terms = Terms(factors, tuple([k and k + len(state.memory) for k in chosen]))  # which counts no memory
        cut = Cut(terms, *transforms[0].bounds(weights.numbers[1][0]), len(before))
        return backend.cut_sums(cut, weights.sums, (*before, *noise), dtype, out)
    x0 = _x0(backend, layout, weights, state.sample, outputs)
    return backend.weighted_sums(weights.sums, (*before, x0, *noise), dtype, out)


def chained_by_x0(
    backend: Backend[Any], layout: Layout, weights: Weights, operands: tuple[Any, ...]
) -> tuple[Any, ...] | None:
    """The registers after a row that is `quick` and has an estimate of x0, by `Backend.chained`, or None if it takes
    none of these operands: the sample, the memory, the model's output and the noise."""
    place = len(layout.sums)
    found = backend.chained((weights.x0,), (operands[0], operands[place]))
    if found is None:
        return None
    x0 = apply(layout.denoised_transforms[0], backend, found[0], weights.numbers[1][0])
    return backend.chained(weights.sums, (*operands[: place + 1], x0, *operands[place + 1 :]))


def estimate(backend: Backend[Any], layout: Layout, weights: Weights, sample: Any, output: Any) -> Any:
    """The estimate of x0 that a row makes of the output, in the dtype of the sample."""
    outputs = (output,) if layout.plain else _transformed(backend, layout, weights, sample, output, ())[0]
    return backend.astype(_x0(backend, layout, weights, sample, outputs), sample.dtype)


def _transformed(
    backend: Backend[Any], layout: Layout, weights: Weights, sample: Any, output: Any, noise: tuple[Any, ...]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The parts of the output, and the noise, after the transforms."""
    changed = layout.noise_transform is not None
    if changed or layout.output_transforms:
        wide = backend.compute_dtype(sample.dtype)
        output, noise = backend.astype(output, wide), tuple(backend.astype(z, wide) for z in noise)
    if layout.noise_transform is not None:
        output, noise = layout.noise_transform(backend, weights.parameters, output, noise)
    output = _chosen(backend, layout.output_transforms, weights.choices[0], weights.numbers[0], output)
    if layout.outputs == 1 and not changed:
        return (output,), noise
    outputs = (output,) if layout.outputs == 1 else split(backend, output, layout.outputs)
    check_alike(sample, outputs[0], "the model's output", "sample")  # as are its other parts
    return outputs, noise


def _x0(backend: Backend[Any], layout: Layout, weights: Weights, sample: Any, outputs: tuple[Any, ...]) -> Any:
    """The estimate of x0 after its transform, in the dtype of the sums."""
    (x0,) = backend.weighted_sums((weights.x0,), (sample, *outputs), backend.compute_dtype(sample.dtype))
    if layout.folded:
        return x0
    return _chosen(backend, layout.denoised_transforms, weights.choices[1], weights.numbers[1], x0)


def _chosen(
    backend: Backend[Any],
    transforms: tuple[Transform, ...],
    choice: Any,
    numbers: tuple[tuple[Any, ...], ...],
    array: Any,
) -> Any:
    """The array after the transform of its sample's choice, counted from 1; `numbers` are those of each transform."""
    if isinstance(choice, int):
        return apply(transforms[choice - 1], backend, array, numbers[choice - 1]) if transforms else array
    changed = array
    for place, (transform, own) in enumerate(zip(transforms, numbers, strict=True), 1):
        changed = backend.xp.where(choice == place, apply(transform, backend, array, own), changed)
    return changed


def deviation(backend: Backend[Any], variance: Any) -> Any:
    """The square root of a variance, whose derivative at 0 is 0 in place of an infinite one."""
    if isinstance(variance, (int, float)):
        return math.sqrt(variance)
    xp, some = backend.xp, variance > 0
    return xp.where(some, xp.sqrt(xp.where(some, variance, xp.ones_like(variance))), xp.zeros_like(variance))


def following(backend: Backend[Any], layout: Layout, coefficients: Any, index: Any) -> Any:
    """The index after a step, given the coefficients at it: the next one, or the same where the run has ended."""
    number = countable(backend, index)
    after = backend.xp.where(coefficients[..., layout.end] > 0.5, number, number + 1)
    return after if after.dtype == index.dtype else backend.astype(after, index.dtype)


@lru_cache(maxsize=256)
def compiled(
    backend: Backend[Any], layout: Layout, ending: bool = False, donate: bool = False, copied: bool = False
) -> Any:
    """`advance` for coefficients (columns,) or (samples, columns), compiled by the array library once for every plan of
    a layout: f(coefficients, sample, memory, output, noise) -> registers.

    Args:
        backend, layout: of the arrays and the table.
        ending: whether samples may have ended.
        donate: whether the sample and the memory may be overwritten.
        copied: whether the library copies what several results overwrite, and no samples may have ended.

    Raises:
        ScheduleError: if the library has no compiler.
    """

    if copied and served(layout):
        return in_turn(backend, layout)

    def function(coefficients: Any, sample: Any, memory: tuple[Any, ...], output: Any, noise: tuple[Any, ...]) -> Any:
        weights = layout.weights_of(backend, coefficients, sample.ndim, ending)
        return advance(backend, layout, weights, State(sample, memory, 0), output, noise)

    return backend.compile(function, donate=(1, 2) if donate else ())


def mix(alpha: Any, one: B, sigma: Any, other: B) -> B:
    """alpha * one + sigma * other, in the dtype of `one`; the weights are floats, or arrays that broadcast.

    Raises:
        ScheduleError: if the arrays differ in library, shape or device, or are not floating.
    """
    backend = backends.of(one)
    check_alike(one, other, "noise", "sample")
    mixed: B
    (mixed,) = backend.weighted_sums((Terms((alpha, sigma), (0, 1)),), (one, other), one.dtype)
    return mixed
