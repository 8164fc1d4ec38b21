"""The tableau: a solver evaluated once on one-hot operands.

The operands of a row are (sample, memory..., output..., x0, noise...), its registers (sample, memory...). A linear
formula's value on the rows of the identity matrix is its coefficients, so one call of `Solver.update` with columns
(rows, 1) gives all of W, (rows, registers, operands). Where nothing is done to x0, x0 = p * sample + q * output is
folded into W and the operand vanishes.
"""

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.predictions import Prediction
from multisched.solvers import Estimate, Rows, Solver
from multisched.values import CALLS, Value, anywhere, namespace, read_only, shown

# Cancellation in float64 leaves terms of this size where the algebra has none.
DUST = 1e-15


@dataclass(frozen=True, eq=False)
class Tableau(Value):
    """The coefficients of a run, row by row. float64, read-only.

    Attributes:
        weights: (rows, registers, operands); register k after row r is sum over j of weights[r, k, j] * operand j.
        x0_weights: (rows, 1 + outputs), (p, q...) of x0 = p * sample + q * output (+ ...).
        registers: their names, "sample" first.
        operands: their names: the registers, "output" (or "output_0"...), "x0" unless folded, "noise_0"...

    Raises:
        ScheduleError: if the shapes do not fit the names, or a coefficient is not finite.

    Example:
        >>> tableau = ms.FlowMatchEuler().plan(2).tableau
        >>> tableau.operands, tableau.weights[1].round(3).tolist()
        (('sample', 'output', 'x0'), [[0.0, 0.0, 1.0]])
    """

    weights: Any
    x0_weights: Any
    registers: tuple[str, ...]
    operands: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("weights", "x0_weights"):
            object.__setattr__(self, name, read_only(getattr(self, name), name))
        for name in ("registers", "operands"):
            names = getattr(self, name)
            if not isinstance(names, (tuple, list)) or not all(isinstance(one, str) for one in names):
                raise ScheduleError(f"{name} must be a tuple of names; given {shown(names)}.")
            object.__setattr__(self, name, tuple(names))
        if self.weights.ndim != 3:
            raise ScheduleError(f"weights must have three axes; given shape {tuple(self.weights.shape)}.")
        rows = self.weights.shape[0]
        wanted = ((rows, len(self.registers), len(self.operands)), (rows, 1 + self.outputs))
        if (tuple(self.weights.shape), tuple(self.x0_weights.shape)) != wanted:
            raise ScheduleError(
                f"a table of {rows} rows with these names has weights {wanted[0]} and x0_weights {wanted[1]}; "
                f"given {tuple(self.weights.shape)} and {tuple(self.x0_weights.shape)}."
            )
        if self.operands[: len(self.registers)] != self.registers:
            raise ScheduleError(
                f"the first operands are the registers {shown(self.registers)}; given {shown(self.operands)}."
            )
        xp = namespace(self.weights)
        if anywhere(~xp.isfinite(self.weights)) or anywhere(~xp.isfinite(self.x0_weights)):
            raise ScheduleError(
                "a coefficient of the table is not finite: this solver cannot take a step of this grid."
            )

    def __len__(self) -> int:
        return int(self.weights.shape[0])

    @property
    def folded(self) -> bool:
        """Whether x0 has been eliminated."""
        return "x0" not in self.operands

    @property
    def outputs(self) -> int:
        """Parts of the model's output."""
        return sum(name.startswith("output") for name in self.operands)

    @property
    def masked(self) -> tuple[int, int] | None:
        """Places of "known" and "mask" in the memory, where there are any."""
        names = self.registers[1:]
        return (names.index("known"), names.index("mask")) if {"known", "mask"} <= set(names) else None

    @property
    def draws(self) -> int:
        """Noise draws per row."""
        return sum(name.startswith("noise_") for name in self.operands)

    def fold(self) -> "Tableau":
        """The same table without the operand x0: W[.., sample] += p * W[.., x0], W[.., output] += q * W[.., x0]."""
        if self.folded:
            return self
        xp = namespace(self.weights)
        x0 = self.operands.index("x0")
        one_hot = np.eye(len(self.operands))
        targets = xp.asarray(np.stack([one_hot[0], *one_hot[len(self.registers) : x0]]))
        spread = self.weights[:, :, x0 : x0 + 1] * (self.x0_weights @ targets)[:, None, :]
        kept = self.weights * xp.asarray(1 - one_hot[x0]) + spread
        weights = clear_dust(kept, xp.abs(self.weights) + xp.abs(spread))
        weights = xp.concat([weights[:, :, :x0], weights[:, :, x0 + 1 :]], axis=2)
        names = tuple(name for name in self.operands if name != "x0")
        return replace(self, weights=weights, operands=names)

    def __str__(self) -> str:
        return "\n".join(f"{row:4d}  {self.formula(row)}" for row in range(len(self)))

    def formula(self, row: int) -> str:
        """One row, written out."""
        sums = []
        for register, weights in zip(self.registers, self.weights[row], strict=True):
            terms = [f"{float(w):+.6g} {name}" for w, name in zip(weights, self.operands, strict=True) if w != 0]
            sums.append(f"{register} = {' '.join(terms) or '0'}")
        return "; ".join(sums)


