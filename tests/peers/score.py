"""diffusers' schedulers of score-based models, run as their pipelines run them: in which order their methods are called
and what the model is told, the schedulers leave to those.

Each is given its noise by its attribute `give`.
"""

from typing import Any

import numpy as np
import torch
from classes import class_of

import multisched as ms


class Ve:
    """Corrections, then a prediction, whose mean is the result of the last step; the model is told sigma."""

    def __init__(self, **config: Any) -> None:
        self.inner = class_of("ScoreSdeVeScheduler").from_config(config)
        self.calls = 0

    def set_timesteps(self, num_inference_steps: int) -> None:
        self.inner.set_timesteps(num_inference_steps)
        self.inner.set_sigmas(num_inference_steps)
        self.timesteps = self.inner.sigmas.repeat_interleave(self.inner.config.correct_steps + 1)
        place = (self.inner.timesteps.double() * (num_inference_steps - 1)).long()
        self.sigmas = np.append(self.inner.discrete_sigmas[place], 0.0 * self.inner.discrete_sigmas[0])
        if place[-1] > 0:
            self.sigmas[-1] = self.inner.discrete_sigmas[place[-1] - 1]

    def widen(self, plan: ms.Plan) -> None:
        n, config = len(plan.grid), self.inner.config
        ends = np.log([config.sigma_min, config.sigma_max])
        self.inner.discrete_sigmas = torch.from_numpy(np.exp(np.linspace(*ends, n)))
        self.inner.timesteps = torch.from_numpy(np.linspace(1, config.sampling_eps, n))
        self.default = torch.float64

    default = torch.float32

    def step(self, output: torch.Tensor, timestep: Any, sample: torch.Tensor, noise: Any) -> torch.Tensor:
        step, stage = divmod(self.calls, self.inner.config.correct_steps + 1)
        self.calls += 1
        torch.set_default_dtype(self.default)
        try:
            if stage < self.inner.config.correct_steps:
                return self.inner.step_correct(output, sample).prev_sample
            predicted = self.inner.step_pred(output, self.inner.timesteps[step], sample)
        finally:
            torch.set_default_dtype(torch.float32)
        last = step == len(self.inner.timesteps) - 1
        return predicted.prev_sample_mean if last else predicted.prev_sample


class Vp:
    """Predictions; the last one gives its mean."""

    def __init__(self, **config: Any) -> None:
        self.inner = class_of("ScoreSdeVpScheduler").from_config(config)
        self.calls = 0

    def set_timesteps(self, num_inference_steps: int) -> None:
        self.inner.set_timesteps(num_inference_steps)
        self.timesteps = self.inner.timesteps
        self.sigmas = np.append(self.timesteps, 0.0)

    def widen(self, plan: ms.Plan) -> None:
        self.inner.timesteps = self.timesteps = torch.from_numpy(plan.timesteps.copy())

    def step(self, output: torch.Tensor, timestep: Any, sample: torch.Tensor, noise: Any) -> torch.Tensor:
        after, mean = self.inner.step_pred(output, sample, timestep)
        self.calls += 1
        return mean if self.calls == len(self.timesteps) else after


class Karras:
    """Noise, the model's call, a step; a second call, and the step corrected. The noise of a step is added at the end
    of the one before."""

    def __init__(self, **config: Any) -> None:
        self.inner = class_of("KarrasVeScheduler").from_config(config)
        self.calls = 0

    def set_timesteps(self, num_inference_steps: int) -> None:
        self.inner.set_timesteps(num_inference_steps)
        self.read()

    def read(self) -> None:
        """The levels, which the scheduler lists from the lowest."""
        falling = [*self.inner.schedule.flip(0), torch.zeros((), dtype=self.inner.schedule.dtype)]
        self.hats = [self.raised(torch.zeros(()), sigma)[1] for sigma in falling]
        self.ends = falling[1:]
        self.timesteps = torch.stack([one for pair in zip(self.hats, self.ends, strict=False) for one in pair][:-1])
        self.sigmas = torch.stack(self.hats)

    @staticmethod
    def give(noise: torch.Tensor) -> None:
        """Lets diffusers draw this."""

    def raised(self, sample: torch.Tensor, sigma: torch.Tensor, noise: Any = None) -> tuple[Any, Any]:
        self.give(torch.zeros_like(sample) if noise is None else noise)
        return self.inner.add_noise_to_input(sample, sigma)

    def widen(self, plan: ms.Plan) -> None:
        above = np.append(plan.grid.next_sigmas[:-1][::-1], self.inner.config.sigma_max**2)
        self.inner.schedule = torch.from_numpy(above)
        self.read()

    def step(self, output: torch.Tensor, timestep: Any, sample: torch.Tensor, noise: Any) -> torch.Tensor:
        step, stage = divmod(self.calls, 2)
        self.calls += 1
        levels = {"sigma_hat": self.hats[step], "sigma_prev": self.ends[step]}
        if stage == 0:
            after = self.inner.step(output, **levels, sample_hat=sample)
            self.before = {"sample_hat": sample, "derivative": after.derivative}
            return after.prev_sample
        after = self.inner.step_correct(output, **levels, sample_prev=sample, **self.before)
        return self.raised(after.prev_sample, self.ends[step], noise)[0]
