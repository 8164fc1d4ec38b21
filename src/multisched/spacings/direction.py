"""Links that change which way a run goes: from data to noise, and back and forth; and where its steps aim."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from multisched import checks
from multisched.errors import ScheduleError
from multisched.grid import Grid
from multisched.paths.base import Path
from multisched.paths.discrete import Discrete
from multisched.paths.straight import Straight
from multisched.spacings.base import Asked, Chain, Link, Spacing
from multisched.spacings.change import Respace
from multisched.spacings.placement import Leading, Numbered, Trailing
from multisched.values import CALLS, STEPS, check_options, count


@dataclass(frozen=True)
class Reversed(Link):
    """The steps of a run taken backwards, from data to noise. At each the time that the step leads to is passed to the
    model, as in DDIM inversion (Mokady et al. 2022, arXiv 2211.09794, section 3.1).

    Example:
        >>> ms.DDIM().plan(4, spacing=ms.spacings.Trailing()).timesteps.tolist()
        [999.0, 749.0, 499.0, 249.0]
        >>> ms.DDIMInverse().plan(4).timesteps.tolist()
        [0.0, 250.0, 500.0, 750.0]
    """

    on_given: ClassVar[bool] = True
    closing: ClassVar[bool] = True

    def __call__(self, path: Path, asked: Asked, made: Grid) -> Grid:
        top = path.timestep_of(float(made.alphas[0]), float(made.sigmas[0]))
        times = np.append(made.timesteps[-2::-1], top)
        alphas = np.append(made.next_alphas[::-1], made.alphas[0])
        sigmas = np.append(made.next_sigmas[::-1], made.sigmas[0])
        return Grid(times, alphas, sigmas, made.alphas[-2::-1], made.sigmas[-2::-1], scales=path.scale(alphas, sigmas))


@dataclass(frozen=True)
class Jumping(Link):
    """A run that goes back on its way: whenever a multiple of `length` steps is left, the last `length` steps are taken
    `times` times (Lugmayr et al. 2022, arXiv 2201.09865, section 4.2).

    Args:
        length: steps of a jump back.
        times: how often they are taken.

    Raises:
        ScheduleError: if one of them is not a count.

    Example:
        >>> chain = ms.spacings.Leading() | ms.spacings.Jumping(length=2, times=2)
        >>> ms.RePaint().plan(10, spacing=chain).timesteps[:8].tolist()
        [900.0, 800.0, 700.0, 600.0, 700.0, 600.0, 500.0, 400.0]
    """

    on_given: ClassVar[bool] = True
    closing: ClassVar[bool] = True

    length: int = 10
    times: int = 10

    def __post_init__(self) -> None:
        check_options(self)
        count("jump_length", self.length, STEPS)
        count("jump_n_sample", self.times, STEPS)

    def __call__(self, path: Path, asked: Asked, made: Grid) -> Grid:
        walk = self.walk(len(made))
        points = np.append(walk, len(made))
        alphas, sigmas = self.levels(path, made, walk)
        return Grid(made.timesteps[points], alphas, sigmas, made.next_alphas[walk], made.next_sigmas[walk])

    def levels(self, path: Path, made: Grid, walk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(alphas, sigmas) at each point of the walk."""
        points = np.append(walk, len(made))
        return made.alphas[points], made.sigmas[points]

    def walk(self, n: int) -> np.ndarray:
        """Which of the n steps are taken, in order.

        Raises:
            ScheduleError: if they are more than a run may have.
        """
        begins = range(0, n - self.length, self.length)
        back = len(begins) * self.length * (self.times - 1)
        if n + back > CALLS:
            raise ScheduleError(
                f"a run has at most {CALLS} model calls; {n} steps with jump_length={self.length} and "
                f"jump_n_sample={self.times} make {n + back}."
            )
        jumps = dict.fromkeys(begins, self.times - 1)
        walk, left = [], n
        while left:
            left -= 1
            walk.append(n - 1 - left)
            if jumps.get(left):
                jumps[left] -= 1
                left += self.length
        return np.array(walk)


