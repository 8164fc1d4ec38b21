"""Weighted sums of tensors: one fused kernel a term, and on the CPU large ones piece by piece in cache."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from multisched.backends.base import Terms
from multisched.backends.torch_fused import in_one_pass

BLOCK = 1 << 16
"""Elements of a piece of large arrays on the CPU that all sums are taken of at once, in cache."""


def outside_modes(make: Callable[[], torch.Tensor]) -> torch.Tensor:
    """A tensor made under no mode: modes, such as those of export, torch.func and inference, are a thread's own, and in
    a new thread none is on."""
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(make).result()


_ZERO = outside_modes(lambda: torch.zeros((), dtype=torch.float32, device="cpu"))


def sum_of(
    weights: Sequence[Any],
    chosen: Sequence[int],
    arrays: Sequence[torch.Tensor],
    wide: torch.dtype,
    out: torch.Tensor | None,
) -> torch.Tensor:
    """The sum in the dtype `wide`. One fused kernel a term and no temporary: it rounds once, where a product and a sum
    would round twice. A single array of weight 1 in that dtype is returned as it is."""
    first, total = weights[0], arrays[chosen[0]]
    owned = total.dtype is not wide
    if owned:
        total = total.to(wide)
    if type(first) is not float or first != 1.0:
        if owned:
            total = total.mul_(first)
        elif type(first) is float and total.is_cpu and type(total) is torch.Tensor:
            # torch makes a tensor of a number that it multiplies with, which takes longer than a small product does.
            total = torch.add(_ZERO, total, alpha=first, out=out)
        else:
            total = torch.mul(total, first, out=out)
        owned = True
    for k in range(1, len(weights)):
        weight, array = weights[k], arrays[chosen[k]]
        if owned:
            try:
                total = total.add_(array, alpha=weight) if type(weight) is float else total.addcmul_(array, weight)
                continue
            except RuntimeError:  # under vmap, where the sum so far has no batch and this array has one
                out = None
        if type(weight) is float:
            total = torch.add(total, array, alpha=weight, out=out)
        else:
            total = torch.addcmul(total, array.to(wide), weight, out=out)
        owned = True
    return total


def chained(sums: Sequence[Terms], arrays: Sequence[Any]) -> tuple[torch.Tensor, ...] | None:
    """The sums of small tensors on the CPU: the calls of `sum_of`, with as little as there can be around them."""
    sample = arrays[0]
    if type(sample) is not torch.Tensor or not sample.is_cpu or sample.numel() > BLOCK:
        return None
    shape, dtype = sample.shape, sample.dtype
    if dtype is not torch.float32 and dtype is not torch.float64:
        return None
    for array in arrays[1:]:
        if type(array) is not torch.Tensor or array.dtype is not dtype or array.shape != shape or not array.is_cpu:
            return None
    known, found = (*arrays, _ZERO), []
    try:
        for _, _, chain in sums:
            if chain is None:
                return None
            start, first, weight, rest = chain
            total = known[start]
            if rest is not None:
                total = total.add(known[first], alpha=weight)
                for k, factor in rest:
                    total.add_(known[k], alpha=factor)
            found.append(total)
    except RuntimeError:  # under vmap, where the sum so far has no batch and an array has one
        return None
    return tuple(found)


def divisible(sums: Sequence[Terms], arrays: Sequence[torch.Tensor], wide: torch.dtype, dtype: torch.dtype) -> bool:
    """Whether sums are better taken piece by piece, those of many terms and in half precision, and can be."""
    return (
        (wide is not dtype or any(len(weights) > 2 for weights, *_ in sums))
        and not torch.compiler.is_compiling()
        and all(array.is_contiguous() for array in arrays)
        and not (torch.is_grad_enabled() and any(array.requires_grad for array in arrays))
        and all(type(weight) is float for weights, *_ in sums for weight in weights)
    )


def in_blocks(
    sums: Sequence[Terms],
    arrays: Sequence[torch.Tensor],
    wide: torch.dtype,
    dtype: torch.dtype,
    out: Sequence[torch.Tensor] | None,
) -> tuple[torch.Tensor, ...]:
    """The sums, piece by piece, so that each array is read from memory once and none is widened as a whole."""
    copies = [out is None and weights == (1.0,) and arrays[chosen[0]].dtype is dtype for weights, chosen, _ in sums]
    found = tuple(
        arrays[chosen[0]] if copy else torch.empty_like(arrays[0], dtype=dtype) if out is None else out[k]
        for k, (copy, (_, chosen, _)) in enumerate(zip(copies, sums, strict=True))
    )
    left = [(one, result) for one, result, copy in zip(sums, found, copies, strict=True) if not copy]
    if wide is dtype and left and in_one_pass([one for one, _ in left], arrays, [result for _, result in left]):
        return found
    into = [(*one[:2], result.view(-1)) for one, result in left]
    flat = {k: arrays[k].view(-1) for _, chosen, _ in into for k in chosen}
    # Half precision has more calls to a piece, each of which takes as long as the sums of some thousand elements.
    size = BLOCK if wide is dtype else 4 * BLOCK
    count = arrays[0].numel()
    size = min(size, count)
    # Memory of pieces that are widened, and of a wide sum of pieces, is asked for once.
    room = {k: array.new_empty(size, dtype=wide) for k, array in flat.items() if array.dtype is not wide}
    total = None if wide is dtype else arrays[0].new_empty(size, dtype=wide)
    for first in range(0, count, size) if into else ():
        block, here = slice(first, first + size), slice(min(size, count - first))
        pieces: Any = {k: room[k][here].copy_(array[block]) if k in room else array[block] for k, array in flat.items()}
        for weights, chosen, result in into:
            sum_into(weights, chosen, pieces, wide, result[block], None if total is None else total[here])
    return found


def sum_into(
    weights: Sequence[Any],
    chosen: Sequence[int],
    arrays: Sequence[torch.Tensor],
    wide: torch.dtype,
    out: torch.Tensor,
    room: torch.Tensor | None = None,
) -> torch.Tensor:
    """`sum_of`, written to `out`; by way of `room`, of the dtype `wide`, where `out` has another."""
    if not weights:
        return out.zero_()
    total = sum_of(weights, chosen, arrays, wide, out if out.dtype is wide else room)
    return out if total is out else out.copy_(total)
