"""Loops through diffusers' schedulers and ours, as pipelines write them."""

import inspect
import warnings

import torch

from multisched.interop import diffusers as ours
from multisched.interop.diffusers.manners import UNLIKE

STEPS = {"SCMScheduler": 2, "ConsistencyDecoderScheduler": 2}
OPTIONS = {
    "DPMSolverSDEScheduler": {"noise_sampler_seed": 3},
    "DPMSolverSinglestepScheduler": {"lower_order_final": True},
}
SET = {"HeliosScheduler": {"stage_index": 1}}
NAMES = LOOPS = [name for name in ours.PEERS if name not in UNLIKE]
GENERATOR = {True: lambda: torch.Generator().manual_seed(1), False: lambda: None}


def theirs_of(name):
    return ours.__getattr__(name)._theirs


def model(x, t, name=""):
    output = torch.tanh(0.7 * x + 0.05 * (float(torch.as_tensor(t).reshape(-1)[0]) % 7)) * 0.8
    return output if name != "PiflowScheduler" else torch.cat([output * (1 + 0.1 * k) for k in range(10)], -1)


def run(kind, name, start=0, dtype=torch.float32, edit=False, begin=False, seeded=True, options=None):
    """A loop as pipelines write it: the last sample, and the number that its generator gives next."""
    torch.manual_seed(3)
    generator = GENERATOR[seeded]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of diffusers
        scheduler = kind(**{**OPTIONS.get(name, {}), **(options or {})})
        scheduler.set_timesteps(STEPS.get(name, 10), **SET.get(name, {}))
        takes = inspect.signature(scheduler.step).parameters
        if begin:
            scheduler.set_begin_index(start)
        x, old, before = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype), None, None
        more = {"generator": generator} if "generator" in takes else {}
        if "original_image" in takes:
            mask = (torch.arange(8) > 3).to(dtype).expand_as(x).contiguous()
            more |= {"original_image": torch.ones_like(x), "mask": mask}
        for t in called(name, scheduler)[start:]:
            seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            output = model(seen, t, name).to(dtype)
            t = t.expand(2) if "Wuerstchen" in name else t
            if "timestep_back" in takes:
                x, old = scheduler.step(output, old, t, before, x, return_dict=False, **more)
            else:
                x = scheduler.step(output, t, x, return_dict=False, **more)[0]
            x = 0.9 * x + 0.05 if edit else x
            before = t
    return x, torch.rand(1, generator=generator)


def called(name, scheduler):
    """The timesteps that a model is asked at; two classes list the end of the run too."""
    return scheduler.timesteps[:-1] if name in ("SCMScheduler", "DDPMWuerstchenScheduler") else scheduler.timesteps


def far(one, other):
    return float((one - other).abs().max() / other.abs().max())
