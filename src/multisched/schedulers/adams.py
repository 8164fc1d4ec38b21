"""Linear multistep recipes."""

from dataclasses import dataclass

from multisched import solvers
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import Respaced, Trained, final
from multisched.schedulers.sigma import OnSigma
from multisched.schedules import DiscreteVP, checks
from multisched.schedules.trig import Crash


@dataclass(frozen=True, repr=False)
class LMS(OnSigma, Respaced):
    """Linear multistep on sigma, with "exact" weights of `solvers.Adams` (Karras et al. 2022, arXiv 2206.00364, for the
    space); order min(order, 2). Options as of `Euler`, and order: calls that a step combines, 1 to 4."""

    order: int = 4

    def parts(self) -> Parts:
        return self._sigma(solvers.Adams("exact", most=checks.count("order", self.order, 4)))


@dataclass(frozen=True, repr=False)
class PNDM(Trained):
    """Pseudo-numerical methods on manifolds (Liu et al. 2022, arXiv 2202.09778): "even" weights of `solvers.Adams`
    after three Runge-Kutta steps of four calls; order 2.

    Args:
        timestep_spacing, steps_offset, set_alpha_to_one, previous_timestep: the schedule, see `DDIM`.
        prediction_type: "epsilon" or "v_prediction".
        skip_prk_steps: whether one step of two calls takes the place of those three.
        average_velocity: whether outputs of type "v_prediction" are combined as diffusers does, which makes the order 1
            (`solvers.VelocityAdams`).
    """

    timestep_spacing: str = "leading"
    steps_offset: int = 0
    prediction_type: str = "epsilon"
    skip_prk_steps: bool = False
    set_alpha_to_one: bool = False
    previous_timestep: str = "list"
    average_velocity: bool = False

    def parts(self) -> Parts:
        checks.option("prediction_type", self.prediction_type, ("epsilon", "v_prediction"))
        schedule = self._build(DiscreteVP, final_sigmas_type=final(self.set_alpha_to_one))
        velocity = self.average_velocity and self.prediction_type == "v_prediction"
        kind = solvers.VelocityAdams if velocity else solvers.Adams
        solver = kind("even", "heun" if self.skip_prk_steps else "runge_kutta")
        return Parts(schedule, Prediction(self.prediction_type), solver)


@dataclass(frozen=True, repr=False)
class IPNDM(Recipe):
    """The "even" weights of `solvers.Adams` from the first call on (Zhang and Chen 2022, arXiv 2204.13902, its iPNDM),
    for models of type "v_prediction" on `schedules.trig.Crash`; order 2.

    Args:
        trained_betas: (n + 1,) noise levels of a run of one's own, see there.
        blind_start: whether the first output is disregarded at pure noise, as diffusers does (`solvers.BlindAdams`).
    """

    trained_betas: tuple[float, ...] | None = None
    blind_start: bool = False

    _lists = ("trained_betas",)

    def parts(self) -> Parts:
        solver = solvers.BlindAdams if self.blind_start else solvers.Adams
        return Parts(Crash(self.trained_betas), Prediction("v_prediction"), solver("even"))
