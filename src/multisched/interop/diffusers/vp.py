"""The schedulers of diffusers that sample the variance-preserving schedule by DDIM and DDPM."""

from typing import Any

from multisched import schedulers
from multisched.interop.diffusers import defects, placing, told
from multisched.interop.diffusers.base import Peer

_STRIDE = (placing.STRIDE,)
_DDIM = Peer(schedulers.DDIM, ours=("eta", "use_clipped_model_output"), quirks=_STRIDE)


def _variance(options: dict[str, Any]) -> dict[str, Any]:
    """diffusers takes None for "fixed_small"."""
    named = options.get("variance_type", "") is not None
    return options if named else {**options, "variance_type": "fixed_small"}


_DDPM = Peer(schedulers.DDPM, convert=_variance, quirks=(defects.FINAL_NOISE,))
_UNCUT = "diffusers takes it and cuts nothing"

PEERS = {
    "DDIMScheduler": _DDIM,
    "DDIMParallelScheduler": _DDIM,
    "DDIMInverseScheduler": Peer(
        schedulers.DDIMInverse,
        quirks=_STRIDE,
        ignored={"set_alpha_to_zero": "an old name; diffusers reads set_alpha_to_one from a configuration"},
    ),
    "CogVideoXDDIMScheduler": Peer(
        schedulers.CogVideoXDDIM,
        quirks=_STRIDE,
        ignored={"clip_sample": _UNCUT, "clip_sample_range": _UNCUT, "sample_max_value": _UNCUT},
    ),
    "DDPMScheduler": _DDPM,
    "DDPMParallelScheduler": _DDPM,
    "UnCLIPScheduler": Peer(
        schedulers.UnCLIP,
        quirks=(defects.TABLE_BETAS,),
        ignored={"beta_schedule": "squaredcos_cap_v2 is all that it may be"},
    ),
    "DDPMWuerstchenScheduler": Peer(schedulers.DDPMWuerstchen, quirks=(told.quirk(told.wuerstchen),)),
    "RePaintScheduler": Peer(schedulers.RePaint, ours=("jump_length", "jump_n_sample"), quirks=(placing.LATE_UNDO,)),
}
