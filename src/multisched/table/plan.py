"""Plan: all that is known of a sampling run before the first array arrives."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import B, Backend
from multisched.backends.base import nonzero_terms
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.notebook import plan_html
from multisched.printing import repr_text, table_text
from multisched.solvers import Rows
from multisched.table.begin import begun, resumed
from multisched.table.kernel import mix
from multisched.table.packed import Builder, Layout, Weights, gather, whole_numbers, with_end
from multisched.table.state import State, host_number
from multisched.table.stepper import Stepper
from multisched.table.tableau import Tableau
from multisched.transforms import NoiseTransform, Transform, kind_of, numbers_of
from multisched.values import anywhere, arithmetic, namespace, read_only, whole


@dataclass(frozen=True, eq=False)
class Plan(Stepper):
    """A grid, the solver's table over it, and what is done to outputs on the way. Immutable and hashable.

    Attributes:
        name: of the recipe.
        rows: where each model call stands.
        tableau: the table, with x0 as an operand of its own.
        order: order of convergence of the solver, without any noise that it adds; 0 if it does not follow the
            probability flow.
        weak_order: order at which the law of the samples converges, see `solvers.Solver`; of a deterministic solver its
            order.
        inputs: registers that must be given to `start`.
        output_transform: change made to the model's output, or None.
        denoised_transform: change made to the estimate of x0, or None.
        noise_transform: change made to the noise by what the model's output says of it, or None.
        noise_parameters: (rows, any number) of that change; float64, read-only.
        history: steps before the first one, whose outputs its memory holds, see `Recipe.plan_over`.
        path, prediction, solver: that it was made with, for those who need levels between its own or the run the other
            way; None where it was not. They are no part of its numbers: plans that differ in them alone are equal.

    Example:
        >>> plan = ms.FlowMatchEuler(shift=3.0).plan(4)
        >>> plan
        <FlowMatchEuler: 4 steps, 4 model calls, order 1, deterministic>
        >>> state = plan.start(np.ones((1, 2)))
        >>> state = plan.step(state, 0.5 * plan.model_input(state))
        >>> state.sample.round(4).tolist(), state.index
        ([[0.9287, 0.9287]], 1)
    """

    name: str
    rows: Rows
    tableau: Tableau
    order: int = 1
    weak_order: int = 1
    inputs: tuple[str, ...] = ()
    output_transform: Transform | None = None
    denoised_transform: Transform | None = None
    noise_transform: NoiseTransform | None = None
    noise_parameters: Any = None
    history: int = 0
    path: Any = field(default=None, compare=False)
    prediction: Any = field(default=None, compare=False)
    solver: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        backends.ready(type(self))
        given = self.rows.sigma[:, :0] if self.noise_parameters is None else self.noise_parameters
        object.__setattr__(self, "noise_parameters", read_only(given))
        if anywhere(~(abs(self.noise_parameters) < math.inf)):
            raise ScheduleError("a parameter of the noise is not finite: this solver cannot take a step of this grid.")
        tables = (self.tableau.weights, self.tableau.x0_weights)
        if self._hosted and len(self) and not math.prod(abs(one).max() for one in tables) < 1e300:
            _ = self.folded  # what is folded later is checked here, where it may overflow
        _ = self._count, self._memory_count, self._in_use  # which steps read before they ask who is tracing them
        if not self._hosted:
            # Now, since gradients may be recorded here; the first step may be taken where they are not.
            _ = self._packed, self.timesteps

    @property
    def grid(self) -> Grid:
        """The points of the run."""
        return self.rows.grid

    @cached_property
    def timesteps(self) -> np.ndarray:
        """(rows,) float64, read-only: what the model is given, one per model call."""
        return read_only(self.rows.timestep[:, 0])  # type: ignore[no-any-return]

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """(rows,) number of each call within its step, from 0."""
        return whole_numbers(self.rows.stage)

    @property
    def sigmas(self) -> np.ndarray:
        """(steps + 1,) float64, read-only: weight of the noise where each step begins, and at the end."""
        return self.grid.sigmas  # type: ignore[no-any-return]

    @property
    def alphas(self) -> np.ndarray:
        """(steps + 1,) float64, read-only: weight of the clean sample at the same points."""
        return self.grid.alphas  # type: ignore[no-any-return]

    @cached_property
    def noise_draws(self) -> int:
        """Noise draws of a row that adds noise; 0 for a deterministic solver."""
        return self.tableau.draws

    def noise_address(self, row: int) -> tuple[int, range]:
        """(step, draws) that the noise of a row is drawn at: the step counts in the whole schedule, the draws in it."""
        step = self.grid.first + self._step_numbers[row]
        first = self.stages[row] * self.noise_draws
        return step, range(first, first + self.noise_draws)

    @cached_property
    def _step_numbers(self) -> tuple[int, ...]:
        """Per row, the step that it belongs to."""
        return whole_numbers(self.rows.step)

    def __len__(self) -> int:
        """Rows, which are model calls."""
        return len(self.tableau)

    __str__, __repr__, _repr_html_ = table_text, repr_text, plan_html

    @cached_property
    def folded(self) -> Tableau:
        """The table that steps use: without x0, if nothing is done to x0."""
        with arithmetic():
            return self.tableau.fold() if self.denoised_transform is None else self.tableau

    @cached_property
    def _packed(self) -> tuple[Layout, Any]:
        weights, x0_weights, parameters = (
            with_end(values) for values in (self.folded.weights, self.tableau.x0_weights, self.noise_parameters)
        )
        builder = Builder(np.arange(len(self) + 1) == len(self), self.sigmas)
        folded = self.denoised_transform is None
        sums = builder.registers(weights)
        x0 = () if folded else builder.entries(x0_weights)
        layout = Layout(
            sums=sums,
            parameters=tuple(builder.add(parameters[:, k]) for k in range(parameters.shape[1])),
            numbers=(
                builder.numbers([np.tile(own, (len(self) + 1, 1)) for own in self._transform_numbers[0]]),
                builder.numbers([np.tile(own, (len(self) + 1, 1)) for own in self._transform_numbers[1]]),
            ),
            end=builder.ends(),
            x0=builder.entries(x0_weights) if folded else x0,
            scale=builder.unless_one(with_end(self.rows.scale)[:, 0]),
            timestep=builder.add(with_end(self.rows.timestep, self._last_timestep)[:, 0]),
            outputs=self.tableau.outputs,
            draws=self.tableau.draws,
            masked=self.tableau.masked,
            output_transforms=() if self.output_transform is None else (kind_of(self.output_transform),),
            denoised_transforms=() if self.denoised_transform is None else (kind_of(self.denoised_transform),),
            noise_transform=self.noise_transform,
        )
        return layout, builder.table()

    @cached_property
    def _transform_numbers(self) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
        """The numbers of the output transform and of the denoised transform, where there are any."""
        changes = (self.output_transform, self.denoised_transform)
        output, denoised = (() if change is None else (numbers_of(change),) for change in changes)
        return output, denoised

    @property
    def _last_timestep(self) -> Any:
        """The timestep for samples that have ended: that of the last row, which a model's embedding knows."""
        return self.rows.timestep[-1:] if len(self) else None

    @cached_property
    def _hosted(self) -> bool:
        return isinstance(self.sigmas, np.ndarray)

    def _row_number(self, state: State[Any]) -> int | None:
        number = state.index if type(state.index) is int else host_number(state, self._count)
        if number is not None and not 0 <= number < self._count:
            raise ScheduleError(f"the plan has rows 0..{len(self) - 1}; there is no row {number} to step through.")
        self._check_memory(state)
        return number

    def _weights_at(self, backend: Backend[Any], state: State[Any]) -> tuple[Weights, Any]:
        index = state.index
        # The common case first: it is most of what a small step costs.
        if type(index) is int and 0 <= index < self._count and len(state.memory) == self._memory_count:
            weights = self._in_use[index]
            if weights is not None:
                return weights, index + 1
        self._backend(state.sample)
        number = self._row_number(state)
        if number is not None and self._hosted:
            self._check_float32(backend.compute_dtype(state.sample.dtype))
            return self._weights(number), number + 1
        return super()._weights_at(backend, state)

    @cached_property
    def _count(self) -> int:
        return len(self)

    def warm(self) -> None:
        super().warm()
        _ = self.noise_draws
        for number in range(len(self) if self._hosted else 0):
            self._weights(number)

    @cached_property
    def _memory_count(self) -> int:
        return len(self.tableau.registers) - 1

    def needs_noise(self, row: int) -> bool:
        return self._weights(row).noisy if self._hosted else self.layout.noisy

    def _weights(self, number: int) -> Weights:
        """The weights of a row as floats, straight from the tableau, which must be NumPy's."""
        found = self._in_use[number]
        if found is None:
            layout, sums = self.layout, tuple(map(nonzero_terms, self.folded.weights[number].tolist()))
            found = self._in_use[number] = Weights(
                scale=float(self.rows.scale[number, 0]),
                x0=nonzero_terms(self.tableau.x0_weights[number].tolist()),
                sums=sums,
                noisy=any(k >= layout.first_noise for register in sums for k in register.operands),
                parameters=tuple(self.noise_parameters[number].tolist()),
                numbers=self._transform_numbers,
                quick=layout.plain and layout.masked is None,
            )
        return found

    @cached_property
    def _in_use(self) -> list[Weights | None]:
        """Per row, its weights as floats; None for a row that no step has needed yet."""
        return [None] * len(self)

    def add_noise(self, x0: B, noise: B, point: Any) -> B:
        """The forward process at a point of the run, alphas[point] * x0 + sigmas[point] * noise, as inpainting needs.

        Args:
            x0, noise: floating arrays of one library and shape (samples, ...).
            point: from 0 to the number of steps, the run's end; an int, or an integer array of the samples' library,
                0-d or shaped as their first axes, which is not read: beyond the ends it is the first or last point.

        Raises:
            ScheduleError: if the point is no whole number, or outside the run, or arrays do not go together.
        """
        backend, end = backends.of(x0), len(self.grid)
        number = host_number(State(x0, (), point if hasattr(point, "shape") else whole("point", point)), end)
        dtype, device = backend.compute_dtype(x0.dtype), backend.device(x0)
        if number is not None and not 0 <= number <= end:
            raise ScheduleError(f"the run has the points 0..{end}, {end} its end; given point={number}.")
        if number is not None and self._hosted:
            return mix(float(self.alphas[number]), x0, float(self.sigmas[number]), noise)
        table = self._levels_on(backend, dtype, device)
        pair = table[number, ...] if number is not None else gather(backend, table, point)
        shape = (*pair.shape[:-1], *(1,) * (len(x0.shape) - len(pair.shape) + 1)) if number is None else ()
        alpha, sigma = (backend.xp.reshape(pair[..., k], shape) for k in (0, 1))
        return mix(alpha, x0, sigma, noise)

    def _levels_on(self, backend: Backend[Any], dtype: Any, device: Any) -> Any:
        """(steps + 1, 2) alphas and sigmas on a device."""
        key = ("levels", backend.name, str(device), str(dtype))
        if key not in self._on_device:
            pair = namespace(self.sigmas).stack([self.alphas, self.sigmas], axis=1)
            self._on_device[key] = (backend.constant if self._hosted else backend.asarray)(pair, dtype, device)
        return self._on_device[key]

    def start(self, noise: B, x0: B | None = None, dtype: Any = None, **inputs: B) -> State[B]:
        """The state before the first row.

        Without `x0`, grid.init_noise_sigma * noise; with it, the clean sample noised to the plan's first level,
        alpha * x0 + sigma * noise (image to image).

        Args:
            noise: unit normals (samples, ...), floating.
            x0: clean samples of the same shape.
            dtype: that the state keeps, the library's own or a name; the noise's by default.
            inputs: the arrays that the plan's `inputs` name, such as an image and a mask, shaped as the noise.

        Raises:
            ScheduleError: if arrays differ in library or shape, or are not floating, the inputs are not the plan's, or
                the plan goes on from a run that another plan began (`resume`).
        """
        return begun(self, noise, x0, dtype, inputs)

    def resume(self, state: State[B]) -> State[B]:
        """The state before the first row of a plan with `history`: the sample and the memory at the end of a run that
        took the steps before it with the same solver.

        Raises:
            ScheduleError: if the memory is not that of the plan's solver, or its arrays are not like the sample.
        """
        return resumed(self, state)
