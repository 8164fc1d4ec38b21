"""Weighted sums of large tensors on the CPU in one compiled pass, to the bit what torch's own kernels make of them."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch.autograd import forward_ad

from multisched.backends.base import Terms
from multisched.backends.fused import at_hand, filler
from multisched.backends.numpy_sums import shared


def in_one_pass(sums: Sequence[Terms], arrays: Sequence[torch.Tensor], outs: Sequence[torch.Tensor]) -> bool:
    """Whether sums of contiguous tensors through which no gradients flow, with floats for weights, have been written to
    `outs`; False if they cannot be taken so."""
    if not at_hand(outs[0].numel()) or not _plain((*arrays, *outs)) or not all(one.weights for one in sums):
        return False
    try:
        if not _rounds_once(str(outs[0].dtype).rpartition(".")[2]):
            return False
        given, results = ([one.detach().numpy().reshape(-1) for one in group] for group in (arrays, outs))
        shared(filler(sums, given, results, once=True), outs[0].numel(), torch.get_num_threads())
    except ImportError:
        return False
    # As torch's own kernels do; tensors of inference mode have no version.
    torch.autograd.graph.increment_version([one for one in outs if not one.is_inference()])
    return True


def _plain(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether these are memory of one dtype and no more, and nothing looks on."""
    dtype = tensors[0].dtype
    return (
        all(type(one) is torch.Tensor and one.dtype is dtype and one.is_contiguous() for one in tensors)
        and dtype in (torch.float32, torch.float64)
        and torch._C._len_torch_dispatch_stack() == 0
        and not torch._C._is_tracing()
        and forward_ad._current_level < 0
    )


@cache
def _rounds_once(dtype: str) -> bool:
    """Whether this processor's kernels of torch round a product and a sum together.

    Raises:
        ImportError: if numba is not there.
    """
    x = np.linspace(1, 2, 99, dtype=dtype)
    found, weight = np.empty_like(x), -1.0 / 3
    filler([Terms((1.0, weight), (0, 1))], [x, x], [found], once=True)(0, x.size)
    own = torch.add(torch.from_numpy(x), torch.from_numpy(x), alpha=weight)
    return torch.equal(torch.from_numpy(found), own)
