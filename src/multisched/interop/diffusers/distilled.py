"""The schedulers of diffusers for distilled and for score-based models."""

from multisched import schedulers
from multisched.interop.diffusers import defects, told
from multisched.interop.diffusers.base import Peer

_GRID = {
    "timestep_spacing": "the timesteps are those of the distillation",
    "steps_offset": "the timesteps are those of the distillation",
    "set_alpha_to_one": "no step looks beyond the last timestep",
}
_UNUSED = "diffusers takes it and does not use it"
_CUTS = ("clip_sample", "clip_sample_range", "thresholding", "dynamic_thresholding_ratio", "sample_max_value")
_LIMIT = {"num_train_timesteps": "only a limit to the number of steps"}

PEERS = {
    "LCMScheduler": Peer(schedulers.LCM, ours=("strength",), ignored=_GRID),
    "TCDScheduler": Peer(
        schedulers.TCD,
        ours=("strength", "eta"),
        ignored=_GRID | dict.fromkeys((*_CUTS, "timestep_scaling"), _UNUSED),
    ),
    "SCMScheduler": Peer(
        schedulers.SCM, ours=("max_timesteps", "intermediate_timesteps"), ignored=_LIMIT, quirks=(told.quirk(told.scm),)
    ),
    "CMStochasticIterativeScheduler": Peer(schedulers.CMStochasticIterative, quirks=(told.quirk(told.consistency),)),
    "ConsistencyDecoderScheduler": Peer(schedulers.ConsistencyDecoder),
    "ScoreSdeVeScheduler": Peer(
        schedulers.ScoreSdeVe,
        renamed={"snr": "langevin_snr"},
        ignored={"num_train_timesteps": "each run says its steps"},
        quirks=(defects.NORMS, told.quirk(told.score_ve)),
    ),
    "ScoreSdeVpScheduler": Peer(
        schedulers.ScoreSdeVp,
        ignored={"num_train_timesteps": "each run says its steps"},
        quirks=(told.quirk(told.score_vp),),
    ),
    "KarrasVeScheduler": Peer(schedulers.KarrasVe, quirks=(defects.SQUARED, told.quirk(told.karras_ve))),
}
