"""Grids of models that were distilled on the steps of another run."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched import checks
from multisched.paths.ve import VE
from multisched.paths.vp import DiscreteVP


@dataclass(frozen=True)
class Skipping(DiscreteVP):
    """A discrete schedule whose runs pick n of the timesteps that a model was distilled on, the noisiest first.

        k * (T // original_inference_steps) - 1,   k = 1 .. original_inference_steps * strength

    The "skipping step" of Luo et al. 2023 (arXiv 2310.04378, section 4.3).

    Args:
        original_inference_steps: their number, in 1..T.
        strength: share of them that is used, the cleanest, for image to image; in (0, 1].
        eta: each step aims at the level of timestep floor((1 - eta) * t_next), which the solver is to noise again.
    """

    original_inference_steps: int = 50
    strength: float = 1.0
    eta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        wanted, total = (
            checks.count("original_inference_steps", self.original_inference_steps),
            self.num_train_timesteps,
        )
        if wanted > total:
            raise ScheduleError(
                f"original_inference_steps must be in 1..num_train_timesteps = {total}; given {wanted}."
            )
        for name in ("strength", "eta"):
            checks.within(name, np.array(getattr(self, name)), 0, 1)

    def _spaced(self, n: int) -> np.ndarray:
        used = int(self.original_inference_steps * self.strength)
        if not used:
            raise ScheduleError(
                f"strength={self.strength!r} leaves none of the {self.original_inference_steps} steps of the "
                f"distillation; give at least {1 / self.original_inference_steps:.4g}."
            )
        skipped = np.floor(np.linspace(0, used, checks.steps(n, used), endpoint=False))
        return (used - skipped) * (self.num_train_timesteps // self.original_inference_steps) - 1

    def _close(self, *points: Any) -> Grid:
        grid = super()._close(*points)
        if not self.eta:
            return grid
        # In single precision, as published: there 0.1 * 990 is 99.
        alphas, sigmas = self.levels(np.floor(np.float32(1 - self.eta) * grid.timesteps[1:].astype(np.float32)))
        return replace(grid, next_alphas=alphas, next_sigmas=sigmas)


@dataclass(frozen=True)
class Decoder(DiscreteVP):
    """A discrete schedule whose runs visit 16 * min(round(64 * i / n), 63), i = n .. 1, and whose model sees the sample
    as that of EDM does, by sigma_data (Betker et al. 2023, the consistency decoder of DALL-E 3, its code)."""

    sigma_data: float = 0.5

    def scale(self, alpha: Any, sigma: Any) -> Any:
        return (sigma * sigma + (alpha * self.sigma_data) ** 2) ** -0.5

    def _spaced(self, n: int) -> np.ndarray:
        n = checks.steps(n, 32)
        return 16 * np.minimum(np.round(64 * np.arange(n, 0, -1) / n), 63)

    def _close(self, *points: Any) -> Grid:
        return replace(super()._close(*points), prior=0.0)


@dataclass(frozen=True)
class Ramp(VE):
    """A run of n steps visits the first of T = num_train_timesteps levels and every (T // n)-th after it. A grid's
    `timesteps` are places among them, 0 the noisiest, given falling (Song et al. 2023, arXiv 2303.01469, its code)."""

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        total = self.num_train_timesteps
        if timesteps is not None:
            checks.one_of(timesteps=timesteps, sigmas=sigmas)
            places = checks.descending("timesteps", timesteps)[::-1]
            checks.within("timesteps", places, 0, total - 1)
        elif sigmas is None and n is not None:
            places = np.arange(checks.steps(n, total)) * (total // n)
        else:
            return super().grid(n, None, sigmas, mu)
        ramp = places / max(total - 1, 1)
        levels = np.where(ramp == 1, self.sigma_min, self._along(ramp))
        return super().grid(n, sigmas=np.append(levels, self.sigma_min), mu=mu)
