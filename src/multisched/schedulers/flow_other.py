"""Recipes on the straight path that have grids or solvers of their own."""

from dataclasses import dataclass
from typing import Any

from multisched import solvers
from multisched.plan import Plan
from multisched.predictions import Prediction
from multisched.schedulers.base import Parts, Recipe
from multisched.schedulers.flow_match import FlowMatch
from multisched.schedules import Flow
from multisched.schedules.flow import ProteinFlow, shift


@dataclass(frozen=True)
class LTXEulerAncestralRF(FlowMatch):
    """Ancestral Euler steps of rectified flow; order 1 at eta = 0. Further options: `FlowMatch`.

    diffusers reads the last of `sigmas=` as the end of the run, whatever it is: end at another level than 0 by `stop=`.
    With `double_shift` it leaves given sigmas as they are. eta, s_noise, rescaled: see `solvers.AncestralRF`; not
    rescaled is a defect of diffusers."""

    eta: float = 1.0
    s_noise: float = 1.0
    rescaled: bool = True

    def parts(self) -> Parts:
        solver = self._build(solvers.AncestralRF)
        if not self.double_shift or self.use_dynamic_shifting:
            return self._flow(solver, double_shift=False)
        ends = (shift(self.sigma_max, self.shift), shift(1 / self.num_train_timesteps, self.shift))
        return self._flow(solver, double_shift=False, sigma_max=ends[0], sigma_min=ends[1])


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
            n = n - 1
        return super().plan(n, **arguments)


@dataclass(frozen=True)
class Piflow(Recipe):
    """Few steps of a distilled policy, each of many substeps without the model; order 1 (`solvers.PiFlow`).

    The model's output holds `n_grid` parts along its second axis (of Kandinsky 6, along its last).

    Args:
        num_train_timesteps, shift, final_step_size_scale: the schedule, see `schedules.Flow` (`last_step`).
        n_grid, eps, num_policy_substeps: the policy, see `solvers.PiFlow`.

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
        schedule = self._build(Flow, sigma_min=0.0, spare_step=True, last_step=self.final_step_size_scale)
        solver = self._build(solvers.PiFlow, substeps=self.num_policy_substeps)
        return Parts(schedule, Prediction("flow_prediction"), solver)


@dataclass(frozen=True)
class RFD4Proteina(Recipe):
    """A sampler of proteins at a low temperature (`solvers.RescaledSDE`), for one of RFD4-Proteina's modalities.

    Tokens that are not to be emitted are the caller's: a model of mask * x, and mask * the result.

    Args:
        schedule_mode, tail_steps, tail_step_multiplier: the schedule, see `schedules.flow.ProteinFlow`.
        noise_mode, tsr_k, tsr_sigma, noisy_end: see `solvers.RescaledSDE`; a noisy end is a defect of diffusers.
        t_lim_ode_below, t_lim_ode: data times between which noise is added.

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
