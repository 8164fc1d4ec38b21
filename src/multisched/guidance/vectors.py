"""Sums over each sample: dot products, norms and deviations, each shaped to broadcast against the samples."""

import math
from typing import Any

from multisched.backends import Backend


def dot(backend: Backend[Any], one: Any, other: Any) -> Any:
    """The dot product of each sample with that of the other array, (samples, 1, ...)."""
    xp = backend.xp
    samples = one.shape[0] if one.ndim else 1
    found = xp.sum(xp.reshape(one * other, (samples, math.prod(one.shape[1:]))), axis=1)
    return xp.reshape(found, (samples, *(1 for _ in one.shape[1:])) if one.ndim else ())


def root(backend: Backend[Any], value: Any) -> Any:
    """The square root of sums of squares, whose derivative at 0 is 0 in place of an infinite one."""
    xp, some = backend.xp, value > 0
    return xp.where(some, xp.sqrt(xp.where(some, value, xp.ones_like(value))), xp.zeros_like(value))


def norm(backend: Backend[Any], one: Any) -> Any:
    """The Euclidean norm of each sample."""
    return root(backend, dot(backend, one, one))


def deviation(backend: Backend[Any], one: Any) -> Any:
    """The standard deviation over each sample."""
    count = max(math.prod(one.shape[1:]), 1)
    centred = one - dot(backend, one, backend.xp.ones_like(one)) * (1.0 / count)
    return root(backend, dot(backend, centred, centred) * (1.0 / count))


def ratio(backend: Backend[Any], one: Any, other: Any, otherwise: float = 0.0) -> Any:
    """one / other, and `otherwise` where `other` is 0."""
    xp = backend.xp
    some = other > 0
    return xp.where(some, one / xp.where(some, other, xp.ones_like(other)), otherwise + xp.zeros_like(other))


def along(backend: Backend[Any], one: Any, other: Any) -> Any:
    """The part of each sample that is parallel to that of the other array; 0 where that is 0."""
    return ratio(backend, dot(backend, one, other), dot(backend, other, other)) * other
