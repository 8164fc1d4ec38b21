"""Grids that were optimised for particular models, and published as lists."""

from typing import Literal, get_args

import numpy as np

from multisched import checks
from multisched.paths.discrete import Betas, Discrete
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
        model: "sd1" or "sdxl", of timesteps of Stable Diffusion's training; or "svd", of sigma / alpha of
            Stable Video Diffusion.
        n: number of steps.

    Raises:
        ScheduleError: if the model is unknown, or there are fewer timesteps than steps.

    Example:
        >>> table = ms.spacings.align_your_steps("sdxl", 4)
        >>> {name: values.round(3).tolist() for name, values in table.items()}
        {'timesteps': [999.0, 661.0, 310.0, 80.0]}
    """
    checks.option("model", model, (*_TIMESTEPS, "svd"))
    trained = Discrete(Betas(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"))
    listed = trained.ratios[_TIMESTEPS[model]] if model in _TIMESTEPS else np.array(_SVD)
    share = np.linspace(0, 10, checks.count("n", n, STEPS) + 1)[:-1]
    ratio = np.exp(np.interp(share, np.arange(11), np.log(listed)))
    if model == "svd":
        return {"sigmas": ratio}
    return {"timesteps": checks.descending("timesteps", np.round(trained.point(ratio).timestep))}


# Of sigma / alpha: A1111's lists of Sabour et al. 2024 (arXiv 2404.14507) in 11 and in 32 levels, and of GITS (Chen et
# al. 2024, arXiv 2405.11326).
_ELEVEN: dict[str, tuple[float, ...]] = {
    "sd1": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}
_GITS: dict[str, tuple[float, ...]] = {
    "sd1": (14.615, 4.617, 2.507, 1.236, 0.702, 0.402, 0.240, 0.156, 0.104, 0.094, 0.029),
    "sdxl": (14.615, 4.734, 2.567, 1.529, 0.987, 0.652, 0.418, 0.268, 0.179, 0.127, 0.029),
}
_MANY: dict[str, tuple[float, ...]] = {
    "sd1": (
        *(14.615, 11.23951352, 8.64363081, 6.64729424, 5.57250862, 4.71648546, 3.99196065, 3.5195609, 3.13490466),
        *(2.79228788, 2.48773628, 2.21663865, 1.97508351, 1.7793172, 1.61475335, 1.46540953, 1.314849, 1.16642497),
        *(1.03475547, 0.91573744, 0.80748169, 0.71202361, 0.621739, 0.53065202, 0.4529096, 0.37491455, 0.27461819),
        *(0.2011529, 0.14105873, 0.06682881, 0.03166121, 0.015),
    ),
    "sdxl": (
        *(14.615, 11.1491618, 8.50522127, 6.48827151, 5.43707402, 4.60398619, 3.89854704, 3.27407457, 2.74396527),
        *(2.29968659, 1.95448514, 1.67108715, 1.42878152, 1.23181009, 1.06789649, 0.92579443, 0.80290886, 0.69660121),
        *(0.60436903, 0.52852552, 0.46773344, 0.41393379, 0.36258186, 0.31008517, 0.26518925, 0.22326461, 0.17653877),
        *(0.13959192, 0.10587381, 0.05519369, 0.02877334, 0.015),
    ),
}
_LISTS: dict[str, dict[str, tuple[float, ...]]] = {"": _ELEVEN, "_11": _ELEVEN, "_32": _MANY, "_gits": _GITS}
Published = Literal[
    "align_your_steps",
    "align_your_steps_sd1",
    "align_your_steps_sdxl",
    "align_your_steps_11",
    "align_your_steps_11_sd1",
    "align_your_steps_11_sdxl",
    "align_your_steps_32",
    "align_your_steps_32_sd1",
    "align_your_steps_32_sdxl",
    "align_your_steps_gits",
    "align_your_steps_gits_sd1",
    "align_your_steps_gits_sdxl",
]
NAMES = get_args(Published)
"""Their names as spacings: of Stable Diffusion 1 unless they end in "_sdxl"."""


def levels_of(name: str, n: int) -> np.ndarray:
    """n levels sigma / alpha of a published list, the logarithm interpolated linearly over its whole length."""
    model = "sdxl" if name.endswith("_sdxl") else "sd1"
    kind = name.removeprefix("align_your_steps").removesuffix("_sdxl").removesuffix("_sd1")
    listed = np.array(_LISTS[kind][model])
    place = np.linspace(0, listed.size - 1, n)
    found = np.exp(np.interp(place, np.arange(listed.size), np.log(listed)))
    return listed if n == listed.size else found
