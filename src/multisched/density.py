"""The density of a stochastic step."""

import math
from typing import Any, Literal

import numpy as np

from multisched import backends
from multisched.backends import B, Backend
from multisched.errors import ScheduleError
from multisched.table.state import check_alike, check_device
from multisched.values import option

Reduce = Literal["sum", "mean", "none"]
REDUCTIONS = ("sum", "mean", "none")


def log_prob(sample: B, mean: B, std: Any, reduce: Reduce = "sum") -> B:
    """Log-density of each sample under N(mean, std^2 I): by default summed over all axes but the first, (samples,).

    Where std = 0, as in a step without noise, all the mass is at the mean, and the density is taken with respect to it:
    such an element adds 0 where the sample is the mean, else -inf. It has no gradient. So a sample of a deterministic
    step has the log-density 0 if it is the mean in every element, else -inf, and changes no other sample's.

    Args:
        sample, mean: arrays of one library, shape and device; half precision is widened to float32.
        std: standard deviation, as `Plan.transition` gives it: a number of at least 0, or an array of the library that
            broadcasts against the samples. Of an array the values are not read: negative ones give NaN.
        reduce: "sum" over the elements of a sample; their "mean", which DDPO's and Flow-GRPO's code takes; or "none",
            shaped as the sample.

    Raises:
        ScheduleError: if std is negative, infinite or NaN, the arrays do not go together, or `reduce` is another.

    Example:
        >>> round(float(ms.log_prob(np.zeros((1, 1)), np.zeros((1, 1)), 1.0)[0]), 4)
        -0.9189
    """
    option("reduce", reduce, REDUCTIONS)
    backend = backends.of(sample)
    check_alike(sample, mean, "mean", "sample")
    xp, dtype = backend.xp, backend.compute_dtype(sample.dtype)
    apart: Any = backend.astype(sample, dtype) - backend.astype(mean, dtype)
    # Where std = 0, both are changed before anything is divided: what a choice leaves out must be finite as well, or
    # its gradient, 0 * inf, is NaN.
    if isinstance(std, (int, float, np.number)) and not isinstance(std, bool):
        if not 0 <= std < math.inf:
            raise ScheduleError(f"std must be a finite number of at least 0; given {std}.")
        deviation: Any = xp.zeros_like(apart) if std == 0 else None
    else:
        deviation = _deviation(backend, std, sample, dtype)
    if deviation is None:
        still, scale, log = None, 1.0 / float(std), math.log(std)
    else:
        still = deviation == 0
        safe = xp.where(still, xp.ones_like(deviation), deviation)
        scale, log = 1.0 / safe, xp.log(safe)
    scaled = (apart if still is None else xp.where(still, xp.zeros_like(apart), apart)) * scale
    density = scaled * scaled * -0.5 - (log + 0.5 * math.log(2 * math.pi))
    if still is not None:
        zero = xp.zeros_like(density)
        density = xp.where(still, xp.where(apart == 0, zero, zero - math.inf), density)
    total: B = reduced(backend, density, reduce)
    return total


def reduced(backend: Backend[Any], values: Any, reduce: Reduce) -> Any:
    """The values of elements, summed or averaged over all axes but the first, or as they are."""
    if reduce == "none" or values.ndim < 2:
        return values
    over = backend.xp.sum if reduce == "sum" else backend.xp.mean
    return over(values, axis=tuple(range(1, values.ndim)))


def _deviation(backend: Backend[Any], std: Any, sample: Any, dtype: Any) -> Any:
    """An array of deviations in the dtype of the sums.

    Raises:
        ScheduleError: if it is none, or does not broadcast against the sample.
    """
    if not hasattr(std, "shape") or not hasattr(std, "dtype"):
        raise ScheduleError(f"std must be a number or an array; given {type(std).__name__}.")
    if backends.of(std) is not backend:
        raise ScheduleError(f"std is an array of {backends.of(std).name}, the sample of {backend.name}.")
    backend.compute_dtype(std.dtype)
    shape, whole = tuple(std.shape), tuple(sample.shape)
    if len(shape) > len(whole) or any(n not in (1, m) for n, m in zip(shape[::-1], whole[::-1], strict=False)):
        raise ScheduleError(f"std has shape {shape}, which does not broadcast against the samples' {whole}.")
    check_device(sample, std, "std", "sample")
    return backend.astype(std, dtype)
