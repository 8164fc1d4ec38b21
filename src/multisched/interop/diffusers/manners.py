"""What the classes of diffusers do each in its own way, beside the arithmetic of a step."""

from typing import Any


def _classes(names: str) -> frozenset[str]:
    return frozenset(f"{name}Scheduler" for name in names.split())


BY_TIME = _classes(
    "CogVideoXDDIM CogVideoXDPM ConsistencyDecoder DDIMInverse DDIMParallel DDIM DDPMParallel DDPM DDPMWuerstchen "
    "RePaint UnCLIP"
)
"""Classes that look each timestep up; the others count their calls."""
LAZY = _classes(
    "ConsistencyDecoder DDPMParallel DDPM DPMSolverSDE EDMEuler EulerDiscrete FlowMatchHeunDiscrete "
    "KDPM2AncestralDiscrete LCM LTXEulerAncestralRF ScoreSdeVe TCD UnCLIP"
)
"""Classes that draw no noise in a row where it has no weight. The others do, and so move their generator on."""
FLOAT32_NOISE = _classes(
    "DPMSolverMultistepInverse DPMSolverMultistep FlowMatchEulerDiscrete FlowMatchHeunDiscrete FlowMatchLCM SCM"
)
"""Classes that draw noise in float32; the others draw it in the dtype of the model's output."""
AS_SAMPLE = _classes("LTXEulerAncestralRF MiniMaxH3 SASolver UniPCMultistep")
"""Classes that return the next sample in the dtype of the sample."""
AS_OUTPUT = _classes(
    "DDPMWuerstchen EDMEuler EulerAncestralDiscrete EulerDiscrete FlowMapEulerDiscrete FlowMatchEulerDiscrete "
    "FlowMatchHeunDiscrete FlowMatchLCM Helios"
)
"""Classes that return it in the dtype of the model's output; the others in the wider of the two."""
NO_INTEGERS = _classes(
    "CMStochasticIterative EDMEuler EulerAncestralDiscrete EulerDiscrete FlowMatchEulerDiscrete "
    "FlowMatchHeunDiscrete FlowMatchLCM"
)
"""Classes that refuse integers as timesteps, which are mostly the numbers of the loop."""
CUTS = ("DEISMultistep", "DPMSolver", "EDMDPMSolver", "SASolver", "UniPC")
"""Classes of these names cut a learned variance off the model's output."""
LEARNED = ("learned", "learned_range")
COSINE = {"CosineDPMSolverMultistepScheduler"}
BROWNIAN = COSINE | {"DPMSolverSDEScheduler"}


def dtypes(peer: str, sample: Any, output: Any) -> tuple[Any, Any]:
    """The dtypes of the next sample and of what is returned beside it, for a sample and an output of two dtypes."""
    wide = (sample[:0] + output[:0]).dtype  # promoted, as diffusers' sums are
    return (output.dtype if peer in AS_OUTPUT else sample.dtype if peer in AS_SAMPLE else wide), wide


def without_variance(output: Any, sample: Any) -> Any:
    """A model's output without the variance that it was trained to give too."""
    return output[:, : sample.shape[1]]


def parts(output: Any, sample: Any) -> Any:
    """An output of several parts along its last axis, (samples, ..., parts * channels), with them along its second."""
    return output.unflatten(-1, (-1, sample.shape[-1])).movedim(-2, 1).flatten(1, 2)


PARTS = {"PiflowScheduler": parts}
"""Classes that are given several outputs in one."""
UNLIKE = _classes("HeliosDMD KarrasVe RFD4Proteina ScoreSdeVe ScoreSdeVp")
"""Classes whose step is not of one output at one timestep; it stays diffusers' own."""
AWAY = {"order": 4, "per_token_timesteps": None, "r_timestep": None}
"""Arguments of a step, with their defaults, that change its order, or lead to levels that are not of the schedule; the
step is then diffusers' own, as is that of a run of PNDM that begins in mid-schedule, where diffusers asks the model
beside the levels of the sample. Only from one timestep for all samples to another is r_timestep ours."""
ONE_ORDER = (
    "{}.step takes one order= for a whole run; given {} after steps of order {}. "
    "Give it from the first step on, or call set_timesteps again."
)
FIXED = {"RePaintScheduler": {"jump_n_sample": 1}}
"""Options of the recipes of classes whose callers jump back themselves."""
GIVEN = ("prev_sample", "pred_original_sample", "denoised", "pred_noised_sample")
"""What steps return."""
TWICE = {"CogVideoXDPMScheduler"}
"""Classes that draw noise twice in rows that look back, and throw the first away."""
RENAMED = {"stage_index": "stage"}
"""Options of a recipe that have another name as an argument of `set_timesteps`."""


NEWEST = ("before", "first")
"""Registers that hold the value of the last call, where their names do not end in 1, 2, 3 and so on."""
INPUTS = {"original": "original_image", "mask": "mask"}
"""Inputs of a plan, and what `step` calls them."""
HISTORY = frozenset({"model_outputs", "ets", "last_sample", "mid_point_sigma", "lower_order_nums"})
"""Attributes in which schedulers keep what earlier calls gave, and which some pipelines change."""
