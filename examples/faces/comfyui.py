"""The nodes of a ComfyUI workflow, integrations/comfyui/workflow.json, run without ComfyUI.

python examples/faces/comfyui.py

ComfyUI itself takes the workflow: link integrations/comfyui into its custom_nodes, and load the file. Here a few lines
stand in for its objects, and the denoiser of normal data for a network.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"
MEAN, STD = 0.4, 0.6

betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
kept = torch.cumprod(1 - betas, 0)
levels = ((1 - kept) / kept).sqrt().float()
sampling = SimpleNamespace(
    sigmas=levels,
    sigma_min=levels[0],
    sigma_max=levels[-1],
    timestep=lambda sigma: (levels.log() - sigma.log()).abs().argmin(),
)
for name in ("comfy", "comfy.samplers", "comfy.k_diffusion", "comfy.k_diffusion.sampling"):
    sys.modules[name] = ModuleType(name)
sys.modules["comfy.samplers"].KSAMPLER = lambda run, extra_options, **_: SimpleNamespace(run=run, options=extra_options)
sys.modules["comfy.k_diffusion"].sampling = sys.modules["comfy.k_diffusion.sampling"]
sys.modules["comfy.k_diffusion.sampling"].default_noise_sampler = lambda x, seed: lambda *_: torch.randn_like(x)


def denoiser(x, sigma, **_):
    """The mean of x0 given x = x0 + sigma * noise, for data that are normal."""
    return MEAN + STD**2 / (STD**2 + sigma.reshape(-1, 1, 1, 1) ** 2) * (x - MEAN)


denoiser.inner_model = SimpleNamespace(inner_model=SimpleNamespace(model_sampling=sampling))
place = importlib.util.spec_from_file_location("ours", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)])
package = sys.modules["ours"] = importlib.util.module_from_spec(place)
place.loader.exec_module(package)

graph = json.loads((FOLDER / "workflow.json").read_text())
found = {"1": SimpleNamespace(get_model_object=lambda name: sampling)}
for key in ("5", "6"):
    node = package.NODE_CLASS_MAPPINGS[graph[key]["class_type"]]()
    given = {name: found[it[0]] if isinstance(it, list) else it for name, it in graph[key]["inputs"].items()}
    (found[key],) = getattr(node, node.FUNCTION)(**given)
sampler, sigmas, seed = found["5"], found["6"], graph["7"]["inputs"]["noise_seed"]
noise = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(seed)) * sigmas[0]
latents = sampler.run(denoiser, noise, sigmas, extra_args={"seed": seed}, **sampler.options)
sampler_name = graph["5"]["inputs"]["sampler_name"]
print(f"{sampler_name}: {len(sigmas) - 1} calls, mean {latents.mean():.2f}, deviation {latents.std():.2f}")
