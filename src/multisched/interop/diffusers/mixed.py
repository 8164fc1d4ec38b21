"""What diffusers 0.42.1 does with configurations that mix the keys of two paths."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from multisched import checks
from multisched.grid import Grid
from multisched.interop.diffusers.clock import Run, between, looked_up, respaced, run_of
from multisched.interop.diffusers.placing import RepeatedInverse
from multisched.interop.diffusers.placing_flow import ForGiven
from multisched.paths.base import Path
from multisched.paths.straight import Exploding, Straight
from multisched.predictions import Prediction
from multisched.schedulers.forward import Parts
from multisched.schedulers.multistep import DEISMultistep, OnEither, UniPCMultistep
from multisched.schedulers.quirk import Quirk
from multisched.solvers import AncestralRF, PingPong, Solver
from multisched.solvers.base import Estimate, Next
from multisched.solvers.limits import nonzero
from multisched.solvers.rows import Rows
from multisched.spacings.base import Asked, Chain, Link
from multisched.spacings.change import Respace, RespaceRatios
from multisched.spacings.direction import Inverse


@dataclass(frozen=True)
class Misread(Prediction):
    """An output read by the formula of the other path.

        v on the straight path:     x0 = alpha * x - sigma * output,   or noise = alpha * output + sigma * x
        a velocity off it:          x0 = x - k * output,   or noise = (x - alpha * x0) / k,   k = sigma / alpha

    Args:
        of_noise: whether the solver asks for the noise.
    """

    of_noise: bool = False

    def weights(self, alpha: Any, sigma: Any) -> tuple[Any, Any]:
        if self.name == "flow_prediction" and self.of_noise:
            return (alpha - 1) * alpha / nonzero(sigma), 1 / nonzero(alpha) - 1 + alpha
        if self.name == "flow_prediction":
            return (alpha - 1) * alpha / nonzero(sigma), alpha
        if self.of_noise:
            return -sigma, (1 - sigma**2) / nonzero(alpha)
        return (alpha**2 - 1) / nonzero(sigma), alpha


_OF_NOISE = ("dpmsolver", "sde-dpmsolver", "noise_prediction")


def _misread(recipe: Any, parts: Parts) -> Parts:
    name = parts.prediction.name
    straight = isinstance(parts.path, Straight) and not getattr(parts.path, "curved", False)
    if name != ("v_prediction" if straight else "flow_prediction"):
        return parts
    noise = not getattr(recipe, "predict_x0", True) or getattr(recipe, "algorithm_type", "") in _OF_NOISE
    of_noise = name == "flow_prediction" if isinstance(recipe, DEISMultistep) else noise
    return parts._replace(prediction=Misread(name, of_noise=of_noise))


MISREAD = Quirk(
    "misread",
    "Outputs of type v on the straight path, and velocities off it, are read by the other's formula.",
    _misread,
)


@dataclass(frozen=True)
class Beyond(Solver):
    """A solver of the straight path that takes alpha = 1 - sigma at sigma > 1 too, on the path x0 + sigma * noise."""

    inner: Solver

    @property
    def order(self) -> int:
        return 0

    @property
    def draws(self) -> int:
        return self.inner.draws

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        bent = replace(row, alpha=1 - row.sigma, alpha_start=1 - row.sigma_start, alpha_next=1 - row.sigma_next)
        found = (x - bent.alpha * model.x0) / row.sigma
        return self.inner.update(bent, x, model._replace(noise=found, raw_noise=found), memory, noise)


def _beyond(recipe: Any, parts: Parts) -> Parts:
    apart = isinstance(parts.path, Exploding) and isinstance(parts.solver, PingPong | AncestralRF)
    return parts._replace(solver=Beyond(parts.solver)) if apart else parts


BEYOND = Quirk("beyond", "Above sigma = 1 the weight of the signal is 1 - sigma, below 0.", _beyond)


@dataclass(frozen=True)
class _Looked:
    """Timesteps that are looked up where sigma / alpha of the discrete path is sigma."""

    trained: Run
    respace: Respace

    def __call__(self, grid: Grid, asked: Asked) -> Any:
        if asked.timesteps is not None or asked.sigmas is not None:
            return grid.timesteps[:-1]
        levels = between(self.respace.kind, float(self.respace.top or 0), float(self.respace.bottom or 0), len(grid))
        found = looked_up(levels, self.trained.path)
        return np.round(found) if self.trained.rounding == "nearest" else np.trunc(found)


def _unconverted(recipe: OnEither, parts: Parts) -> Parts:
    spaced = Chain(parts.spacing.links).find(RespaceRatios)
    if spaced is None or float(spaced.top or 0) > 1:
        return parts  # of ratios above 1 diffusers makes NaN
    unipc = isinstance(recipe, UniPCMultistep)
    if unipc and spaced.kind == "karras":
        return parts  # these alone diffusers converts
    more: dict[str, Any] = {"shift_terminal": None} if unipc else {}
    discrete = replace(recipe, use_flow_sigmas=False, quirks=(), **more)
    plain = Respace(spaced.kind, spaced.top, spaced.bottom, unipc)
    kept = [plain if one == spaced else one for one in parts.spacing.links if not isinstance(one, ForGiven)]
    looked = _Looked(run_of(discrete, discrete.parts()), plain)
    return parts._replace(spacing=Chain(tuple(kept)), told=looked)


UNCONVERTED = Quirk(
    "unconverted", "With use_flow_sigmas, spaced ratios sigma / alpha are taken for sigmas as they are.", _unconverted
)


@dataclass(frozen=True)
class SpacedInverse(RepeatedInverse):
    """A run to the noise whose spaced ratios go from sigma_max, or the lowest of the table, to sigma_min, or the
    highest, and whose timesteps are visited once, so that steps are left out from its end.

    Args:
        run: how the runs are spaced.
    """

    run: Run

    def grid(self, path: Any, asked: Asked) -> Grid:
        if isinstance(path, Straight) or self.run.kind is None:
            made = super().grid(path, asked)
            return _once(made, made.timesteps[:-1])
        if asked.listed:
            return super().grid(path, asked)
        ratios, found = respaced(self.run._replace(rounding="none"), checks.steps(asked.n), upward=True)
        found = np.round(found) if self.run.rounding == "nearest" else found
        point = path.point(np.append(ratios, ratios[-1:]))
        made = Grid(np.append(np.trunc(found), found[-1:]), point.alpha, point.sigma, scales=point.scale)
        return _once(made, found)


def _once(grid: Grid, told: np.ndarray) -> Grid:
    """The first steps of a grid, as many as there are timesteps, with each of those once."""
    first = np.sort(np.unique(told, return_index=True)[1])
    kept = slice(0, first.size + 1)
    times = np.append(grid.timesteps[first], grid.timesteps[first.size])
    return Grid(times, grid.alphas[kept], grid.sigmas[kept], scales=grid.scales[kept])


def _visited_once(recipe: Any, parts: Parts) -> Parts:
    if not isinstance(parts.spacing, Inverse):
        return parts
    return parts._replace(spacing=SpacedInverse(parts.spacing.down, run_of(recipe, parts)))


VISITED_ONCE = Quirk(
    "visited_once",
    "A timestep that comes twice after rounding is visited once, and spaced ratios go from sigma_max to sigma_min.",
    _visited_once,
)


@dataclass(frozen=True)
class CutLevels(Link):
    """Levels that are those of the nearest timestep to each timestep cut to a whole number."""

    on_given: ClassVar[bool] = True
    closing: ClassVar[bool] = True

    def __call__(self, path: Path, asked: Asked, made: Grid) -> Grid:
        times = made.timesteps[:-1]
        nearest = np.argmin(np.abs(times[None] - np.trunc(times)[:, None]), axis=1)
        levels = np.append(made.sigmas[nearest], made.sigmas[-1])
        return Grid(made.timesteps, 1 - levels, levels)


def _cut_levels(recipe: Any, parts: Parts) -> Parts:
    return parts._replace(spacing=parts.spacing | CutLevels())


CUT_LEVELS = Quirk("cut_levels", "Levels are looked up by timesteps that are cut to whole numbers.", _cut_levels)
