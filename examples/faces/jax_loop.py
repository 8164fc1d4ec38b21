"""A loop of JAX as diffusers' Flax pipelines had it, jitted whole: the scheduler is pure, its state a pytree.

python examples/faces/jax_loop.py
"""

import jax

import multisched as ms
from multisched.analysis import Gaussian, model_of
from multisched.interop.flax import FlaxScheduler

recipe = ms.from_diffusers({"_class_name": "FlaxDPMSolverMultistepScheduler", "beta_schedule": "scaled_linear"})
scheduler, model = FlaxScheduler(recipe), model_of(recipe, Gaussian(mean=0.4, std=0.6))
SHAPE = (64, 16)


@jax.jit
def sample(noise):
    """The run, as one graph."""
    state = scheduler.set_timesteps(scheduler.create_state(), 20, SHAPE)

    def body(i, carry):
        latents, state = carry
        t = state.timesteps[i]
        output = model(scheduler.scale_model_input(state, latents, t), t)
        return scheduler.step(state, output, t, latents).to_tuple()

    latents, _ = jax.lax.fori_loop(0, len(state.timesteps), body, (noise * state.init_noise_sigma, state))
    return latents


found = sample(jax.random.normal(jax.random.key(0), SHAPE))
print(f"jax: mean {float(found.mean()):.2f}, deviation {float(found.std()):.2f}")
