"""Which tensors a step may write to: memory of their own, of the right kind."""

from collections.abc import Sequence
from itertools import combinations, product

import torch

from multisched.errors import ScheduleError, no_out


def check_out(out: Sequence[torch.Tensor], like: torch.Tensor, taken: Sequence[torch.Tensor]) -> None:
    """Refuse tensors that a step cannot write to.

    Args:
        out: what is to be written to.
        like: a tensor of the shape, dtype and device of the results.
        taken: what the step reads.

    Raises:
        ScheduleError: if one of them is of another kind, or shares memory with another or with what is read.
    """
    for array in out:
        if not isinstance(array, torch.Tensor) or (array.shape, array.dtype) != (like.shape, like.dtype):
            raise ScheduleError(no_out("its arrays must be torch's and of the same dtype"))
        if array.device != like.device or array.layout is not torch.strided:
            raise ScheduleError(no_out(f"its arrays must be dense and lie on {like.device}"))
        if array.requires_grad or (array.is_inference() and not torch.is_inference_mode_enabled()):
            raise ScheduleError(no_out("an array of it requires gradients, or was made in inference mode"))
    if torch.is_grad_enabled() and any(array.requires_grad for array in taken):
        raise ScheduleError("a step through which gradients flow writes to no array; step without out=.")
    if torch.compiler.is_compiling() or like.is_meta:
        return
    try:
        places, read = list(map(_extent, out)), list(map(_extent, taken))
    except RuntimeError:  # of an array that is mapped over there is no address
        raise ScheduleError("under vmap and the like arrays are not written to; step without out=.") from None
    if any(last - first < array.nbytes for (first, last), array in zip(places, out, strict=True)):
        raise ScheduleError(no_out("elements of an array of it share memory"))
    pairs = (*combinations(places, 2), *product(places, read))
    if any(one[0] < other[1] and other[0] < one[1] for one, other in pairs):
        raise ScheduleError(no_out("an array of it shares memory with another, or with one that the step reads"))


def _extent(array: torch.Tensor) -> tuple[int, int]:
    """Where an array lies: its first byte, and the one after its last."""
    first = array.data_ptr()
    if not array.numel():
        return first, first
    last = sum((size - 1) * stride for size, stride in zip(array.shape, array.stride(), strict=True))
    return first, first + (last + 1) * array.element_size()
