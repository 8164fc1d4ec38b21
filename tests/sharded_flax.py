"""Runs of `FlaxScheduler` under jit and lax.scan on four devices, with samples that lie on all of them.

`tests/test_flax.py` starts it, as the number of devices is settled when JAX starts.
"""

import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import jax.numpy as jnp
import numpy as np

import multisched as ms
from multisched.interop.flax import FlaxScheduler

SHAPE, STEPS = (4, 6, 8), 8
RECIPES = {
    "flow": ms.FlowMatchEuler(shift=3.0),
    "unipc": ms.UniPCMultistep(),
    "ancestral": ms.EulerAncestral(),
    "heun": ms.FlowMatchHeun(),
}
MIX = jnp.asarray(np.random.default_rng(0).standard_normal((8, 8)) * 0.2, jnp.float32)
PLACE = jax.sharding.NamedSharding(
    jax.make_mesh((2, 2), ("data", "model")), jax.sharding.PartitionSpec("data", "model")
)


def model(x, t):
    """A network that mixes the last axis, which is whole on each device."""
    return jnp.tanh(0.3 * x @ MIX.astype(x.dtype)) + (0.001 * t).astype(x.dtype)


def run(recipe, noise, key):
    """A run as maxdiffusion's loops have it: the state is carried, the timesteps are scanned."""
    scheduler = FlaxScheduler(recipe)
    state = scheduler.set_timesteps(scheduler.create_state(), STEPS, SHAPE)

    def body(carry, t):
        sample, state = carry
        output = model(scheduler.scale_model_input(state, sample, t), t)
        return scheduler.step(state, output, t, sample, key).to_tuple(), None

    begin = ((noise * state.init_noise_sigma).astype(noise.dtype), state)
    return jax.lax.scan(body, begin, state.timesteps)[0][0]


def main():
    """Write a line for each run: its dtype, whether it stayed sharded, gathers, and how far it is from one device's."""
    key = jax.random.key(3)
    for name, recipe in RECIPES.items():
        for dtype in ("float32", "bfloat16"):
            compiled = jax.jit(lambda noise, recipe=recipe: run(recipe, noise, key))
            noise = ms.noise.normal(SHAPE, backend="jax", dtype=dtype)
            alone, spread = compiled(noise), compiled(jax.device_put(noise, PLACE))
            kept = spread.sharding.is_equivalent_to(PLACE, spread.ndim) and len(spread.sharding.device_set) == 4
            text = compiled.lower(jax.device_put(noise, PLACE)).compile().as_text()
            both = [np.asarray(one, np.float32) for one in (alone, spread)]
            apart = np.abs(both[0] - both[1]).max() / np.abs(both[0]).max()
            sys.stdout.write(f"{name} {spread.dtype} {kept} {text.count('all-gather')} {apart:.1e}\n")


if __name__ == "__main__":
    main()
