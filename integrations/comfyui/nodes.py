"""The nodes. ComfyUI is imported when one of them runs."""

import functools
from typing import Any

import numpy as np
import torch

import multisched as ms
from multisched.interop import k_diffusion
from multisched.interop.samplers import NAMES

# Samplers whose step needs both outputs of the guidance, which a sampler function of ComfyUI is not given.
SAMPLERS = sorted(name for name in NAMES if not name.endswith("_cfg_pp"))
SPACINGS = [*ms.spacings.NAMES]


def sampling_of(model: Any) -> Any:
    """ComfyUI's model_sampling of what a sampler function is given."""
    return model.inner_model.inner_model.model_sampling


def is_flow(sampling: Any) -> bool:
    """Whether samples are (1 - sigma) * x0 + sigma * noise, as models of the kind CONST have them."""
    return any(kind.__name__ == "CONST" for kind in type(sampling).__mro__)


def recipe_of(sampling: Any) -> ms.Recipe:
    """A recipe whose path has the noise levels of a model."""
    if is_flow(sampling):
        return ms.FlowMatchEuler(shift=float(getattr(sampling, "shift", 1.0)))
    table = np.asarray(sampling.sigmas, dtype=np.float64)
    kept = 1 / (1 + table**2)
    betas = 1 - kept / np.append(1.0, kept[:-1])
    return ms.Euler(num_train_timesteps=len(betas), trained_betas=tuple(betas.tolist()))


def run(name: str, model: Any, x: Any, sigmas: Any, **arguments: Any) -> Any:
    """A sampler function of ComfyUI."""
    path = ms.paths.Straight() if is_flow(sampling_of(model)) else None
    return k_diffusion.sample(name, model, x, sigmas, path=path, **arguments)


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

        known = vars(ms.sampler(sampler_name).parts().solver)
        given = {"eta": eta, "s_noise": s_noise}
        options = {name: value for name, value in given.items() if name in known and value != 1.0}
        return (KSAMPLER(functools.partial(run, sampler_name), extra_options=options),)


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
        plan = recipe_of(sampling).plan(int(steps / denoise), spacing=spacing)
        levels = plan.sigmas if is_flow(sampling) else plan.sigmas / plan.alphas
        return (torch.tensor(levels[-(steps + 1) :].copy(), dtype=torch.float32),)


NODE_CLASS_MAPPINGS = {"MultischedSampler": MultischedSampler, "MultischedScheduler": MultischedScheduler}
NODE_DISPLAY_NAME_MAPPINGS = {"MultischedSampler": "Sampler (multisched)", "MultischedScheduler": "Sigmas (multisched)"}
