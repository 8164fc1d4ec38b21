"""The discrete variance-preserving path: alpha_t = sqrt(alpha_bar_t), sigma_t = sqrt(1 - alpha_bar_t)."""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from multisched import checks
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.paths import betas as beta_schedules
from multisched.paths.base import Path, Point, Points, variance_preserving
from multisched.paths.exploding import VarianceExploding
from multisched.paths.lookup import between, interpolated, numbers, rising
from multisched.values import TRAINING_TIMESTEPS, arithmetic, check_options, read_only, shown

Precision = Literal["float32", "float64"]
Space = Literal["vp", "ve"]
TimestepType = Literal["discrete", "continuous"]

CONTINUOUS = VarianceExploding(sigma_data=1.0, timestep="quarter_log")


@dataclass(frozen=True)
class Betas:
    """The variances of a training run.

    Args:
        num_train_timesteps: T, the length of the training run.
        beta_start: the first of "linear", "scaled_linear" and "sigmoid".
        beta_end: the last of these.
        beta_schedule: the rule that they follow, see `paths.betas.betas`.
        trained_betas: (T,) custom betas instead.
        precision: of the betas and of alpha_bar. Checkpoints were trained on float32 values.
        strict: whether betas are refused that are not T numbers in (0, 1). If not, there is a level for each of them,
            and timesteps beyond them have the last one.

    Raises:
        ScheduleError: if an option is not one of those named, or the numbers are no betas.

    Example:
        >>> ms.paths.Betas(5, beta_start=0.1, beta_end=0.5).values.astype(float).round(2).tolist()
        [0.1, 0.2, 0.3, 0.4, 0.5]
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: beta_schedules.BetaSchedule = "linear"
    trained_betas: tuple[float, ...] | None = None
    precision: Precision = "float32"
    strict: bool = True

    def __post_init__(self) -> None:
        check_options(self, counts={"num_train_timesteps": TRAINING_TIMESTEPS})
        if self.trained_betas is not None:
            custom = checks.numbers("trained_betas", self.trained_betas, TRAINING_TIMESTEPS)
            object.__setattr__(self, "trained_betas", tuple(custom.tolist()))

    @property
    def values(self) -> np.ndarray:
        """(T,) in their precision."""
        total, dtype = self.num_train_timesteps, np.dtype(self.precision).type
        if self.trained_betas is None:
            ends = (self.beta_start, self.beta_end)
            return beta_schedules.betas(self.beta_schedule, total, *ends, dtype, self.strict)
        chosen = np.asarray(self.trained_betas, dtype=dtype)
        if self.strict and not (chosen.shape == (total,) and bool(np.all((chosen > 0) & (chosen < 1)))):
            raise ScheduleError(f"trained_betas must be {total} numbers in (0, 1); given {shown(chosen)}.")
        return chosen


@dataclass(frozen=True)
class Discrete(Path):
    """alpha_bar_t = prod (1 - beta_s) at the times 0..T-1 (Ho et al. 2020, arXiv 2006.11239, eq. 4).

    Args:
        betas: the variances.
        snr_shift_scale: what the signal-to-noise ratio is divided by (`paths.betas.shift_snr`).
        terminal_alpha_bar: alpha_bar that the last time is rescaled to (`rescale_zero_terminal_snr`): 0 for pure noise,
            2^-24 to keep the ratio sigma / alpha finite; None to leave the betas as they are.
        space: "vp" for samples alpha * x0 + sigma * noise; "ve" for x0 + (sigma / alpha) * noise, which the model sees
            scaled back.
        sigma_data: the model sees the sample times 1 / sqrt(sigma^2 + (sigma_data * alpha)^2); None: as `space` says.
        timestep_type: whether the time is passed to the model ("discrete") or log(sigma) / 4 ("continuous", for "ve").

    Raises:
        ScheduleError: if an option is not one of those named, or the numbers make no path.

    Example:
        >>> path = ms.paths.Discrete(ms.paths.Betas(1000, 0.0001, 0.02))
        >>> alpha, sigma = path.levels(np.array([0.0, 999.0]))
        >>> (alpha**2).round(5).tolist(), (alpha**2 + sigma**2).round(12).tolist()
        ([0.9999, 4e-05], [1.0, 1.0])
    """

    betas: Betas = field(default_factory=Betas)
    snr_shift_scale: float = 1.0
    terminal_alpha_bar: float | None = None
    space: Space = "vp"
    timestep_type: TimestepType = "discrete"
    sigma_data: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.betas, Betas):
            raise ScheduleError(f"betas must be a paths.Betas; given {shown(self.betas)}.")
        check_options(self, positive=("snr_shift_scale", "sigma_data"))
        if self.timestep_type == "continuous":
            checks.option("space", self.space, ("ve",))
        with arithmetic():
            alpha_bar(self)

    @property
    def num_train_timesteps(self) -> int:  # type: ignore[override]
        """T."""
        return self.betas.num_train_timesteps

    @property
    def training(self) -> int:
        return self.num_train_timesteps

    @property
    def size(self) -> int:
        """Number of times that have a level: T, or as many as there are betas."""
        return int(self.alphas_cumprod.size)

    @property
    def alphas_cumprod(self) -> np.ndarray:
        """alpha_bar_t, float64 (T,), read-only."""
        return alpha_bar(self)

    @property
    def own_betas(self) -> np.ndarray:
        """beta_t, float64 (T,), read-only: those given, or 1 - alpha_bar_t / alpha_bar_(t-1) where the path is rescaled
        to zero terminal SNR or its SNR shifted."""
        if self.snr_shift_scale == 1.0 and self.terminal_alpha_bar is None:
            chosen: np.ndarray = read_only(self.betas.values.astype(np.float64))
            return chosen
        level = alpha_bar(self)
        before = np.append(1.0, level[:-1])
        derived: np.ndarray = read_only(1 - level / np.where(before > 0, before, 1.0))
        return derived

    @property
    def ratios(self) -> np.ndarray:
        """sigma / alpha at each time, float64 (T,); infinite at pure noise."""
        with np.errstate(divide="ignore"):
            return np.sqrt((1 - self.alphas_cumprod) / self.alphas_cumprod)  # type: ignore[no-any-return]

    @property
    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """(alpha, sigma) at each time."""
        if self.space == "vp":
            return np.sqrt(self.alphas_cumprod), np.sqrt(1 - self.alphas_cumprod)
        return np.ones(self.size), self.ratios

    @property
    def ends(self) -> tuple[float, float]:
        return float(self.ratios[-1]), float(self.ratios[0])

    @property
    def last(self) -> tuple[float, float]:
        alphas, sigmas = self.tables
        return float(alphas[0]), float(sigmas[0])

    @property
    def _places(self) -> np.ndarray:
        """The times of `tables`, after -1, the clean sample: its alpha_bar is the empty product, 1."""
        return np.arange(-1, self.size)

    def trained(self, number: Any) -> Any:
        return np.interp(number, np.arange(self.size), self.ratios)

    def scale(self, alpha: Any, sigma: Any) -> Any:
        if self.sigma_data is not None:
            return (sigma * sigma + (alpha * self.sigma_data) ** 2) ** -0.5
        return 1.0 + 0.0 * sigma if self.space == "vp" else (alpha * alpha + sigma * sigma) ** -0.5

    def alpha_of(self, sigma: float) -> float:
        return 1.0 if self.space == "ve" else math.sqrt((1 - sigma) * (1 + sigma))

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        """As `Path.levels`, for times in [-1, T - 1]; between two whole ones, both are interpolated linearly, and so
        are they between -1, the clean sample (alpha = 1, sigma = 0), and 0."""
        if self.timestep_type == "continuous":
            return CONTINUOUS.levels(timesteps, backend)
        tables = (np.append(clean, table) for clean, table in zip((1.0, 0.0), self.tables, strict=True))
        if backend is None:
            wanted = checks.times(timesteps, max(self.size, self.num_train_timesteps) - 1, -1)
            alpha, sigma = (np.interp(wanted, self._places, table) for table in tables)
            return alpha, sigma
        alpha, sigma = interpolated(backend, timesteps, self._places, *tables)
        return alpha, sigma

    def timestep_of(self, alpha: float, sigma: float) -> float:
        """That at which `levels` has this sigma."""
        if self.timestep_type == "continuous":
            return CONTINUOUS.timestep_of(alpha, sigma)
        kept = rising(table := np.append(0.0, self.tables[1]))
        return float(np.interp(sigma, table[kept], self._places[kept]))

    def velocity(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        """v at the level that is variance preserving: that of what the model sees, in the space "ve"."""
        scale = 1.0 if self.space == "vp" else (alpha * alpha + sigma * sigma) ** -0.5
        return -scale * sigma, scale * alpha

    def point(self, ratio: Any) -> Point:
        """Between two times, log(sigma / alpha) is interpolated linearly; beyond the ends the time stays."""
        if self.timestep_type == "continuous":
            return CONTINUOUS.point(ratio)
        xp, ratio = numbers(ratio)
        with np.errstate(divide="ignore"):
            table, wanted = np.log(self.ratios), xp.log(ratio)
        table = np.where(np.isinf(table), np.nanmax(table[np.isfinite(table)], initial=0) + 40, table)
        kept = rising(table)
        timestep = between(xp, wanted, table[kept], kept)
        alpha, sigma = variance_preserving(ratio) if self.space == "vp" else (xp.ones_like(ratio), ratio)
        return Point(timestep, alpha, sigma, self.scale(alpha, sigma))

    def time_of(self, share: Any) -> Any:
        """Whole times 0..T-1, each of a part 1 / T of the shares."""
        if self.timestep_type == "continuous":
            return super().time_of(share)
        xp, share = numbers(share)
        return xp.clip(xp.floor(share * self.num_train_timesteps), 0.0, self.num_train_timesteps - 1.0)

    def place(self, number: Any) -> Points:
        return Points(times=number) if self.timestep_type == "discrete" else Points(noise=self.trained(number))

    def noise_of(self, points: Points) -> Any:
        known = points.noise is not None or points.times is None or self.timestep_type == "continuous"
        return super().noise_of(points) if known else self.trained(points.times)

    def resolved(self, points: Points) -> tuple[Any, Any, Any]:
        times, alphas, sigmas = super().resolved(points)
        alike = (np.diff(sigmas) == 0) & (np.diff(alphas) == 0)
        if not self.betas.strict and np.any(alike):
            found = int(np.argmax(alike))
            raise ScheduleError(
                f"timesteps {times[found]:g} and {times[found + 1]:g} have one noise level, since the betas make no "
                "other; a step between them leads nowhere; take fewer steps."
            )
        return times, alphas, sigmas

    def read_ratios(self, ratios: Any, end: tuple[float, float]) -> Points:
        top = float(self.ratios[-1])
        if self.space == "vp" and ratios[0] > top * (1 + 1e-9):
            raise ScheduleError(f"ratios (sigma / alpha) must be at most {top:g}, the noisiest; given {shown(ratios)}.")
        return self._of_sigmas(np.minimum(self.point(ratios).sigma, self.tables[1][-1]), end)

    def read(self, timesteps: Any, sigmas: Any, end: tuple[float, float]) -> Points:
        """In the space "vp" times are whole, and the levels are sqrt(1 - alpha_bar); in "ve" times may lie between, and
        the levels are sigma / alpha."""
        kind = checks.one_of(timesteps=timesteps, sigmas=sigmas)
        return self._of_sigmas(sigmas, end) if kind == "sigmas" else self.of_timesteps(timesteps, end)

    def of_timesteps(self, timesteps: Any, end: tuple[float, float]) -> Points:
        """The points at whole times, or in the space "ve" at any."""
        chosen = checks.trimmed(checks.descending("timesteps", timesteps), *([-1] if end[1] == 0 else []))
        if self.timestep_type == "discrete":
            checks.times(chosen, max(self.size, self.num_train_timesteps) - 1)
        if self.space == "vp" and np.any(chosen != np.round(chosen)):
            raise ScheduleError(f"timesteps must be whole numbers in 0..{self.size - 1}; given {shown(chosen)}.")
        return Points(times=chosen, levels=self.levels(chosen))

    def _of_sigmas(self, sigmas: Any, end: tuple[float, float]) -> Points:
        given = checks.numbers("sigmas", sigmas)
        inner = checks.descending("sigmas", checks.trimmed(given, 0.0, end[1]))
        alphas, table = self.tables
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
        # A level of the table is taken with its own alpha and time, bit for bit.
        index = np.clip(np.round(point.timestep).astype(np.int64), 0, table.size - 1)
        own = (table[index] == inner) & (self.timestep_type == "discrete")
        alpha = np.where(own, alphas[index], point.alpha)
        return Points(times=np.where(own, index, point.timestep), levels=(alpha, inner))


@lru_cache(maxsize=64)
def alpha_bar(path: Discrete) -> np.ndarray:
    """alpha_bar_t of a path, float64 (T,), read-only; one for each of the betas where these are not strict, and kept
    within [0, 1] there."""
    level = beta_schedules.alphas_cumprod(path.betas.values)
    if path.snr_shift_scale != 1.0:
        level = beta_schedules.shift_snr(level, path.snr_shift_scale)
    if path.terminal_alpha_bar is not None:
        if path.num_train_timesteps < 2:
            raise ScheduleError("rescale_betas_zero_snr needs num_train_timesteps of at least 2; given 1.")
        level = beta_schedules.zero_terminal_snr(level.astype(np.float64))
        level[-1] = path.terminal_alpha_bar
    if not path.betas.strict:
        level = np.clip(np.where(np.isfinite(level), level, 0.0), 0.0, 1.0) + 0.0  # and none is -0
    final: np.ndarray = read_only(level)
    return final
