"""A run of any scheduler of diffusers on data, as its pipelines run it, beside a run of a plan on the same data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from classes import class_of, defaults_of, made
from score import Karras, Ve, Vp

import multisched as ms

SHAPE = (1, 36)  # of the data: samples and channels, which is the last axis too
SCORE = {"ScoreSdeVeScheduler": Ve, "ScoreSdeVpScheduler": Vp, "KarrasVeScheduler": Karras}


def noises(step: int, stage: int) -> np.ndarray:
    """The noise of a model call, float64."""
    return np.random.default_rng((7, step, stage)).standard_normal(SHAPE)


def data(step: int, stage: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """The sample and the output, of so many parts, of a model call, float64."""
    rng = np.random.default_rng((8, step, stage))
    return rng.standard_normal(SHAPE), rng.standard_normal((SHAPE[0], parts * SHAPE[1], *SHAPE[2:]))


class Run:
    """A run of one scheduler.

    Attributes:
        timesteps: one for each model call.
        parts: how many parts an output has along its second axis.
    """

    def __init__(self, name: str, config: dict[str, Any], **arguments: Any) -> None:
        self.name = name.removesuffix("Scheduler")
        self.scheduler = SCORE[name](**config) if name in SCORE else made(name, config)
        with giving(name) as give:
            give(torch.zeros(()))
            self.scheduler.set_timesteps(**arguments)
        every = self.scheduler.timesteps
        ended = self.name in ("SCM", "DDPMWuerstchen")  # these list the end of a run too
        self.timesteps = every[:-1] if ended else every
        self.scheduler.is_scale_input_called = True
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(0)
        self.before: Any = (None, None)

    @property
    def parts(self) -> int:
        if self.name == "Piflow":
            return int(self.scheduler.config.n_grid)
        learns = "variance_type" in defaults_of(f"{self.name}Scheduler")
        return 1 + (learns and str(self.scheduler.config.variance_type).startswith("learned"))

    def step(self, output: torch.Tensor, row: int, sample: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The sample after a model call."""
        t, scheduler, more = self.timesteps[row], self.scheduler, {}
        if self.name == "CogVideoXDPM":
            back, old = self.before
            after, x0 = scheduler.step(output, old, int(t), back, sample)
            self.before = (int(t), x0)
            return after
        if f"{self.name}Scheduler" in SCORE:
            return scheduler.step(output, t, sample, noise)
        if self.name == "UnCLIP":
            more = {"prev_timestep": None if row == len(self.timesteps) - 1 else self.timesteps[row + 1]}
        elif self.name == "LCM":  # as an int, since of a tensor the boundary's weights are made in single precision
            t = int(t)
        elif self.name == "DDPMWuerstchen":
            t = t[None]
        elif self.name == "RePaint":
            t, more = int(t), dict.fromkeys(("original_image", "mask"), torch.zeros_like(sample))
        elif self.name == "RFD4Proteina":
            output, sample = (one.reshape(1, SHAPE[1], -1) for one in (output, sample))
            more = {"emit_mask": torch.ones(sample.shape[:2], dtype=torch.bool)}
        elif self.name == "HeliosDMD":
            output, sample, noise = (one[..., None] for one in (output, sample, noise))
            more = {"dmd_noisy_tensor": noise, "cur_sampling_step": row, "all_timesteps": scheduler.timesteps}
            more |= {"dmd_sigmas": scheduler.sigmas, "dmd_timesteps": scheduler.timesteps}
        return scheduler.step(output, t, sample, **more).prev_sample.reshape(SHAPE)


@contextmanager
def giving(name: str) -> Iterator[Callable[[torch.Tensor], None]]:
    """Let the scheduler of a class draw what the function yielded was last called with."""
    given: list[torch.Tensor] = []

    def give(noise: torch.Tensor) -> None:
        given[:] = [noise]

    def randn_tensor(shape: Any, *, dtype: Any = None, **_: Any) -> torch.Tensor:
        noise = given[0] if len(shape) else torch.zeros(())
        return noise.to(dtype).reshape(tuple(shape))

    names = {"randn_tensor": randn_tensor, "BrownianTreeNoiseSampler": lambda *_, **__: lambda *_: given[0]}
    if name in SCORE:
        SCORE[name].give = staticmethod(give)
    with mock.patch.dict(class_of(name).set_timesteps.__globals__, names):
        yield give


def rows(run: Run, stages: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The samples after each model call of diffusers; every step begins with fresh data."""
    sample, step = None, -1
    with giving(f"{run.name}Scheduler") as give:
        for row, stage in enumerate(stages):
            step += stage == 0
            fresh, output = (torch.from_numpy(one) for one in data(step, stage, run.parts))
            noise = torch.from_numpy(noises(step, stage))
            give(noise)
            sample = run.step(output, row, sample if stage else fresh, noise)
            yield sample.double().numpy()


def our_rows(plan: ms.Plan, parts: int) -> Iterator[np.ndarray]:
    """The same of a plan."""
    inputs = {name: np.zeros(SHAPE) for name in plan.inputs}
    state, step = plan.start(data(0, 0, parts)[0], **inputs), -1
    for stage in plan.stages:
        step += stage == 0
        fresh, output = data(step, stage, parts)
        state = state if stage else state._replace(sample=fresh)
        noise = noises(step, stage)
        drawn = (noise,) + (0.0 * noise,) * (plan.noise_draws - 1)
        state = plan.step(state, output, drawn if plan.noise_draws > 1 else noise if plan.noise_draws else None)
        yield state.sample
