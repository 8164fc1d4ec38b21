"""Score a stochastic run for reinforcement learning: each step is a Gaussian, and its density is known exactly.

python examples/log_prob.py [numpy|torch|jax|mlx]
"""

import sys

import multisched as ms
from multisched.analysis import Gaussian, model_of

backend = ms.backends.get(sys.argv[1] if len(sys.argv) > 1 else "numpy")
recipe = ms.DDIM(eta=1.0, clip_sample=False, prediction_type="v_prediction")
plan = recipe.plan(20)
model = model_of(recipe, Gaussian(mean=0.5, std=0.2))
source = ms.noise.HostNoise(seed=3)

state = plan.start(ms.noise.normal((4, 8), rng=0, backend=backend))
total = 0.0
for row, t in enumerate(plan.timesteps):
    output = model(plan.model_input(state), t)
    if not plan.needs_noise(row):
        state = plan.step(state, output)
        continue
    mean, std = plan.transition(state, output)
    state = plan.step(state, output, ms.noise.draw(source, *plan.noise_address(row), state.sample))
    total = total + ms.log_prob(state.sample, mean, std)

shown = ", ".join(f"{value:.3f}" for value in backend.to_numpy(total).tolist())
print(f"{backend.name}: log-density of each of the four runs: {shown}")
