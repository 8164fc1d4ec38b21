"""Flow-matching schedulers: one schedule, three solvers.

ACE-Step (Gong et al. 2025, arXiv 2506.00045) samples with the three of them.
"""

import math
from dataclasses import dataclass

from multisched.predictions import Prediction
from multisched.schedulers.base import Parts, Recipe
from multisched.schedules import Flow
from multisched.solvers import Euler, Heun, PingPong, Solver
from multisched.step import MeanShift


@dataclass(frozen=True)
class _FlowMatch(Recipe):
    num_train_timesteps: int = 1000
    shift: float = 1.0
    sigma_max: float = 1.0
    use_dynamic_shifting: bool = False
    time_shift_type: str = "exponential"
    shift_terminal: float | None = None
    double_shift: bool = False

    def _flow(self, solver: Solver, omega: float = 0.0, omega_mean: str = "sample") -> Parts:
        schedule = Flow(
            self.num_train_timesteps,
            self.shift,
            self.sigma_max,
            self.use_dynamic_shifting,
            self.time_shift_type,
            self.shift_terminal,
            self.double_shift,
        )
        mean_shift = MeanShift(omega, omega_mean)
        return Parts(schedule, Prediction("flow_prediction"), solver, mean_shift if omega else None)


@dataclass(frozen=True)
class FlowMatchEuler(_FlowMatch):
    """Euler steps on the flow's velocity, x + (sigma_next - sigma) * v; order 1.

    Args:
        num_train_timesteps, shift, sigma_max, use_dynamic_shifting, time_shift_type, shift_terminal, double_shift:
            the schedule, see `schedules.Flow`.
        stochastic_sampling: whether the noise is drawn anew in each step, which is `FlowMatchPingPong`.
        omega: ACE-Step's scaling of the velocity about its mean, 0 = none (see `step.MeanShift`).
        omega_mean: the mean is that of each "sample", or of the whole "batch" as in ACE-Step.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    stochastic_sampling: bool = False
    omega: float = 0.0
    omega_mean: str = "sample"

    def parts(self) -> Parts:
        return self._flow(PingPong() if self.stochastic_sampling else Euler(), self.omega, self.omega_mean)


@dataclass(frozen=True)
class FlowMatchHeun(_FlowMatch):
    """Heun steps on the flow's velocity, two model calls a step and one on the last; order 2 without churn.

    Args:
        num_train_timesteps, shift, sigma_max, use_dynamic_shifting, time_shift_type, shift_terminal, double_shift:
            the schedule, see `schedules.Flow`.
        s_churn, s_tmin, s_tmax, s_noise: noise added in each step, see `solvers.Heun`.
        omega, omega_mean: as for `FlowMatchEuler`, in both calls.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    omega: float = 0.0
    omega_mean: str = "sample"

    def parts(self) -> Parts:
        solver = Heun(self.s_churn, self.s_tmin, self.s_tmax, self.s_noise)
        return self._flow(solver, self.omega, self.omega_mean)


@dataclass(frozen=True)
class FlowMatchPingPong(_FlowMatch):
    """Denoise, then add fresh Gaussian noise: (1 - sigma_next) * x0 + sigma_next * z. For few-step models.

    Args:
        num_train_timesteps, shift, sigma_max, use_dynamic_shifting, time_shift_type, shift_terminal, double_shift:
            the schedule, see `schedules.Flow`.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    def parts(self) -> Parts:
        return self._flow(PingPong())
