"""The recipes that the common tests run through: every scheduler, with each option that changes the arithmetic."""

from typing import Any

import numpy as np
import pytest

import multisched as ms

RECIPES: dict[str, ms.Recipe] = {
    "flow-euler": ms.FlowMatchEuler(),
    "flow-euler-shift": ms.FlowMatchEuler(shift=3.0, sigma_max=0.9, shift_terminal=0.02),
    "flow-euler-double": ms.FlowMatchEuler(shift=3.0, double_shift=True),
    "flow-euler-stochastic": ms.FlowMatchEuler(shift=2.0, stochastic_sampling=True),
    "flow-heun": ms.FlowMatchHeun(shift=3.0),
    "flow-heun-churn": ms.FlowMatchHeun(s_churn=4.0, s_tmin=0.2, s_tmax=0.8, s_noise=1.1),
    "flow-ping-pong": ms.FlowMatchPingPong(shift=3.0),
    "ddim": ms.DDIM(clip_sample=False),
    "ddim-clip": ms.DDIM(prediction_type="sample", clip_sample_range=0.7),
    "ddim-clip-direction": ms.DDIM(use_clipped_model_output=True, eta=0.3),
    "ddim-threshold": ms.DDIM(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=1.7),
    "ddim-eta": ms.DDIM(eta=1.0, clip_sample=False, timestep_spacing="trailing", prediction_type="v_prediction"),
    "ddim-zero-snr": ms.DDIM(
        rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=False
    ),
    "ddim-stride": ms.DDIM(timestep_spacing="linspace", previous_timestep="stride", set_alpha_to_one=False),
    "ddim-cosine": ms.DDIM(beta_schedule="squaredcos_cap_v2", steps_offset=1, clip_sample=False),
}

ARITHMETIC_ONLY = {name: recipe for name, recipe in RECIPES.items() if recipe.parts().output_transform is None}
OMEGA: dict[str, ms.Recipe] = {
    "flow-euler-omega": ms.FlowMatchEuler(shift=3.0, omega=10.0),
    "flow-heun-omega": ms.FlowMatchHeun(omega=-20.0),
    "flow-euler-omega-batch": ms.FlowMatchEuler(omega=10.0, omega_mean="batch"),
}
EVERY = {**RECIPES, **OMEGA}

every_recipe = pytest.mark.parametrize("recipe", EVERY.values(), ids=EVERY.keys())
arithmetic_recipe = pytest.mark.parametrize("recipe", ARITHMETIC_ONLY.values(), ids=ARITHMETIC_ONLY.keys())


def arrays(count: int, shape: tuple[int, ...] = (2, 3, 4), seed: int = 0) -> np.ndarray:
    """`count` float32 arrays of normals, on the host."""
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def run(
    plan: ms.Plan, make: Any, noise: np.ndarray, outputs: np.ndarray, draws: np.ndarray, dtype: str = "float32"
) -> Any:
    """All states of a run with given outputs and draws."""
    states = [plan.start(make(noise, dtype))]
    for row in range(len(plan)):
        z = tuple(make(draws[row], dtype) for _ in range(plan.noise_draws)) if plan.needs_noise(row) else None
        states.append(plan.step(states[-1], make(outputs[row], dtype), z))
    return states
