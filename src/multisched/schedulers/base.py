"""Recipes: path, spacing, prediction, solver and transforms, and the plans that follow. Pure, frozen and hashable."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np

from multisched import backends, checks
from multisched.backends import B, Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.notebook import recipe_html
from multisched.paths.base import Path
from multisched.predictions import Prediction
from multisched.printing import options_text
from multisched.schedulers.cuts import between, bounds, ended, told
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

    Example:
        >>> isinstance(ms.DDIM(), ms.Recipe), hash(ms.DDIM()) == hash(ms.DDIM())
        (True, True)
        >>> ms.DDIM(prediction_type="v_prediction")
        DDIM(prediction_type='v_prediction')
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

    def _repr_html_(self) -> str:
        return recipe_html(self, self.parts(), SETTINGS)

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
            grid, times = self._placed(asked)
        first, end = bounds(len(grid), start, stop, strength)
        if parts.absolute:
            plan = replace(self._plan_over(grid, end, first), history=0)
        else:
            plan = self._plan_over(grid.part(first, len(grid)), end - first)
        plan = told(plan, times)
        return plan if end == len(grid) else ended(plan, parts.path)

    def _placed(self, asked: Asked) -> tuple[Grid, Any]:
        """The grid of what is asked for, and what the calls of its steps are told, (steps, calls), or None."""
        parts, times = self._made, None
        grid = parts.spacing.grid(parts.path, asked)
        if parts.told is not None and asked.ratios is None:
            times = parts.told(grid, asked).reshape(len(grid), -1)
            grid = grid.timed(np.append(times[:, 0], grid.timesteps[-1:]))
        return grid, times

    @arithmetic()
    def plan_over(self, grid: Grid, history: int = 0) -> Plan:
        """The plan of a run over a custom grid.

        Args:
            grid: the points.
            history: steps of the grid that came before: the plan has the rows of those after, and begins with
                `Plan.resume(state)`, from the state of the run that took them. So a multistep solver keeps its order
                where the rest of a run is changed on its way: give the points that were passed, then the new ones. The
                grid of a plan with churn has raised levels; give the one that it was made of, `parts().grid(n)`.

        Raises:
            ScheduleError: if the solver cannot take a step of it, or `history` is no number of its steps, or ends
                within calls that belong together.

        Example:
            >>> recipe = ms.DPMSolverMultistep()
            >>> grid = recipe.plan(10).grid
            >>> len(recipe.plan_over(grid)), len(recipe.plan_over(grid, history=4))
            (10, 6)
        """
        if not isinstance(grid, Grid):
            raise ScheduleError(f"plan_over takes a Grid; given {shown(grid)}.")
        if not 0 <= (count := whole("history", history)) <= len(grid):
            raise ScheduleError(f"history must be a number of the {len(grid)} steps of the grid; given {count}.")
        return self._plan_over(grid, len(grid), count)

    @arithmetic()
    def between(self, t: float, t_prev: float | None = None) -> Plan:
        """The plan of one step, from a time to a cleaner one, for those who choose their times as they go. It is the
        first step of `plan(timesteps=[t, t_prev])`, where there is such a plan; a multistep solver takes it with the
        order that a first step has. Begin with `plan.start(x)`, which leaves x as it is.

        Args:
            t: where the sample is, a number of the host within the path; passed to the model.
            t_prev: where the step leads; None for the end of the recipe's runs.

        Raises:
            ScheduleError: if a time is no number of the path, the step does not lead to a cleaner level, or the solver
                cannot take it.

        Example:
            >>> plan = ms.DDIM(eta=1.0, clip_sample=False).between(601.5, 400)
            >>> plan.timesteps.tolist(), len(plan.grid)
            ([601.5], 1)
        """
        if any(one.whole for one in self.quirks):
            return replace(self, quirks=tuple(one for one in self.quirks if not one.whole)).between(t, t_prev)
        asked, times = [real("t", t), *([] if t_prev is None else [real("t_prev", t_prev)])], None
        try:
            grid, times = self._placed(Asked(timesteps=asked))
        except ScheduleError:  # times that no list may hold, such as fractions
            grid = None
        if grid is None or len(grid) != len(asked):
            grid, times = between(self._made.path, self._made.spacing, asked), None
        if not grid.next_sigmas[0] * grid.alphas[0] < grid.sigmas[0] * grid.next_alphas[0]:
            raise ScheduleError(f"a step leads to a cleaner level; given t={t!r} and t_prev={t_prev!r}.")
        return told(self._plan_over(replace(grid, prior=None), 1), times)

    def _plan_over(self, grid: Grid, stop: int, history: int = 0) -> Plan:
        """The steps history..stop-1 of that plan."""
        parts = self._made
        part = stop if stop < len(grid) else None
        rows, tableau = tabulate(parts.solver, grid, parts.prediction, parts.path, part, history)
        noise_transform, noise_parameters = parts.solver.noise_transform(rows) or (None, None)
        return Plan(
            name=type(self).__name__,
            rows=rows,
            tableau=tableau,
            order=parts.solver.order,
            weak_order=parts.solver.weak_order,
            inputs=parts.solver.inputs,
            output_transform=parts.output_transform,
            denoised_transform=parts.denoised_transform,
            noise_transform=noise_transform,
            noise_parameters=noise_parameters,
            history=history,
            path=parts.path,
            prediction=parts.prediction,
            solver=parts.solver,
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
