"""What a plan makes of a Gaussian, exactly: its steps are linear, and so is the perfect model of a Gaussian."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from multisched.analysis.exact import Distribution, Gaussian
from multisched.backends import Backend
from multisched.errors import ScheduleError
from multisched.table.plan import Plan
from multisched.values import option, read_only, shown


class Moments(NamedTuple):
    """The law of a Gaussian sample.

    Attributes:
        mean: float64 (d,).
        covariance: float64 (d, d).

    Example:
        >>> moments = ms.analysis.moments(ms.FlowMatchEuler().plan(200), ms.analysis.Gaussian(1.0, 0.5))
        >>> moments.mean.round(2).tolist(), moments.covariance.round(2).tolist()
        ([1.0], [[0.25]])
    """

    mean: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True, eq=False)
class MultivariateGaussian(Distribution):
    """N(mean, covariance). Its denoiser is linear, with the eigenvalues v and eigenvectors u of the covariance:

        x0 = mean + sum over j of  alpha v_j / (alpha^2 v_j + sigma^2) * <u_j, x - alpha * mean> u_j

    Args:
        mean: (d,), for samples (samples, d); kept as float64.
        covariance: (d, d), symmetric, with no eigenvalue below 0; kept as float64.

    Raises:
        ScheduleError: if they are of other shapes, not finite, or no covariance.

    Example:
        >>> target = ms.analysis.MultivariateGaussian([0.0, 0.0], [[1.0, 0.8], [0.8, 1.0]])
        >>> model = ms.analysis.model_of(ms.DDIM(clip_sample=False), target)
        >>> x = ms.sample(model, ms.DDIM(clip_sample=False).plan(50), ms.noise.normal((2000, 2), rng=0))
        >>> np.cov(x.T).round(1).tolist()
        [[1.0, 0.8], [0.8, 1.0]]
    """

    mean: Any
    covariance: Any

    def __post_init__(self) -> None:
        for name in ("mean", "covariance"):
            object.__setattr__(self, name, read_only(getattr(self, name), name))
        mean, covariance = self.mean, self.covariance
        if mean.ndim != 1 or mean.size == 0 or covariance.shape != 2 * mean.shape:
            raise ScheduleError(
                f"a mean of shape (d,) has a covariance of shape (d, d); given {mean.shape} and {covariance.shape}."
            )
        if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(covariance))):
            raise ScheduleError(
                f"mean and covariance must be finite numbers; given {shown(mean)}, {shown(covariance)}."
            )
        size = np.max(np.abs(covariance))
        if np.max(np.abs(covariance - covariance.T)) > 1e-9 * size or self.axes[0].min() < -1e-9 * size:
            raise ScheduleError(
                f"a covariance is symmetric, and its eigenvalues are not below 0; given {shown(covariance)}."
            )

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """The eigenvalues (d,) and, in columns, the eigenvectors (d, d) of the covariance."""
        found = np.linalg.eigh(self.covariance)
        return found.eigenvalues, found.eigenvectors

    def _posterior_mean(self, backend: Backend[Any], x: Any, alpha: Any, sigma: Any) -> Any:
        if x.ndim != 2 or x.shape[1] != self.mean.size:
            raise ScheduleError(f"samples must have shape (samples, {self.mean.size}); given {tuple(x.shape)}.")
        mean, variance, axes = (
            backend.asarray(one, x.dtype, backend.device(x))
            for one in (self.mean, np.maximum(self.axes[0], 0), self.axes[1])
        )
        # Sums, since a matrix product may be taken in lower precision on a GPU.
        along = backend.xp.sum((x - alpha * mean)[:, :, None] * axes[None, :, :], axis=1)
        kept = alpha * variance / (alpha * alpha * variance + sigma * sigma) * along
        return mean + backend.xp.sum(kept[:, None, :] * axes[None, :, :], axis=2)


def moments(
    plan: Plan, target: MultivariateGaussian | Gaussian, start: Literal["noise", "marginal"] = "noise"
) -> Moments:
    """The mean and the covariance of the samples that a plan ends with, for the perfect model of a Gaussian target.

    Along each eigenvector of the covariance a row is an affine map of the registers, R' = M R + c + noise, where the
    model's x0 is that of `MultivariateGaussian`. The law of the registers follows from row to row without sampling:

        mean' = M mean + c,   cov' = M cov M^T + W_noise W_noise^T

    Args:
        plan: a plan of NumPy's numbers whose steps are linear.
        target: the law of clean samples; a `Gaussian` whose mean and std are vectors, or numbers for one dimension.
        start: "noise" for a run that begins as `plan.start(noise)` does, or "marginal" for one that begins at the
            exact law of the target noised to the first level.

    Returns:
        The law at the end of the plan. Compare it with alpha * mean and alpha^2 * covariance + sigma^2 of the end.

    Raises:
        ScheduleError: if the steps are not linear in the sample, as with clipping, or need more than noise to start.

    Example:
        >>> target = ms.analysis.MultivariateGaussian([1.0, 0.0], [[1.0, 0.5], [0.5, 1.0]])
        >>> ms.analysis.moments(ms.FlowMatchEuler().plan(200), target).covariance.round(1).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    option("start", start, ("noise", "marginal"))
    _check_linear(plan)
    if isinstance(target, Gaussian):
        mean, std = (np.atleast_1d(one) for one in np.broadcast_arrays(target.mean, target.std))
        target = MultivariateGaussian(mean, np.diag(std**2))
    variance, axes = np.maximum(target.axes[0], 0), target.axes[1]
    mean = axes.T @ target.mean
    alpha, sigma = (float(one[0]) for one in (plan.alphas, plan.sigmas))
    registers = len(plan.tableau.registers)
    mu, cov = np.zeros((mean.size, registers)), np.zeros((mean.size, registers, registers))
    if start == "marginal":
        mu[:, 0], cov[:, 0, 0] = alpha * mean, alpha**2 * variance + sigma**2
    else:
        cov[:, 0, 0] = float(plan.grid.init_noise_sigma) ** 2
    for row in range(len(plan)):
        matrix, constant, noise = _row(plan, row, mean, variance)
        mu = np.einsum("dij,dj->di", matrix, mu) + constant
        cov = np.einsum("dij,djk,dlk->dil", matrix, cov, matrix) + noise @ noise.T
    return Moments(axes @ mu[:, 0], (axes * cov[:, 0, 0]) @ axes.T)


