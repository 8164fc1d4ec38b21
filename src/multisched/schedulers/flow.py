"""Recipes on the straight path: those of flow matching, which share their options, and some with grids or solvers of
their own. ACE-Step (Gong et al. 2025, arXiv 2506.00045) samples with `FlowMatchEuler`, `FlowMatchHeun` and
`FlowMatchPingPong`."""

import math
from dataclasses import dataclass
from typing import Any

from multisched import solvers
from multisched.errors import ScheduleError
from multisched.predictions import Opposite, Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import Clocked, spacing_of_sigmas
from multisched.schedules import Flow
from multisched.schedules.flow import ExplodingFlow, shift
from multisched.schedules.protein import ProteinFlow
from multisched.solvers.piflow import SUBSTEPS
from multisched.table.plan import Plan
from multisched.transforms import MeanShift
from multisched.values import TRAINING_TIMESTEPS, check_options, count, shown


@dataclass(frozen=True, repr=False)
class FlowMatch(Clocked):
    """Options of flow matching; names and defaults are diffusers', which lacks `sigma_max` and `double_shift`.

    Args:
        num_train_timesteps, shift, sigma_max, use_dynamic_shifting, time_shift_type, shift_terminal, double_shift:
            the schedule, see `schedules.Flow`.
        base_shift, max_shift, base_image_seq_len, max_image_seq_len: the line that `mu` follows.
        invert_sigmas: whether the model is told T * (1 - sigma) and answers with x0 - noise.
        use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas: how sigma is spaced anew, see `schedules.ratios`.
        spaced_min, spaced_max: the noise levels that it is spaced between, in place of the ends of the run. Above 1 the
            path is x0 + sigma * noise, and the model returns the noise (under `invert_sigmas` its opposite).

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
    spaced_min: float | None = None
    spaced_max: float | None = None

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
        spacing = spacing_of_sigmas(self)
        beyond = spacing is not None and self.spaced_max is not None and self.spaced_max > 1
        if spacing is None:
            own |= {"spaced_min": None, "spaced_max": None}
        schedule = self._build(ExplodingFlow if beyond else Flow, sigma_schedule=spacing, **own)
        if beyond:
            prediction = (Opposite if self.invert_sigmas else Prediction)("epsilon")
        else:
            prediction = Prediction("flow_to_data" if self.invert_sigmas else "flow_prediction")
        mean_shift = MeanShift(omega, omega_mean)
        return Parts(schedule, prediction, solver, mean_shift if omega else None)


@dataclass(frozen=True, repr=False)
class FlowMatchEuler(FlowMatch):
    """Euler steps on the flow's velocity, x + (sigma_next - sigma) * v; order 1. Further options: `FlowMatch`.

    Args:
        stochastic_sampling: whether the noise is drawn anew in each step, which is `FlowMatchPingPong`.
        swapped: whether it is the noise that is kept, and the data drawn anew, under `invert_sigmas`; a defect of
            diffusers.
        omega: ACE-Step's scaling of the velocity about its mean, 0 = none (see `transforms.MeanShift`).
        omega_mean: the mean is that of each "sample", or of the whole "batch" as in ACE-Step.
    """

    stochastic_sampling: bool = False
    omega: float = 0.0
    omega_mean: str = "sample"
    swapped: bool = False

    def parts(self) -> Parts:
        solver = _ping_pong(self.swapped and self.invert_sigmas) if self.stochastic_sampling else solvers.Euler()
        return self._flow(solver, self.omega, self.omega_mean)


@dataclass(frozen=True, repr=False)
class FlowMatchHeun(FlowMatch):
    """Heun steps on the flow's velocity, two model calls a step and one on the last; order 2 without churn.
    Further options: `FlowMatch`; omega and omega_mean as for `FlowMatchEuler`, in both calls.

    Args:
        s_churn, s_tmin, s_tmax, s_noise: noise added before each step, see `solvers.Churn`.
        late_churn: whether it is added after the first call and not scaled back to the path, as ACE-Step and diffusers
            do: a defect, by which samples have too large a variance in however many steps (`solvers.LateHeun`).
    """

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    late_churn: bool = False
    omega: float = 0.0
    omega_mean: str = "sample"

    def parts(self) -> Parts:
        kind = solvers.LateHeun if self.late_churn else solvers.Heun
        return self._flow(self._build(kind), self.omega, self.omega_mean)


@dataclass(frozen=True, repr=False)
class FlowMatchPingPong(FlowMatch):
    """Denoise, then add fresh Gaussian noise: (1 - sigma_next) * x0 + sigma_next * z. For few-step models.
    Further options: `FlowMatch`; swapped as for `FlowMatchEuler`."""

    swapped: bool = False

    def parts(self) -> Parts:
        return self._flow(_ping_pong(self.swapped and self.invert_sigmas))


@dataclass(frozen=True, repr=False)
class FlowMatchLCM(FlowMatchPingPong):
    """`FlowMatchPingPong` under the name that diffusers has for it. scale_factors: None; diffusers resizes x0 by them
    between steps, which leaves samples of another shape.

    Raises:
        ScheduleError: scale_factors are given.
    """

    scale_factors: tuple[float, ...] | None = None

    def parts(self) -> Parts:
        if self.scale_factors is not None and not (isinstance(self.scale_factors, tuple) and not self.scale_factors):
            raise ScheduleError(
                f"scale_factors resize the sample between steps; give None, not {shown(self.scale_factors)}."
            )
        return super().parts()


@dataclass(frozen=True, repr=False)
class LTXEulerAncestralRF(FlowMatch):
    """Ancestral Euler steps of rectified flow; order 1 at eta = 0. Further options: `FlowMatch`.

    diffusers reads the last of `sigmas=` as the end of the run, whatever it is: end at another level than 0 by `stop=`.
    With `double_shift` it leaves given sigmas as they are. eta, s_noise, rescaled: see `solvers.AncestralRF`; not
    rescaled is a defect of diffusers."""

    eta: float = 1.0
    s_noise: float = 1.0
    rescaled: bool = True

    def parts(self) -> Parts:
        check_options(self, positive=("shift",), counts={"num_train_timesteps": TRAINING_TIMESTEPS})
        solver = self._build(solvers.AncestralRF)
        if not 1 / self.num_train_timesteps <= self.sigma_max <= 1:
            raise ScheduleError(f"sigma_max must be in [1 / num_train_timesteps, 1]; given {self.sigma_max!r}.")
        if not self.double_shift or self.use_dynamic_shifting:
            return self._flow(solver, double_shift=False)
        ends = (shift(self.sigma_max, self.shift), shift(1 / self.num_train_timesteps, self.shift))
        return self._flow(solver, double_shift=False, sigma_max=ends[0], sigma_min=ends[1])


@dataclass(frozen=True, repr=False)
class FlowMapEuler(Recipe):
    """Any-step sampling of a flow map, whose output is the mean velocity over the step (Boffi et al. 2024, arXiv
    2406.07507; Gu et al. 2026, "AnyFlow", arXiv 2605.13724): x + (sigma_next - sigma) * output; exact for such a model.

    The model is told the step's end too, `plan.grid.timesteps[1:]`. Options: `schedules.Flow`'s; in diffusers
    `shift_given` is True.

    Raises:
        ScheduleError: a number out of range.
    """

    num_train_timesteps: int = 1000
    shift: float = 1.0
    shift_given: bool = False

    def parts(self) -> Parts:
        schedule = self._build(Flow, sigma_min=0.0, spare_step=True, timesteps_as_levels=self.shift_given)
        return Parts(schedule, Prediction("flow_prediction"), solvers.Euler())


@dataclass(frozen=True, repr=False)
class MiniMaxH3(Recipe):
    """Euler steps of a model that is told 1 - sigma and answers with x0 - noise; order 1.

    Args:
        shift: see `schedules.Flow`.
        count_end: whether n counts the points of the grid and not its steps, as in diffusers.

    Raises:
        ScheduleError: a number out of range.
    """

    shift: float = 12.0
    count_end: bool = False

    def parts(self) -> Parts:
        schedule = Flow(1, self.shift, sigma_min=0.0, spare_step=True, inverted=True)
        return Parts(schedule, Prediction("flow_to_data"), solvers.Euler())

    def plan(self, n: int | None = None, **arguments: Any) -> Plan:
        if self.count_end and n is not None and arguments.get("sigmas") is arguments.get("timesteps") is None:
            n = count("n", n, least=2) - 1
        return super().plan(n, **arguments)


@dataclass(frozen=True, repr=False)
class Piflow(Recipe):
    """Few steps of a distilled policy, each of many substeps without the model; order 1 (`solvers.PiFlow`).

    The model's output holds `n_grid` parts along its second axis (of Kandinsky 6, along its last). Options:
    `schedules.Flow`'s, whose `last_step` is final_step_size_scale, and `solvers.PiFlow`'s.

    Raises:
        ScheduleError: a number out of range.
    """

    num_train_timesteps: int = 1000
    shift: float = 5.0
    n_grid: int = 10
    eps: float = 1e-6
    final_step_size_scale: float = 0.5
    num_policy_substeps: int = 128

    def parts(self) -> Parts:
        check_options(self, counts={"num_policy_substeps": SUBSTEPS})
        if not 0 < self.final_step_size_scale <= 1:
            raise ScheduleError(f"final_step_size_scale must be in (0, 1]; given {self.final_step_size_scale!r}.")
        schedule = self._build(Flow, sigma_min=0.0, spare_step=True, last_step=self.final_step_size_scale)
        solver = self._build(solvers.PiFlow, substeps=self.num_policy_substeps)
        return Parts(schedule, Prediction("flow_prediction"), solver)


@dataclass(frozen=True, repr=False)
class RFD4Proteina(Recipe):
    """A sampler of proteins at a low temperature (`solvers.RescaledSDE`), for one of RFD4-Proteina's modalities.

    Tokens that are not to be emitted are the caller's: a model of mask * x, and mask * the result.

    Options: `schedules.flow.ProteinFlow`'s and `solvers.RescaledSDE`'s (a noisy end is a defect of diffusers), which
    adds noise between the data times t_lim_ode_below and t_lim_ode.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    schedule_mode: str = "log"
    noise_mode: str = "1/t"
    tsr_k: float = 1.0
    tsr_sigma: float = 1.0
    tail_steps: int = 10
    tail_step_multiplier: int = 2
    t_lim_ode: float = 0.95
    t_lim_ode_below: float = 0.02
    noisy_end: bool = False

    def parts(self) -> Parts:
        solver = self._build(solvers.RescaledSDE, t_from=self.t_lim_ode_below, t_to=self.t_lim_ode)
        return Parts(self._build(ProteinFlow), Prediction("flow_to_data"), solver)


def _ping_pong(swapped: bool) -> solvers.Solver:
    return solvers.SwappedPingPong() if swapped else solvers.PingPong()