def clear_dust(weights: Any, size: Any, reach: Any = 1.0) -> Any:
    """`weights` with what cancellation left around 0, 1/2, 1 and their negatives set to exactly that.

    Args:
        weights: (rows, registers, operands).
        size: how large the terms are that each weight is a sum of; broadcasts.
        reach: how many times larger than the others an operand may be, and so the effect of its weight; broadcasts.
    """
    xp = namespace(weights)
    nearest = xp.round(weights * 2) / 2
    dusty = (xp.abs(nearest) <= 1) & (xp.abs(weights - nearest) * reach <= DUST * size)
    return xp.where(dusty, nearest, weights)


def tabulate(
    solver: Solver, grid: Grid, prediction: Prediction, path: Any, stop: int | None = None, history: int = 0
) -> tuple[Rows, Tableau]:
    """The rows of `solver` over `grid` and their table, with x0 as an operand of its own.

    Args:
        stop: keep only the rows of the steps before this one.
        history: keep only the rows of the steps from this one on. All rows are made in any case, since a solver may
            look at how long its run is, and back.

    Raises:
        ScheduleError: if the model's output does not determine x0 in a row, or `history` ends within calls that belong
            together.
    """
    rows = solver.rows(grid, path)
    first, end = _kept(solver, rows, stop, history)
    if anywhere(~(abs(rows.timestep) < math.inf)) or anywhere(~(abs(rows.scale) < math.inf)):
        raise ScheduleError("a timestep or a scale of the run is not finite: the model cannot be evaluated there.")
    if len(rows) > CALLS:
        raise ScheduleError(f"a run has at most {CALLS} model calls; this one has {len(rows)}.")
    kept = rows.cut(first, end)
    _check_regular(kept, prediction)
    with np.errstate(all="ignore" if len(kept) < len(rows) else None):  # in the rows that are not kept
        tableau = _evaluated(solver, rows, prediction, first, end)
    _check_ways_up(solver, kept, tableau)
    if stop is not None or history:
        kept = replace(kept, grid=rows.grid.part(history, len(grid) if stop is None else stop))
    if history:
        kept = replace(kept, step=np.asarray(rows.step)[first:end] - history)
    return kept, tableau


def _kept(solver: Solver, rows: Rows, stop: int | None, history: int) -> tuple[int, int]:
    """The first row of the steps from `history` on, and the end of those before `stop`."""
    if stop is None and not history:
        return 0, len(rows)
    served = np.asarray(solver.serves(rows))
    first, end = int(np.sum(served < history)), len(rows) if stop is None else int(np.sum(served < stop))
    if history and first < len(rows) and int(np.asarray(rows.stage)[first, 0]) > 0:
        begun = int(np.asarray(rows.step)[first, 0])
        raise ScheduleError(
            f"history={history} ends within calls that belong together, those from step {begun} on; give {begun}."
        )
    return first, end


