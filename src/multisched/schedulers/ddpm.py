"""DDPM, ancestral sampling on variance-preserving schedules, and RePaint on top of it."""

from dataclasses import dataclass

from multisched import solvers
from multisched.predictions import Prediction
from multisched.schedulers.base import Parts, Recipe
from multisched.schedulers.ddim import _Cut
from multisched.schedulers.options import Trained, clip
from multisched.schedules import Cosine, DiscreteVP, Jumping, checks


@dataclass(frozen=True)
class DDPM(_Cut):
    """Denoising diffusion probabilistic models (Ho et al. 2020, arXiv 2006.11239).

    Options as `DDIM`'s, and `solvers.DDPM`'s. For "learned" and "learned_range" the model's output has twice the
    channels. `final_noise` is a defect of diffusers: with spacings that end above timestep 0 the image keeps it.
    """

    variance_type: str = "fixed_small"
    final_noise: bool = False

    def parts(self) -> Parts:
        return self._parts(solvers.DDPM(self.variance_type, self.final_noise), self._change())


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
        checks.option("variance_type", self.variance_type, ("fixed_small_log", "learned_range"))
        checks.option("prediction_type", self.prediction_type, ("epsilon", "sample"))
        schedule = DiscreteVP(self.num_train_timesteps, beta_schedule="squaredcos_cap_v2", timestep_spacing="linspace")
        change = clip(self.clip_sample, self.clip_sample_range)
        solver = solvers.DDPM(self.variance_type)
        return Parts(schedule, Prediction(self.prediction_type), solver, denoised_transform=change)


@dataclass(frozen=True)
class DDPMWuerstchen(Recipe):
    """DDPM on the continuous cosine schedule (Pernias et al. 2023, arXiv 2306.00637). Options: `schedules.Cosine`'s."""

    scaler: float = 1.0
    s: float = 0.008

    def parts(self) -> Parts:
        return Parts(Cosine(self.scaler, self.s), Prediction("epsilon"), solvers.DDPM())


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
        names = ("jump_length", "jump_n_sample", "late_undo")
        schedule = Jumping(**vars(self._vp()), **{name: getattr(self, name) for name in names})
        solver = solvers.RePaint(self.eta)
        return Parts(schedule, Prediction("epsilon"), solver, denoised_transform=clip(self.clip_sample, 1.0))
