"""The schedulers of diffusers that are DPM-Solver."""

from typing import Any

from multisched import schedulers
from multisched.interop.diffusers import told, told_flow
from multisched.interop.diffusers.base import Peer
from multisched.interop.diffusers.defects import INDEPENDENT_NOISE, THIRD_ORDER, WHOLE_GROUPS
from multisched.interop.diffusers.mixed import MISREAD, UNCONVERTED, VISITED_ONCE
from multisched.interop.diffusers.multistep import learned
from multisched.interop.diffusers.placing import CUT_TIMES, EDM_GRID, INVERSE_GRID, STRIDE

# What diffusers makes of the words of other solvers' configurations.
_READ_AS = {
    "algorithm_type": {"deis": "dpmsolver++"},
    "solver_type": dict.fromkeys(("logrho", "bh1", "bh2"), "midpoint"),
}
_MIXED = (MISREAD, UNCONVERTED)
_UNCUT = "diffusers takes it and cuts nothing"
_BARE = {"num_train_timesteps": "no step depends on it"}


def _read(options: dict[str, Any]) -> dict[str, Any]:
    words = {name: value for name, value in options.items() if isinstance(value, str)}
    return {**options, **{name: _READ_AS.get(name, {}).get(value, value) for name, value in words.items()}}


def _discrete(options: dict[str, Any]) -> dict[str, Any]:
    if options.get("use_lu_lambdas"):  # whose ends are always those of the training schedule
        options = {**options, "sigma_min": None, "sigma_max": None}
    return _read(learned(options))


_NO_ZERO_SNR = ("use_lu_lambdas", "rescale_betas_zero_snr")
_STEPPED = ("timestep_spacing", "steps_offset")
_ENDS = ("final_sigmas_type", "use_dynamic_shifting", "time_shift_type")
_CUT = ("algorithm_type", "thresholding", "dynamic_thresholding_ratio", "sample_max_value")
_TOLD = told.quirk(told_flow.multistep)

PEERS = {
    "DPMSolverMultistepScheduler": Peer(
        schedulers.DPMSolverMultistep, quirks=(THIRD_ORDER, CUT_TIMES, *_MIXED, _TOLD), convert=_discrete
    ),
    "DPMSolverSinglestepScheduler": Peer(
        schedulers.DPMSolverSinglestep,
        ours=(*_NO_ZERO_SNR, *_STEPPED),
        quirks=(THIRD_ORDER, INDEPENDENT_NOISE, WHOLE_GROUPS, *_MIXED, _TOLD),
        convert=_discrete,
    ),
    "DPMSolverMultistepInverseScheduler": Peer(
        schedulers.DPMSolverMultistepInverse,
        ours=(*_NO_ZERO_SNR, *_ENDS),
        quirks=(THIRD_ORDER, INVERSE_GRID, *_MIXED, VISITED_ONCE, _TOLD),
        convert=_discrete,
    ),
    "EDMDPMSolverMultistepScheduler": Peer(
        schedulers.EDMDPMSolverMultistep,
        ignored=_BARE,
        convert=_read,
        quirks=(THIRD_ORDER, EDM_GRID, told.quirk(told.edm)),
    ),
    "CosineDPMSolverMultistepScheduler": Peer(
        schedulers.CosineDPMSolverMultistep,
        ours=_CUT,
        ignored=_BARE,
        convert=_read,
        quirks=(THIRD_ORDER, EDM_GRID, told.quirk(told.cosine)),
    ),
    "CogVideoXDPMScheduler": Peer(
        schedulers.CogVideoXDPM,
        quirks=(STRIDE,),
        ignored={"clip_sample": _UNCUT, "clip_sample_range": _UNCUT, "sample_max_value": _UNCUT},
    ),
}
