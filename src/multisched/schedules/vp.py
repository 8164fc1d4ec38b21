"""The discrete variance-preserving schedule: alpha_t = sqrt(alpha_bar_t), sigma_t = sqrt(1 - alpha_bar_t)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.grid import Clock, Grid, check_clock
from multisched.schedules import betas as beta_schedules
from multisched.schedules import checks, ratios, spacing
from multisched.schedules.alpha_bar import alpha_bar, betas_after, beyond_betas, trained
from multisched.schedules.base import Point, Schedule, variance_preserving
from multisched.schedules.lookup import interpolated, rising
from multisched.schedules.ve import VE
from multisched.values import TRAINING_TIMESTEPS, arithmetic, check_options, shown

ROUNDINGS: dict[str, Callable[[Any], Any]] = {
    "none": lambda t: t,
    "nearest": np.round,
    "down": lambda t: np.trunc(t + 1e-6),
}
CONTINUOUS = VE(sigma_data=1.0, timestep="quarter_log")


@dataclass(frozen=True)
class DiscreteVP(Schedule):
    """alpha_bar_t = prod (1 - beta_s) on the timesteps 0..T-1 (Ho et al. 2020, arXiv 2006.11239, eq. 4).

    Args:
        num_train_timesteps: T.
        beta_start, beta_end, beta_schedule: see `schedules.betas.betas`.
        trained_betas: (T,) betas of one's own instead.
        snr_shift_scale: what the signal-to-noise ratio is divided by (`schedules.betas.shift_snr`).
        rescale_betas_zero_snr: whether the last timestep is made pure noise (`rescale_zero_terminal_snr`).
        terminal_alpha_bar: alpha_bar that it then has; 2^-24 keeps the ratio sigma / alpha finite.
        timestep_spacing, steps_offset: see `schedules.spacing.timesteps`; `spare_step` and `whole_timesteps` too.
        lambda_min_clipped: timesteps whose log(alpha / sigma) is below this are not visited.
        sigma_schedule: None, or a kind of `schedules.ratios` that spaces the ratios sigma / alpha instead.
        sigma_range: whether that runs between the levels of the "run" otherwise chosen, or of the whole "table".
        sigma_min, sigma_max: ends of it instead.
        spare_sigma: whether that is one level more, at which the run ends, with the timesteps of the run otherwise
            chosen; continuous ones are told for it too, and the run goes on to its end.
        timestep_rounding: of the timesteps of a run: "none", "nearest" or "down".
        timestep_type: whether the model is told the timestep ("discrete") or log(sigma) / 4 ("continuous", for "ve").
        final_sigmas_type: where a run ends: at x0 ("zero"), at timestep 0 ("sigma_min") or at its last level ("last").
        sigmas_end: whether a list of sigmas always includes the end of its run, whatever that is.
        previous_timestep: "list" to aim each step at the next timestep of the run; "stride" to aim it at
            t - T // n, as DDIM implementations did before the other spacings came (they part for linspace, and for
            trailing where n does not divide T).
        space: "vp" for samples alpha * x0 + sigma * noise; "ve" for x0 + (sigma / alpha) * noise, which the model sees
            scaled back.
        precision: of the betas and of alpha_bar. Checkpoints were trained on float32 values.
        clock: how the timesteps of a run are computed, see `grid.Clock`; None for the exact ones.
        strict: whether betas are refused that are not T numbers in (0, 1). If not, there is a level for each of them,
            and timesteps beyond them have the last one.

    Raises:
        ScheduleError: an option that is not one of those named, or numbers that make no schedule.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    trained_betas: tuple[float, ...] | None = None
    rescale_betas_zero_snr: bool = False
    timestep_spacing: str = "leading"
    steps_offset: int = 0
    final_sigmas_type: str = "zero"
    previous_timestep: str = "list"
    precision: str = "float32"
    snr_shift_scale: float = 1.0
    terminal_alpha_bar: float = 0.0
    spare_step: bool = False
    whole_timesteps: bool = True
    lambda_min_clipped: float = -math.inf
    sigma_schedule: str | None = None
    sigma_range: str = "run"
    sigma_min: float | None = None
    sigma_max: float | None = None
    timestep_rounding: str = "none"
    space: str = "vp"
    timestep_type: str = "discrete"
    spare_sigma: bool = False
    sigmas_end: bool = False
    clock: Clock | None = None
    strict: bool = True

    def __post_init__(self) -> None:
        check_options(self, timestep_type=("discrete", "continuous"))
        check_options(
            self,
            positive=("snr_shift_scale",),
            counts={"num_train_timesteps": TRAINING_TIMESTEPS},
            beta_schedule=beta_schedules.BETA_SCHEDULES,
            timestep_spacing=spacing.SPACINGS,
            previous_timestep=("list", "stride"),
            precision=("float32", "float64"),
            final_sigmas_type=("zero", "sigma_min", "last"),
            sigma_range=("run", "table"),
            timestep_rounding=tuple(ROUNDINGS),
            space=("ve",) if self.timestep_type == "continuous" else ("ve", "vp"),
            sigma_schedule=tuple(ratios.RATIOS),
        )
        if self.trained_betas is not None:
            object.__setattr__(self, "trained_betas", trained(self.trained_betas))
        check_clock(self.clock)
        with arithmetic():
            alpha_bar(self)

    @property
    def alphas_cumprod(self) -> np.ndarray:
        """alpha_bar_t, float64 (T,), read-only."""
        return alpha_bar(self)

    @property
    def betas(self) -> np.ndarray:
        """beta_t, float64 (T,), read-only: those of the options; 1 - alpha_bar_t / alpha_bar_(t-1) where the schedule
        is rescaled to zero terminal SNR or its SNR shifted."""
        return betas_after(self)

    @property
    def ratios(self) -> np.ndarray:
        """sigma / alpha at each timestep, float64 (T,); infinite at pure noise."""
        with np.errstate(divide="ignore"):
            return np.sqrt((1 - self.alphas_cumprod) / self.alphas_cumprod)  # type: ignore[no-any-return]

    def scale(self, alpha: Any, sigma: Any) -> Any:
        return 1.0 + 0.0 * sigma if self.space == "vp" else (alpha * alpha + sigma * sigma) ** -0.5

    @property
    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        """(alpha, sigma) at each timestep."""
        if self.space == "vp":
            return np.sqrt(self.alphas_cumprod), np.sqrt(1 - self.alphas_cumprod)
        return np.ones(self._size), self.ratios

    @property
    def _places(self) -> np.ndarray:
        """The timesteps of `_tables`, after -1, the clean sample: its alpha_bar is the empty product, 1."""
        return np.arange(-1, self._size)

    @property
    def _size(self) -> int:
        """Number of timesteps that have a level."""
        return int(self.alphas_cumprod.size)

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        """As `Schedule.levels`, for timesteps in [-1, T - 1]; between two whole ones, both are interpolated linearly,
        and so are they between -1, the clean sample (alpha = 1, sigma = 0), and 0."""
        if self.timestep_type == "continuous":
            return CONTINUOUS.levels(timesteps, backend)
        last = max(self._size, self.num_train_timesteps) - 1
        tables = (np.append(clean, table) for clean, table in zip((1.0, 0.0), self._tables, strict=True))
        if backend is None:
            wanted = checks.times(timesteps, last, -1)
            alpha, sigma = (np.interp(wanted, self._places, table) for table in tables)
            return alpha, sigma
        alpha, sigma = interpolated(backend, timesteps, self._places, *tables)
        return alpha, sigma

    def timestep_of(self, alpha: float, sigma: float) -> float:
        """That at which `levels` has this sigma."""
        if self.timestep_type == "continuous":
            return CONTINUOUS.timestep_of(alpha, sigma)
        told = rising(table := np.append(0.0, self._tables[1]))
        return float(np.interp(sigma, table[told], self._places[told]))

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        """v at the level that is variance preserving: that of what the model sees, in the space "ve"."""
        scale = 1.0 if self.space == "vp" else (alpha * alpha + sigma * sigma) ** -0.5
        return -scale * sigma, scale * alpha

    def point(self, ratio: Any) -> Point:
        """Between two timesteps, log(sigma / alpha) is interpolated linearly; beyond the ends the timestep stays."""
        if self.timestep_type == "continuous":
            return CONTINUOUS.point(ratio)
        ratio = np.asarray(ratio, dtype=np.float64)
        with np.errstate(divide="ignore"):
            table, wanted = np.log(self.ratios), np.log(ratio)
        table = np.where(np.isinf(table), np.nanmax(table[np.isfinite(table)], initial=0) + 40, table)
        told = rising(table)
        timestep = np.interp(wanted, table[told], told)
        timestep = timestep if self.clock is None else self.clock.between(self, ratio, timestep)
        alpha, sigma = variance_preserving(ratio) if self.space == "vp" else (np.ones_like(ratio), ratio)
        return Point(timestep, alpha, sigma, self.scale(alpha, sigma))

    def grid_of_ratios(self, ratios: Any) -> Grid:
        top = float(self.ratios[-1])
        if self.space == "vp" and ratios[0] > top * (1 + 1e-9):
            raise ScheduleError(f"ratios (sigma / alpha) must be at most {top:g}, the noisiest; given {shown(ratios)}.")
        sigmas = np.minimum(self.point(ratios).sigma, self._tables[1][-1])
        return replace(self, sigmas_end=False).grid(sigmas=sigmas)

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """As `Schedule.grid`. In the space "vp" timesteps are whole, and the levels are sqrt(1 - alpha_bar); in "ve"
        timesteps may lie between, and the levels are sigma / alpha."""
        if mu is not None:
            raise ScheduleError(f"mu belongs to flow schedules with use_dynamic_shifting; given {shown(mu)}.")
        made = self._exact(n, timesteps, sigmas)
        if self.clock is None:
            return made
        return replace(made, timesteps=self.clock.timesteps(self, made, timesteps, sigmas, mu))

    def _exact(self, n: int | None, timesteps: Any, sigmas: Any) -> Grid:
        """The grid with the timesteps of its levels."""
        if sigmas is not None or (timesteps is not None and not self.spare_sigma):
            kind = checks.one_of(timesteps=timesteps, sigmas=sigmas)
            made = self._grid_of_sigmas(sigmas) if kind == "sigmas" else self._grid_of_timesteps(timesteps)
            checks.same_length(n, len(made))
            return made
        kind = checks.one_of(n=n, timesteps=timesteps, sigmas=sigmas)
        chosen = self._spaced(n) if kind == "n" else checks.descending("timesteps", timesteps)  # type: ignore[arg-type]
        told = self.timestep_type == "discrete"
        if self.sigma_schedule is None and told:
            return self._grid_of_timesteps(chosen)
        levels = np.interp(chosen, np.arange(self._size), self.ratios)
        if self.sigma_schedule is not None:
            ends = self.ratios[[-1, 0]] if self.sigma_range == "table" else levels[[0, -1]]
            top = float(ends[0]) if self.sigma_max is None else self.sigma_max
            bottom = float(ends[1]) if self.sigma_min is None else self.sigma_min
            levels = ratios.between(self.sigma_schedule, top, bottom, chosen.size + self.spare_sigma)
        made = self._close(*self.point(levels)[:3])
        if self.spare_sigma and told:
            spare = made.part(0, chosen.size)
            end = self.timestep_of(float(spare.alphas[-1]), float(spare.sigmas[-1]))
            return replace(spare, timesteps=np.append(chosen, end))
        return made

    def _spaced(self, n: int) -> np.ndarray:
        last = None
        if self.lambda_min_clipped > -math.inf:
            with np.errstate(divide="ignore"):
                last = int(np.sum(-np.log(self.ratios) >= self.lambda_min_clipped))
        total, offset, kind = self.num_train_timesteps, self.steps_offset, self.timestep_spacing
        if self.sigma_schedule is not None and self.sigma_range == "table" and not self.spare_sigma:
            kind, offset = "linspace", 0  # only their number counts
        return spacing.timesteps(kind, n, total, offset, self.spare_step, self.whole_timesteps, last)

    def _final(self) -> tuple[float, float]:
        alphas, sigmas = self._tables
        return (1.0, 0.0) if self.final_sigmas_type == "zero" else (float(alphas[0]), float(sigmas[0]))

    def _grid_of_timesteps(self, timesteps: Any) -> Grid:
        chosen = checks.descending("timesteps", timesteps)
        if chosen.size > 1 and chosen[-1] == -1 and self._final()[1] == 0:
            chosen = chosen[:-1]  # the end of the run
        if self.timestep_type == "discrete":
            checks.times(chosen, max(self._size, self.num_train_timesteps) - 1)
        if self.space == "vp" and np.any(chosen != np.round(chosen)):
            raise ScheduleError(f"timesteps must be whole numbers in 0..{self._size - 1}; given {shown(chosen)}.")
        return self._close(chosen, *self.levels(chosen))

    def _grid_of_sigmas(self, sigmas: Any) -> Grid:
        _, final = self._final()
        given = checks.numbers("sigmas", sigmas)
        ended = given.size > 1 and (self.sigmas_end or given[-1] in (0.0, final))
        inner = checks.descending("sigmas", given[:-1] if ended else given)
        alphas, table = self._tables
        if self.space == "vp" and np.any(given > table[-1]):
            raise ScheduleError(
                f"sigmas must lie in [0, {table[-1]:g}], as sqrt(1 - alpha_bar); given {shown(given)}. "
                "If these are sigma / alpha, give them as ratios=."
            )
        checks.within("sigmas", given, 0.0, math.inf)
        if inner[-1] == 0:
            raise ScheduleError(f"sigmas must hold a level above 0 before its end; given {shown(given)}.")
        with np.errstate(divide="ignore"):
            point = self.point(inner / np.sqrt((1 - inner) * (1 + inner)) if self.space == "vp" else inner)
        # A level of the table is taken with its own alpha and timestep, bit for bit.
        index = np.clip(np.round(point.timestep).astype(np.int64), 0, table.size - 1)
        own = (table[index] == inner) & (self.timestep_type == "discrete")
        times, alpha = np.where(own, index, point.timestep), np.where(own, alphas[index], point.alpha)
        return self._close(times, alpha, inner, float(given[-1]) if self.sigmas_end and ended else None)

    def _close(self, timesteps: np.ndarray, alphas: np.ndarray, sigmas: np.ndarray, end: float | None = None) -> Grid:
        beyond_betas(self, timesteps, alphas, sigmas)
        alpha, sigma = (alphas[-1], sigmas[-1]) if self.final_sigmas_type == "last" else self._final()
        if end is not None:
            alpha, sigma = 1.0 if self.space == "ve" else math.sqrt((1 - end) * (1 + end)), end
        end_time = self.timestep_of(float(alpha), float(sigma))
        times = np.append(ROUNDINGS[self.timestep_rounding](timesteps), end_time)
        ends = (np.append(alphas, alpha), np.append(sigmas, sigma))
        aims: tuple[Any, Any] = (None, None)
        if self.previous_timestep == "stride":
            before = timesteps - self.num_train_timesteps // timesteps.size
            next_alphas, next_sigmas = self.levels(np.maximum(np.round(before), 0))
            aims = (np.where(before < 0, alpha, next_alphas), np.where(before < 0, sigma, next_sigmas))
        prior = float(self.timestep_spacing == "leading") if self.space == "ve" else None
        return Grid(times, *ends, *aims, scales=self.scale(*ends), prior=prior)
