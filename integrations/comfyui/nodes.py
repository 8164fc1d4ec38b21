"""The nodes. ComfyUI is imported when one of them runs."""

import functools
import itertools
from typing import Any

import numpy as np
import torch

import multisched as ms
from multisched.interop import k_diffusion
from multisched.interop.samplers import NAMES

SAMPLERS = sorted([*NAMES, "dpm_adaptive"])
SPACINGS = [*ms.spacings.NAMES]
BROWNIAN = ("dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde")
"""Samplers whose noise ComfyUI takes from a Brownian path."""
BELOW = (*BROWNIAN, "seeds_2", "seeds_3", "exp_heun_2_x0", "exp_heun_2_x0_sde", "er_sde", "sa_solver", "sa_solver_pece")
"""Samplers that ComfyUI runs from a little below pure noise on a flow."""


def sampling_of(model: Any) -> Any:
    """ComfyUI's model_sampling of what a sampler function is given."""
    return model.inner_model.inner_model.model_sampling


def is_flow(sampling: Any) -> bool:
    """Whether samples are (1 - sigma) * x0 + sigma * noise, as models of the kind CONST have them."""
    return any(kind.__name__ == "CONST" for kind in type(sampling).__mro__)


def recipe_of(sampling: Any, by_time: bool = False) -> ms.Recipe:
    """A recipe whose path has the noise levels of a model.

    Args:
        sampling: ComfyUI's model_sampling.
        by_time: whether its levels are even in the model's own time, where ComfyUI's table is of another.

    Raises:
        ScheduleError: if those of a flow are not evenly spaced ones that were shifted.
    """
    table = np.asarray(sampling.sigmas, dtype=np.float64)
    if by_time and not is_flow(sampling):
        ends = (float(sampling.timestep(end)) for end in (sampling.sigma_min, sampling.sigma_max))
        times = np.linspace(*ends, len(table))
        table = np.array([float(sampling.sigma(torch.tensor(t))) for t in times])
    if is_flow(sampling):
        even, middle = np.arange(1, len(table) + 1) / len(table), len(table) // 2 - 1
        ratio = table[middle] / (1 - table[middle])  # ComfyUI's own number is the shift, or its logarithm
        shift = float(ratio * (1 - even[middle]) / even[middle])
        if not np.allclose(table, shift * even / (1 + (shift - 1) * even), rtol=1e-4, atol=0):
            raise ms.ScheduleError(f"the noise levels of {type(sampling).__name__} are no shift of even ones.")
        return ms.FlowMatchEuler(num_train_timesteps=len(table), shift=shift)
    kept = 1 / (1 + table**2)
    betas = np.maximum(1 - kept / np.append(1.0, kept[:-1]), 1e-12)  # Stable Cascade has levels that are equal
    exact = ms.paths.Betas(len(betas), trained_betas=tuple(betas.tolist()), precision="float64")
    return ms.sampler("euler", like=ms.paths.Discrete(exact, space="ve"))


def noise_of(name: str, x: Any, sigmas: Any, seed: Any) -> Any:
    """ComfyUI's source of the noise of a sampler, so that a seed gives the picture that it gives there."""
    from comfy.k_diffusion import sampling

    if name in BROWNIAN:
        return sampling.BrownianTreeNoiseSampler(x, sigmas[sigmas > 0].min(), sigmas.max(), seed=seed, cpu=True)
    draw = sampling.default_noise_sampler(x, seed=seed)
    if name == "exp_heun_2_x0_sde":  # whose second call draws too, with a weight of 0
        return lambda sigma, below: (draw(sigma, below), draw(sigma, below))[0]
    return draw


def middle(sampling: Any, sigmas: Any, unit: float) -> dict[str, float]:
    """Where SA-Solver adds noise in ComfyUI: in steps that end in the middle three fifths of the training timesteps."""
    low, high = (float(sampling.percent_to_sigma(share)) for share in (0.8, 0.2))
    begun = [unit * float(one) for one, end in itertools.pairwise(sigmas) if low <= float(end) <= high]
    return {"tau_start": min(begun), "tau_end": max(begun)} if begun else {"tau": 0.0}


