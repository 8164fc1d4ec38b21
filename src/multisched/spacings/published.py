"""Grids that were optimised for particular models, and published as lists."""

import numpy as np

from multisched import checks
from multisched.paths.vp import DiscreteVP
from multisched.values import STEPS

_TIMESTEPS = {
    "sd1": [999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0],
    "sdxl": [999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0],
}
_SVD = [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002]


def align_your_steps(model: str, n: int = 10) -> dict[str, np.ndarray]:
    """Where a run asks the model: arguments of `plan`, as in recipe.plan(**align_your_steps("sdxl")).

    Published for 10 steps, with the level that the last of them ends at (Sabour et al. 2024, arXiv 2404.14507, appendix
    B); for others, log(sigma / alpha) is interpolated linearly.

    Args:
        model: "sd1" or "sdxl", of timesteps of Stable Diffusion's training; or "svd", of sigmas of `schedules.VE`.
        n: number of steps.

    Raises:
        ScheduleError: another model, or more steps than there are timesteps for.
    """
    checks.option("model", model, (*_TIMESTEPS, "svd"))
    trained = DiscreteVP(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    listed = trained.ratios[_TIMESTEPS[model]] if model in _TIMESTEPS else np.array(_SVD)
    share = np.linspace(0, 10, checks.count("n", n, STEPS) + 1)[:-1]
    ratio = np.exp(np.interp(share, np.arange(11), np.log(listed)))
    if model == "svd":
        return {"sigmas": ratio}
    return {"timesteps": checks.descending("timesteps", np.round(trained.point(ratio).timestep))}
