"""Recipes of distilled models, which need few steps."""

from dataclasses import dataclass, replace
from typing import Any

from multisched import solvers
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import PREDICTIONS, Clipped, Thresholded, Trained
from multisched.schedules import checks
from multisched.schedules.distilled import Decoder, Ramp, Skipping
from multisched.schedules.trig import TrigFlow
from multisched.table.plan import Plan
from multisched.transforms import Clip
from multisched.values import real


@dataclass(frozen=True, repr=False)
class _Distilled(Trained):
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: str = "scaled_linear"
    prediction_type: str = "epsilon"
    rescale_betas_zero_snr: bool = False
    original_inference_steps: int = 50
    strength: float = 1.0

    def plan(self, n: int | None = None, **arguments: Any) -> Plan:
        """As `Recipe.plan`, but that `strength` means here what the option does, and goes before it: n steps out of the
        cleanest share of those that the model was distilled on (diffusers' set_timesteps). Of a list that is given it
        is the share of its steps that is run, as for every recipe."""
        listed = any(arguments.get(name) is not None for name in ("timesteps", "sigmas", "ratios"))
        strength, begun = arguments.get("strength"), arguments.get("start") is not None
        strength = None if strength is None else real("strength", strength)
        if strength is None and not listed:
            return self._whole(n, **arguments)
        if strength and not listed and not begun:
            return replace(self, strength=strength)._whole(n, **arguments | {"strength": None})
        if strength is None and not begun and self.strength != 1:
            arguments["strength"] = self.strength
        return replace(self, strength=1.0)._whole(n, **arguments)

    def _whole(self, n: int | None, **arguments: Any) -> Plan:
        return super().plan(n, **arguments)

    def _skipping(self, solver: solvers.Solver, **options: Any) -> Parts:
        checks.option("prediction_type", self.prediction_type, PREDICTIONS)
        schedule = self._build(Skipping, **options)
        return Parts(schedule, Prediction(self.prediction_type), solver, denoised_transform=self._change())


@dataclass(frozen=True, repr=False)
class LCM(Thresholded, Clipped, _Distilled):
    """Latent consistency models (Luo et al. 2023, arXiv 2310.04378). Options as `DDIM`'s,
    `schedules.distilled.Skipping`'s and `solvers.LCM`'s."""

    clip_sample: bool = False
    timestep_scaling: float = 10.0

    def parts(self) -> Parts:
        return self._skipping(solvers.LCM(self.timestep_scaling))


@dataclass(frozen=True, repr=False)
class TCD(_Distilled):
    """Trajectory consistency distillation (Zheng et al. 2024, arXiv 2402.19159); order 1 at eta = 0, which is `Euler`.
    Options as `LCM`'s, and eta: the paper's gamma, in [0, 1], the share of each step's way to the clean sample that is
    noised again."""

    eta: float = 0.3

    def parts(self) -> Parts:
        return self._skipping(solvers.TCD() if self.eta else solvers.Euler(), final_sigmas_type="sigma_min")


@dataclass(frozen=True, repr=False)
class SCM(Recipe):
    """Consistency models on TrigFlow (Lu and Song 2024, arXiv 2410.11081): denoise, then add fresh noise. Options:
    `schedules.trig.TrigFlow`'s, and prediction_type: "trigflow" alone."""

    prediction_type: str = "trigflow"
    sigma_data: float = 0.5
    max_timesteps: float = 1.5708
    intermediate_timesteps: float | None = 1.3

    def parts(self) -> Parts:
        checks.option("prediction_type", self.prediction_type, ("trigflow",))
        return Parts(self._build(TrigFlow), Prediction("v_prediction", self.sigma_data), solvers.PingPong())


@dataclass(frozen=True, repr=False)
class CMStochasticIterative(Recipe):
    """Consistency models (Song et al. 2023, arXiv 2303.01469). A run ends at sigma_min. Options:
    `schedules.distilled.Ramp`'s and `solvers.Consistency`'s; `clip_denoised` cuts the clean sample to [-1, 1]."""

    num_train_timesteps: int = 40
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    s_noise: float = 1.0
    rho: float = 7.0
    clip_denoised: bool = True

    def parts(self) -> Parts:
        schedule = self._build(Ramp, timestep="log_1000_4", final_sigmas_type="sigma_min", prior=0.0)
        change = Clip() if self.clip_denoised else None
        prediction, solver = Prediction("edm", self.sigma_data), self._build(solvers.Consistency)
        return Parts(schedule, prediction, solver, denoised_transform=change)


@dataclass(frozen=True, repr=False)
class ConsistencyDecoder(Recipe):
    """The consistency decoder of DALL-E 3 (Betker et al. 2023, its code). Two steps are what it was made for. Options:
    `schedules.distilled.Decoder`'s."""

    num_train_timesteps: int = 1024
    sigma_data: float = 0.5

    def parts(self) -> Parts:
        schedule = self._build(Decoder, beta_schedule="squaredcos_cap_v2")
        return Parts(schedule, Prediction("edm", self.sigma_data), solvers.PingPong())
