"""How many model calls does it take? Distance from the exact flow of a Gaussian, by scheduler and number of steps.

python examples/compare.py [numpy|torch|jax|mlx]
"""

import sys

import numpy as np

import multisched as ms
from multisched.analysis import Gaussian, model_of

backend = ms.backends.get(sys.argv[1] if len(sys.argv) > 1 else "numpy")
gaussian = Gaussian(mean=0.4, std=0.6)
noise = ms.noise.normal((256, 4), rng=0, backend=backend)

for recipe in (ms.FlowMatchEuler(), ms.FlowMatchHeun(), ms.FlowMatchEuler(shift=3.0), ms.FlowMatchHeun(shift=3.0)):
    for steps in (8, 16, 32):
        plan = recipe.plan(steps)
        found = backend.to_numpy(ms.sample(model_of(recipe, gaussian), plan, noise))
        exact = 0.4 + 0.6 * backend.to_numpy(noise)
        name = f"{type(recipe).__name__}(shift={recipe.shift:g})"
        print(f"{backend.name}: {name:28} {len(plan):3d} model calls  error {np.abs(found - exact).max():.1e}")