def _evaluated(solver: Solver, rows: Rows, prediction: Prediction, first: int, end: int) -> Tableau:
    """The table of the rows first..end-1."""
    xp = namespace(rows.sigma)
    registers = ("sample", *solver.memory)
    outputs = ("output",) if solver.outputs == 1 else tuple(f"output_{k}" for k in range(solver.outputs))
    operands = (*registers, *outputs, "x0", *(f"noise_{k}" for k in range(solver.draws)))

    # One column for each operand. Of solvers from elsewhere a sum of them too, which shows if the update is linear.
    parts = np.linspace(0.5, 1.5, len(operands))[:, None][:, : int(not own(solver))]
    columns = iter(xp.asarray(np.concatenate([np.eye(len(operands)), parts], axis=1)))
    x, *memory = islice(columns, len(registers))
    output = tuple(islice(columns, len(outputs)))
    x0, *noise = columns
    estimate, raw_noise = solver.estimate(rows, prediction, x, output)
    clean = rows.sigma == 0
    own_noise = (x - rows.alpha * x0) / xp.where(clean, xp.ones_like(rows.sigma), rows.sigma)
    shape = (len(rows), len(operands) + parts.shape[1])
    estimate = xp.broadcast_to(estimate, shape)
    model = Estimate(x0, xp.where(clean, raw_noise, own_noise), raw_noise, slope=estimate[:, :1])
    after = solver.update(rows, x, model, tuple(memory), tuple(noise))

    weights = xp.stack([xp.broadcast_to(register, shape) for register in (after.sample, *after.memory)], axis=1)
    x0_weights = xp.concat([estimate[:, :1], estimate[:, len(registers) : len(registers) + len(outputs)]], axis=1)
    weights, together = weights[first:end, :, : len(operands)], weights[first:end, :, len(operands) :]
    x0_weights = x0_weights[first:end]
    # Where alpha is next to 0, x0 is a difference of large terms.
    spread = xp.max(xp.abs(x0_weights), axis=1)[:, None, None]
    is_x0 = xp.asarray(np.array([1.0 if name == "x0" else 0.0 for name in operands]))
    reach = 1.0 + is_x0 * xp.where(spread > 1.0, spread - 1.0, 0.0)
    _check_linear(solver, weights, together, parts, reach)
    return Tableau(
        clear_dust(weights, xp.max(xp.abs(weights), axis=2, keepdims=True), reach),
        clear_dust(x0_weights, xp.max(xp.abs(x0_weights), axis=1, keepdims=True)),
        registers,
        operands,
    )


def own(solver: Solver) -> bool:
    """Whether a solver is one of this package, whose tests know that its update is linear."""
    return type(solver).__module__.startswith("multisched.")


def _check_linear(solver: Solver, weights: Any, together: Any, parts: np.ndarray, reach: Any) -> None:
    """Refuse an update that is no weighted sum: what it makes of a sum of operands tells."""
    if parts.size and isinstance(weights, np.ndarray):
        size = np.max(np.abs(weights) * reach, axis=2, keepdims=True)
        if np.any(np.abs(weights @ parts - together) > 1e-6 * np.maximum(size, 1.0)):
            raise ScheduleError(
                f"the update of {type(solver).__name__} is not linear in the sample, the memory, x0 and the noise, so "
                "that no table says it."
            )


def _check_ways_up(solver: Solver, rows: Rows, tableau: Tableau) -> None:
    """Refuse a step down from whose end the run goes on above its beginning, if the solver adds no noise there."""
    grid = rows.grid
    if not isinstance(grid.sigmas, np.ndarray):
        return
    above = grid.sigmas[1:] * grid.alphas[:-1] > grid.sigmas[:-1] * grid.alphas[1:]
    if not above.any():
        return
    down = grid.next_sigmas * grid.alphas[:-1] < grid.sigmas[:-1] * grid.next_alphas
    if not np.any(down & above):
        return
    served = np.asarray(solver.serves(rows))[:, 0]
    noisy = np.any(tableau.weights[:, 0, tableau.weights.shape[2] - tableau.draws :] != 0, axis=1)
    silent = (down & above)[served] & rows.final[:, 0] & ~noisy
    if np.any(silent):
        step = grid.first + int(served[np.argmax(silent)])
        raise ScheduleError(
            f"step {step + 1} begins at more noise than step {step} did, and {type(solver).__name__} adds none between "
            "them; for a run with restarts wrap the solver in solvers.Restarted."
        )


def _check_regular(rows: Rows, prediction: Prediction) -> None:
    clean = (rows.sigma == 0) & (rows.sigma_next <= rows.sigma)
    if anywhere(clean):
        raise ScheduleError(
            f"the model is evaluated at timestep {_first(rows, clean):g}, where sigma = 0: no noise is left."
        )
    singular = prediction.singular(rows.scale * rows.alpha, rows.scale * rows.sigma)
    if anywhere(singular):
        alpha, sigma = (_first(rows, singular, name) for name in ("alpha", "sigma"))
        after = rows.grid.first + int(np.max(np.asarray(rows.step)[np.asarray(singular)])) + 1
        way = "at zero terminal SNR use 'v_prediction' or 'sample'" if alpha == 0 else "use 'v_prediction' or 'epsilon'"
        way += f", or begin after it, with start={after}" if after < rows.grid.first + len(rows.grid) else ""
        raise ScheduleError(
            f"prediction_type {prediction.name!r} says nothing of x0 at timestep {_first(rows, singular):g}, where "
            f"alpha = {alpha:g}, sigma = {sigma:g} ({way})."
        )


def _first(rows: Rows, where: Any, name: str = "timestep") -> float:
    return float(getattr(rows, name)[int(np.argmax(np.asarray(where))), 0])
