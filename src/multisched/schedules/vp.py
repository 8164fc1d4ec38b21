"""The discrete variance-preserving schedule: alpha_t = sqrt(alpha_bar_t), sigma_t = sqrt(1 - alpha_bar_t)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.schedules import betas as beta_schedules
from multisched.schedules import checks, spacing
from multisched.values import check_options, read_only, shown


@dataclass(frozen=True)
class DiscreteVP:
    """alpha_bar_t = prod (1 - beta_s) on the timesteps 0..T-1 (Ho et al. 2020, arXiv 2006.11239, eq. 4).

    Args:
        num_train_timesteps: T.
        beta_start, beta_end, beta_schedule: see `schedules.betas.betas`.
        trained_betas: (T,) betas of one's own instead.
        rescale_betas_zero_snr: whether the last timestep is made pure noise (`rescale_zero_terminal_snr`).
        timestep_spacing, steps_offset: see `schedules.spacing.timesteps`.
        set_alpha_to_one: whether a run ends at the clean sample (alpha = 1) or at timestep 0.
        previous_timestep: "list" to aim each step at the next timestep of the run; "stride" to aim it at
            t - T // n, as DDIM implementations did before the other spacings came (they part for linspace, and for
            trailing where n does not divide T).
        precision: of the betas and of alpha_bar. Checkpoints were trained on float32 values.

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
    set_alpha_to_one: bool = True
    previous_timestep: str = "list"
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_options(self)
        checks.count("num_train_timesteps", self.num_train_timesteps)
        checks.option("beta_schedule", self.beta_schedule, beta_schedules.BETA_SCHEDULES)
        checks.option("timestep_spacing", self.timestep_spacing, spacing.SPACINGS)
        checks.option("previous_timestep", self.previous_timestep, ("list", "stride"))
        checks.option("precision", self.precision, ("float32", "float64"))
        if self.trained_betas is not None:
            object.__setattr__(self, "trained_betas", trained(self.trained_betas))
        _alpha_bar(self)

    @property
    def init_noise_sigma(self) -> float:
        return 1.0

    @property
    def alphas_cumprod(self) -> np.ndarray:
        """alpha_bar_t, float64 (T,), read-only."""
        return _alpha_bar(self)

    def levels(self, timesteps: Any, backend: Backend[Any] | None = None) -> tuple[Any, Any]:
        """(alpha, sigma) at timesteps; between two whole ones, both are interpolated linearly."""
        tables = (np.sqrt(self.alphas_cumprod), np.sqrt(1 - self.alphas_cumprod))
        last = self.num_train_timesteps - 1
        if backend is None:
            wanted = np.asarray(timesteps, dtype=np.float64)
            if not np.all((wanted >= 0) & (wanted <= last)):
                raise ScheduleError(f"timesteps must lie in [0, {last}]; given {shown(timesteps)}.")
            alpha, sigma = (np.interp(wanted, np.arange(last + 1), table) for table in tables)
            return alpha, sigma
        xp, device = backend.xp, backend.device(timesteps)
        low = xp.clip(xp.astype(xp.reshape(timesteps, (-1,)), xp.int32), 0, last)
        high = xp.clip(low + 1, 0, last)
        share = xp.reshape(xp.astype(timesteps, xp.float32), (-1,)) - xp.astype(low, xp.float32)

        def interpolated(values: np.ndarray) -> Any:
            table = backend.asarray(values, "float32", device)
            below, above = xp.take(table, low, axis=0), xp.take(table, high, axis=0)
            return xp.reshape(below + (above - below) * share, timesteps.shape)

        return interpolated(tables[0]), interpolated(tables[1])

    def grid(self, n: int | None = None, timesteps: Any = None, sigmas: Any = None, mu: float | None = None) -> Grid:
        """The grid of n steps, or over whole timesteps or sigmas = sqrt(1 - alpha_bar) that fall strictly.

        A list of sigmas may or may not include the end of the run. Sigmas between two timesteps are met by a
        timestep interpolated linearly in sigma.

        Raises:
            ScheduleError: not exactly one of n, timesteps and sigmas (n may come along if it agrees), `mu` given, or
                values out of range.
        """
        if mu is not None:
            raise ScheduleError(f"mu belongs to flow schedules with use_dynamic_shifting; given {mu!r}.")
        if sigmas is not None or timesteps is not None:
            kind = checks.one_of(timesteps=timesteps, sigmas=sigmas)
            made = self._grid_of_sigmas(sigmas) if kind == "sigmas" else self._grid_of_timesteps(timesteps)
            checks.same_length(n, len(made))
            return made
        checks.one_of(n=n, timesteps=timesteps, sigmas=sigmas)
        chosen = spacing.timesteps(self.timestep_spacing, n, self.num_train_timesteps, self.steps_offset)  # type: ignore[arg-type]
        return self._grid_of_timesteps(chosen)

    def _final(self) -> tuple[float, float]:
        level = 1.0 if self.set_alpha_to_one else float(self.alphas_cumprod[0])
        return level**0.5, (1 - level) ** 0.5

    def _grid_of_timesteps(self, timesteps: Any) -> Grid:
        chosen = checks.descending("timesteps", timesteps)
        if np.any(chosen != np.round(chosen)):
            raise ScheduleError(
                f"timesteps must be whole numbers in 0..{self.num_train_timesteps - 1}; given {shown(chosen)}."
            )
        alphas, sigmas = self.levels(chosen)
        alpha, sigma = self._final()
        return self._close(np.append(chosen, 0.0), np.append(alphas, alpha), np.append(sigmas, sigma))

    def _grid_of_sigmas(self, sigmas: Any) -> Grid:
        final_alpha, final_sigma = self._final()
        given = checks.numbers("sigmas", sigmas)
        inner = checks.descending("sigmas", given[:-1] if given.size > 1 and given[-1] == final_sigma else given)
        table = np.sqrt(1 - self.alphas_cumprod)
        checks.within("sigmas", inner, final_sigma, float(table[-1]))
        timesteps = np.interp(inner, table, np.arange(table.size))
        index = np.round(timesteps).astype(np.int64)
        alphas = np.where(
            table[index] == inner, np.sqrt(self.alphas_cumprod[index]), np.sqrt((1 - inner) * (1 + inner))
        )
        return self._close(np.append(timesteps, 0.0), np.append(alphas, final_alpha), np.append(inner, final_sigma))

    def _close(self, timesteps: np.ndarray, alphas: np.ndarray, sigmas: np.ndarray) -> Grid:
        if self.previous_timestep == "list":
            return Grid(timesteps, alphas, sigmas)
        aims = timesteps[:-1] - self.num_train_timesteps // (timesteps.size - 1)
        alpha, sigma = self._final()
        next_alphas, next_sigmas = self.levels(np.maximum(np.round(aims), 0))
        return Grid(
            timesteps, alphas, sigmas, np.where(aims < 0, alpha, next_alphas), np.where(aims < 0, sigma, next_sigmas)
        )


def trained(betas: Any) -> tuple[float, ...]:
    """Betas of one's own as a hashable option.

    Raises:
        ScheduleError: no list of finite numbers.
    """
    return tuple(checks.numbers("trained_betas", betas).tolist())


@lru_cache(maxsize=64)
def _alpha_bar(schedule: DiscreteVP) -> np.ndarray:
    dtype = np.dtype(schedule.precision)
    total = schedule.num_train_timesteps
    if schedule.trained_betas is None:
        chosen = beta_schedules.betas(schedule.beta_schedule, total, schedule.beta_start, schedule.beta_end, dtype)
    else:
        chosen = np.asarray(schedule.trained_betas, dtype=dtype)
        if chosen.shape != (total,) or not np.all((chosen > 0) & (chosen < 1)):
            raise ScheduleError(f"trained_betas must be {total} numbers in (0, 1); given {shown(chosen)}.")
    if schedule.rescale_betas_zero_snr:
        chosen = beta_schedules.rescale_zero_terminal_snr(chosen)
    product: np.ndarray = read_only(beta_schedules.alphas_cumprod(chosen))
    return product
