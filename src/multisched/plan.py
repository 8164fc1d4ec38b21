"""Plan: all that is known of a sampling run before the first array arrives."""

import math
import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from multisched import backends
from multisched.backends import B, Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers import Rows
from multisched.step import NoiseTransform, State, Terms, Transform, check_alike, combine, split, terms
from multisched.tableau import Tableau
from multisched.values import Value, read_only


@dataclass(frozen=True, eq=False)
class Plan(Value):
    """A grid, the solver's table over it, and what is done to outputs on the way. Immutable and hashable.

    Attributes:
        name: of the recipe.
        rows: where each model call stands.
        tableau: the table, with x0 as an operand of its own.
        order: order of convergence of the solver, without any noise that it adds; 0 if it does not follow the
            probability flow.
        inputs: registers that `start` is to be given.
        output_transform: change made to the model's output, or None.
        denoised_transform: change made to the estimate of x0, or None.
        noise_transform: change made to the noise by what the model's output says of it, or None.
    """

    name: str
    rows: Rows
    tableau: Tableau
    order: int = 1
    inputs: tuple[str, ...] = ()
    output_transform: Transform | None = None
    denoised_transform: Transform | None = None
    noise_transform: NoiseTransform | None = None

    @property
    def grid(self) -> Grid:
        """The points of the run."""
        return self.rows.grid

    @cached_property
    def timesteps(self) -> Any:
        """(rows,) float64, read-only: what the model is given, one per model call."""
        return read_only(self.rows.timestep[:, 0])

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """(rows,) number of each call within its step, from 0."""
        return tuple(self.rows.stage[:, 0].tolist())

    @property
    def sigmas(self) -> Any:
        """(steps + 1,) float64, read-only: weight of the noise where each step begins, and at the end."""
        return self.grid.sigmas

    @property
    def alphas(self) -> Any:
        """(steps + 1,) float64, read-only: weight of the clean sample likewise."""
        return self.grid.alphas

    @property
    def noise_draws(self) -> int:
        """Noise draws of a row that adds noise; 0 for a deterministic solver."""
        return self.tableau.draws

    @property
    def stochastic(self) -> bool:
        """Whether any row adds noise."""
        return any(self._noisy)

    def needs_noise(self, row: int) -> bool:
        """Whether this row adds noise."""
        return self._noisy[row]

    def noise_address(self, row: int) -> tuple[int, range]:
        """(step, draws) that the noise of a row is drawn at: the step counts in the whole schedule, the draws in it."""
        step = self.grid.first + self._steps[row]
        first = self.stages[row] * self.noise_draws
        return step, range(first, first + self.noise_draws)

    @cached_property
    def _steps(self) -> tuple[int, ...]:
        """Per row, the step that it belongs to."""
        return tuple(self.rows.step[:, 0].tolist())

    @cached_property
    def _scales(self) -> tuple[float, ...]:
        """Per row, what the sample is multiplied with before the model sees it."""
        return tuple(self.rows.scale[:, 0].tolist())

    def __len__(self) -> int:
        """Rows, which are model calls."""
        return len(self.tableau)

    def __str__(self) -> str:
        calls = f"{len(self.grid)} steps, {len(self)} model calls, order {self.order}"
        lines = [f"{self.name}: {calls}, {'stochastic' if self.stochastic else 'deterministic'}"]
        lines.append(" row  timestep     alpha     sigma")
        for row, (alpha, sigma) in enumerate(zip(self.rows.alpha[:, 0], self.rows.sigma[:, 0], strict=True)):
            place = f"{self.timesteps[row]:9.3f} {alpha:9.6f} {sigma:9.6f}"
            lines.append(f"{row:4d} {place}  {self._folded.formula(row)}")
        return "\n".join([*lines, f" end           {self.alphas[-1]:9.6f} {self.sigmas[-1]:9.6f}"])

    @cached_property
    def _folded(self) -> Tableau:
        return self.tableau.fold() if self.denoised_transform is None else self.tableau

    @cached_property
    def _terms(self) -> tuple[tuple[Terms, ...], ...]:
        """Per row and register, the weighted sum that it becomes."""
        return tuple(tuple(terms(register) for register in row) for row in self._folded.weights.tolist())

    @cached_property
    def _x0_terms(self) -> tuple[Terms, ...]:
        return tuple(terms(weights) for weights in self.tableau.x0_weights.tolist())

    @cached_property
    def _noisy(self) -> tuple[bool, ...]:
        """Per row, whether it adds noise."""
        if not self.noise_draws:
            return (False,) * len(self)
        first = len(self._folded.operands) - self.noise_draws
        return tuple(any(k >= first for register in row for k in register.operands) for row in self._terms)

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
            ScheduleError: arrays of two libraries or shapes, or not floating, or other inputs than the plan names.
        """
        backend = backends.of(noise)
        compute = backend.compute_dtype(noise.dtype)
        kept: Any = noise.dtype if dtype is None else backend.asarray(0.0, dtype).dtype
        backend.compute_dtype(kept)
        if x0 is None:
            first = terms([self.grid.init_noise_sigma])
        else:
            check_alike(noise, x0, "x0", "noise")
            first = terms([float(self.sigmas[0]), float(self.alphas[0])])
        operands = tuple(backend.astype(array, compute) for array in (noise, noise if x0 is None else x0))
        sample = backend.astype(combine(backend, first, operands), kept)
        if set(inputs) != set(self.inputs):
            wanted = ", ".join(self.inputs) or "none"
            raise ScheduleError(
                f"{self.name} is started with the inputs {wanted}; given {', '.join(inputs) or 'none'}."
            )
        for name, array in inputs.items():
            check_alike(noise, array, name, "noise")
        given = {name: backend.astype(array, kept) for name, array in inputs.items()}
        empty = backend.xp.zeros_like(sample)
        return State(sample, tuple(given.get(name, empty) for name in self.tableau.registers[1:]), 0)

    def model_input(self, state: State[B]) -> B:
        """What the model is given at the state's row: the sample, scaled where the schedule has a scale."""
        scale = self._scales[self._row(state)]
        if scale == 1.0:
            return state.sample
        backend = backends.of(state.sample)
        wide = backend.astype(state.sample, backend.compute_dtype(state.sample.dtype))
        scaled: B = backend.astype(combine(backend, Terms((scale,), (0,)), (wide,)), state.sample.dtype)
        return scaled

    def step(self, state: State[B], output: B, noise: B | tuple[B, ...] | None = None) -> State[B]:
        """The state after the next row.

        Args:
            state: where the run is.
            output: the model's output for `model_input(state)`, shaped as the sample.
            noise: unit normals shaped as the sample, a tuple of them where `noise_draws` is more than one. Needed
                where the row adds noise, unused elsewhere.

        Returns:
            A new state, in the dtype of the given one.

        Raises:
            ScheduleError: the run is at its end, an array of another library or shape, or noise that is missing.
        """
        row = self._row(state)
        backend = backends.of(state.sample)
        draws = self._draws(row, noise)
        operands = self._operands(backend, row, state, output, draws)
        sample, *memory = (combine(backend, register, operands) for register in self._terms[row])
        if self._masked is not None:
            known, mask = (memory[k] for k in self._masked)
            sample = known * mask + sample * (1.0 - mask)
        dtype = state.sample.dtype
        return State(backend.astype(sample, dtype), tuple(backend.astype(one, dtype) for one in memory), row + 1)

    def denoised(self, state: State[B], output: B) -> B:
        """The estimate of x0 that the next row makes of `output`, in the dtype of the sample.

        Raises:
            ScheduleError: as `step`.
        """
        row = self._row(state)
        backend = backends.of(state.sample)
        sample, outputs, _ = self._widened(backend, row, state, output, ())
        x0: B = backend.astype(self._x0(backend, row, sample, outputs), state.sample.dtype)
        return x0

    def transition(self, state: State[B], output: B) -> tuple[B, float]:
        """The Gaussian that the next row draws its sample from: its mean, and its standard deviation per element.

        Raises:
            ScheduleError: as `step`, or the deviation is not one number: a mask or the model's output sets it.
        """
        if self.noise_transform is not None or self._masked is not None:
            raise ScheduleError(f"a step of {self.name} has no one deviation: a mask or the model's output sets it.")
        row = self._row(state)
        backend = backends.of(state.sample)
        operands = self._operands(backend, row, state, output, ())
        weights = self._folded.weights[row, 0].tolist()
        mean: B = combine(backend, terms(weights[: len(operands)]), operands)
        std = math.sqrt(sum(weight**2 for weight in weights[len(operands) :]))
        return backend.astype(mean, state.sample.dtype), std

    def _row(self, state: State[Any]) -> int:
        try:
            row = operator.index(state.index)
        except TypeError:
            raise ScheduleError(f"state.index must be an int; given {type(state.index).__name__}.") from None
        if not 0 <= row < len(self):
            raise ScheduleError(f"the plan has rows 0..{len(self) - 1}; there is no row {row} to step through.")
        if len(state.memory) != len(self.tableau.registers) - 1:
            raise ScheduleError(
                f"{self.name} keeps {len(self.tableau.registers) - 1} memory registers; "
                f"the state has {len(state.memory)}."
            )
        return row

    def _draws(self, row: int, noise: Any) -> tuple[Any, ...]:
        """The noise operands; a row that adds none gets none."""
        if not self.needs_noise(row):
            return ()
        draws: tuple[Any, ...] = noise if isinstance(noise, tuple) else () if noise is None else (noise,)
        if len(draws) != self.noise_draws:
            raise ScheduleError(
                f"row {row} of {self.name} adds noise: give noise= as {self.noise_draws} array(s) of unit normals; "
                f"given {len(draws)}."
            )
        return draws

    @cached_property
    def _masked(self) -> tuple[int, int] | None:
        """Places of "known" and "mask" in the memory, where there are any."""
        names = self.tableau.registers[1:]
        return (names.index("known"), names.index("mask")) if {"known", "mask"} <= set(names) else None

    def _widened(
        self, backend: Backend[Any], row: int, state: State[Any], output: Any, draws: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
        """The sample, the transformed parts of the output and the noise, in the dtype of the sums."""
        dtype = backend.compute_dtype(state.sample.dtype)
        for array in draws:
            check_alike(state.sample, array, "noise", "sample")
        draws = tuple(backend.astype(array, dtype) for array in draws)
        parts = self.tableau.outputs
        if parts == 1 and self.noise_transform is None:
            check_alike(state.sample, output, "the model's output", "sample")
        output = backend.astype(output, dtype)
        if self.noise_transform is not None:
            output, draws = self.noise_transform(backend, row, output, draws)
        if self.output_transform is not None:
            output = self.output_transform(backend, output)
        outputs = (output,) if parts == 1 else split(backend, output, parts)
        for one in outputs:
            check_alike(state.sample, one, "the model's output", "sample")
        return backend.astype(state.sample, dtype), outputs, draws

    def _x0(self, backend: Backend[Any], row: int, sample: Any, outputs: tuple[Any, ...]) -> Any:
        x0 = combine(backend, self._x0_terms[row], (sample, *outputs))
        return x0 if self.denoised_transform is None else self.denoised_transform(backend, x0)

    def _operands(
        self, backend: Backend[Any], row: int, state: State[Any], output: Any, draws: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """What the rows of the table are multiplied with, in its order."""
        sample, outputs, noise = self._widened(backend, row, state, output, draws)
        for array in state.memory:
            check_alike(sample, array, "memory", "sample")
        memory = [backend.astype(array, sample.dtype) for array in state.memory]
        x0 = () if self.denoised_transform is None else (self._x0(backend, row, sample, outputs),)
        return (sample, *memory, *outputs, *x0, *noise)
