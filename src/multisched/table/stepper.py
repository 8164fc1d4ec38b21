"""Stepper: what a plan and a stack of plans share, from the weights of a row to the next state."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

from multisched import backends
from multisched.backends import B, Backend
from multisched.backends.base import Terms
from multisched.errors import ScheduleError
from multisched.table.in_turn import of_row
from multisched.table.kernel import advance, chained_by_x0, compiled, deviation, estimate, following, scaled
from multisched.table.packed import Layout, Weights, gather
from multisched.table.state import State, check_all, check_out, donates, draws_of
from multisched.values import Value


class Stepper(Value, ABC):
    """A table and the way through it. A state's index is an int (not for stacks), or an integer array of the samples'
    library whose dtype can count the rows: 0-d, (samples,) for a row per sample, or (samples, frames) and so on, as
    the sample's shape begins. The values of an array are not read: a negative one stands for the first row.

    With an int, coefficients are Python floats. With an array, they are gathered from a table on the device, which is
    put there once: so `model_input`, `step`, `denoised`, `transition` and `timestep` are pure functions of arrays, to
    be compiled, scanned, differentiated and exported. A sample whose run has ended then stays as it is.
    """

    name: str

    @property
    def layout(self) -> Layout:
        """What all rows have in common; plans of one layout share a compiled step."""
        return self._packed[0]

    @property
    @abstractmethod
    def _packed(self) -> tuple[Layout, Any]:
        """The layout, and the table (rows, columns) in the grid's library."""

    @abstractmethod
    def _row_number(self, state: State[Any]) -> int | None:
        """The row of a state whose index is an int, in range; None for an array, which is not read."""

    @property
    @abstractmethod
    def _hosted(self) -> bool:
        """Whether the table is NumPy's, so that it may be put on any device."""

    def needs_noise(self, row: int) -> bool:
        """Whether this row adds noise."""
        return self.layout.noisy

    @cached_property
    def _of_step(self) -> Layout:
        return self.layout.of_step

    @cached_property
    def _of_rows(self) -> tuple[Layout, ...]:
        """What a step that overwrites its state needs to know of each row of a table of NumPy's."""
        return tuple(of_row(self._of_step, row) for row in self._packed[1])

    @cached_property
    def _memory_count(self) -> int:
        """Registers beside the sample."""
        return len(self.layout.sums) - 1

    @cached_property
    def _on_device(self) -> dict[tuple[str, str, str, str], Any]:
        """The tables that have been put on devices."""
        return {}

    def table(self, backend: Any = "numpy", device: Any = None, dtype: Any = "float32") -> Any:
        """(rows + 1, columns), the coefficients on a device; the last row is that of a run's end. No step reads what is
        written to it: NumPy's is read-only, those of torch and MLX are copies of what steps read.

        Args:
            backend: a backend's name, a `Backend`, or an array to take it from.
            device: the backend's default.
            dtype: that of the sums, float32 or float64; the library's own or a name.

        Raises:
            ScheduleError: if the backend, the device or the dtype is unknown.
        """
        backend = backends.resolve(backend)
        return self._put_table("shown" if backend.mutable else "table", backend, device, dtype)

    def _put_table(self, use: str, backend: Backend[Any], device: Any, dtype: Any) -> Any:
        """The table on a device, put there once for each `use`."""
        columns = self._packed[1]
        if not self._hosted:
            # Made anew each time: what is made inside a trace, or while gradients are off, is of no use later.
            return backend.asarray(columns, dtype, device)
        key = (use, backend.name, str(device), str(dtype))
        found = self._on_device.get(key)
        if found is None:
            self._check_float32(dtype)
            found = self._on_device[key] = backend.constant(columns, dtype, device)
        return found

    def _check_float32(self, dtype: Any) -> None:
        """Refuse a cast of the coefficients to a dtype that cannot hold them.

        Raises:
            ScheduleError: if the dtype is float32, and one of them is beyond it.
        """
        if self._beyond is not None and str(dtype).endswith("float32"):
            raise ScheduleError(f"{self._beyond}, which float32 cannot hold: step it in float64, or change the plan.")

    @cached_property
    def _beyond(self) -> str | None:
        """A clause that names a coefficient beyond float32; None if there is none, or the values are not NumPy's."""
        layout, columns = self._packed
        return layout.beyond(columns, self.name) if self._hosted else None

    def _table_beside(self, backend: Backend[Any], sample: Any) -> Any:
        """The table on the device of the sample, in the dtype of the sums."""
        found = self._put_table("table", backend, backend.device(sample), backend.compute_dtype(sample.dtype))
        return backend.beside(found, sample)

    def _coefficients(self, backend: Backend[Any], sample: Any, number: int) -> Any:
        """The coefficients of a row that a compiled step takes, on the device of the sample."""
        end = self.layout.end + 1
        if not self._hosted:
            return self._table_beside(backend, sample)[number, :end]
        device, dtype = backend.device(sample), backend.compute_dtype(sample.dtype)
        key = ("rows", backend.name, str(device), str(dtype))
        found = self._on_device.get(key)
        if found is None:
            self._check_float32(dtype)
            found = self._on_device[key] = backend.constant_rows(self._packed[1][:, :end], dtype, device)
        return backend.beside(found[number], sample)

    @property
    def stochastic(self) -> bool:
        """Whether any row adds noise."""
        return self.layout.noisy

    def warm(self) -> None:
        """Make what steps look up on every device, since it cannot be made while torch.compile traces them."""
        _ = self._of_step, self._memory_count, self._hosted

    def prepare(self, backend: str, device: Any, dtype: Any) -> None:
        """Make all that steps keep, before a compiler reads their code: a graph then serves the first step too.

        Args:
            backend: name of the samples' library.
            device, dtype: of the samples.

        Raises:
            ScheduleError: if samples have no such dtype.
        """
        self.warm()
        found = backends.get(backend)
        self._put_table("table", found, device, found.compute_dtype(dtype))

    # torch.compile runs a function with this attribute and does not read it. Its arguments must be constants: hence
    # the backend's name.
    prepare._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def _backend(self, sample: Any) -> Backend[Any]:
        """The backend of a sample. If a compiler is reading the code, all that steps keep is made first."""
        backend = backends.of(sample)
        if backend.compiling():
            self.prepare(backend.name, backend.device(sample), sample.dtype)
        return backend

    def _weights_at(self, backend: Backend[Any], state: State[Any]) -> tuple[Weights, Any]:
        """The weights of the row where a state is, and the index of the next row."""
        self._backend(state.sample)
        number = self._row_number(state)
        if number is not None:
            coefficients = self._table_beside(backend, state.sample)[number, ...]
            return self.layout.weights_of(backend, coefficients, 0, ending=False), number + 1
        coefficients = gather(backend, self._table_beside(backend, state.sample), state.index)
        weights = self.layout.weights_of(backend, coefficients, state.sample.ndim, ending=True)
        return weights, following(backend, self.layout, coefficients, state.index)

    def timestep(self, state: State[B]) -> B:
        """The timestep that the model is given at the state's row: an array shaped as the index, 0-d for a number, on
        the device of the sample and in the dtype of the sums."""
        backend = self._backend(state.sample)
        number, table = self._row_number(state), self._table_beside(backend, state.sample)
        coefficients = gather(backend, table, state.index) if number is None else table[number, ...]
        found: B = coefficients[..., self.layout.timestep]
        return found

    def model_input(self, state: State[B]) -> B:
        """What the model is given at the state's row: the sample, scaled where the schedule has a scale."""
        backend = self._backend(state.sample)
        if self.layout.scale is None:
            self._row_number(state)
            return state.sample
        found: B = scaled(backend, self._weights_at(backend, state)[0].scale, state.sample)
        return found

    def step(
        self,
        state: State[B],
        output: B,
        noise: B | tuple[B, ...] | None = None,
        *,
        compile: bool = False,
        out: State[B] | None = None,
    ) -> State[B]:
        """The state after the next row.

        Args:
            state: where the run is.
            output: the model's output for `model_input(state)`, shaped as the sample.
            noise: unit normals shaped as the sample, a tuple of them where `noise_draws` is more than one. Needed
                where the row adds noise (with an array for index: where any row does), unused elsewhere.
            compile: take the step by a function that the array library has compiled, one for all plans of a layout.
            out: a state that is no longer needed, whose memory may be used again. NumPy and torch write to its arrays,
                which must not be those of `state`; JAX, with compile=True, takes `state` itself. (What large arrays
                of JAX are fastest with on the CPU stands in the documentation, under "Speed".)

        Returns:
            A new state, in the dtype of the given one.

        Raises:
            ScheduleError: if the run is at its end, an array is of another library or shape, noise is missing, or the
                array library cannot do what is asked for.
        """
        backend = backends.of(state.sample)
        if compile:
            return self._step_compiled(backend, state, output, noise, out)
        weights, after = self._weights_at(backend, state)
        layout = self._packed[0]
        draws = draws_of(self.name, layout, state, noise) if weights.noisy else ()
        if weights.quick and out is None:
            operands = (state.sample, *state.memory, output, *draws)
            if layout.folded:
                found = backend.chained(weights.sums, operands)
            else:
                found = chained_by_x0(backend, layout, weights, operands)
            if found is not None:
                return State(found[0], found[1:], after)
        check_all(backend, layout, state, output, draws)
        if out is not None:
            check_out(backend, state, out, output, draws)
        registers = advance(backend, layout, weights, state, output, draws, out)
        return State(registers[0], registers[1:], after)

    def _step_compiled(
        self, backend: Backend[Any], state: State[Any], output: Any, noise: Any, out: State[Any] | None
    ) -> State[Any]:
        if backend.compiling():
            self._backend(state.sample)
        number = self._row_number(state)
        noisy = self.layout.noisy if number is None else self.needs_noise(number)
        draws = draws_of(self.name, self.layout, state, noise) if noisy else ()
        check_all(backend, self.layout, state, output, draws)
        sample, layout, copied = state.sample, self._of_step, False
        donated = donates(state, out, output, draws)
        if number is None:
            coefficients = gather(backend, self._table_beside(backend, sample), state.index)
            after: Any = following(backend, self.layout, coefficients, state.index)
            coefficients = coefficients[..., : self.layout.end + 1]
        else:
            coefficients, after = self._coefficients(backend, sample, number), number + 1
            copied = donated and backend.copies_donated(sample)
            if copied and self._hosted:
                layout = self._of_rows[number]
            if layout.noisy and not draws:
                # One graph for all rows: in this one any arrays will do, of weight 0. New ones, as torch traces again
                # where two arguments are the same array.
                draws = tuple(-sample for _ in range(self.layout.draws))
        function = compiled(backend, layout, number is None, donated, copied)
        sample, *memory = function(coefficients, sample, state.memory, output, draws)
        return State(sample, tuple(memory), after)

    def denoised(self, state: State[B], output: B) -> B:
        """The estimate of x0 that the next row makes of `output`, in the dtype of the sample.

        Raises:
            ScheduleError: as `step`.
        """
        backend = self._backend(state.sample)
        weights, _ = self._weights_at(backend, state)
        check_all(backend, self.layout, state, output, ())
        x0: B = estimate(backend, self.layout, weights, state.sample, output)
        return x0

    def transition(self, state: State[B], output: B) -> tuple[B, float]:
        """The Gaussian that the next row draws its sample from: its mean, and its standard deviation per element, a
        float; with an array for index, an array that broadcasts against the samples. It is 0 where a row adds no noise.

        Raises:
            ScheduleError: as `step`, or if the deviation is not one number: a mask or the model's output sets it.
        """
        layout = self.layout
        if layout.noise_transform is not None or layout.masked is not None:
            raise ScheduleError(f"a step of {self.name} has no one deviation: a mask or the model's output sets it.")
        backend = self._backend(state.sample)
        weights, _ = self._weights_at(backend, state)
        check_all(backend, layout, state, output, ())
        factors, operands, _ = weights.sums[0]
        still = [k for k in range(len(operands)) if operands[k] < layout.first_noise]
        mean = weights._replace(sums=(Terms(tuple(factors[k] for k in still), tuple(operands[k] for k in still)),))
        variance = sum(factor**2 for factor in factors[len(still) :])
        return advance(backend, layout, mean, state, output, ())[0], deviation(backend, variance)

    def _check_memory(self, state: State[Any]) -> None:
        """The state has as many memory registers as the table."""
        if len(state.memory) != self._memory_count:
            raise ScheduleError(
                f"{self.name} keeps {self._memory_count} memory registers; the state has {len(state.memory)}."
            )