def both(model: Any, arguments: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A model that returns the unguided x0 behind the guided one, as CFG++ needs it, and its arguments."""
    from comfy.model_patcher import set_model_options_post_cfg_function

    kept: dict[str, Any] = {}

    def keep(found: dict[str, Any]) -> Any:
        kept["unguided"] = found["uncond_denoised"]
        return found["denoised"]

    options = set_model_options_post_cfg_function(
        dict(arguments.get("model_options", {})), keep, disable_cfg1_optimization=True
    )
    guided = lambda x, sigma, **given: torch.cat([model(x, sigma, **given), kept["unguided"]], dim=1)  # noqa: E731
    return guided, {**arguments, "model_options": options}


def run(
    name: str, model: Any, x: Any, sigmas: Any, extra_args: Any = None, callback: Any = None, **options: Any
) -> Any:
    """A sampler function of ComfyUI."""
    if len(sigmas) < 2:
        return x
    extra, sampling = dict(extra_args or {}), sampling_of(model)
    options.pop("disable", None)  # of a progress bar, which ComfyUI moves by the callback
    if name in ("dpm_fast", "dpm_adaptive"):
        ends = float(sigmas[-1] or sigmas[-2]), float(sigmas[0])
        if name == "dpm_adaptive":
            return k_diffusion.sample_dpm_adaptive(model, x, *ends, extra_args=extra)
        return k_diffusion.sample_dpm_fast(model, x, *ends, len(sigmas) - 1, extra_args=extra, callback=callback)
    path = ms.paths.Straight() if is_flow(sampling) else None
    if name == "lms":
        options["denoised_end"] = True
    noise = noise_of(name, x, sigmas, extra.get("seed"))
    if path is not None and name in BELOW and sigmas[0] >= 1:
        sigmas = torch.cat([sigmas.new_tensor([sampling.percent_to_sigma(1e-4)]), sigmas[1:]])
    if name.startswith("sa_solver"):
        options |= middle(sampling, sigmas.double(), 1.0 if path is None else 1000.0)
    if name.endswith("_cfg_pp"):
        model, extra = both(model, extra)
    return k_diffusion.sample(
        name, model, x, sigmas, extra_args=extra, callback=callback, noise_sampler=noise, path=path, **options
    )


class MultischedSampler:
    """A sampler by name."""

    CATEGORY = "sampling/custom_sampling/samplers"
    RETURN_TYPES = ("SAMPLER",)
    FUNCTION = "get_sampler"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  (ComfyUI's name)
        """What ComfyUI shows."""
        return {
            "required": {"sampler_name": (SAMPLERS,)},
            "optional": {
                "eta": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.01}),
                "s_noise": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 10.0, "step": 0.001}),
            },
        }

    def get_sampler(self, sampler_name: str, eta: float = 1.0, s_noise: float = 1.0) -> tuple[Any]:
        """ComfyUI's sampler object; eta and s_noise count where the sampler has them and they are not 1."""
        from comfy.samplers import KSAMPLER

        plain = sampler_name.removesuffix("_cfg_pp")
        known = vars(ms.sampler(plain).parts().solver) if sampler_name != "dpm_adaptive" else {}
        given = {"eta": eta, "s_noise": s_noise}
        options = {name: value for name, value in given.items() if name in known and value != 1.0}
        inpaint = {"random": True} if sampler_name == "ddim" else {}  # noise of its own under the mask, as there
        return (KSAMPLER(functools.partial(run, sampler_name), extra_options=options, inpaint_options=inpaint),)


class MultischedScheduler:
    """Noise levels of a spacing by name."""

    CATEGORY = "sampling/custom_sampling/schedulers"
    RETURN_TYPES = ("SIGMAS",)
    FUNCTION = "get_sigmas"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  (ComfyUI's name)
        """What ComfyUI shows."""
        return {
            "required": {
                "model": ("MODEL",),
                "spacing": (SPACINGS,),
                "steps": ("INT", {"default": 20, "min": 1, "max": 10000}),
                "denoise": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}),
            }
        }

    def get_sigmas(self, model: Any, spacing: str, steps: int, denoise: float) -> tuple[torch.Tensor]:
        """(steps + 1,) noise levels; with denoise below 1 the last of a run of steps / denoise."""
        if denoise <= 0:
            return (torch.zeros(0),)
        sampling = model.get_model_object("model_sampling")
        recipe = recipe_of(sampling, by_time=spacing in ("normal", "sgm_uniform"))
        plan = recipe.plan(int(steps / denoise), spacing=spacing)
        return (torch.tensor(plan.sigmas[-(steps + 1) :].copy(), dtype=torch.float32),)


NODE_CLASS_MAPPINGS = {"MultischedSampler": MultischedSampler, "MultischedScheduler": MultischedScheduler}
NODE_DISPLAY_NAME_MAPPINGS = {"MultischedSampler": "Sampler (multisched)", "MultischedScheduler": "Sigmas (multisched)"}
