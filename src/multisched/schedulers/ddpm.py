"""DDPM, ancestral sampling on variance-preserving schedules, and RePaint on top of it."""

from dataclasses import dataclass

from multisched import solvers
from multisched.predictions import Prediction
from multisched.schedulers.base import Parts, Recipe
from multisched.schedulers.ddim import _VP
from multisched.schedulers.options import Clipped, Thresholded, Trained
from multisched.schedules import Cosine, DiscreteVP, Jumping
from multisched.transforms import Clip
from multisched.values import check_options


@dataclass(frozen=True)
class DDPM(Thresholded, Clipped, _VP):
    """Denoising diffusion probabilistic models (Ho et al. 2020, arXiv 2006.11239).

    Options as `DDIM`'s, and `solvers.DDPM`'s. For "learned" and "learned_range" the model's output has twice the
    channels. `final_noise` is a defect of diffusers: with spacings that end above timestep 0 the image keeps it.
    """

    variance_type: str = "fixed_small"
    final_noise: bool = False

    def parts(self) -> Parts:
        return self._parts(self._build(solvers.DDPM))


@dataclass(frozen=True)
class UnCLIP(Recipe):
    """DDPM on even steps of the cosine schedule, as unCLIP has it (Ramesh et al. 2022, arXiv 2204.06125).

    Options as `DDPM`'s; variance_type is "fixed_small_log" or "learned_range", prediction_type "epsilon" or "sample".
    """

    num_train_timesteps: int = 1000
    variance_type: str = "fixed_small_log"
    clip_sample: bool = True
    clip_sample_range: float = 1.0
    prediction_type: str = "epsilon"

    def parts(self) -> Parts:
        variances = ("fixed_small_log", "learned_range")
        check_options(self, variance_type=variances, prediction_type=("epsilon", "sample"))
        schedule = self._build(DiscreteVP, beta_schedule="squaredcos_cap_v2", timestep_spacing="linspace")
        prediction, change = Prediction(self.prediction_type), Clip(self.clip_sample_range)
        return Parts(schedule, prediction, self._build(solvers.DDPM), None, change if self.clip_sample else None)


@dataclass(frozen=True)
class DDPMWuerstchen(Recipe):
    """DDPM on the continuous cosine schedule (Pernias et al. 2023, arXiv 2306.00637). Options: `schedules.Cosine`'s."""

    scaler: float = 1.0
    s: float = 0.008

    def parts(self) -> Parts:
        return Parts(self._build(Cosine), Prediction("epsilon"), solvers.DDPM())


@dataclass(frozen=True)
class RePaint(Trained):
    """Inpainting (Lugmayr et al. 2022, arXiv 2201.09865). A run is started with `original=`, the image, and `mask=`,
    1 where it is known and 0 where it is to be filled in.

    Options as `DDIM`'s, and `schedules.Jumping`'s; x0 is cut to [-1, 1]. `late_undo` is a defect of diffusers: wherever
    n is not num_train_timesteps, a jump back adds too much noise.
    """

    eta: float = 0.0
    clip_sample: bool = True
    jump_length: int = 10
    jump_n_sample: int = 10
    late_undo: bool = False

    def parts(self) -> Parts:
        change = Clip() if self.clip_sample else None
        solver = self._build(solvers.RePaint)
        return Parts(self._build(Jumping), Prediction("epsilon"), solver, denoised_transform=change)
