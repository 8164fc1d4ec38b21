"""Flow-matching schedulers on one schedule, whose options they share.

ACE-Step (Gong et al. 2025, arXiv 2506.00045) samples with the three of them.
"""

import math
from dataclasses import dataclass
from typing import Any

from multisched import solvers
from multisched.errors import ScheduleError
from multisched.predictions import Prediction
from multisched.schedulers.base import Parts, Recipe
from multisched.schedulers.options import spacing_of_sigmas
from multisched.schedules import Flow
from multisched.transforms import MeanShift


@dataclass(frozen=True)
class FlowMatch(Recipe):
    """What they share; option names and defaults are diffusers', which lacks `sigma_max` and `double_shift`.

    Args:
        num_train_timesteps, shift, sigma_max, use_dynamic_shifting, time_shift_type, shift_terminal, double_shift:
            the schedule, see `schedules.Flow`.
        base_shift, max_shift, base_image_seq_len, max_image_seq_len: the line that `mu` follows.
        invert_sigmas: whether the model is told T * (1 - sigma) and answers with x0 - noise.
        use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: how sigma is spaced anew, see `schedules.ratios`.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    num_train_timesteps: int = 1000
    shift: float = 1.0
    sigma_max: float = 1.0
    use_dynamic_shifting: bool = False
    time_shift_type: str = "exponential"
    shift_terminal: float | None = None
    double_shift: bool = False
    base_shift: float | None = 0.5
    max_shift: float | None = 1.15
    base_image_seq_len: int = 256
    max_image_seq_len: int = 4096
    invert_sigmas: bool = False
    use_karras_sigmas: bool = False
    use_exponential_sigmas: bool = False
    use_beta_sigmas: bool = False

    def mu(self, image_seq_len: int) -> float:
        """The dynamic shift `mu` of a run on images of so many tokens, as the pipelines of FLUX.1 choose it: on the
        line through base_shift at base_image_seq_len and max_shift at max_image_seq_len.

        Raises:
            ScheduleError: these options make no line.
        """
        run = self.max_image_seq_len - self.base_image_seq_len
        if self.base_shift is None or self.max_shift is None or not run:
            raise ScheduleError("mu needs a base_shift and a max_shift, at two different lengths.")
        slope = (self.max_shift - self.base_shift) / run
        return self.base_shift + slope * (image_seq_len - self.base_image_seq_len)

    def _flow(self, solver: solvers.Solver, omega: float = 0.0, omega_mean: str = "sample", **options: Any) -> Parts:
        # diffusers overwrites the timesteps given to an inverted schedule.
        as_levels = self.invert_sigmas and self.double_shift
        own = {"inverted": self.invert_sigmas, "timesteps_as_levels": as_levels, **options}
        schedule = self._build(Flow, sigma_schedule=spacing_of_sigmas(self), **own)
        prediction = Prediction("flow_to_data" if self.invert_sigmas else "flow_prediction")
        mean_shift = MeanShift(omega, omega_mean)
        return Parts(schedule, prediction, solver, mean_shift if omega else None)


@dataclass(frozen=True)
class FlowMatchEuler(FlowMatch):
    """Euler steps on the flow's velocity, x + (sigma_next - sigma) * v; order 1. Further options: `FlowMatch`.

    Args:
        stochastic_sampling: whether the noise is drawn anew in each step, which is `FlowMatchPingPong`.
        swapped: whether it is the noise that is kept, and the data drawn anew, under `invert_sigmas`; a defect of
            diffusers.
        omega: ACE-Step's scaling of the velocity about its mean, 0 = none (see `step.MeanShift`).
        omega_mean: the mean is that of each "sample", or of the whole "batch" as in ACE-Step.
    """

    stochastic_sampling: bool = False
    omega: float = 0.0
    omega_mean: str = "sample"
    swapped: bool = False

    def parts(self) -> Parts:
        solver = _ping_pong(self.swapped and self.invert_sigmas) if self.stochastic_sampling else solvers.Euler()
        return self._flow(solver, self.omega, self.omega_mean)


@dataclass(frozen=True)
class FlowMatchHeun(FlowMatch):
    """Heun steps on the flow's velocity, two model calls a step and one on the last; order 2 without churn.
    Further options: `FlowMatch`; of the noise added in each step, `solvers.Heun`; omega and omega_mean as for
    `FlowMatchEuler`, in both calls."""

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    omega: float = 0.0
    omega_mean: str = "sample"

    def parts(self) -> Parts:
        return self._flow(self._build(solvers.Heun), self.omega, self.omega_mean)


@dataclass(frozen=True)
class FlowMatchPingPong(FlowMatch):
    """Denoise, then add fresh Gaussian noise: (1 - sigma_next) * x0 + sigma_next * z. For few-step models.
    Further options: `FlowMatch`; swapped as for `FlowMatchEuler`."""

    swapped: bool = False

    def parts(self) -> Parts:
        return self._flow(_ping_pong(self.swapped and self.invert_sigmas))


@dataclass(frozen=True)
class FlowMatchLCM(FlowMatchPingPong):
    """`FlowMatchPingPong` under the name that diffusers has for it.

    Args:
        scale_factors: None; diffusers resizes x0 by them between steps, which leaves samples of another shape.

    Raises:
        ScheduleError: scale_factors are given.
    """

    scale_factors: tuple[float, ...] | None = None

    def parts(self) -> Parts:
        if self.scale_factors:
            raise ScheduleError(f"scale_factors resize the sample between steps; give None, not {self.scale_factors}.")
        return super().parts()


def _ping_pong(swapped: bool) -> solvers.Solver:
    return solvers.SwappedPingPong() if swapped else solvers.PingPong()
