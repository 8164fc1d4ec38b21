"""Recipes: path, spacing, prediction, solver and transforms, and the plans that follow. Pure, frozen and hashable."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np

from multisched import backends, checks
from multisched.backends import B, Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.paths.base import Path
from multisched.predictions import Prediction
from multisched.printing import options_text
from multisched.schedulers.forward import Forward, Parts
from multisched.schedulers.quirk import Quirk, check_quirks
from multisched.solvers import Solver
from multisched.spacings import named
from multisched.spacings.base import Asked, Spacing
from multisched.table.plan import Plan
from multisched.table.tableau import tabulate
from multisched.transforms import Transform
from multisched.values import TRAINING_TIMESTEPS, arithmetic, check_options, real, shown, whole

if TYPE_CHECKING:
    from multisched.backends.types import JaxArray, MLXArray, NumPyArray, TorchTensor
    from multisched.diffusion import DiffusionScheduler

SETTINGS = ("quirks", "report", "strict")
"""Fields of a recipe that are no options of a sampler: how its numbers are computed, and where it comes from."""


@dataclass(frozen=True, repr=False)
class Recipe(Forward):
    """What every scheduler shares. A subclass is a frozen dataclass of options that says what its parts are; `parts`
    says which option goes where.

    Args:
        report: what became of the configuration that it was read from; None otherwise. It is no option: recipes that
            differ in it alone are equal.
        strict: whether values are refused that no sampler should have, though steps can be computed with them: betas
            that are not num_train_timesteps numbers in (0, 1), a sample_max_value below 1, a
            dynamic_thresholding_ratio of 0, and numbers of what is switched off.
        quirks: departures from the papers, see `Quirk`; `parts()` is without them.
    """

    report: Any = field(default=None, kw_only=True, repr=False, compare=False)
    strict: bool = field(default=True, kw_only=True)
    quirks: tuple[Quirk, ...] = field(default=(), kw_only=True)
    _lists: ClassVar[tuple[str, ...]] = ()  # options that are lists of numbers, kept as tuples, or None

    @arithmetic()
    def __post_init__(self) -> None:
        for name in self._lists:
            if (values := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(checks.numbers(name, values, TRAINING_TIMESTEPS).tolist()))
        check_options(self)
        check_quirks(self.quirks)
        # Made once here, so that a bad option is refused where it is given.
        _ = self._made

    @cached_property
    def _made(self) -> Parts:
        parts = self.parts()
        parts.spacing.check(parts.path)
        for quirk in self.quirks:
            parts = quirk.applied(self, parts)
        return parts

    def __repr__(self) -> str:
        return options_text(self)

    def _change(self) -> Transform | None:
        """What the options do to the estimate of x0."""
        return None

    @arithmetic()
    def plan(
        self,
        n: int | None = None,
        *,
        timesteps: Any = None,
        sigmas: Any = None,
        ratios: Any = None,
        mu: float | None = None,
        start: int | None = None,
        stop: int | None = None,
        strength: float | None = None,
        spacing: Any = None,
    ) -> Plan:
        """The plan of a run of n steps, or over the timesteps or sigmas given.

        Args:
            n: number of steps of the whole run.
            timesteps, sigmas: a custom list, decreasing, as the recipe's path reads it (`paths.Path.read`).
            ratios: a custom list of sigma / alpha, decreasing, on any path; a closing 0 may be left out.
            mu: the dynamic shift of a run on a flow.
            start, stop: run only the steps start..stop-1, counted as in a slice from 0. A run begins anew at `start`,
                without the calls before it; at `stop` it is cut, so that its rows are the first of the longer run.
            strength: run only the last int(n * strength) steps, for image to image; in [0, 1], and 0 or enough for a
                step.
            spacing: another spacing for n steps: a chain of `multisched.spacings`, or a name of `spacings.NAMES` such
                as "karras" or "sgm_uniform", which means what it means in ComfyUI, k-diffusion and A1111.

        Raises:
            ScheduleError: if these make no plan; one sentence says why.
        """
        mu = None if mu is None else real("mu", mu)
        parts, asked, times = self._made, Asked(n, timesteps, sigmas, ratios, mu), None
        if spacing is not None:
            grid = named.respaced(parts.path, parts.spacing, spacing, asked)
        else:
            grid = parts.spacing.grid(parts.path, asked)
            if parts.told is not None and ratios is None:
                times = parts.told(grid, asked).reshape(len(grid), -1)
                grid = grid.timed(np.append(times[:, 0], grid.timesteps[-1:]))
        first, end = _bounds(len(grid), start, stop, strength)
        plan = self._plan_over(grid.part(first, len(grid)), end - first)
        plan = plan if times is None or times.shape[1] == 1 else _told(plan, times)
        return plan if end == len(grid) else _ended(plan, parts.path)

    @arithmetic()
    def plan_over(self, grid: Grid) -> Plan:
        """The plan of a run over a custom grid.

        Raises:
            ScheduleError: if the solver cannot take a step of it.
        """
        if not isinstance(grid, Grid):
            raise ScheduleError(f"plan_over takes a Grid; given {shown(grid)}.")
        return self._plan_over(grid, len(grid))

    def _plan_over(self, grid: Grid, stop: int) -> Plan:
        """The first `stop` steps of that plan."""
        parts = self._made
        part = stop if stop < len(grid) else None
        rows, tableau = tabulate(parts.solver, grid, parts.prediction, parts.path, part)
        noise_transform, noise_parameters = parts.solver.noise_transform(rows) or (None, None)
        return Plan(
            name=type(self).__name__,
            rows=rows,
            tableau=tableau,
            order=parts.solver.order,
            inputs=parts.solver.inputs,
            output_transform=parts.output_transform,
            denoised_transform=parts.denoised_transform,
            noise_transform=noise_transform,
            noise_parameters=noise_parameters,
            path=parts.path,
            prediction=parts.prediction,
        )

    @overload
    def on(self, backend: Literal["numpy"], device: Any = None, rng: Any = 0) -> "DiffusionScheduler[NumPyArray]": ...
    @overload
    def on(self, backend: Literal["torch"], device: Any = None, rng: Any = 0) -> "DiffusionScheduler[TorchTensor]": ...
    @overload
    def on(self, backend: Literal["jax"], device: Any = None, rng: Any = 0) -> "DiffusionScheduler[JaxArray]": ...
    @overload
    def on(self, backend: Literal["mlx"], device: Any = None, rng: Any = 0) -> "DiffusionScheduler[MLXArray]": ...
    @overload
    def on(self, backend: str, device: Any = None, rng: Any = 0) -> "DiffusionScheduler[Any]": ...
    @overload
    def on(self, backend: Backend[B], device: Any = None, rng: Any = 0) -> "DiffusionScheduler[B]": ...
    @overload
    def on(self, backend: B, device: Any = None, rng: Any = 0) -> "DiffusionScheduler[B]": ...
    def on(self, backend: Any, device: Any = None, rng: Any = 0) -> "DiffusionScheduler[Any]":
        """This recipe with the stateful face of `DiffusionScheduler`.

        Args:
            backend: a backend's name, a `Backend`, or an array to take backend and device from.
            device: where `sigmas()` and `timesteps()` are put; the backend's default.
            rng: seed or source of the noise that stochastic steps draw when none is given.

        Raises:
            ScheduleError: if the backend is unknown or not installed.
        """
        from multisched.diffusion import DiffusionScheduler

        found = backends.resolve(backend)
        if device is None and not isinstance(backend, str) and backend is not found:
            device = found.device(backend)
        return DiffusionScheduler(self, found, device, rng)


@dataclass(frozen=True, repr=False)
class Scheduler(Recipe):
    """A recipe composed freely of its parts, see `Parts`.

    Args:
        path: the levels, from `multisched.paths`.
        spacing: where the steps of a run stand, from `multisched.spacings`; a chain, or one of `spacings.NAMES`.
        prediction: a `Prediction`, or its name.
        solver: the update, from `multisched.solvers`.
        output_transform: a change made to the model's output, from `multisched.transforms`, or None.
        denoised_transform: a change made to the estimate of x0, or None.

    Raises:
        ScheduleError: if one of them is no such thing.

    Example:
        >>> import multisched as ms
        >>> path, spacing = ms.paths.Straight(), ms.spacings.Even(1.0, 0.25)
        >>> ms.Scheduler(path, spacing, "flow_prediction", ms.solvers.Euler()).plan(4).timesteps.tolist()
        [1000.0, 750.0, 500.0, 250.0]
    """

    path: Path
    spacing: Spacing
    prediction: Prediction
    solver: Solver
    output_transform: Transform | None = None
    denoised_transform: Transform | None = None

    def __post_init__(self) -> None:
        name: Any = self.prediction
        if isinstance(name, str):
            object.__setattr__(self, "prediction", Prediction(name))  # type: ignore[arg-type]
        elif not isinstance(name, Prediction):
            raise ScheduleError(f"prediction must be a Prediction, or the name of one; given {shown(name)}.")
        kinds = {"path": (Path, "paths"), "spacing": (Spacing, "spacings"), "solver": (Solver, "solvers")}
        object.__setattr__(self, "spacing", named.spacing_of(self.spacing))
        for name, (kind, room) in kinds.items():
            if not isinstance(value := getattr(self, name), kind):
                raise ScheduleError(f"{name} must come from multisched.{room}; given {shown(value)}.")
        for name in ("output_transform", "denoised_transform"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise ScheduleError(f"{name} must come from multisched.transforms, or be None; given {shown(value)}.")
        super().__post_init__()

    def parts(self) -> Parts:
        return Parts(
            self.path, self.spacing, self.prediction, self.solver, self.output_transform, self.denoised_transform
        )


def _told(plan: Plan, times: np.ndarray) -> Plan:
    """A plan with the timesteps of the calls of each step."""
    rows = plan.rows
    found = times[plan.grid.first + rows.step, np.minimum(rows.stage, times.shape[1] - 1)]
    return replace(plan, rows=replace(rows, timestep=np.where(np.isnan(found), rows.timestep, found)))


def _ended(plan: Plan, path: Path) -> Plan:
    """A plan that ends before its run does, with an end timestep that is as exact as that of a whole run."""
    grid = plan.grid
    end = path.timestep_of(float(grid.alphas[-1]), float(grid.sigmas[-1]))
    grid = replace(grid, timesteps=np.append(grid.timesteps[:-1], end))
    return replace(plan, rows=replace(plan.rows, grid=grid))


def _bounds(steps: int, start: int | None, stop: int | None, strength: float | None) -> tuple[int, int]:
    """First step and end of a partial run."""
    if strength is not None:
        if start is not None:
            raise ScheduleError(
                f"give start or strength, not both; given start={shown(start)}, strength={shown(strength)}."
            )
        strength = real("strength", strength)
        if not 0 <= strength <= 1:
            raise ScheduleError(f"strength must be in [0, 1]; given {shown(strength)}.")
        start = steps - int(steps * strength)
        if start == steps and strength and steps:
            raise ScheduleError(
                f"strength={strength!r} of {steps} steps is less than one step; give at least {1 / steps:.4g}, or 0."
            )
    first = 0 if start is None else whole("start", start)
    end = steps if stop is None else whole("stop", stop)
    if not 0 <= first <= end <= steps:
        raise ScheduleError(f"start and stop must obey 0 <= start <= stop <= {steps}; given {first} and {end}.")
    return first, end
