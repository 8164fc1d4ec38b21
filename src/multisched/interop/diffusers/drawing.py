"""The noise of a step, drawn where diffusers draws it, so that a generator of torch moves on alike."""

import functools
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor

from multisched.interop.diffusers import manners
from multisched.table.plan import Plan


def draws(
    scheduler: Any, plan: Plan, row: int, output: torch.Tensor, generator: Any, given: torch.Tensor | None
) -> tuple[torch.Tensor, ...] | None:
    """The draws of a row: from the generator as diffusers draws them, so that it moves on alike."""
    needed = plan.needs_noise(row)
    if given is not None:
        return (given,) * plan.noise_draws
    second = scheduler._peer == "FlowMatchHeunDiscreteScheduler" and plan.stages[row] == 1
    churned = second and plan.needs_noise(row - 1)  # what it draws then cancels
    if not needed and scheduler._peer in manners.LAZY and not churned:
        return None
    if scheduler._peer in manners.BROWNIAN:
        return (_brownian(scheduler, plan, row, output, generator),)
    dtype = torch.float32 if scheduler._peer in manners.FLOAT32_NOISE else output.dtype
    make = torch.randn if generator is None else functools.partial(randn_tensor, generator=generator)
    twice = scheduler._peer in manners.TWICE and plan.tableau.weights[row, 0, 1]
    for _ in range(2 if twice else 1):
        draw = make(output.shape, device=output.device, dtype=dtype)
    return (draw,) * plan.noise_draws if needed else None


def _brownian(scheduler: Any, plan: Plan, row: int, output: torch.Tensor, generator: Any) -> torch.Tensor:
    """The increment of diffusers' Brownian tree over a row, between levels in float32 as it has them."""
    if scheduler.noise_sampler is None:
        scheduler.noise_sampler = _tree(scheduler, output, generator)
    at, stage = scheduler._step_index, plan.stages[row]
    if scheduler._peer in manners.COSINE:
        return scheduler.noise_sampler(scheduler.sigmas[at], scheduler.sigmas[at + 1])
    begin, end = (scheduler.sigmas[at - stage + k].log().neg() for k in (0, 1))
    end = end if stage else begin + (end - begin) * 0.5
    return scheduler.noise_sampler(begin.neg().exp(), end.neg().exp())


def _tree(scheduler: Any, output: torch.Tensor, generator: Any) -> Any:
    from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

    if scheduler._peer in manners.COSINE:
        one = generator.initial_seed() if isinstance(generator, torch.Generator) else None
        seed = [each.initial_seed() for each in generator] if isinstance(generator, list) else one
        return BrownianTreeNoiseSampler(output, scheduler.config.sigma_min, scheduler.config.sigma_max, seed)
    low, high = scheduler.sigmas[scheduler.sigmas > 0].min().item(), scheduler.sigmas.max().item()
    return BrownianTreeNoiseSampler(output, low, high, scheduler.noise_sampler_seed)
