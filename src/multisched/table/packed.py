"""The tableau packed for devices: a static `Layout`, and an array (rows, columns) of the coefficients that vary.

A `Layout` is what all rows have in common: which coefficients there are, and what is done between the sums. It hashes,
so that plans of one layout, of whatever schedulers, share one compiled step, whose input is one row of the array.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import device

from multisched import backends
from multisched.backends import Backend
from multisched.backends.base import Terms
from multisched.transforms import NoiseTransform, Transform
from multisched.values import FLOAT32, namespace


class Weights(NamedTuple):
    """All numbers of one row: floats, or arrays that broadcast against the samples.

    Attributes:
        scale: what the sample is multiplied with before the model sees it.
        x0: the estimate of x0, a sum of the sample and the outputs.
        sums: what each register becomes, a sum of the operands.
        noisy: whether it adds noise.
        parameters: of the noise transform.
        choices: which of the output transforms and of the denoised transforms is meant, from 1; 0 is none of them.
        numbers: of each output transform, and of each denoised transform.
        ended: whether the run has ended, so that the sample stays as it is; None if no sample can have ended.
        quick: whether `Backend.chained` may take the row: the model's output goes into the sums as it is, and nothing
            is done to what they give.
    """

    scale: Any
    x0: Terms
    sums: tuple[Terms, ...]
    noisy: bool
    parameters: tuple[Any, ...] = ()
    choices: tuple[Any, Any] = (1, 1)
    numbers: tuple[tuple[tuple[Any, ...], ...], tuple[tuple[Any, ...], ...]] = ((), ())
    ended: Any = None
    quick: bool = False


class Entry(NamedTuple):
    """A weight of a sum: the operand it belongs to, and its column; None for a weight that is 1 in every row."""

    operand: int
    column: int | None


@dataclass(frozen=True)
class Layout:
    """What is the same in every row of a table. Hashable.

    Attributes:
        sums, x0: per register, and for the estimate of x0, the weights that are not 0 in every row.
        end: the column that says which rows are ends. It is the last of those that a step takes.
        timestep: the column of the timestep that is passed to the model.
        scale: the column of the scale of the model's input; None where that is 1 in every row.
        parameters, choices, numbers: the columns of a row's parameters, choices and numbers.
        outputs, draws: parts of the model's output, and noise draws.
        masked: places of "known" and "mask" in the memory, where there are any.
        output_transforms, denoised_transforms: kinds of the changes made to the output and to the estimate of x0; more
            than one where samples differ in theirs.
        noise_transform: change made to the noise by what the model's output says of it, or None.
        folded: whether x0 is no operand of its own.
        plain: whether the model's output goes into the sums as it is.
        first_noise: the operand that is the first noise draw, if there are any.
        noisy: whether any row adds noise.
    """

    sums: tuple[tuple[Entry, ...], ...]
    x0: tuple[Entry, ...]
    end: int
    timestep: int
    scale: int | None
    parameters: tuple[int, ...] = ()
    choices: tuple[int | None, int | None] = (None, None)
    numbers: tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]] = ((), ())
    outputs: int = 1
    draws: int = 0
    masked: tuple[int, int] | None = None
    output_transforms: tuple[Transform, ...] = ()
    denoised_transforms: tuple[Transform, ...] = ()
    noise_transform: NoiseTransform | None = None

    folded: bool = field(init=False, compare=False)
    plain: bool = field(init=False, compare=False)
    first_noise: int = field(init=False, compare=False)
    noisy: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        folded = len(self.denoised_transforms) == 0
        first_noise = len(self.sums) + self.outputs + (not folded)
        found = {
            "folded": folded,
            "plain": self.outputs == 1 and self.noise_transform is None and not self.output_transforms,
            "first_noise": first_noise,
            "noisy": any(entry.operand >= first_noise for register in self.sums for entry in register),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @property
    def of_step(self) -> "Layout":
        """What a step needs to know, the same for schedulers that differ in the rest."""
        return replace(self, timestep=-1, scale=None, x0=() if self.folded else self.x0)

    def named(self, column: int) -> str:
        """What the coefficient of a column is, for a message."""
        for register, entries in enumerate(self.sums):
            for entry in entries:
                if entry.column == column:
                    return f"the weight of operand {entry.operand} in register {register}"
        names = {self.timestep: "the timestep", self.scale: "the scale of the model's input"}
        names |= dict.fromkeys(self.parameters, "a parameter of the noise")
        return names.get(column, "a weight of the estimate of x0")

    def beyond(self, columns: np.ndarray, plan: str) -> str | None:
        """A clause that names a coefficient beyond float32, in the columns of a plan; None if there is none."""
        place = np.unravel_index(np.argmax(np.abs(columns)), columns.shape)
        if abs(columns[place]) <= FLOAT32:
            return None
        row, column = map(int, place)
        return f"{self.named(column)} of row {row} of {plan} is {columns[place]:.4g}"

    def weights_of(self, backend: Backend[Any], coefficients: Any, ndim: int, ending: bool) -> Weights:
        """The weights of a row, for samples of `ndim` axes.

        Args:
            backend: of the coefficients.
            coefficients: (columns,), or (samples, columns) for a row per sample.
            ndim: axes of the samples.
            ending: whether samples may have ended.
        """
        lead = tuple(coefficients.shape[:-1])
        shape = (*lead, *(1,) * (ndim - len(lead)))

        def pick(column: int) -> Any:
            value = coefficients[..., column]
            return backend.xp.reshape(value, shape) if lead else value

        # A type with brackets is in quotes, since the compiler of torch 2.6 cannot read it.
        def chosen(entries: "tuple[Entry, ...]") -> Terms:
            weights = (1.0 if entry.column is None else pick(entry.column) for entry in entries)
            return Terms(tuple(weights), tuple(entry.operand for entry in entries))

        output, denoised = (1 if column is None else pick(column) for column in self.choices)
        return Weights(
            1.0 if self.scale is None else pick(self.scale),
            chosen(self.x0),
            tuple(map(chosen, self.sums)),
            self.noisy,
            tuple(map(pick, self.parameters)),
            (output, denoised),
            tuple(tuple(tuple(map(pick, columns)) for columns in each) for each in self.numbers),  # type: ignore[arg-type]
            pick(self.end) > 0.5 if ending else None,
        )


def gather(backend: Backend[Any], table: Any, index: Any) -> Any:
    """The rows of a table at `index`, index.shape + (columns,); beyond its ends its first or last row."""
    xp = backend.xp
    flat = backend.clip(xp.reshape(countable(backend, index), (-1,)), 0, table.shape[0] - 1)
    return xp.reshape(xp.take(table, flat, axis=0), (*index.shape, table.shape[1]))


def countable(backend: Backend[Any], index: Any) -> Any:
    """The index as int32, unless it is int64: a library may lack the arithmetic of other integers."""
    name = str(index.dtype)
    return (
        index
        if name.endswith((".int32", ".int64")) or name in _COUNTING
        else backend.astype(index, backend.dtype("int32"))
    )


_COUNTING = ("int32", "int64")


class Builder:
    """Collects the columns of a table.

    Args:
        ends: (rows,) bool, on the host: rows where a run has ended, whose weights do not count.
        like: an array of the library and dtype of the columns.
    """

    def __init__(self, ends: np.ndarray, like: Any) -> None:
        self._ends = ends
        self._like = like
        self._columns: list[Any] = []

    def entries(self, weights: Any) -> tuple[Entry, ...]:
        """The weights (rows, operands) of one sum."""
        return self.registers(weights[:, None, :])[0]

    def registers(self, weights: Any) -> tuple[tuple[Entry, ...], ...]:
        """The weights (rows, sums, operands) of several sums."""
        used, ones = self._used(weights)
        return tuple(
            tuple(
                Entry(k, None if ones[j][k] else self.add(weights[:, j, k])) for k, live in enumerate(operands) if live
            )
            for j, operands in enumerate(used)
        )

    def unless_one(self, values: Any) -> int | None:
        """The column of the values (rows,), if they are not all 1."""
        return None if self._used(values)[1] else self.add(values)

    def add(self, values: Any) -> int:
        """The column of the values (rows,)."""
        self._columns.append(values)
        return len(self._columns) - 1

    def ends(self) -> int:
        """The column of the ends."""
        return self.constants(self._ends.astype(np.float64))

    def constants(self, values: np.ndarray) -> int:
        """The column of values (rows,) that no gradient flows through."""
        return self.add(backends.of(self._like).constant(values, self._like.dtype))

    def numbers(self, each: Sequence[np.ndarray]) -> tuple[tuple[int, ...], ...]:
        """The columns of the numbers (rows, numbers) of each transform."""
        return tuple(tuple(map(self.constants, values.T)) for values in each)

    def table(self) -> Any:
        """(rows, columns)."""
        return namespace(self._like).stack(self._columns, axis=1)

    def _used(self, weights: Any) -> tuple[Any, Any]:
        """Whether each weight is not 0 in some row, and whether it is 1 in all rows. Of (rows, ...), lists (...)."""
        known = on_host(weights)
        if known is None:
            return np.ones(weights.shape[1:], bool).tolist(), np.zeros(weights.shape[1:], bool).tolist()
        live = known[~self._ends]
        return (live != 0).any(axis=0).tolist(), (live == 1).all(axis=0).tolist()


def on_host(values: Any) -> np.ndarray | None:
    """The values of an array on the host; None while they are traced."""
    if isinstance(values, np.ndarray):
        return values
    try:
        return backends.of(values).to_numpy(values)
    except (TypeError, ValueError):
        return None


def with_end(values: Any, last: Any = None) -> Any:
    """The rows of `values`, and one more for the end of a run: `last`, or zeros."""
    xp = namespace(values)
    if last is None:
        last = xp.zeros((1, *values.shape[1:]), dtype=values.dtype, device=device(values))
    return xp.concat([values, last], axis=0)


def whole_numbers(column: Any) -> tuple[int, ...]:
    """A column of whole numbers, which are never traced."""
    found = on_host(column)
    assert found is not None
    return tuple(found.reshape(-1).tolist())
