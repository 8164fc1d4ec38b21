"""The straight path of flow matching, alpha = 1 - sigma, and the shifts of its grid.

Lipman et al. 2022 (arXiv 2210.02747); Liu et al. 2022 (arXiv 2209.03003). Time runs from noise (sigma = 1) to data.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.grid import Clock, Grid, check_clock
from multisched.schedules import checks, ratios
from multisched.schedules.base import Point, Schedule
from multisched.schedules.spacing import linear_quadratic
from multisched.values import TRAINING_TIMESTEPS, check_options, real, shown


def shift(sigmas: Any, factor: float) -> Any:
    """factor * sigma / (1 + (factor - 1) * sigma): more steps at high noise for factor > 1 (Esser et al. 2024, arXiv
    2403.03206, eq. 23)."""
    # The denominator is written so that sigma = 1 stays exactly 1.
    return factor * sigmas / (factor * sigmas + (1 - sigmas))


@dataclass(frozen=True)
class Flow(Schedule):
    """The straight path with T training timesteps t = T * sigma.

    Args:
        num_train_timesteps: T.
        shift: factor of `shift`, applied once.
        sigma_max, sigma_min (None for 1 / T): levels in [0, 1] between which the steps are even before the shift.
        spare_step: whether n + 1 points are placed there and the lowest is left out.
        spacing: "even", or "linear_quadratic" below sigma_max (`schedules.spacing.linear_quadratic`).
        last_step: size of the step before that point, as a share of the others, in (0, 1].
        sigma_limit: noise levels are kept from exceeding this; below 1 a solver never starts at pure noise.
        sigma_schedule: None, or a kind of `schedules.ratios` that spaces sigma anew between the ends of the run.
        ratio_range: ends of the ratios sigma / (1 - sigma) that it spaces in place of sigma, without any shift.
        timestep_rounding: "none", or "down" to whole timesteps.
        inverted: whether the model is told T * (1 - sigma), how much data there is.
        final_sigmas_type: whether a run ends at sigma = 0 ("zero") or stays at its last level ("last").
        use_dynamic_shifting, time_shift_type: whether each run is shifted by its own `mu` instead, which follows the
            image size: by the factor exp(mu) ("exponential") or mu ("linear").
        shift_terminal: last noise level before 0 that the grid is stretched to, or None. Each becomes
            1 - (1 - sigma) * (1 - shift_terminal) / (1 - sigma_last); a single level of 1 stays as it is.
        double_shift: whether the grid is made as ACE-Step and diffusers 0.42.1 make it: between end points that are
            shifted already, the shift is applied again, to `sigmas=` and `timesteps=` too.
        final_sigma: noise level that a run ends at, instead.
        shift_given: whether the shift is applied to `sigmas=` and `timesteps=` too.
        timesteps_as_levels: whether given timesteps are only another way to say the noise levels t / T, falling even
            where `inverted`, and the model is told the timesteps of the grid that they make.
        spaced_min, spaced_max: ends of a sigma_schedule in place of the run's own, 0 < spaced_min < spaced_max <= 1.
        clock: how the timesteps of a run are computed, see `grid.Clock`; None for the exact ones.

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
    last_step: float = 1.0
    timesteps_as_levels: bool = False
    final_sigma: float | None = None
    ratio_range: tuple[float, float] | None = None
    shift_given: bool = False
    spacing: str = "even"
    spaced_min: float | None = None
    spaced_max: float | None = None
    clock: Clock | None = None

    def __post_init__(self) -> None:
        check_options(
            self,
            positive=("shift",),
            counts={"num_train_timesteps": TRAINING_TIMESTEPS},
            time_shift_type=("exponential", "linear"),
            timestep_rounding=("none", "down"),
            spacing=("even", "linear_quadratic"),
            final_sigmas_type=("zero", "last"),
            sigma_schedule=tuple(ratios.RATIOS),
        )
        check_clock(self.clock)
        for name in ("spaced_min", "spaced_max"):
            if (end := getattr(self, name)) is not None and not 0 < end <= self._most:
                raise ScheduleError(f"{name} must be in (0, {self._most:g}] or None; given {end!r}.")
        if self.ratio_range is not None:
            ends = self.ratio_range
            if not isinstance(ends, (tuple, list)) or len(ends) != 2 or self.sigma_schedule is None:
                raise ScheduleError(f"ratio_range must be two numbers, beside a sigma_schedule; given {shown(ends)}.")
            # Whether they fall, `ratios.between` says where they are used.
            object.__setattr__(self, "ratio_range", tuple(real("ratio_range", end) for end in ends))
        if not 1 / self.num_train_timesteps <= self.sigma_max <= 1:
            raise ScheduleError(f"sigma_max must be in [1 / num_train_timesteps, 1]; given {self.sigma_max!r}.")
        if self.sigma_min is not None and not 0 <= self.sigma_min <= self.sigma_max:
            raise ScheduleError(f"sigma_min must be in [0, sigma_max] or None; given {self.sigma_min!r}.")
        for name in ("sigma_limit", "last_step"):
            if not 0 < getattr(self, name) <= 1:
                raise ScheduleError(f"{name} must be in (0, 1]; given {getattr(self, name)!r}.")
        if self.shift_terminal is not None and not 0 < self.shift_terminal < 1:
            raise ScheduleError(f"shift_terminal must be in (0, 1) or None; given {self.shift_terminal!r}.")

    _most: ClassVar[float] = 1.0  # noise level of the path
    _prior: ClassVar[float | None] = None

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        if backend is None:
            timesteps = checks.times(timesteps, self.num_train_timesteps)
        elif not str(timesteps.dtype).endswith(("float32", "float64")):
            timesteps = backend.xp.astype(timesteps, backend.xp.float32)
        share = timesteps / self.num_train_timesteps
        return (share, 1 - share) if self.inverted else (1 - share, share)

    def point(self, ratio: Any) -> Point:
        ratio = np.asarray(ratio, dtype=np.float64)
        sigma = ratio / (1 + ratio)
        return Point(self._timesteps(sigma), 1 - sigma, sigma, np.ones_like(sigma))

    def grid_of_ratios(self, ratios: Any) -> Grid:
        return replace(self, double_shift=False, shift_given=False).grid(sigmas=self.point(ratios).sigma)

    def timestep_of(self, alpha: float, sigma: float) -> float:
        return ((1 - sigma) if self.inverted else sigma) * self.num_train_timesteps

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any] | None:
        return -1.0, 1.0

    def _timesteps(self, sigma: np.ndarray) -> np.ndarray:
        times = ((1 - sigma) if self.inverted else sigma) * self.num_train_timesteps
        return np.trunc(times + 1e-6) if self.timestep_rounding == "down" else times

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """The grid of n steps, or over the noise levels or timesteps given. Without `double_shift` or `shift_given`
        those are not shifted: feeding a plan's own sigmas back gives the same plan.

        Args:
            n: number of steps, 1..T, or any with a `sigma_min`.
            timesteps: (steps,) in (0, T], falling, or in [0, T) and rising where `inverted`; with `sigmas` too, what
                the model is given at each of them.
            sigmas: (steps,) in (0, 1], falling.
            mu: the dynamic shift of this run; needed, and allowed, only where it is applied.

        Raises:
            ScheduleError: as `Schedule.grid`, and a `mu` that is missing; timesteps and sigmas may come together.
        """
        told = None
        if sigmas is None and timesteps is None:
            checks.one_of(n=n, timesteps=timesteps, sigmas=sigmas)
            n = checks.steps(n, self.num_train_timesteps if self.sigma_min is None else None)
            if self.ratio_range is None:
                levels = self._apply_shift(self._even(n), mu)
            else:
                levels = self.point(ratios.between(str(self.sigma_schedule), *self.ratio_range, n)).sigma
        else:
            levels, told = self._given(timesteps, sigmas)
            if self.double_shift or self.shift_given:
                levels = self._apply_shift(levels, mu)
            elif mu is not None:
                raise ScheduleError(f"given sigmas and timesteps are taken as they are, so mu={shown(mu)} has no use.")
            checks.same_length(n, levels.size)
        levels = levels if self.sigma_limit == 1 else np.minimum(levels, self.sigma_limit)
        if not (np.all(np.diff(levels) < 0) and levels[-1] > 0):
            raise ScheduleError(f"these options make noise levels that do not fall strictly to 0: {shown(levels)}.")
        told = self._timesteps(levels) if told is None else told
        end = 0.0 if self.final_sigmas_type == "zero" else levels[-1]
        end = float(end if self.final_sigma is None else self.final_sigma)
        levels = np.append(levels, end)
        told = np.append(told, self.timestep_of(1 - end, end))
        made = Grid(told, self._alphas(levels), levels, prior=self._prior)
        if self.clock is None:
            return made
        return replace(made, timesteps=self.clock.timesteps(self, made, timesteps, sigmas, mu))

    def _even(self, n: int) -> np.ndarray:
        if self.spacing == "linear_quadratic":
            return self.sigma_max * linear_quadratic(n)
        top, bottom = self.sigma_max, 1 / self.num_train_timesteps if self.sigma_min is None else self.sigma_min
        if self.double_shift and not self.use_dynamic_shifting:
            top, bottom = shift(top, self.shift), shift(bottom, self.shift)
        if self.spare_step:
            bottom = top - (top - bottom) * (n - 1) / (n - 1 + self.last_step)
        return np.linspace(top, bottom, n)

    def _apply_shift(self, sigmas: np.ndarray, mu: float | None) -> np.ndarray:
        on = self.use_dynamic_shifting
        if on != (mu is not None):
            raise ScheduleError(f"mu must be given exactly if use_dynamic_shifting is on; it is {on}, mu={shown(mu)}.")
        if mu is None:
            shifted = sigmas if self.shift == 1 else shift(sigmas, self.shift)
        else:
            # exp(700) is about the largest float64
            if not abs(mu) <= 700 or (self.time_shift_type == "linear" and mu <= 0):
                raise ScheduleError(
                    f"mu must be in [-700, 700], and positive for the linear time shift; given {shown(mu)}."
                )
            shifted = shift(sigmas, math.exp(mu) if self.time_shift_type == "exponential" else mu)
        if self.shift_terminal is not None and shifted[-1] != 1:
            shifted = 1 - (1 - shifted) * ((1 - self.shift_terminal) / (1 - shifted[-1]))
        if self.sigma_schedule is not None:
            top = float(shifted[0]) if self.spaced_max is None else self.spaced_max
            bottom = float(shifted[-1]) if self.spaced_min is None else self.spaced_min
            shifted = ratios.between(self.sigma_schedule, top, bottom, shifted.size)
        return shifted

    def _alphas(self, sigmas: np.ndarray) -> np.ndarray:
        return 1 - sigmas

    def _given(self, timesteps: Any, sigmas: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Noise levels without the closing 0, and the timesteps that were given for them, if any."""
        told, total = None, self.num_train_timesteps
        if timesteps is not None:
            told = checks.numbers("timesteps", timesteps)
            rising = self.inverted and not self.timesteps_as_levels
            name = "num_train_timesteps - timesteps" if rising else "timesteps"
            levels = self._open(name, total - told if rising else told, total) / total
            told = told[: levels.size]
        if sigmas is not None:
            levels = self._open("sigmas", sigmas, 1.0)
            if told is not None and told.size != levels.size:
                raise ScheduleError(f"timesteps and sigmas must have one length; given {told.size} and {levels.size}.")
        return levels, None if self.timesteps_as_levels else told

    def _open(self, name: str, values: Any, top: float) -> np.ndarray:
        chosen = checks.descending(name, values)
        checks.within(name, chosen, 0.0, top)
        chosen = chosen[:-1] if chosen[-1] == 0 else chosen
        if chosen.size == 0:
            raise ScheduleError(f"{name} must hold a level above 0; given {shown(values)}.")
        return chosen


@dataclass(frozen=True)
class ExplodingFlow(Flow):
    """The grids of `Flow` on the path x0 + sigma * noise, for levels that are spaced up to a `spaced_max` above 1."""

    _most = 1e6
    _prior = 0.0

    def _alphas(self, sigmas: np.ndarray) -> np.ndarray:
        return np.ones_like(sigmas)

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        xp = np if backend is None else backend.xp
        share = (np.asarray(timesteps, dtype=np.float64) if backend is None else timesteps) / self.num_train_timesteps
        sigma = 1 - share if self.inverted else share
        return xp.ones_like(sigma), sigma

    def velocity(self, alpha: Any, sigma: Any) -> None:
        """None: the path is not straight."""

    def point(self, ratio: Any) -> Point:
        sigma = np.asarray(ratio, dtype=np.float64)
        return Point(self._timesteps(sigma), np.ones_like(sigma), sigma, np.ones_like(sigma))
