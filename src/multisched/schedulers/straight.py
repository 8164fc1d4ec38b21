"""Recipes on the straight path that have a spacing or a solver of their own."""

from dataclasses import dataclass

from multisched import solvers
from multisched.errors import ScheduleError
from multisched.paths.straight import Straight
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.solvers.ancestral_flow import NoiseMode
from multisched.solvers.piflow import SUBSTEPS
from multisched.spacings.base import End
from multisched.spacings.change import Shift
from multisched.spacings.placement import Even
from multisched.spacings.singular import Mode, Proteina
from multisched.values import check_options


@dataclass(frozen=True, repr=False)
class FlowMapEuler(Recipe):
    """Any-step sampling of a flow map, whose output is the mean velocity over the step (Boffi et al. 2024, arXiv
    2406.07507; Gu et al. 2026, "AnyFlow", arXiv 2605.13724): x + (sigma_next - sigma) * output; exact for such a model.
    The end of the step is passed to the model too, `plan.grid.timesteps[1:]`.

    Args:
        num_train_timesteps: T; T * sigma is passed to the model.
        shift: factor of `spacings.Shift`.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> plan = ms.FlowMapEuler().plan(2)
        >>> plan.sigmas.round(3).tolist(), plan.order
        ([1.0, 0.5, 0.0], 1)
    """

    num_train_timesteps: int = 1000
    shift: float = 1.0

    def parts(self) -> Parts:
        check_options(self, positive=("shift",))
        spacing = Even(1.0, 0.0, True) | Shift(self.shift) | End()
        return Parts(Straight(self.num_train_timesteps), spacing, Prediction("flow_prediction"), solvers.Euler())


@dataclass(frozen=True, repr=False)
class MiniMaxH3(Recipe):
    """Euler steps of a model that takes 1 - sigma and answers with x0 - noise; order 1.

    Args:
        shift: factor of `spacings.Shift`.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> ms.MiniMaxH3().plan(4).sigmas.round(3).tolist()
        [1.0, 0.973, 0.923, 0.8, 0.0]
    """

    shift: float = 12.0

    def parts(self) -> Parts:
        check_options(self, positive=("shift",))
        spacing = Even(1.0, 0.0, True) | Shift(self.shift) | End()
        return Parts(Straight(1, True), spacing, Prediction("flow_to_data"), solvers.Euler())


@dataclass(frozen=True, repr=False)
class Piflow(Recipe):
    """Few steps of a distilled policy, each of many substeps without the model; order 1 (`solvers.PiFlow`).

    Args:
        num_train_timesteps: T; T * sigma is passed to the model.
        shift: factor of `spacings.Shift`.
        n_grid: parts of the model's output, along its second axis (of Kandinsky 6, along its last).
        eps: the lowest sigma of the policy.
        final_step_size_scale: size of the last step, as a share of the others, in (0, 1].
        num_policy_substeps: substeps of a whole run.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> plan = ms.Piflow().plan(4)
        >>> plan.sigmas.round(3).tolist()
        [1.0, 0.926, 0.789, 0.455, 0.0]
    """

    num_train_timesteps: int = 1000
    shift: float = 5.0
    n_grid: int = 10
    eps: float = 1e-6
    final_step_size_scale: float = 0.5
    num_policy_substeps: int = 128

    def parts(self) -> Parts:
        check_options(self, positive=("shift",))
        check_options(self, counts={"num_policy_substeps": SUBSTEPS})
        if not 0 < self.final_step_size_scale <= 1:
            raise ScheduleError(f"final_step_size_scale must be in (0, 1]; given {self.final_step_size_scale!r}.")
        spacing = Even(1.0, 0.0, True, self.final_step_size_scale) | Shift(self.shift) | End()
        solver = solvers.PiFlow(self.n_grid, self.shift, self.num_policy_substeps, self.eps)
        return Parts(Straight(self.num_train_timesteps), spacing, Prediction("flow_prediction"), solver)


@dataclass(frozen=True, repr=False)
class RFD4Proteina(Recipe):
    """A sampler of proteins at a low temperature (`solvers.RescaledSDE`), for one of RFD4-Proteina's modalities. Tokens
    that are not to be emitted are the caller's: a model of mask * x, and mask * the result.

    Args:
        schedule_mode: "log" or "power", see `spacings.Proteina`.
        noise_mode: "1/t" or "tan", see `solvers.RescaledSDE`.
        tsr_k: temperature of the score, see there.
        tsr_sigma: deviation of the data, see there.
        tail_steps: how many steps are finer, where n has room.
        tail_step_multiplier: how many of these make one other.
        t_lim_ode: the data time after which no noise is added.
        t_lim_ode_below: the data time before which none is added.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.RFD4Proteina().plan(50)
        >>> plan.stochastic, plan.prediction.name
        (True, 'flow_to_data')
    """

    schedule_mode: Mode = "log"
    noise_mode: NoiseMode = "1/t"
    tsr_k: float = 1.0
    tsr_sigma: float = 1.0
    tail_steps: int = 10
    tail_step_multiplier: int = 2
    t_lim_ode: float = 0.95
    t_lim_ode_below: float = 0.02

    def parts(self) -> Parts:
        ends = (self.t_lim_ode_below, self.t_lim_ode)
        solver = solvers.RescaledSDE(self.noise_mode, self.tsr_k, self.tsr_sigma, *ends)
        spacing = Proteina(self.schedule_mode, self.tail_steps, self.tail_step_multiplier) | End()
        return Parts(Straight(1, True), spacing, Prediction("flow_to_data"), solver)
