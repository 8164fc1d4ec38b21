"""k-diffusion's functions on any array library, and a sampler of ComfyUI's that k-diffusion lacks.

python examples/faces/k_diffusion.py [numpy|torch|jax|mlx]
"""

import sys

import multisched as ms
from multisched.interop.k_diffusion import (
    get_sigmas_karras,
    sample_dpmpp_2m,
    sample_euler_ancestral,
    sample_res_multistep,
)

backend = ms.backends.get(sys.argv[1] if len(sys.argv) > 1 else "numpy")
MEAN, STD = 0.4, 0.6


def denoiser(x, sigma):
    """The mean of x0 given x = x0 + sigma * noise, for data that are normal."""
    return MEAN + STD**2 / (STD**2 + sigma[:, None] ** 2) * (x - MEAN)


sigmas = get_sigmas_karras(20, 0.03, 14.6, backend=backend)
x = ms.noise.normal((512, 8), rng=0, backend=backend) * float(sigmas[0])
for sampler in (sample_dpmpp_2m, sample_euler_ancestral, sample_res_multistep):
    found = backend.to_numpy(sampler(denoiser, x, sigmas))
    print(f"{backend.name}: {sampler.__name__:24} mean {found.mean():.2f}  deviation {found.std():.2f}")
