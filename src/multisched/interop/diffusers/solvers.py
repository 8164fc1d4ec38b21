"""Solvers that do as diffusers 0.42.1 does where it departs from their papers. `defects` says what each does wrong."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.solvers import (
    DDPM,
    Adams,
    AncestralRF,
    DPMMultistep,
    DPMSinglestep,
    Estimate,
    Euler,
    Heun,
    Next,
    PingPong,
    RePaint,
    RescaledSDE,
    Rows,
)
from multisched.solvers.ddim import forgotten
from multisched.solvers.openings import inner, moved
from multisched.solvers.rows import rows_of
from multisched.values import namespace


@dataclass(frozen=True)
class HalfCurved(DPMMultistep):
    """DPM-Solver multistep with half of m'' in the third order, and p2 - 1 for p2 in sde-dpmsolver++, whose weak order
    is then 1."""

    def order_after(self, steps: int) -> int:
        return self.order

    @property
    def weak_order(self) -> int:
        return 1 if self.solver_order > 2 and self.algorithm_type == "sde-dpmsolver++" else super().weak_order

    def _p2(self, p2: Any) -> Any:
        return p2 - 1 if self.algorithm_type == "sde-dpmsolver++" else p2

    def _second(self, curve: Any) -> Any:
        return curve


@dataclass(frozen=True)
class OwnSinglestep(DPMSinglestep):
    """DPM-Solver singlestep with its defects.

    Args:
        less: whether p2 - 1 stands for p2 in sde-dpmsolver++, where the law of third order does not converge by "heun".
        independent: whether each call draws all of its noise anew, so that groups are of weak order 1.
        whole: whether a part of a schedule has the groups of all of it, the first with the calls that are left of it.
    """

    less: bool = False
    independent: bool = False
    whole: bool = False

    @property
    def weak_order(self) -> int:
        lost = self.less and self.solver_order > 2 and self.solver_type == "heun"
        if lost and self.algorithm_type == "sde-dpmsolver++":
            return 0
        return 1 if self.draws and self.independent else super().weak_order

    @property
    def _one_path(self) -> bool:
        return super()._one_path and not self.independent

    def rows(self, grid: Grid, path: Any) -> Rows:
        if not self.whole or not grid.first:
            return super().rows(grid, path)
        sizes, gone = self._groups(grid.total, bool(grid.sigmas[-1] == 0)), grid.first
        while gone and sizes:
            sizes, gone = ([sizes[0] - gone, *sizes[1:]], 0) if sizes[0] > gone else (sizes[1:], gone - sizes[0])
        return self._grouped(grid, sizes)

    def _p2(self, p2: Any) -> Any:
        return p2 - 1 if self.less and self.algorithm_type == "sde-dpmsolver++" else p2


@dataclass(frozen=True)
class NoisyDDPM(DDPM):
    """DDPM whose last step adds noise, unless it leaves timestep 0."""

    def _noisy(self, row: Rows) -> Any:
        return row.timestep > 0


@dataclass(frozen=True, eq=False)
class BetaRows(Rows):
    """Rows that know the beta of their step, and sqrt(1 - beta); (rows, 1)."""

    beta: Any = None
    kept: Any = None


@dataclass(frozen=True)
class TableDDPM(DDPM):
    """`DDPM` by the trained betas themselves where a step spans one timestep, as unCLIP's code has it.

        x_next = alpha_next * beta / sigma^2 * x0 + sqrt(1 - beta) * sigma_next^2 / sigma^2 * x + std * z     (eq. 7)

    In exact arithmetic that is `DDPM`. Tables of float32 hold beta and alpha_bar rounded each by itself, so that such a
    step is not quite one along the levels: it recovers a clean sample to 2e-4 only.
    """

    def rows(self, grid: Grid, path: Any) -> Rows:
        rows = super().rows(grid, path)
        beta, kept, table = forgotten(rows), rows.alpha / rows.alpha_next, getattr(path, "own_betas", None)
        if table is not None and isinstance(beta, np.ndarray):
            one = rows.timestep - rows.of(grid.timesteps, 1) == 1
            trained = table[np.where(one, rows.timestep, 0).astype(int)]
            beta, kept = np.where(one, trained, beta), np.where(one, np.sqrt(1 - trained), kept)
        return BetaRows(**vars(rows), beta=beta, kept=kept)

    def _beta(self, row: Any) -> Any:
        return row.beta

    def update(self, row: Any, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        of_x0 = row.alpha_next * row.beta / row.sigma**2
        return Next(of_x0 * model.x0 + row.kept * row.sigma_next**2 / row.sigma**2 * x + self._std(row) * noise[0])


@dataclass(frozen=True)
class LateEuler(Euler):
    """Euler steps whose noise is added after the model's call at sigma. The output is then read at sigma_hat of x_hat,
    which the model has not seen.

        x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z,   sigma_hat = sigma * (1 + gamma)

    Args:
        reread: whether the output is then taken for one at sigma_hat, else at sigma.
    """

    reread: bool = True

    def rows(self, grid: Grid, path: Any) -> Rows:
        return rows_of(grid, *self._calls(grid))

    def _sigma_hat(self, row: Rows) -> Any:
        return row.sigma * (1 + self._gamma(row.sigma, row.total))

    def estimate(self, row: Rows, prediction: Prediction, x: Any, outputs: tuple[Any, ...]) -> tuple[Any, Any]:
        if self.s_churn and self.reread:
            sigma = self._sigma_hat(row)
            # The scale that leaves what the model sees its variance.
            row = replace(row, sigma=sigma, scale=(row.scale**-2 + sigma**2 - row.sigma**2) ** -0.5)
        return super().estimate(row, prediction, x, outputs)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        if not noise:
            return self._move(row, x, model, memory)
        xp, sigma = namespace(row.sigma), self._sigma_hat(row)
        added = self.s_noise * xp.sqrt(sigma**2 - row.sigma**2) * noise[0]
        x0, churned = model.x0 + model.slope * added, sigma > row.sigma
        direction = (x + added - row.alpha * x0) / xp.where(churned, sigma, 1.0)
        return self._move(row, x, model._replace(x0=x0, noise=xp.where(churned, direction, model.noise)), memory)


@dataclass(frozen=True)
class LateHeun(Heun):
    """Heun steps whose noise is added after the first call, as ACE-Step has it too. The model is not asked where the
    noise leads, and what of it is too much for the path stays, however small the steps are.

        x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z
        call 1:  x_next = x_hat + sigma / sigma_hat * d1
        call 2:  x_next = x_hat + (sigma / sigma_hat * d1 + d2) / 2

    Here sigma_hat is that of `solvers.euler.Churn`, with 2 * steps - 1 for steps, and d is scaled by
    (sigma_next - sigma_hat) / (sigma_next - sigma).
    """

    @property
    def weak_order(self) -> int:
        return 0 if self.draws else self.order

    def rows(self, grid: Grid, path: Any) -> Rows:
        return rows_of(grid, *self._calls(grid))

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp, first = namespace(row.sigma), row.stage == 0
        sigma_hat = row.sigma_start * (1 + self._gamma(row.sigma_start, 2 * row.total - 1))
        stretch = (row.sigma_next - sigma_hat) / (row.sigma_next - row.sigma_start)
        x_hat = x + self.s_noise * xp.sqrt(sigma_hat**2 - row.sigma_start**2) * noise[0] if noise else x
        stretch = stretch * xp.where(first, row.sigma_start / sigma_hat, 1.0)
        moved = model._replace(x0=stretch * model.x0, noise=stretch * model.noise)
        return self._move(row, xp.where(first, x_hat, x), moved, memory)


@dataclass(frozen=True)
class SwappedPingPong(PingPong):
    """Ping-pong that keeps the noise and draws the clean sample anew: sigma_next * noise + alpha_next * z."""

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        return Next(row.sigma_next * model.noise + row.alpha_next * noise[0])


@dataclass(frozen=True)
class FaintRF(AncestralRF):
    """Ancestral steps that leave (1 - s_down) * x0 + s_down * noise where s_noise = 0."""

    def _kept(self, row: Rows, down: Any) -> Any:
        return (row.alpha_next + row.sigma_next) * (1 - down)


@dataclass(frozen=True)
class NoisySDE(RescaledSDE):
    """The SDE of a flow whose step to sigma = 0 may add noise."""

    def _noisy(self, row: Rows) -> Any:
        return True


class LateRePaint(RePaint):
    """RePaint after jumps back that add too much noise: the model takes the sample to be where its timestep is."""

    def rows(self, grid: Grid, path: Any) -> Rows:
        rows = super().rows(grid, path)
        alpha, sigma = path.levels(rows.timestep)
        return replace(rows, alpha=alpha, sigma=sigma)


@dataclass(frozen=True)
class OwnAdams(Adams):
    """Adams and Bashforth's methods with the defects of PNDM and IPNDM.

    Args:
        blind: whether x0 is taken as 0 where a run starts at alpha = 0.
        velocity: whether v = alpha * noise - sigma * x0 is averaged, and the mean then taken for that of the step's
            start: noise = (alpha * v + sigma * x) / (alpha^2 + sigma^2). The order is then 1.
        strided: whether first steps land T // n timesteps lower, or half of it, whatever the grid is.
    """

    blind: bool = False
    velocity: bool = False
    strided: bool = False

    @property
    def order(self) -> int:
        return 1 if self.velocity else super().order

    def order_after(self, steps: int) -> int:
        return 1 if self.velocity else super().order_after(steps)

    def _call(self, row: Rows, model: Estimate) -> Any:
        return row.alpha * model.noise - row.sigma * model.x0 if self.velocity else model.noise

    def _noise(self, row: Rows, x: Any, mean: Any) -> Any:
        if not self.velocity:
            return mean
        return (row.alpha_start * mean + row.sigma_start * x) / (row.alpha_start**2 + row.sigma_start**2)

    def _first(self, row: Rows, model: Estimate, noise: Any) -> Any:
        return (not self.blind) * row.alpha_next * model.x0 + row.sigma_next * noise

    def _inner(self, rows: Rows, path: Any, calls: int, several: np.ndarray) -> Rows:
        return strided(rows, path, calls, several) if self.strided else inner(rows, path, calls, several)


def strided(rows: Rows, path: Any, calls: int, several: np.ndarray) -> Rows:
    """First steps of two or four calls, which land a fixed stride, or half of it, from where they are asked."""
    grid, step, stage = rows.grid, np.asarray(rows.step)[:, 0], np.asarray(rows.stage)[:, 0]
    times = np.asarray(grid.timesteps)
    begin, end = times[step], times[step + 1]
    stride = path.num_train_timesteps // grid.total
    half = stride // 2 if np.all(times == np.round(times)) else stride / 2
    if calls == 4:
        landing = np.where(stage == 0, begin - half, end + half)
        rows = moved(rows, several & (stage % 3 > 0), end + half, path, "")
        rows = moved(rows, several & (stage < 2), landing, path, "_next")
    rows = moved(rows, several & (stage >= calls // 2), end, path, "_next")
    return moved(rows, several & (stage == 1) & (calls == 2), end + stride, path, "_start")
