"""Files of numbers: a plan written as JSON, which is read again to the bit."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.solvers import Rows
from multisched.table.plan import Plan
from multisched.table.tableau import Tableau
from multisched.values import shown

FORMAT = "multisched plan 1"
KINDS = {"stage": np.int64, "step": np.int64, "final": np.bool_}  # of the columns that are not float64
TRANSFORMS = ("output_transform", "denoised_transform", "noise_transform")


def save(plan: Plan, file: str | Path) -> None:
    """Write a plan's numbers to a file of JSON, replacing it where there is one.

    Args:
        plan: a plan of NumPy's numbers that changes no outputs, such as a fitted one.
        file: the name of the file.

    Raises:
        ScheduleError: if it is no such plan.

    Example:
        >>> ms.analysis.save(ms.FlowMatchEuler().plan(4), "kept.npz")
        >>> len(ms.analysis.load("kept.npz"))
        4
    """
    if not isinstance(plan, Plan) or not isinstance(plan.sigmas, np.ndarray):
        raise ScheduleError(f"save takes a plan of NumPy's numbers; given {shown(plan)}.")
    for name in TRANSFORMS:
        if (change := getattr(plan, name)) is not None:
            raise ScheduleError(f"{plan.name} changes outputs by {shown(change)}, which is no number to be written.")
    table, rows, grid = plan.tableau, plan.rows, plan.grid
    content = {
        "format": FORMAT,
        "name": plan.name,
        "order": plan.order,
        "weak_order": plan.weak_order,
        "history": plan.history,
        "inputs": plan.inputs,
        "registers": table.registers,
        "operands": table.operands,
        "weights": table.weights.tolist(),
        "x0_weights": table.x0_weights.tolist(),
        "rows": {name: column[:, 0].tolist() for name, column in rows.columns().items()},
        "opened": rows.opened,
        "grid": {
            one.name: None if getattr(grid, one.name) is None else np.asarray(getattr(grid, one.name)).tolist()
            for one in fields(Grid)
        },
    }
    Path(file).write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


def load(file: str | Path) -> Plan:
    """The plan of a file that `save` has written, equal to the bit. It knows no levels between its own.

    Args:
        file: the name of the file.

    Raises:
        ScheduleError: if there is no such file, or its content is no plan.

    Example:
        >>> plan = ms.FlowMatchEuler().plan(4)
        >>> ms.analysis.save(plan, "plan.npz")
        >>> ms.analysis.load("plan.npz").sigmas.round(3).tolist()
        [1.0, 0.667, 0.334, 0.001, 0.0]
    """
    try:
        return _plan(json.loads(Path(file).read_text(encoding="utf-8")))
    except ScheduleError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ScheduleError(f"{shown(str(file))} is no file of a plan, as analysis.save writes it: {error}.") from None


def _plan(content: Any) -> Plan:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ScheduleError(f"a file of a plan says format {FORMAT!r}; given {shown(content)}.")
    columns, registers, operands = content["rows"], content["registers"], content["operands"]
    count = len(columns["sigma"])
    numbers: dict[str, Any] = {
        name: np.array(column, KINDS.get(name, np.float64)).reshape(count, 1) for name, column in columns.items()
    }
    grid = Grid(**{one.name: content["grid"][one.name] for one in fields(Grid)})
    rows = Rows(**numbers, grid=grid, opened=int(content["opened"]))
    weights = np.array(content["weights"], np.float64).reshape(count, len(registers), len(operands))
    outputs = sum(name.startswith("output") for name in operands)
    x0 = np.array(content["x0_weights"], np.float64).reshape(count, 1 + outputs)
    tableau = Tableau(weights, x0, tuple(registers), tuple(operands))
    return Plan(
        str(content["name"]),
        rows,
        tableau,
        order=int(content["order"]),
        weak_order=int(content["weak_order"]),
        inputs=tuple(content["inputs"]),
        history=int(content["history"]),
    )
