"""Helios (2026), which generates a video in stages: a plan is of one of them."""

import math
from dataclasses import dataclass
from typing import Literal

from multisched.paths.staged import CurvedStage, Staged
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.multistep import EitherPredicted, unipc
from multisched.solvers import Euler, PingPong, Solver
from multisched.spacings.base import Chain, DynamicShift, End, TimeShift
from multisched.spacings.change import Shift
from multisched.spacings.singular import Stage
from multisched.transforms import DynamicThreshold


@dataclass(frozen=True, repr=False)
class OneStage(Recipe):
    """A recipe on a stage of pyramidal flow matching.

    Args:
        num_train_timesteps: T of the whole path.
        shift: of the whole path; of one stage it is the mu of time_shift_type, and 1 for none.
        stages: how many there are.
        stage_range: shares of the whole path's times that the stages begin and end at, from 0 to 1.
        gamma: correlation of the noise put back within a block of an upsampled sample.
        use_dynamic_shifting: whether each run is shifted by a `mu` of its own.
        time_shift_type: "exponential" or "linear", see `spacings.DynamicShift`.
        stage: which of the stages, from 0.
    """

    num_train_timesteps: int = 1000
    shift: float = 1.0
    stages: int = 3
    stage_range: tuple[float, ...] = (0.0, 1 / 3, 2 / 3, 1.0)
    gamma: float = 1 / 3
    use_dynamic_shifting: bool = False
    time_shift_type: TimeShift = "exponential"
    stage: int = 0

    _lists = ("stage_range",)

    def _staged(self, curved: bool = False) -> Staged:
        ends = (self.num_train_timesteps, False, self.shift, self.stages, self.stage, self.stage_range, self.gamma)
        return (CurvedStage if curved else Staged)(*ends, self.use_dynamic_shifting)

    def _spacing(self, spare: int = 0) -> Chain:
        factor = 1.0
        if self.stages == 1 and self.shift != 1:
            factor = math.exp(self.shift) if self.time_shift_type == "exponential" else self.shift
        dynamic, fixed = DynamicShift(self.time_shift_type, on_given=True), Shift(factor)
        return Stage(spare + (self.stages == 1)) | (dynamic if self.use_dynamic_shifting else fixed) | End()


@dataclass(frozen=True, repr=False)
class Helios(OneStage):
    """Euler or UniPC in a stage; order 1, or that of `UniPCMultistep`.

    Args:
        prediction_type: what the model's output is: "epsilon", "sample", "v_prediction" or "flow_prediction".
        thresholding: whether x0 is thresholded (`transforms.DynamicThreshold`).
        scheduler_type: "euler" or "unipc".
        use_flow_sigmas: whether the path of a stage is straight; else UniPC takes its levels for sigma / alpha on the
            variance-preserving one.
        solver_order: as for `UniPCMultistep`.
        predict_x0: as for `UniPCMultistep`.
        solver_type: as for `UniPCMultistep`.
        lower_order_final: as for `UniPCMultistep`.
        disable_corrector: as for `UniPCMultistep`.
        solver_p: as for `UniPCMultistep`.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> recipe = ms.Helios()
        >>> recipe.stages, recipe.plan(3).sigmas.round(3).tolist()
        (3, [0.999, 0.5, 0.001, 0.0])
    """

    prediction_type: EitherPredicted = "flow_prediction"
    thresholding: bool = False
    scheduler_type: Literal["euler", "unipc"] = "unipc"
    use_flow_sigmas: bool = True
    solver_order: int = 2
    predict_x0: bool = True
    solver_type: Literal["bh1", "bh2"] = "bh2"
    lower_order_final: bool = True
    disable_corrector: tuple[int, ...] = ()
    solver_p: Solver | None = None

    def __post_init__(self) -> None:
        if isinstance(self.disable_corrector, list):
            object.__setattr__(self, "disable_corrector", tuple(self.disable_corrector))
        super().__post_init__()

    def parts(self) -> Parts:
        multistep = self.scheduler_type == "unipc"
        path = self._staged(multistep and not self.use_flow_sigmas)
        change = DynamicThreshold(0.995, 1.0) if self.thresholding else None
        solver = unipc(self) if multistep else Euler()
        return Parts(path, self._spacing(), Prediction(self.prediction_type), solver, denoised_transform=change)


@dataclass(frozen=True, repr=False)
class HeliosDMD(OneStage):
    """Denoise, then add the noise given, for distilled models: `solvers.PingPong`. The longer first
    chunk of a video is a plan of 2 n steps.

    Args:
        time_shift_type: see `OneStage`.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.HeliosDMD().plan(2)
        >>> len(plan), plan.noise_draws
        (2, 1)
    """

    time_shift_type: TimeShift = "linear"

    def parts(self) -> Parts:
        return Parts(self._staged(), self._spacing(1), Prediction("flow_prediction"), PingPong())
