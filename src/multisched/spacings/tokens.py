"""Spacings of flows that are shifted by the number of tokens of an image or a video.

`mu` is what `plan(mu=)` of a recipe with use_dynamic_shifting takes; `FlowMatchEuler.mu` is that of FLUX.1.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from multisched import checks
from multisched.paths.base import Path, Points
from multisched.paths.straight import shift
from multisched.spacings.base import Asked, Link
from multisched.spacings.change import Terminal, straight
from multisched.values import STEPS, check_options, count

TOKENS = 10_000_000
"""Tokens that an image or a video has at most."""


def flux2_mu(tokens: int, steps: int) -> float:
    """mu of FLUX.2, a line in the number of steps through two that were fitted, as Black Forest Labs publishes it
    (compute_empirical_mu in github.com/black-forest-labs/flux2, src/flux2/sampling.py).

        at 10 steps    8.73809524e-5 * tokens + 1.89833333
        at 200 steps   1.6927e-4 * tokens + 0.45666666, and at any number of steps above 4,300 tokens

    Args:
        tokens: of the image: (height / 16) * (width / 16).
        steps: of the run.

    Raises:
        ScheduleError: if one is no whole number above 0.

    Example:
        >>> round(ms.spacings.flux2_mu(4096, 28), 4), round(ms.spacings.flux2_mu(8192, 28), 4)
        (2.1514, 1.8433)
    """
    tokens, steps = count("tokens", tokens, TOKENS), count("steps", steps, STEPS)
    long = 0.00016927 * tokens + 0.45666666
    if tokens > 4300:
        return long
    short = 8.73809524e-05 * tokens + 1.89833333
    return long + (short - long) * (200 - steps) / 190


def ltx2_mu(tokens: int) -> float:
    """mu of LTX-Video and LTX-2, on the line through 0.95 at 1,024 tokens and 2.05 at 4,096 (Lightricks, in diffusers
    and ComfyUI).

    Args:
        tokens: of the latent video: frames * height * width.

    Raises:
        ScheduleError: if it is no whole number above 0.

    Example:
        >>> round(ms.spacings.ltx2_mu(4096), 12)
        2.05
    """
    return 0.95 + (2.05 - 0.95) * (count("tokens", tokens, TOKENS) - 1024) / (4096 - 1024)


@dataclass(frozen=True)
class Flux2(Link):
    """n even levels 1 - i / n, shifted by exp(`flux2_mu`), on the straight path.

    Args:
        tokens: of the image: (height / 16) * (width / 16).

    Raises:
        ScheduleError: if it is no whole number above 0, or the path is not straight.

    Example:
        >>> ms.FlowMatchEuler().plan(4, spacing=ms.spacings.Flux2(4096)).sigmas.round(4).tolist()
        [1.0, 0.9674, 0.9081, 0.7672, 0.0]
    """

    placing: ClassVar[bool] = True

    tokens: int = 4096

    def __post_init__(self) -> None:
        check_options(self, counts={"tokens": TOKENS})

    def check(self, path: Path) -> None:
        straight(path, self)

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        self.check(path)  # a plan may be given another spacing than the recipe's
        n = checks.steps(asked.n)
        return Points(_shifted(n, flux2_mu(self.tokens, n)))


@dataclass(frozen=True)
class LTX2(Link):
    """n even levels 1 - i / n, shifted by exp(`ltx2_mu`) and then stretched to a last one, on the straight path.

    Args:
        tokens: of the latent video: frames * height * width.
        terminal: the last level before the end, see `Terminal`; None for no stretching.

    Raises:
        ScheduleError: if a number is out of range, or the path is not straight.

    Example:
        >>> ms.FlowMatchEuler().plan(4, spacing=ms.spacings.LTX2(tokens=4096)).sigmas.round(3).tolist()
        [1.0, 0.867, 0.632, 0.1, 0.0]
    """

    placing: ClassVar[bool] = True

    tokens: int = 4096
    terminal: float | None = 0.1

    def __post_init__(self) -> None:
        check_options(self, counts={"tokens": TOKENS})
        if self.terminal is not None:
            Terminal(self.terminal)

    def check(self, path: Path) -> None:
        straight(path, self)

    def __call__(self, path: Path, asked: Asked, made: Any) -> Points:
        self.check(path)
        placed = Points(_shifted(checks.steps(asked.n), ltx2_mu(self.tokens)))
        return placed if self.terminal is None else Terminal(self.terminal)(path, asked, placed)


def _shifted(n: int, mu: float) -> np.ndarray:
    levels: np.ndarray = shift(np.linspace(1, 0, n + 1)[:-1], float(np.exp(mu)))
    return levels
