"""Helios (2026), which generates a video in stages: a plan is of one of them."""

import math
from dataclasses import dataclass
from typing import Any

from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.multistep import WithUniPC
from multisched.schedulers.options import PREDICTIONS
from multisched.schedules import StagedFlow
from multisched.solvers import Euler, PingPong
from multisched.transforms import DynamicThreshold
from multisched.values import check_options


@dataclass(frozen=True, repr=False)
class _Staged(Recipe):
    num_train_timesteps: int = 1000
    shift: float = 1.0
    stages: int = 3
    stage_range: tuple[float, ...] = (0.0, 1 / 3, 2 / 3, 1.0)
    gamma: float = 1 / 3
    use_dynamic_shifting: bool = False
    time_shift_type: str = "exponential"
    stage: int = 0

    _lists = ("stage_range",)

    def _staged(self, **options: Any) -> StagedFlow:
        factor = 1.0
        if self.stages == 1 and self.shift != 1:
            factor = math.exp(self.shift) if self.time_shift_type == "exponential" else self.shift
        shifts: dict[str, Any] = {"shift": factor, "whole_shift": self.shift, "shift_given": self.use_dynamic_shifting}
        return self._build(StagedFlow, **shifts, **options)


@dataclass(frozen=True, repr=False)
class Helios(WithUniPC, _Staged):
    """Euler or UniPC in a stage; order 1, or that of `UniPCMultistep`.

    Args:
        stage: which of the stages, from 0; num_train_timesteps, stages, stage_range, gamma, use_dynamic_shifting,
            time_shift_type: see `schedules.StagedFlow`.
        shift: of the whole path; of one stage it is the mu of time_shift_type, and 1 for none.
        scheduler_type: "euler" or "unipc", with the options of `UniPCMultistep`.
        prediction_type: "epsilon", "sample", "v_prediction" or "flow_prediction".
        thresholding: see `transforms.DynamicThreshold`.
        use_flow_sigmas: whether the path of a stage is straight; else UniPC takes its levels for sigma / alpha on the
            variance-preserving one, as diffusers does.
        final_sigma: noise level that UniPC ends at; in diffusers 1e-8.

    Raises:
        ScheduleError: an option that is not one of those named, or a number out of range.
    """

    prediction_type: str = "flow_prediction"
    thresholding: bool = False
    scheduler_type: str = "unipc"
    use_flow_sigmas: bool = True
    final_sigma: float = 0.0

    def parts(self) -> Parts:
        check_options(self, scheduler_type=("euler", "unipc"), prediction_type=(*PREDICTIONS, "flow_prediction"))
        unipc = self.scheduler_type == "unipc"
        curved = unipc and not self.use_flow_sigmas
        schedule = self._staged(final_sigma=self.final_sigma if unipc else 0.0, curved=curved)
        change = DynamicThreshold(0.995, 1.0) if self.thresholding else None
        solver = self._unipc() if unipc else Euler()
        return Parts(schedule, Prediction(self.prediction_type), solver, denoised_transform=change)


@dataclass(frozen=True, repr=False)
class HeliosDMD(_Staged):
    """Denoise, then add the noise given, for distilled models: `solvers.PingPong`. diffusers gives each step of a stage
    the same noise; its longer first chunk is a plan of 2 n steps. Options and errors are those of `Helios`."""

    time_shift_type: str = "linear"

    def parts(self) -> Parts:
        return Parts(self._staged(spare=1), Prediction("flow_prediction"), PingPong())
