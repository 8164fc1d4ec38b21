"""Recipes of distilled models, which need few steps."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from multisched import solvers
from multisched.paths.betas import BetaSchedule
from multisched.paths.continuous import TrigFlow
from multisched.paths.discrete import Betas, Discrete
from multisched.paths.exploding import VarianceExploding
from multisched.predictions import Prediction
from multisched.schedulers.base import Recipe
from multisched.schedulers.forward import Parts
from multisched.schedulers.options import Cut, OnTraining, Predicted
from multisched.spacings.base import Chain, End, Link
from multisched.spacings.direction import Renoised
from multisched.spacings.distilled import Decoder, GivenPlaces, Ramp, Skipping, TwoTimes
from multisched.table.plan import Plan
from multisched.transforms import Clip
from multisched.values import real


@dataclass(frozen=True, repr=False)
class Distilled(OnTraining):
    """A recipe of a model that was distilled on the steps of another run.

    Args:
        num_train_timesteps: T, the length of the training run.
        beta_start: the first beta, of schedules that have one.
        beta_end: the last beta, likewise.
        beta_schedule: "linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace" or "exp".
        trained_betas: (T,) custom betas instead.
        prediction_type: what the model's output is: "epsilon", "sample" or "v_prediction".
        rescale_betas_zero_snr: whether the last timestep is made pure noise.
        original_inference_steps: steps of the distillation, see `spacings.Skipping`.
        strength: share of them that is used, the cleanest, for image to image; in (0, 1].
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: BetaSchedule = "scaled_linear"
    trained_betas: tuple[float, ...] | None = None
    prediction_type: Predicted = "epsilon"
    rescale_betas_zero_snr: bool = False
    original_inference_steps: int = 50
    strength: float = 1.0

    def plan(self, n: int | None = None, **arguments: Any) -> Plan:
        """As `Recipe.plan`, but that `strength` means here what the option does, and goes before it: n steps out of the
        cleanest share of those that the model was distilled on. Of a list it is the share of its steps that is run, as
        for every recipe."""
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

    def _parts(self, solver: solvers.Solver, *links: Link) -> Parts:
        path = Discrete(self._betas(), terminal_alpha_bar=0.0 if self.rescale_betas_zero_snr else None)
        spacing = Chain((Skipping(self.original_inference_steps, self.strength), *links))
        return Parts(path, spacing, Prediction(self.prediction_type), solver, denoised_transform=self._change())


@dataclass(frozen=True, repr=False)
class LCM(Distilled, Cut):
    """Latent consistency models (Luo et al. 2023, arXiv 2310.04378).

    Args:
        clip_sample: whether x0 is cut.
        timestep_scaling: of the boundary condition, see `solvers.LCM`.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> ms.LCM().plan(4).timesteps.tolist()
        [999.0, 759.0, 499.0, 259.0]
    """

    clip_sample: bool = False
    timestep_scaling: float = 10.0

    def parts(self) -> Parts:
        return self._parts(solvers.LCM(self.timestep_scaling), End())


@dataclass(frozen=True, repr=False)
class TCD(Distilled):
    """Trajectory consistency distillation (Zheng et al. 2024, arXiv 2402.19159); order 1 at eta = 0, which is `Euler`.

    Args:
        eta: the paper's gamma, in [0, 1]: how much of each denoising step is undone by fresh noise.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> plan = ms.TCD(eta=0.3).plan(4)
        >>> plan.timesteps.tolist(), plan.noise_draws
        ([999.0, 759.0, 499.0, 259.0], 1)
    """

    eta: float = 0.3

    def parts(self) -> Parts:
        return self._parts(solvers.TCD() if self.eta else solvers.Euler(), End("sigma_min"), Renoised(self.eta))


@dataclass(frozen=True, repr=False)
class SCM(Recipe):
    """Consistency models on TrigFlow (Lu and Song 2024, arXiv 2410.11081): denoise, then add fresh noise.

    Args:
        prediction_type: "trigflow" alone.
        sigma_data: deviation of the data.
        max_timesteps: the time that runs begin at, in (0, pi / 2].
        intermediate_timesteps: the second time of a run of two steps; None for half of the first.

    Raises:
        ScheduleError: if an option is not one of those named, or a number is out of range.

    Example:
        >>> ms.SCM().plan(2).timesteps.round(4).tolist()
        [1.5708, 1.3]
    """

    prediction_type: Literal["trigflow"] = "trigflow"
    sigma_data: float = 0.5
    max_timesteps: float = 1.5708
    intermediate_timesteps: float | None = 1.3

    def parts(self) -> Parts:
        spacing = TwoTimes(self.max_timesteps, middle=self.intermediate_timesteps) | End()
        prediction = Prediction("v_prediction", self.sigma_data)
        return Parts(TrigFlow(self.sigma_data), spacing, prediction, solvers.PingPong())


@dataclass(frozen=True, repr=False)
class CMStochasticIterative(Recipe):
    """Consistency models (Song et al. 2023, arXiv 2303.01469). A run ends at sigma_min.

    Args:
        num_train_timesteps: levels of the training run; `timesteps=` are places among them, 0 the noisiest.
        sigma_min: the lowest level.
        sigma_max: the highest.
        sigma_data: deviation of the data.
        s_noise: what the noise is multiplied with, see `solvers.Consistency`.
        rho: the levels are even in sigma^(1/rho).
        clip_denoised: whether x0 is cut to [-1, 1].

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> ms.CMStochasticIterative().plan(2).sigmas.round(3).tolist()
        [80.0, 2.24, 0.002]
    """

    num_train_timesteps: int = 40
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    s_noise: float = 1.0
    rho: float = 7.0
    clip_denoised: bool = True

    def parts(self) -> Parts:
        ends = (self.sigma_min, self.sigma_max, self.sigma_data)
        path, ramp = VarianceExploding(*ends, "log_1000_4", self.num_train_timesteps), Ramp(self.rho)
        spacing = GivenPlaces(ramp) | ramp | End("sigma_min", 0.0)
        solver, change = solvers.Consistency(self.sigma_min, self.sigma_data, self.s_noise), Clip()
        prediction = Prediction("edm", self.sigma_data)
        return Parts(path, spacing, prediction, solver, denoised_transform=change if self.clip_denoised else None)


@dataclass(frozen=True, repr=False)
class ConsistencyDecoder(Recipe):
    """The consistency decoder of DALL-E 3 (Betker et al. 2023, its code). Two steps are what it was made for.

    Args:
        num_train_timesteps: T, the length of the training run.
        sigma_data: deviation of the data.

    Raises:
        ScheduleError: if a number is out of range.

    Example:
        >>> ms.ConsistencyDecoder().plan(2).timesteps.tolist()
        [1008.0, 512.0]
    """

    num_train_timesteps: int = 1024
    sigma_data: float = 0.5

    def parts(self) -> Parts:
        betas = Betas(self.num_train_timesteps, beta_schedule="squaredcos_cap_v2", strict=self.strict)
        path = Discrete(betas, sigma_data=self.sigma_data)
        return Parts(path, Decoder() | End(prior=0.0), Prediction("edm", self.sigma_data), solvers.PingPong())
