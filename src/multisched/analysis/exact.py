"""Distributions whose denoiser E[x0 | x], x = alpha * x0 + sigma * noise, is known in closed form, on every backend.

By Tweedie's formula the posterior mean is the perfect model: all prediction types follow from it, so `model_of` turns
a distribution into a model for any recipe (Karras et al. 2022, arXiv 2206.00364, appendix B.3).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from multisched import backends
from multisched.backends import B, Backend
from multisched.errors import ScheduleError
from multisched.paths.base import Path
from multisched.schedulers import Recipe
from multisched.values import Value, read_only


class Distribution(Value, ABC):
    """A distribution of clean samples. Frozen; it belongs to no backend.

    Example:
        >>> issubclass(ms.analysis.Gaussian, ms.analysis.Distribution)
        True
    """

    def denoised(self, backend: Backend[B], x: B, alpha: Any, sigma: Any) -> B:
        """The posterior mean E[x0 | x].

        Args:
            backend: of `x`.
            x: noisy samples (samples, ...), floating. Half precision is widened to float32 and rounded back once.
            alpha, sigma: the level, as numbers of the host or as 0-d arrays of `backend`, which are not read; sigma
                must be above 0.

        Returns:
            Shape, dtype and device of `x`.

        Raises:
            ScheduleError: `x` is not floating, or its samples are not shaped as the distribution's.
        """
        dtype = backend.compute_dtype(x.dtype)
        level = (_level(backend, value, dtype) for value in (alpha, sigma))
        return backend.astype(self._posterior_mean(backend, backend.astype(x, dtype), *level), x.dtype)

    @abstractmethod
    def _posterior_mean(self, backend: Backend[Any], x: Any, alpha: Any, sigma: Any) -> Any:
        """The formula, on float32 or float64 arrays; alpha and sigma are floats or 0-d arrays of that dtype."""


@dataclass(frozen=True, eq=False)
class Gaussian(Distribution):
    """N(mean, std^2), independent per element. Its denoiser is linear, Wiener's filter.

        x0 = mean + alpha * std^2 / (alpha^2 * std^2 + sigma^2) * (x - alpha * mean)

    Args:
        mean, std: numbers, or arrays that broadcast against the samples; kept as float64.

    Raises:
        ScheduleError: values that are not finite, or a negative std.

    Example:
        >>> target = ms.analysis.Gaussian(mean=1.0, std=0.5)
        >>> model = ms.analysis.model_of(ms.FlowMatchEuler(), target)
        >>> noise = ms.noise.normal((1000, 1), rng=0)
        >>> x = ms.sample(model, ms.FlowMatchEuler().plan(50), noise)
        >>> round(float(x.mean()), 1), round(float(x.std()), 1)
        (1.0, 0.5)
    """

    mean: Any = 0.0
    std: Any = 1.0

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, _finite(name, getattr(self, name)))
        if np.any(self.std < 0):
            raise ScheduleError(f"std must not be negative; given {self.std}.")

    def _posterior_mean(self, backend: Backend[Any], x: Any, alpha: Any, sigma: Any) -> Any:
        mean, variance = (_like(backend, values, x) for values in (self.mean, self.std**2))
        return mean + alpha * variance / (alpha * alpha * variance + sigma * sigma) * (x - alpha * mean)

    def flow_map(self, x: B, start: tuple[float, float], end: tuple[float, float]) -> B:
        """Where the probability flow carries `x` from one level to another.

            x1  = alpha1 * mean + (x - alpha0 * mean) * v_1 / v_0
            v_i = sqrt(alpha_i^2 * std^2 + sigma_i^2)

        Every marginal is Gaussian, so the flow keeps the number of standard deviations from the mean (Song et al.
        2020, arXiv 2011.13456, section 4.3, gives the flow itself).

        Args:
            x: (samples, ...), floating.
            start, end: (alpha, sigma) as numbers of the host; sigma may be 0.

        Returns:
            Shape, dtype and device of `x`.

        Raises:
            ScheduleError: `x` is not floating.
        """
        backend = backends.of(x)
        wide: Any = backend.astype(x, backend.compute_dtype(x.dtype))
        (alpha0, sigma0), (alpha1, sigma1) = (tuple(map(float, level)) for level in (start, end))
        stretch = np.sqrt((alpha1**2 * self.std**2 + sigma1**2) / (alpha0**2 * self.std**2 + sigma0**2))
        mean, stretch = (_like(backend, values, wide) for values in (self.mean, stretch))
        moved: B = backend.astype(alpha1 * mean + (wide - alpha0 * mean) * stretch, x.dtype)
        return moved


@dataclass(frozen=True, eq=False)
class Mixture(Distribution):
    """sum over k of weights_k * N(means_k, stds_k^2 I). Noised, it is a mixture of variances v_k; the rest is Bayes.

        v_k = alpha^2 * stds_k^2 + sigma^2
        r_k = softmax over k of  log weights_k - dim / 2 * log v_k - |x - alpha * means_k|^2 / (2 * v_k)
        x0  = sum over k of  r_k * (means_k + alpha * stds_k^2 / v_k * (x - alpha * means_k))

    Args:
        means: (components, ...), the rest shaped as one sample.
        stds: (components,), or one number for all.
        weights: (components,) positive; scaled to sum to 1. None for equal ones.

    Raises:
        ScheduleError: values that are not finite, lengths that differ, a negative std or a weight that is not positive.

    Example:
        >>> target = ms.analysis.Mixture(means=[[-1.0], [1.0]], stds=[0.1, 0.1])
        >>> model = ms.analysis.model_of(ms.FlowMatchEuler(), target)
        >>> x = ms.sample(model, ms.FlowMatchEuler().plan(50), ms.noise.normal((200, 1), rng=0))
        >>> round(float(np.abs(x).mean()), 1)
        1.0
    """

    means: Any
    stds: Any
    weights: Any = None

    def __post_init__(self) -> None:
        means = _finite("means", self.means)
        if means.ndim == 0 or means.size == 0:
            raise ScheduleError(f"means must hold a mean per component; given shape {means.shape}.")
        stds = _finite("stds", self.stds)
        weights = _finite("weights", np.ones(means.shape[0]) if self.weights is None else self.weights)
        stds = np.full(means.shape[0], stds) if stds.ndim == 0 else stds
        if stds.shape != weights.shape or stds.shape != means.shape[:1]:
            raise ScheduleError(
                f"means, stds and weights must be of one length; given {means.shape}, {stds.shape}, {weights.shape}."
            )
        if np.any(stds < 0) or np.any(weights <= 0):
            raise ScheduleError(f"stds must not be negative and weights must be positive; given {stds} and {weights}.")
        for name, values in (("means", means), ("stds", stds), ("weights", weights / weights.sum())):
            object.__setattr__(self, name, read_only(values))

    def _posterior_mean(self, backend: Backend[Any], x: Any, alpha: Any, sigma: Any) -> Any:
        xp = backend.xp
        means = xp.reshape(_like(backend, self.means, x), (self.means.shape[0], -1))
        variance, prior = (_like(backend, values, x) for values in (self.stds**2, np.log(self.weights)))
        noisy = alpha * alpha * variance + sigma * sigma
        prior = prior - xp.log(noisy) * (means.shape[1] / 2)
        gain = (alpha * variance / noisy)[:, None]

        def one(sample: Any) -> Any:
            away = sample - alpha * means
            odds = prior - xp.sum(away * away, axis=1) / noisy * 0.5
            return _expectation(xp, odds - xp.max(odds), means + gain * away)

        return _each_sample(xp, x, self.means.shape[1:], one)


@dataclass(frozen=True, eq=False)
class DataSet(Distribution):
    """The empirical distribution of a data set: the model that a network would be, had it learnt its data by heart.

        r_i = softmax over i of  -|x - alpha * points_i|^2 / (2 * sigma^2)
        x0  = sum over i of  r_i * points_i

    Karras et al. 2022 (arXiv 2206.00364, eq. 57, appendix B.3) at alpha = 1. Time and memory of one sample are those
    of a few passes over the data; the samples of a batch are worked through one by one.

    Args:
        points: (points, ...), the rest shaped as one sample. An array of another library stays what it is, so that
            data put on the device once is not sent there again in each call; anything else is kept as float64.

    Raises:
        ScheduleError: if there are no points, or values of the host are not finite.

    Example:
        >>> data = ms.analysis.DataSet(np.array([[0.0], [1.0]]))
        >>> model = ms.analysis.model_of(ms.FlowMatchEuler(), data)
        >>> ms.sample(model, ms.FlowMatchEuler().plan(30), np.array([[-1.0], [0.9]])).round(3).tolist()
        [[0.0], [1.0]]
    """

    points: Any

    def __post_init__(self) -> None:
        points = read_only(self.points)
        if isinstance(points, np.ndarray):
            points = _finite("points", points)
        if points.ndim == 0 or 0 in tuple(points.shape):
            raise ScheduleError(f"a data set holds at least one point; given shape {tuple(points.shape)}.")
        object.__setattr__(self, "points", points)

    def _posterior_mean(self, backend: Backend[Any], x: Any, alpha: Any, sigma: Any) -> Any:
        xp = backend.xp
        points = xp.reshape(_like(backend, self.points, x), (self.points.shape[0], -1))
        centres = alpha * points

        def one(sample: Any) -> Any:
            # |x|^2 - 2 alpha x.y + alpha^2 |y|^2 would be one matrix product, and lose every digit at small sigma.
            away = sample - centres
            squares = xp.sum(away * away, axis=1)
            return _expectation(xp, (xp.min(squares) - squares) / (2 * sigma * sigma), points)

        return _each_sample(xp, x, tuple(self.points.shape[1:]), one)


def model_of(recipe: Recipe, distribution: Distribution) -> Callable[[Any, Any], Any]:
    """The perfect model of a distribution, with the outputs that the recipe expects.

        x0 = E[x0 | x],   noise = (x - alpha * x0) / sigma,   output = a * x0 + b * noise

    Args:
        recipe: gives the levels of a timestep and the prediction type (a, b).
        distribution: what the model has learnt.

    Returns:
        model(x, t) -> output, shaped, typed and placed as x: (samples, ...), or that as often along the second axis as
        the solver wants parts; t a number, or an array of the library of x, 0-d or (samples,), which is not read on the
        host, so that jax.jit and mx.compile take the model. It raises ScheduleError where `denoised` does, and for host
        timesteps out of the path's range.

    Example:
        >>> recipe, target = ms.DDIM(clip_sample=False), ms.analysis.Gaussian(0.0, 1.0)
        >>> model = ms.analysis.model_of(recipe, target)
        >>> alpha, sigma = recipe.levels(np.array([500]))
        >>> bool(np.allclose(model(np.array([[1.0]]), np.array(500)), sigma))
        True
    """
    parts = recipe.parts()

    def model(x: Any, t: Any) -> Any:
        backend = backends.of(x)
        if getattr(t, "ndim", 0) == 1:
            each = [model(x[k : k + 1, ...], t[k, ...]) for k in range(x.shape[0])]
            return backend.xp.concat(each, axis=0)
        wide = backend.astype(x, backend.compute_dtype(x.dtype))
        alpha, sigma = _levels(parts.path, backend, t, wide.dtype)
        x0 = distribution.denoised(backend, wide, alpha, sigma)
        noise = (wide - alpha * x0) / sigma
        output = backend.astype(parts.prediction.target(x0, noise, alpha, sigma), x.dtype)
        count = parts.solver.outputs
        return output if count == 1 else backend.xp.concat([output] * count, axis=1)

    return model


def _levels(path: Path, backend: Backend[Any], t: Any, dtype: Any) -> tuple[Any, Any]:
    """(alpha, sigma) of what the model sees at `t`: floats for numbers of the host, else 0-d arrays."""
    # NumPy is the host, where paths have their levels in float64.
    alpha, sigma = path.levels(t, backend if _on_device(t) else None)
    scale = path.scale(alpha, sigma)
    return _level(backend, scale * alpha, dtype), _level(backend, scale * sigma, dtype)


def _level(backend: Backend[Any], value: Any, dtype: Any) -> Any:
    """A Python float for a number of the host (a NumPy one would make NumPy arrays of MLX's), else a `dtype` array."""
    return backend.astype(value, dtype) if _on_device(value) else float(value)


def _on_device(value: Any) -> bool:
    return hasattr(value, "dtype") and not isinstance(value, (np.ndarray, np.generic))


def _like(backend: Backend[Any], values: Any, x: Any) -> Any:
    return backend.asarray(values, x.dtype, backend.device(x))


def _finite(name: str, values: Any) -> Any:
    array = read_only(values)
    if not np.all(np.isfinite(array)):
        raise ScheduleError(f"{name} must be finite numbers; given {values}.")
    return array


def _expectation(xp: Any, log_weights: Any, values: Any) -> Any:
    """Mean of the rows of `values` (n, dim); the largest of the log-weights (n,) is 0. A sum, since a matrix product
    may be taken in lower precision on a GPU."""
    weights = xp.exp(log_weights)
    return xp.sum(weights[:, None] * values, axis=0) / xp.sum(weights)


def _each_sample(xp: Any, x: Any, shape: tuple[int, ...], one: Callable[[Any], Any]) -> Any:
    """`one` of each flattened sample, put together again."""
    if x.ndim == 0 or tuple(x.shape[1:]) != shape:
        raise ScheduleError(f"samples must have shape (samples, {', '.join(map(str, shape))}); given {tuple(x.shape)}.")
    flat = xp.reshape(x, (x.shape[0], -1))
    return xp.reshape(xp.stack([one(flat[k, ...]) for k in range(x.shape[0])]), x.shape)
