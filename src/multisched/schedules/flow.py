"""The straight path of flow matching, alpha = 1 - sigma, and the shifts of its grid.

Lipman et al. 2022 (arXiv 2210.02747); Liu et al. 2022 (arXiv 2209.03003). Time runs from noise (sigma = 1) to data.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.schedules import checks, ratios
from multisched.schedules.base import Point, Schedule
from multisched.values import check_options, shown

TIME_SHIFTS = ("exponential", "linear")


def shift(sigmas: Any, factor: float) -> Any:
    """factor * sigma / (1 + (factor - 1) * sigma): more steps at high noise for factor > 1 (Esser et al. 2024, arXiv
    2403.03206, eq. 23)."""
    # The denominator is written so that sigma = 1 stays exactly 1.
    return factor * sigmas / (factor * sigmas + (1 - sigmas))


def dynamic_shift(sigmas: Any, mu: float, kind: str = "exponential") -> Any:
    """The shift by a factor that follows the image size: exp(mu) ("exponential") or mu ("linear")."""
    return shift(sigmas, math.exp(mu) if kind == "exponential" else mu)


def stretch_to_terminal(sigmas: np.ndarray, terminal: float) -> np.ndarray:
    """The grid stretched so that its last noise level is `terminal`. A single level of 1 stays as it is.

    1 - (1 - sigma) * (1 - terminal) / (1 - sigma_last)
    """
    last = sigmas[-1]
    return sigmas if last == 1 else 1 - (1 - sigmas) * ((1 - terminal) / (1 - last))


@dataclass(frozen=True)
class Flow(Schedule):
    """The straight path with T training timesteps t = T * sigma.

    Args:
        num_train_timesteps: T.
        shift: factor of `shift`, applied once.
        sigma_max, sigma_min: noise levels between which the steps are even before the shift, in [0, 1]; sigma_min is
            1 / T by default.
        spare_step: whether n + 1 points are placed there and the lowest is left out.
        sigma_limit: noise levels are kept from exceeding this; below 1 a solver never starts at pure noise.
        sigma_schedule: None, or a kind of `schedules.ratios` that spaces sigma anew between the ends of the run.
        timestep_rounding: "none", or "down" to whole timesteps.
        inverted: whether the model is told T * (1 - sigma), how much data there is.
        final_sigmas_type: whether a run ends at sigma = 0 ("zero") or stays at its last level ("last").
        use_dynamic_shifting: whether each run is shifted by its own `mu` instead.
        time_shift_type: kind of the dynamic shift, "exponential" or "linear".
        shift_terminal: last noise level before 0 that the grid is stretched to, or None.
        double_shift: whether the grid is made as ACE-Step and diffusers 0.42.1 make it: between end points that are
            shifted already, the shift is applied again, to `sigmas=` and `timesteps=` too.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    num_train_timesteps: int = 1000
    shift: float = 1.0
    sigma_max: float = 1.0
    use_dynamic_shifting: bool = False
    time_shift_type: str = "exponential"
    shift_terminal: float | None = None
    double_shift: bool = False
    sigma_min: float | None = None
    spare_step: bool = False
    sigma_limit: float = 1.0
    sigma_schedule: str | None = None
    timestep_rounding: str = "none"
    inverted: bool = False
    final_sigmas_type: str = "zero"

    def __post_init__(self) -> None:
        check_options(self)
        checks.count("num_train_timesteps", self.num_train_timesteps)
        checks.option("time_shift_type", self.time_shift_type, TIME_SHIFTS)
        if not (self.shift > 0 and math.isfinite(self.shift)):
            raise ScheduleError(f"shift must be a positive number; given {self.shift!r}.")
        checks.option("timestep_rounding", self.timestep_rounding, ("none", "down"))
        checks.option("final_sigmas_type", self.final_sigmas_type, ("zero", "last"))
        if self.sigma_schedule is not None:
            checks.option("sigma_schedule", self.sigma_schedule, tuple(ratios.RATIOS))
        if not 1 / self.num_train_timesteps <= self.sigma_max <= 1:
            raise ScheduleError(f"sigma_max must be in [1 / num_train_timesteps, 1]; given {self.sigma_max!r}.")
        if self.sigma_min is not None and not 0 <= self.sigma_min <= self.sigma_max:
            raise ScheduleError(f"sigma_min must be in [0, sigma_max] or None; given {self.sigma_min!r}.")
        if not 0 < self.sigma_limit <= 1:
            raise ScheduleError(f"sigma_limit must be in (0, 1]; given {self.sigma_limit!r}.")
        if self.shift_terminal is not None and not 0 < self.shift_terminal < 1:
            raise ScheduleError(f"shift_terminal must be in (0, 1) or None; given {self.shift_terminal!r}.")

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        if backend is None:
            timesteps = np.asarray(timesteps, dtype=np.float64)
            if not np.all((timesteps >= 0) & (timesteps <= self.num_train_timesteps)):
                raise ScheduleError(f"timesteps must lie in [0, {self.num_train_timesteps}]; given {shown(timesteps)}.")
        elif not str(timesteps.dtype).endswith(("float32", "float64")):
            timesteps = backend.xp.astype(timesteps, backend.xp.float32)
        share = timesteps / self.num_train_timesteps
        return (share, 1 - share) if self.inverted else (1 - share, share)

    def point(self, ratio: Any) -> Point:
        sigma = np.asarray(ratio, dtype=np.float64)
        sigma = sigma / (1 + sigma)
        return Point(self._timesteps(sigma), 1 - sigma, sigma, np.ones_like(sigma))

    def _timesteps(self, sigma: np.ndarray) -> np.ndarray:
        times = ((1 - sigma) if self.inverted else sigma) * self.num_train_timesteps
        return np.trunc(times) if self.timestep_rounding == "down" else times

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """The grid of n steps, or over the noise levels or timesteps given, taken as they are.

        Without `double_shift`, given levels are not shifted: feeding a plan's own sigmas back gives the same plan.
        A list may or may not include the end of the run, 0.

        Args:
            n: number of steps, 1..T.
            timesteps: (steps,) in (0, T], falling; with `sigmas` too, what the model is given at each of them.
            sigmas: (steps,) in (0, 1], falling.
            mu: the dynamic shift of this run; needed, and allowed, only where it is applied.

        Raises:
            ScheduleError: none of n, timesteps and sigmas given (n may come along if it agrees), mu missing or of no
                use, or values out of range.
        """
        if sigmas is None and timesteps is None:
            checks.one_of(n=n, timesteps=timesteps, sigmas=sigmas)
            n = checks.count("the number of steps", n, self.num_train_timesteps)
            levels = self._apply_shift(self._even(n), mu)
        else:
            levels, timesteps = self._given(timesteps, sigmas)
            if self.double_shift:
                levels = self._apply_shift(levels, mu)
            elif mu is not None:
                raise ScheduleError(f"given sigmas and timesteps are taken as they are, so mu={mu!r} has no use.")
            checks.same_length(n, levels.size)
        levels = np.minimum(levels, self.sigma_limit)
        if not (np.all(np.diff(levels) < 0) and levels[-1] > 0):
            raise ScheduleError(f"these options make noise levels that do not fall strictly to 0: {shown(levels)}.")
        if timesteps is None:
            timesteps = self._timesteps(levels)
        levels = np.append(levels, 0.0 if self.final_sigmas_type == "zero" else levels[-1])
        return Grid(np.append(timesteps, 0.0), 1 - levels, levels)

    def _even(self, n: int) -> np.ndarray:
        top, bottom = self.sigma_max, 1 / self.num_train_timesteps if self.sigma_min is None else self.sigma_min
        if self.double_shift and not self.use_dynamic_shifting:
            top, bottom = shift(top, self.shift), shift(bottom, self.shift)
        even = np.linspace(top, bottom, n + self.spare_step)
        return even[:-1] if self.spare_step else even

    def _apply_shift(self, sigmas: np.ndarray, mu: float | None) -> np.ndarray:
        if self.use_dynamic_shifting != (mu is not None):
            raise ScheduleError(
                f"mu must be given exactly if use_dynamic_shifting is on; it is {self.use_dynamic_shifting}, mu={mu!r}."
            )
        if mu is None:
            shifted = sigmas if self.shift == 1 else shift(sigmas, self.shift)
        else:
            # exp(700) is about the largest float64
            if not abs(mu) <= 700 or (self.time_shift_type == "linear" and mu <= 0):
                raise ScheduleError(f"mu must be in [-700, 700], and positive for the linear time shift; given {mu!r}.")
            shifted = dynamic_shift(sigmas, mu, self.time_shift_type)
        if self.shift_terminal is not None:
            shifted = stretch_to_terminal(shifted, self.shift_terminal)
        if self.sigma_schedule is not None:
            shifted = ratios.between(self.sigma_schedule, float(shifted[0]), float(shifted[-1]), shifted.size)
        return shifted

    def _given(self, timesteps: Any, sigmas: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Noise levels without the closing 0, and the timesteps that were given for them, if any."""
        times = None if timesteps is None else self._open("timesteps", timesteps, self.num_train_timesteps)
        if sigmas is None:
            assert times is not None
            share = times / self.num_train_timesteps
            return (1 - share if self.inverted else share), times
        levels = self._open("sigmas", sigmas, 1.0)
        if times is not None and times.size != levels.size:
            raise ScheduleError(f"timesteps and sigmas must have one length; given {times.size} and {levels.size}.")
        return levels, times

    def _open(self, name: str, values: Any, top: float) -> np.ndarray:
        chosen = checks.descending(name, values)
        checks.within(name, chosen, 0.0, top)
        chosen = chosen[:-1] if chosen[-1] == 0 else chosen
        if chosen.size == 0:
            raise ScheduleError(f"{name} must hold a level above 0; given {shown(values)}.")
        return chosen
