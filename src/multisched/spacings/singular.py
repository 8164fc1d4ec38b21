"""Placements that belong to one model's code."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from multisched import checks
from multisched.grid import Grid
from multisched.paths.base import Path, Points
from multisched.spacings.base import Asked, Link
from multisched.values import STEPS, check_options, count

Mode = Literal["log", "power"]


@dataclass(frozen=True)
class Proteina(Link):
    """The times of RFD4-Proteina, t = 1 - sigma from about 0.001 to 1; the last steps are finer.

        power  t = (c + (1 - c) * i / n)^2,                                  c = sqrt(0.001)
        log    t = (b - 10^(c - (c + 2) * i / n)) / (b - 0.01),   b = c + 10^c,   c = 0.001

    Args:
        mode: "log" or "power".
        tail_steps: how many steps are finer, where n has room.
        tail_step_multiplier: how many of these make one other.

    Raises:
        ScheduleError: if the mode is another, there are less than 0 finer steps, or the multiplier is below 2.

    Example:
        >>> ms.RFD4Proteina(tail_steps=0).plan(4).timesteps.round(3).tolist()
        [0.001, 0.691, 0.909, 0.978]
    """

    placing: ClassVar[bool] = True

    mode: Mode = "log"
    tail_steps: int = 10
    tail_step_multiplier: int = 2

    def __post_init__(self) -> None:
        check_options(self)
        count("tail_steps", self.tail_steps, STEPS, least=0)
        count("tail_step_multiplier", self.tail_step_multiplier, STEPS, least=2)

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        n, fine = checks.steps(asked.n), self.tail_step_multiplier
        tail = min(self.tail_steps, n // fine)
        whole = n - fine * tail
        ramp = np.append(np.arange(whole), whole + np.arange(fine * tail) / fine) / (whole + tail)
        c = 0.001
        if self.mode == "power":
            return Points(1 - (math.sqrt(c) * (1 - ramp) + ramp) ** 2)
        top = c + 10**c
        return Points(1 - (top - 10 ** (c - (c + 2) * ramp)) / (top - 0.01))


@dataclass(frozen=True)
class Stage(Link):
    """n even levels of a stage of Helios, of n + spare from the top on; see `paths.Staged`.

    Args:
        spare: points placed below those that a run visits.

    Example:
        >>> print(ms.Helios().parts().spacing)
        Stage(spare=0) | Shift(factor=1.0, on_given=False) | End(to=0.0, prior=None)
    """

    placing: ClassVar[bool] = True

    spare: int = 0

    def __post_init__(self) -> None:
        check_options(self)
        checks.count("spare", self.spare, STEPS, least=0)

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        n, (top, bottom) = checks.steps(asked.n, path.num_train_timesteps), path.ends
        return Points(np.linspace(top, bottom, n + self.spare)[:n])


@dataclass(frozen=True)
class SineTimes(Link):
    """Even in arcsin(sqrt(sigma)), on the path `paths.Circle` (Crowson's v-diffusion, its code).

    sigma_i = sin(pi / 2 * (1 - i / n))^2,   t_i = 2 / pi * arcsin(sigma_i)

    Example:
        >>> ms.MiniMaxH3().plan(4).sigmas.round(3).tolist()
        [1.0, 0.973, 0.923, 0.8, 0.0]
    """

    placing: ClassVar[bool] = True

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        n = checks.steps(asked.n)
        return Points(times=_times_of(np.cos(math.pi / 2 * np.arange(n) / n) ** 2))


@dataclass(frozen=True)
class OneRun(Link):
    """The levels of the one run that there is, on the path `paths.Circle`.

    Args:
        sigmas: (n,) sigmas within [0, 1], decreasing.

    Raises:
        ScheduleError: if they are no such list.

    Example:
        >>> chain = ms.spacings.OneRun((1.0, 0.5))
        >>> recipe = ms.Scheduler(ms.paths.Straight(), chain, "flow_prediction", ms.solvers.Euler())
        >>> recipe.plan(2).sigmas.round(4).tolist()
        [0.001, 0.0003, 0.0]
    """

    placing: ClassVar[bool] = True

    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        given = checks.numbers("sigmas", self.sigmas)
        checks.within("sigmas", given, 0, 1)
        object.__setattr__(self, "sigmas", tuple(given.tolist()))

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        checks.same_length(checks.steps(asked.n), len(self.sigmas))
        return Points(times=_times_of(np.array(self.sigmas)))


def _times_of(sigma: np.ndarray) -> np.ndarray:
    times: np.ndarray = np.minimum(2 / math.pi * np.arcsin(sigma), 1.0)  # arcsin(1) may be rounded up
    return times


@dataclass(frozen=True)
class Descent(Link):
    """The discrete process of n levels that are even in log sigma (Song et al. 2020, arXiv 2011.13456, appendix C).

        sigma_i = sigma_min * (sigma_max / sigma_min)^(i / (n - 1)),   i = floor(t * (n - 1))

    for n even times t from 1 to sampling_eps. Each step goes down to sigma_(i-1), the last one to 0, while sigma at t
    itself is passed to the model.

    Args:
        sampling_eps: the last time, in [0, 1].

    Raises:
        ScheduleError: if it is out of range.

    Example:
        >>> plan = ms.ScoreSdeVe(sampling_eps=0.1).plan(3)
        >>> plan.timesteps.round(3).tolist()
        [1348.0, 1348.0, 6.627, 6.627, 0.033, 0.033]
    """

    closing: ClassVar[bool] = True
    replaced: ClassVar[bool] = True

    sampling_eps: float = 1e-5

    def __post_init__(self) -> None:
        check_options(self)
        checks.within("sampling_eps", np.array(self.sampling_eps), 0, 1)

    def __call__(self, path: Path, asked: Asked, made: Grid) -> Grid:
        times, (top, bottom) = np.linspace(1, self.sampling_eps, len(made)), path.ends
        place = len(made) - 1 - np.trunc(times * (len(made) - 1)).astype(int)
        aims = made.sigmas[place + 1]
        end = path.timestep_of(1.0, float(aims[-1]))
        told = np.append(bottom * (top / bottom) ** times, end)
        return replace(made, timesteps=told, sigmas=np.append(made.sigmas[place], aims[-1]), next_sigmas=aims)
