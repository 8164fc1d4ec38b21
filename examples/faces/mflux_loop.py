"""A scheduler of mflux by its dotted path, in the loop that mflux has.

python examples/faces/mflux_loop.py

mflux itself takes it from the command line: mflux-generate --scheduler multisched.interop.mflux.DPMpp2M ...
Where mflux is not installed, a few lines stand in for its base class and its sigmas.
"""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import mlx.core as mx
import numpy as np

if importlib.util.find_spec("mflux") is None:
    NAMES = ["mflux", "mflux.models", "mflux.models.common", "mflux.models.common.schedulers"]
    modules = {name: ModuleType(name) for name in (*NAMES, f"{NAMES[-1]}.base_scheduler")}
    modules[f"{NAMES[-1]}.base_scheduler"].BaseScheduler = type("BaseScheduler", (), {})
    shifted = [3 * s / (1 + 2 * s) for s in np.linspace(1, 1 / 8, 8)] + [0.0]
    modules[NAMES[-1]].LinearScheduler = lambda *_: SimpleNamespace(sigmas=mx.array(shifted))
    sys.modules.update(modules)

from multisched.interop import mflux

MEAN, STD, CONFIG = 0.4, 0.6, SimpleNamespace(num_inference_steps=8)


def velocity(x, sigma):
    """What a flow model gives for data that are normal."""
    alpha = 1 - sigma
    x0 = MEAN + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (x - alpha * MEAN)
    return (x - x0) / sigma


for name in ("Euler", "DPMpp2M", "Auto"):
    scheduler = getattr(mflux, name)(CONFIG)
    latents = mx.random.normal((1, 4096, 16), key=mx.random.key(0))
    for t in range(CONFIG.num_inference_steps):
        noise = velocity(scheduler.scale_model_input(latents, t), scheduler.sigmas[t])
        latents = scheduler.step(noise=noise, timestep=t, latents=latents)
    print(f"{name}: mean {float(latents.mean()):.2f}, deviation {float(mx.var(latents)) ** 0.5:.2f}")
