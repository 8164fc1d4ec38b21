"""The sampling loop of diffusion policies, on NumPy, as a policy that runs through ONNX Runtime needs it: no torch.

python examples/faces/robot_policy.py

The configuration is LeRobot's. The policy is a stand-in for a network: what it would answer for actions that are
normal. Actions go on in real time: each chunk begins from the end of the last one, noised again.
"""

import numpy as np

import multisched as ms
from multisched.analysis import Gaussian, model_of

CONFIG = {
    "noise_scheduler_type": "DDIM",
    "num_train_timesteps": 100,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "epsilon",
    "clip_sample": False,
}
HORIZON, ACTIONS, KEPT = 16, 7, 8

recipe = ms.from_config(CONFIG)
plan = recipe.plan(10)
policy = model_of(recipe, Gaussian(mean=0.2, std=0.1))  # policy(trajectory, timestep) -> noise


def conditional_sample(trajectory, rows):
    """The actions of a noised trajectory, from a row of the plan on."""
    for row in rows:
        timestep = np.full(len(trajectory), round(plan.timesteps[row]), dtype=np.int64)  # what exported policies take
        output = policy(trajectory, timestep)
        trajectory = plan.step(ms.State(trajectory, (), row), output).sample
    return trajectory


actions = conditional_sample(ms.noise.normal((1, HORIZON, ACTIONS), rng=0), range(10))
for chunk in range(1, 4):
    begun = np.concatenate([actions[:, KEPT:], actions[:, -1:].repeat(KEPT, axis=1)], axis=1)
    noised = plan.add_noise(begun, ms.noise.normal(begun.shape, rng=chunk), 4)
    actions = conditional_sample(noised, range(4, 10))
    print(f"chunk {chunk}: 6 calls, actions {actions.mean():.2f} +- {actions.std():.2f}, {actions.dtype}")
