"""Linear multistep recipes of the noise."""

from dataclasses import dataclass
from typing import Literal

from multisched import checks, solvers
from multisched.errors import ScheduleError
from multisched.paths.continuous import Circle
from multisched.paths.discrete import Discrete
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import Spaced, end_of
from multisched.spacings.base import End
from multisched.spacings.singular import OneRun, SineTimes
from multisched.values import shown


@dataclass(frozen=True, repr=False)
class PNDM(Spaced):
    """Pseudo-numerical methods on manifolds (Liu et al. 2022, arXiv 2202.09778): "even" weights of `solvers.Adams`
    after three Runge-Kutta steps of four calls; order 2.

    Args:
        prediction_type: what the model's output is: "epsilon" or "v_prediction".
        skip_prk_steps: whether one step of two calls takes the place of those three.
        set_alpha_to_one: whether a run ends at x0, or else at timestep 0.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> len(ms.PNDM().plan(10)), len(ms.PNDM(skip_prk_steps=True).plan(10))
        (19, 11)
    """

    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon"
    skip_prk_steps: bool = False
    set_alpha_to_one: bool = False

    def parts(self) -> Parts:
        solver = solvers.Adams("even", "heun" if self.skip_prk_steps else "runge_kutta")
        spacing = self._numbered() | end_of(self.set_alpha_to_one)
        return Parts(Discrete(self._betas()), spacing, self._prediction(), solver)


@dataclass(frozen=True, repr=False)
class IPNDM(Recipe):
    """The "even" weights of `solvers.Adams` from the first call on (Zhang and Chen 2022, arXiv 2204.13902, its iPNDM),
    for models of type "v_prediction" on `paths.Circle`; order 2.

    Args:
        trained_betas: (n + 1,) sigmas of the one run that there is instead, decreasing within [0, 1].

    Raises:
        ScheduleError: if they are no such list.

    Example:
        >>> plan = ms.IPNDM().plan(5)
        >>> plan.tableau.registers, plan.timesteps.round(3).tolist()
        (('sample', 'before_1', 'before_2', 'before_3'), [1.0, 0.72, 0.454, 0.225, 0.061])
    """

    trained_betas: tuple[float, ...] | None = None

    _lists = ("trained_betas",)

    def parts(self) -> Parts:
        spacing = SineTimes() | End()
        if self.trained_betas is not None:
            given = checks.descending("trained_betas", self.trained_betas)
            checks.within("trained_betas", given, 0.0, 1.0)
            if given.size < 2:
                raise ScheduleError(f"trained_betas must be at least 2 numbers, for one step; given {shown(given)}.")
            spacing = OneRun(self.trained_betas[:-1]) | End(self.trained_betas[-1])
        return Parts(Circle(), spacing, Prediction("v_prediction"), solvers.Adams("even"))
