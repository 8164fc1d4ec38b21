"""How each class of diffusers is stepped, as its pipelines do it.

A function here takes a scheduler whose timesteps are set, the model's output and the noise, and gives what a run goes
over, one item for each model call, and the function that takes a step.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch

StepOnce = Callable[[Any, torch.Tensor], torch.Tensor]


def plain(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """As most are stepped."""
    return list(scheduler.timesteps), lambda t, x: scheduler.step(output, t, x, return_dict=False)[0]


def open_ended(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """The end of the run is listed too, which is no call."""
    timesteps, step = plain(scheduler, output, z)
    return timesteps[:-1], step


def one_to_a_sample(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """Open ended, and the timestep is an array."""
    timesteps, step = open_ended(scheduler, output, z)
    return [t[None] for t in timesteps], step


def brownian(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """The noise comes from a Brownian path."""
    scheduler.noise_sampler = lambda *_: z
    return plain(scheduler, output, z)


def told_the_next(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """The next timestep is told."""
    timesteps = list(scheduler.timesteps)
    pairs = list(zip(timesteps, [*timesteps[1:], None], strict=True))
    return pairs, lambda t, x: scheduler.step(output, t[0], x, prev_timestep=t[1], return_dict=False)[0]


def cogvideox(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """The caller keeps the estimate before."""
    timesteps = scheduler.timesteps.tolist()
    pairs = list(zip(timesteps, [None, *timesteps[:-1]], strict=True))
    old: list[Any] = [None]

    def step(t: Any, x: torch.Tensor) -> torch.Tensor:
        x, old[0] = scheduler.step(output, old[0], *t, x, return_dict=False)
        return x

    return pairs, step


def masked(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """All tokens are updated."""
    mask = torch.ones(output.shape[:2], dtype=torch.bool)
    return list(scheduler.timesteps), lambda t, x: scheduler.step(output, t, x, mask, return_dict=False)[0]


def repaint(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """An image and a mask, as ours are started with."""
    return scheduler.timesteps.tolist(), lambda t, x: scheduler.step(output, t, x, z, z, return_dict=False)[0]


def helios_dmd(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """The caller keeps count, levels and noise."""
    timesteps, count = scheduler.timesteps, itertools.count()
    more = {"dmd_noisy_tensor": z, "dmd_sigmas": scheduler.sigmas, "dmd_timesteps": timesteps}
    more |= {"all_timesteps": timesteps, "return_dict": False}
    return list(timesteps), lambda t, x: scheduler.step(output, t, x, cur_sampling_step=next(count), **more)[0]


def score_ve(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """Corrections, then a prediction."""
    corrections = [None] * scheduler.config.correct_steps
    calls = [call for t in scheduler.timesteps for call in (*corrections, t)]

    def step(t: Any, x: torch.Tensor) -> torch.Tensor:
        if t is None:
            return scheduler.step_correct(output, x, return_dict=False)[0]
        return scheduler.step_pred(output, t, x, return_dict=False)[0]

    return calls, step


def score_vp(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """Predictions."""
    return list(scheduler.timesteps), lambda t, x: scheduler.step_pred(output, x, t)[0]


def karras_ve(scheduler: Any, output: torch.Tensor, z: torch.Tensor) -> tuple[list[Any], StepOnce]:
    """Noise and a step; then the step corrected."""
    falling = [*scheduler.schedule.flip(0), torch.zeros(())]
    calls = [(stage, *pair) for pair in itertools.pairwise(falling) for stage in (0, 1)][:-1]
    kept: dict[str, Any] = {}

    def step(t: Any, x: torch.Tensor) -> torch.Tensor:
        stage, sigma, after = t
        if stage == 0:
            kept["hat"], kept["sigma"] = scheduler.add_noise_to_input(x, sigma)
            x, kept["derivative"] = scheduler.step(output, kept["sigma"], after, kept["hat"], return_dict=False)[:2]
            return x
        given = (output, kept["sigma"], after, kept["hat"], x, kept["derivative"])
        return scheduler.step_correct(*given, return_dict=False)[0]

    return calls, step


STEPPING = {
    "CogVideoXDPMScheduler": cogvideox,
    "CosineDPMSolverMultistepScheduler": brownian,
    "DDPMWuerstchenScheduler": one_to_a_sample,
    "DPMSolverSDEScheduler": brownian,
    "HeliosDMDScheduler": helios_dmd,
    "KarrasVeScheduler": karras_ve,
    "RFD4ProteinaScheduler": masked,
    "RePaintScheduler": repaint,
    "SCMScheduler": open_ended,
    "ScoreSdeVeScheduler": score_ve,
    "ScoreSdeVpScheduler": score_vp,
    "UnCLIPScheduler": told_the_next,
}
