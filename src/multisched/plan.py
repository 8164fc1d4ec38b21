"""Plan: what is known of a sampling run before the first array arrives; State: what is known after each step."""

import math
import operator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from numbers import Real
from typing import Any, Generic, NamedTuple

from multisched import backends
from multisched.backends import B, Backend
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.step import Terms, Transform, check_alike, combine, terms
from multisched.tableau import Tableau
from multisched.values import Value, read_only


class State(NamedTuple, Generic[B]):
    """A run between two rows of its plan: plain arrays, to be saved, sent and resumed.

    Attributes:
        sample: the sample, first axis = samples.
        memory: the solver's registers, each shaped as the sample.
        index: the row that comes next.
    """

    sample: B
    memory: tuple[B, ...]
    index: int  # type: ignore[assignment]  # a field hides tuple.index, which no state needs


@dataclass(frozen=True, eq=False)
class Plan(Value):
    """A grid, the solver's table over it, and what is done to outputs on the way. Immutable and hashable.

    Attributes:
        name: of the recipe.
        grid: the points of the run.
        tableau: the table, with x0 as an operand of its own.
        timesteps: (rows,) float64, read-only: what the model is given, one per model call.
        stages: (rows,) number of each call within its step, from 0.
        order: order of convergence of the solver, without any noise that it adds; 0 if it does not follow the
            probability flow.
        init_noise_sigma: what `start` scales unit normals by.
        output_transform: change made to the model's output, or None.
        denoised_transform: change made to the estimate of x0, or None.
    """

    name: str
    grid: Grid
    tableau: Tableau
    timesteps: Any
    stages: tuple[int, ...]
    order: int = 1
    init_noise_sigma: float = 1.0
    output_transform: Transform | None = None
    denoised_transform: Transform | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "timesteps", read_only(self.timesteps))

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
        return tuple(accumulate((stage == 0 for stage in self.stages[1:]), initial=0))

    def __len__(self) -> int:
        """Rows, which are model calls."""
        return len(self.tableau)

    def __str__(self) -> str:
        calls = f"{len(self.grid)} steps, {len(self)} model calls, order {self.order}"
        lines = [f"{self.name}: {calls}, {'stochastic' if self.stochastic else 'deterministic'}"]
        lines.append(" row  timestep     alpha     sigma")
        for row, stage in enumerate(self.stages):
            point = self._steps[row] + stage
            place = f"{self.timesteps[row]:9.3f} {self.alphas[point]:9.6f} {self.sigmas[point]:9.6f}"
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

    def start(self, noise: B, x0: B | None = None, dtype: Any = None) -> State[B]:
        """The state before the first row.

        Without `x0`, init_noise_sigma * noise; with it, the clean sample noised to the plan's first level,
        alpha * x0 + sigma * noise (image to image).

        Args:
            noise: unit normals (samples, ...), floating.
            x0: clean samples of the same shape.
            dtype: that the state keeps, the library's own or a name; the noise's by default.

        Raises:
            ScheduleError: arrays of two libraries or shapes, or not floating.
        """
        backend = backends.of(noise)
        compute = backend.compute_dtype(noise.dtype)
        kept: Any = noise.dtype if dtype is None else backend.asarray(0.0, dtype).dtype
        backend.compute_dtype(kept)
        if x0 is None:
            first = terms([self.init_noise_sigma])
        else:
            check_alike(noise, x0, "x0", "noise")
            first = terms([float(self.sigmas[0]), float(self.alphas[0])])
        operands = tuple(backend.astype(array, compute) for array in (noise, noise if x0 is None else x0))
        sample = backend.astype(combine(backend, first, operands), kept)
        memory = tuple(backend.xp.zeros_like(sample) for _ in self.tableau.registers[1:])
        return State(sample, memory, 0)

    def model_input(self, state: State[B]) -> B:
        """What the model is given at the state's row."""
        self._row(state)
        return state.sample

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
        sample, *memory = (
            backend.astype(combine(backend, register, operands), state.sample.dtype) for register in self._terms[row]
        )
        return State(sample, tuple(memory), row + 1)

    def denoised(self, state: State[B], output: B) -> B:
        """The estimate of x0 that the next row makes of `output`, in the dtype of the sample.

        Raises:
            ScheduleError: as `step`.
        """
        row = self._row(state)
        backend = backends.of(state.sample)
        sample, transformed = self._widened(backend, state, output)
        x0: B = backend.astype(self._x0(backend, row, sample, transformed), state.sample.dtype)
        return x0

    def transition(self, state: State[B], output: B) -> tuple[B, float]:
        """The Gaussian that the next row draws its sample from: its mean, and its standard deviation per element.

        Raises:
            ScheduleError: as `step`.
        """
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

    def _widened(self, backend: Backend[Any], state: State[Any], output: Any) -> tuple[Any, Any]:
        """The sample and the transformed output, in the dtype of the sums."""
        check_alike(state.sample, output, "the model's output", "sample")
        dtype = backend.compute_dtype(state.sample.dtype)
        output = backend.astype(output, dtype)
        if self.output_transform is not None:
            output = self.output_transform(backend, output)
        return backend.astype(state.sample, dtype), output

    def _x0(self, backend: Backend[Any], row: int, sample: Any, output: Any) -> Any:
        x0 = combine(backend, self._x0_terms[row], (sample, output))
        return x0 if self.denoised_transform is None else self.denoised_transform(backend, x0)

    def _operands(
        self, backend: Backend[Any], row: int, state: State[Any], output: Any, draws: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """What the rows of the table are multiplied with, in its order."""
        sample, output = self._widened(backend, state, output)
        for array in state.memory:
            check_alike(sample, array, "memory", "sample")
        for array in draws:
            check_alike(sample, array, "noise", "sample")
        memory, noise = ([backend.astype(array, sample.dtype) for array in arrays] for arrays in (state.memory, draws))
        x0 = () if self.denoised_transform is None else (self._x0(backend, row, sample, output),)
        return (sample, *memory, output, *x0, *noise)


def log_prob(sample: B, mean: B, std: float) -> B:
    """Log-density of each sample under N(mean, std^2 I), summed over all axes but the first: shape (samples,).

    Args:
        sample, mean: arrays of one library and shape; half precision is widened to float32.
        std: standard deviation, as `Plan.transition` gives it.

    Raises:
        ScheduleError: std is not positive (a deterministic step has no density), or the arrays do not go together.
    """
    if not isinstance(std, Real) or math.isnan(std):
        raise ScheduleError(f"std must be a number; given {std!r}.")
    if not std > 0:
        raise ScheduleError(
            f"a log-density needs a standard deviation above 0; given {std}: the step is deterministic."
        )
    backend = backends.of(sample)
    check_alike(sample, mean, "mean", "sample")
    dtype = backend.compute_dtype(sample.dtype)
    scaled: Any = (backend.astype(sample, dtype) - backend.astype(mean, dtype)) * (1.0 / std)
    density = scaled * scaled * -0.5 - (math.log(std) + 0.5 * math.log(2 * math.pi))
    total: B = backend.xp.sum(density, axis=tuple(range(1, scaled.ndim)))
    return total