def _row(plan: Plan, row: int, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """M (d, registers, registers), c (d, registers) and the weights of the noise (registers, draws)."""
    table, level = plan.tableau, plan.rows.single(row)
    count = len(table.registers)
    weights, x0 = table.weights[row], table.operands.index("x0")
    alpha, sigma, (p, *q) = float(level.alpha), float(level.sigma), table.x0_weights[row]
    gain = alpha * variance / (alpha**2 * variance + sigma**2)
    # The output is the one that x0 = p * sample + q * output belongs to, all parts of it alike.
    on_output = weights[:, count:x0].sum(1)
    if np.any(on_output != 0) and sum(q) == 0:
        raise ScheduleError(f"the model's output does not follow from x0 at timestep {level.timestep:g}.")
    share = on_output / (sum(q) or 1.0)
    on_x0 = weights[:, x0] + share
    matrix = np.repeat(weights[None, :, :count], mean.size, axis=0)
    matrix[:, :, 0] += gain[:, None] * on_x0 - p * share
    return matrix, ((1 - gain * alpha) * mean)[:, None] * on_x0, weights[:, x0 + 1 :]


def _check_linear(plan: Plan) -> None:
    if not isinstance(plan, Plan) or not isinstance(plan.sigmas, np.ndarray):
        raise ScheduleError(f"moments takes a plan of NumPy's numbers; given {shown(plan)}.")
    for name in ("output_transform", "denoised_transform", "noise_transform"):
        if getattr(plan, name) is not None:
            raise ScheduleError(f"{plan.name} changes outputs by {shown(getattr(plan, name))}, which is not linear.")
    if plan.inputs:
        raise ScheduleError(f"{plan.name} starts from {', '.join(plan.inputs)} too, which is no Gaussian.")
