"""Ancestral sampling: each step draws from the posterior q(x_next | x, x0)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from multisched.solvers.base import Estimate, Next, Rows, Solver
from multisched.solvers.ddim import forgotten, posterior_std
from multisched.transforms import LearnedVariance
from multisched.values import check_options, namespace

VARIANCES = ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range")
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

    The last step of a schedule draws nothing; with `final_noise` it does, unless it leaves timestep 0.

    Raises:
        ScheduleError: an unknown variance type.
    """

    order: ClassVar[int] = 0
    draws: ClassVar[int] = 1

    variance_type: str = "fixed_small"
    final_noise: bool = False

    def __post_init__(self) -> None:
        check_options(self, variance_type=VARIANCES)

    def noise_transform(self, row: Rows) -> tuple[LearnedVariance, Any] | None:
        if not self.variance_type.startswith("learned"):
            return None
        xp = namespace(row.sigma)
        if self.variance_type == "learned":
            return LearnedVariance(), row.sigma[:, :0]
        variances = xp.concat([posterior_std(row) ** 2, forgotten(row)], axis=1)
        return LearnedVariance(), xp.log(xp.where(variances > _LEAST, variances, _LEAST))

    def update(self, row: Rows, x: Any, model: Estimate, memory: tuple[Any, ...], noise: tuple[Any, ...]) -> Next:
        xp = namespace(row.sigma)
        std = xp.ones_like(row.sigma)  # the rest is the transform's, if the variance is learned
        if not self.variance_type.startswith("learned"):
            std = posterior_std(row) if self.variance_type.startswith("fixed_small") else xp.sqrt(forgotten(row))
        drawn = row.timestep > 0 if self.final_noise else row.left > 1
        kept = row.alpha / row.alpha_next * row.sigma_next**2 / row.sigma
        return Next(row.alpha_next * model.x0 + kept * model.noise + xp.where(drawn, std, 0.0) * noise[0])
