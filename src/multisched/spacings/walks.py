"""Runs that do not only fall: from data to noise, and back and forth."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched import checks
from multisched.paths.base import Point, Schedule
from multisched.paths.flow import Flow
from multisched.paths.vp import DiscreteVP
from multisched.values import CALLS, STEPS, check_options, count, shown


@dataclass(frozen=True)
class Inverse(Schedule):
    """A run of `schedule` with one point more, the other way: the model is asked where each step begins, and the last
    step ends at the noisiest level that the schedule visits.

    Args:
        schedule: the schedule.
        repeated: whether "trailing" and sigmas of their own spacing make no such point, as in diffusers, so that the
            last step stays where it is.

    Raises:
        ScheduleError: if the schedule is another.
    """

    schedule: DiscreteVP | Flow
    repeated: bool = False

    def __post_init__(self) -> None:
        check_options(self)
        if not isinstance(self.schedule, (DiscreteVP, Flow)):
            raise ScheduleError(f"schedule must be a DiscreteVP or a Flow; given {shown(self.schedule)}.")

    @property
    def num_train_timesteps(self) -> int:  # type: ignore[override]
        return self.schedule.num_train_timesteps

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        return self.schedule.levels(timesteps, backend)

    def point(self, ratio: Any) -> Point:
        return self.schedule.point(ratio)

    def scale(self, alpha: Any, sigma: Any) -> Any:
        return self.schedule.scale(alpha, sigma)

    def timestep_of(self, alpha: float, sigma: float) -> float:
        return self.schedule.timestep_of(alpha, sigma)

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any] | None:
        return self.schedule.velocity(alpha, sigma)

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """The grid of n steps; there are no others."""
        if timesteps is not None or sigmas is not None:
            raise ScheduleError("a run to the noise takes a number of steps, not timesteps or sigmas.")
        schedule = self.schedule
        if isinstance(schedule, Flow):
            n, stays, top = checks.steps(n), True, None
        else:
            spaced = schedule.sigma_schedule is not None
            stays = schedule.timestep_spacing == "trailing" or spaced
            # The run has one point more than it has steps.
            n = checks.steps(n, schedule.num_train_timesteps - (not (self.repeated and stays)))
            top = None if spaced else replace(schedule, timestep_spacing="trailing").grid(1)
        if isinstance(schedule, DiscreteVP) and top is not None and schedule.timestep_spacing == "leading":
            above = replace(schedule, steps_offset=0, spare_step=True)._spaced(n)
            down = schedule.grid(timesteps=above - above[-1] + schedule.steps_offset)
        else:
            down = schedule.grid(n if self.repeated and stays else n + 1, mu=mu)
        timesteps, alphas, sigmas = (
            np.append(getattr(top or down, name)[:1], getattr(down, name)[-1 - n : -1])[::-1]
            for name in ("timesteps", "alphas", "sigmas")
        )
        timesteps[-1] = self.timestep_of(float(alphas[-1]), float(sigmas[-1]))
        return Grid(timesteps, alphas, sigmas, scales=self.scale(alphas, sigmas))


@dataclass(frozen=True)
class Ascending(DiscreteVP):
    """The steps of a run of `DiscreteVP` taken backwards, from data to noise. At each the model is told the timestep
    that the step leads to, as in DDIM inversion (Mokady et al. 2022, arXiv 2211.09794, section 3.1)."""

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """The grid of `DiscreteVP` the other way; lists are given as there, falling."""
        down = super().grid(n, timesteps, sigmas, mu)
        top = self.timestep_of(float(down.alphas[0]), float(down.sigmas[0]))
        times = np.append(down.timesteps[-2::-1], top)
        alphas = np.append(down.next_alphas[::-1], down.alphas[0])
        sigmas = np.append(down.next_sigmas[::-1], down.sigmas[0])
        return Grid(times, alphas, sigmas, down.alphas[-2::-1], down.sigmas[-2::-1])


@dataclass(frozen=True)
class Jumping(DiscreteVP):
    """A run that goes back on its way: whenever a whole number of times `jump_length` steps are left, the last
    `jump_length` steps are taken `jump_n_sample` times (Lugmayr et al. 2022, arXiv 2201.09865, section 4.2).

    With `late_undo` the noise of a jump back is that of as many timesteps, but counted from the last one that the model
    was asked at and not from where the step from it has led.
    """

    jump_length: int = 10
    jump_n_sample: int = 10
    late_undo: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        count("jump_length", self.jump_length, STEPS)
        count("jump_n_sample", self.jump_n_sample, STEPS)

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """The grid of `DiscreteVP` with the steps in the order of the jumps."""
        down = super().grid(n, timesteps, sigmas, mu)
        walk = self._walk(len(down))
        points = np.append(walk, len(down))
        alphas, sigmas = down.alphas[points], down.sigmas[points]
        if self.late_undo:
            after = np.flatnonzero(np.diff(walk) <= 0) + 1
            asked, bars = down.timesteps[walk[after - 1]].astype(int), np.append(1.0, self.alphas_cumprod)
            reached = np.minimum(asked + self.jump_length * (self.num_train_timesteps // len(down)), bars.size - 1)
            alphas[after] = down.next_alphas[walk[after - 1]] * np.sqrt(bars[reached] / bars[asked])
            sigmas[after] = np.sqrt(1 - alphas[after] ** 2)
        return Grid(down.timesteps[points], alphas, sigmas, down.next_alphas[walk], down.next_sigmas[walk])

    def _walk(self, n: int) -> np.ndarray:
        """Which of the n steps are taken, in order.

        Raises:
            ScheduleError: if they are more than a run may have.
        """
        back = len(range(0, n - self.jump_length, self.jump_length)) * self.jump_length * (self.jump_n_sample - 1)
        if n + back > CALLS:
            raise ScheduleError(
                f"a run has at most {CALLS} model calls; {n} steps with jump_length={self.jump_length} and "
                f"jump_n_sample={self.jump_n_sample} make {n + back}."
            )
        jumps = dict.fromkeys(range(0, n - self.jump_length, self.jump_length), self.jump_n_sample - 1)
        walk, left = [], n
        while left:
            left -= 1
            walk.append(n - 1 - left)
            if jumps.get(left):
                jumps[left] -= 1
                left += self.jump_length
        return np.array(walk)