@dataclass(frozen=True)
class Renoised(Link):
    """Each step aims at the level of timestep floor((1 - eta) * t_next), which the solver is to noise again (Zheng et
    al. 2024, arXiv 2402.19159, its code).

    Args:
        eta: the share of each step's way to the clean sample that is noised again, in [0, 1].

    Raises:
        ScheduleError: if it is out of range.

    Example:
        >>> chain = ms.spacings.Even() | ms.spacings.End() | ms.spacings.Renoised(0.3)
        >>> ms.FlowMatchEuler().plan(3, spacing=chain).sigmas.round(3).tolist()
        [1.0, 0.5, 0.001, 0.0]
    """

    on_given: ClassVar[bool] = True
    closing: ClassVar[bool] = True

    eta: float = 0.3

    def __post_init__(self) -> None:
        check_options(self)
        checks.within("eta", np.array(self.eta), 0, 1)

    def __call__(self, path: Path, asked: Asked, made: Grid) -> Grid:
        if not self.eta:
            return made
        # In single precision, as published: there 0.1 * 990 is 99.
        aims = np.floor(np.float32(1 - self.eta) * made.timesteps[1:].astype(np.float32))
        alphas, sigmas = path.levels(aims)
        return replace(made, next_alphas=alphas, next_sigmas=sigmas)


@dataclass(frozen=True)
class Inverse(Spacing):
    """A run of another spacing with one point more, the other way: the model is evaluated where each step begins, and
    the last step ends at the noisiest level that the spacing visits.

    Args:
        down: the spacing of the run to the data.

    Example:
        >>> ms.DDIMInverse().plan(4).timesteps.tolist()
        [0.0, 250.0, 500.0, 750.0]
        >>> print(ms.DPMSolverMultistepInverse().parts().spacing)
        Inverse(down=Linspace(lambda_min=-inf, spare=False, whole=True) | End(to=0.0, prior=None) | Round(how='down'))
    """

    down: Chain

    def turned(self, down: Chain) -> "Inverse":
        """The same of another spacing."""
        return replace(self, down=down)

    @property
    def links(self) -> tuple[Link, ...]:
        return self.down.links

    def check(self, path: Path) -> None:
        self.down.check(path)

    def grid(self, path: Path, asked: Asked) -> Grid:
        """The grid of n steps; there are no others."""
        if asked.listed:
            raise ScheduleError("a run to the noise takes a number of steps, not timesteps or sigmas.")
        spaced = self.down.find(Respace) is not None or self.down.find(Numbered) is None
        n = self._steps(path, asked)
        down, top = self._down(path, asked, n, spaced), None
        placed: Any = self.down.find(Numbered)
        if placed is None or isinstance(path, Straight) or spaced:
            n = len(down) - 1  # of a spacing by name, which may place more points or fewer
        else:
            top = self.down.exchanged(Numbered, Trailing(lambda_min=getattr(placed, "lambda_min", -math.inf))).grid(
                path, Asked(1)
            )
        timesteps, alphas, sigmas = (
            np.append(getattr(top or down, name)[:1], getattr(down, name)[-1 - n : -1])[::-1]
            for name in ("timesteps", "alphas", "sigmas")
        )
        timesteps[-1] = path.timestep_of(float(alphas[-1]), float(sigmas[-1]))
        return Grid(timesteps, alphas, sigmas, scales=path.scale(alphas, sigmas))

    def _steps(self, path: Path, asked: Asked) -> int:
        """The number of steps, one less than there are points."""
        return checks.steps(asked.n, None if isinstance(path, Straight) else path.num_train_timesteps - 1)

    def _down(self, path: Path, asked: Asked, n: int, spaced: bool) -> Grid:
        """The run to the data, of n + 1 points."""
        leading = self.down.find(Leading)
        if leading is None or spaced or not isinstance(path, Discrete):
            return self.down.grid(path, asked._replace(n=n + 1))
        above = Leading(0, True, lambda_min=leading.lambda_min).numbers(path, n)
        return self.down.grid(path, Asked(timesteps=above - above[-1] + leading.offset))
