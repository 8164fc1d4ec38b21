"""Ancestral sampling: each step draws from the posterior q(x_next | x, x0)."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from multisched.solvers.base import Estimate, Next, Solver
from multisched.solvers.ddim import forgotten
from multisched.solvers.rows import Rows
from multisched.transforms import LearnedVariance
from multisched.values import check_options, namespace

Variance = Literal["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"]
_LEAST = 1e-20  # of a variance whose logarithm is taken


@dataclass(frozen=True)
class DDPM(Solver):
    """Denoising diffusion probabilistic models (Ho et al. 2020, arXiv 2006.11239, eq. 7 and algorithm 2).

        x_next = alpha_next * x0 + alpha * sigma_next^2 / (alpha_next * sigma) * noise + std * z,   z ~ N(0, I)

    With x put in for the noise this is eq. 7. std^2 is by `variance_type`:

        fixed_small, fixed_small_log   sigma_next^2 / sigma^2 * beta, the posterior's: `DDIM` with eta = 1
        fixed_large, fixed_large_log   beta = sigma^2 - (alpha * sigma_next / alpha_next)^2
        learned_range                  between those two, see `transforms.LearnedVariance`
        learned                        the second half of the model's output

    The last step of a run draws nothing. The variance does not change the order of the law; of a learned one nothing is
    known.

    No order; weak order 1; one call a step. With variance_type="learned": no order; no weak order; one call a step.

    Args:
        variance_type: which of these variances the noise has.

    Raises:
        ScheduleError: if the variance type is none of these.

    Example:
        >>> plan = ms.DDPM(clip_sample=False).plan(1000)
        >>> target = ms.analysis.Gaussian(0.0, 0.5)
        >>> round(float(ms.analysis.moments(plan, target).covariance[0, 0]) ** 0.5, 2)
        0.5
    """

    order: ClassVar[int] = 0
    draws: ClassVar[int] = 1

    variance_type: Variance = "fixed_small"

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def weak_order(self) -> int:
        return 0 if self.variance_type.startswith("learned") else 1

    def noise_transform(self, row: Rows) -> tuple[LearnedVariance, Any] | None:
        if not self.variance_type.startswith("learned"):
            return None
        xp = namespace(row.sigma)
        if self.variance_type == "learned":
            return LearnedVariance(), row.sigma[:, :0]
        beta = self._beta(row)
        variances = xp.concat([(row.sigma_next / row.sigma * xp.sqrt(beta)) ** 2, beta], axis=1)
        return LearnedVariance(), xp.log(xp.where(variances > _LEAST, variances, _LEAST))

    def _beta(self, row: Any) -> Any:
        return forgotten(row)

    def _noisy(self, row: Rows) -> Any:
        """Whether a step adds noise."""
        return row.left > 1

    def _std(self, row: Rows) -> Any:
        """Of the noise; the rest is the transform's, if the variance is learned."""
        xp, std = namespace(row.sigma), namespace(row.sigma).ones_like(row.sigma)
        if not self.variance_type.startswith("learned"):
            std = xp.sqrt(self._beta(row))
            std = row.sigma_next / row.sigma * std if self.variance_type.startswith("fixed_small") else std
        return xp.where(self._noisy(row), std, 0.0)

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        kept = row.alpha / row.alpha_next * row.sigma_next**2 / row.sigma
        return Next(row.alpha_next * model.x0 + kept * model.noise + self._std(row) * noise[0])
