"""Elementary functions and sums that are off by a last bit, as another processor's or library's may be.

IEEE 754 fixes + - * / and the square root, and no more. `--last-bits host` changes what NumPy and math give for the
rest, `--last-bits device` what the backend under test gives, its square root too: no test may hang on either.
"""

import math
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

import numpy as np

FUNCTIONS = (
    *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10"),
    *("sin", "cos", "tan", "sinh", "cosh", "tanh", "hypot"),
    *("arcsin", "arccos", "arctan", "arctan2", "asin", "acos", "atan", "atan2"),
)
SUMS = ("sum", "mean")  # in another order
_KEPT = (0.0, 0.5, 1.0)  # what every library gives exactly, as for exp(0), cos(0) and sin(pi / 6)


def change(where: str, backend: Any) -> None:
    """Replace the functions of the host or of a backend, for the rest of the process."""
    for library in ("dask.array", "ml_dtypes"):  # which look for NumPy's own at import
        import_module(library)
    if where == "host":
        spaces, names = (np, math), FUNCTIONS
    else:
        spaces, names = (backend.xp,), (*FUNCTIONS, "sqrt")
    for space in spaces:
        for name in names:
            if hasattr(space, name):
                setattr(space, name, _off(getattr(space, name), spaces[0]))
    for name in SUMS:
        setattr(spaces[0], name, _reordered(getattr(spaces[0], name), spaces[0].flip))


def _off(function: Callable[..., Any], xp: Any) -> Callable[..., Any]:
    @wraps(function)
    def changed(*args: Any, **options: Any) -> Any:
        found = function(*args, **options)
        if isinstance(found, float) and not isinstance(found, np.generic):
            return found if abs(found) in _KEPT else found * (1 + 2**-52)
        kind = str(getattr(found, "dtype", "")).rpartition(".")[2]
        if kind not in ("float32", "float64"):
            return found
        exact = found == found + 1  # of infinity
        for kept in _KEPT:
            exact = exact | (abs(found) == kept)
        found = xp.where(exact, found, found * (1 + (2.0**-23 if kind == "float32" else 2.0**-52)))
        if options.get("out") is not None:
            options["out"][...] = found
            return options["out"]
        return found

    return changed


def _reordered(function: Callable[..., Any], flip: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def changed(array: Any, *args: Any, **options: Any) -> Any:
        axis = args[0] if args else options.get("axis")
        if getattr(array, "ndim", 0):
            array = flip(array, axis=tuple(range(array.ndim)) if axis is None else axis)
        return function(array, *args, **options)

    return changed
