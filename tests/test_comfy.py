"""The samplers of ComfyUI by its own names: what its file gives in float64 for a Gaussian model with guidance, on added
noise (x = x0 + sigma * noise) and on the straight path of flow models."""

import json
from pathlib import Path

import numpy as np
import pytest

import multisched as ms
from multisched.solvers import (
    DDIM,
    AncestralRF,
    DPMMultistep,
    DPMMultistepSDE,
    Euler,
    ExponentialRK,
    GradientEstimation,
    Heun,
    Midpoint,
    PingPong,
    RESMultistep,
    Straightened,
)

TRUTH = json.loads((Path(__file__).parent / "comfy_samplers.json").read_text(encoding="utf-8"))
START, NOISE = np.array(TRUTH["start"]), np.array(TRUTH["noise"])
MODELS = [(np.array(TRUTH[f"mu{end}"]), np.array(TRUTH[f"v{end}"])) for end in ("", "_uncond")]

POINTS = {
    "eps": np.array(TRUTH["sigmas_eps"]),
    "flow": np.array(TRUTH["sigmas_flow"]),
    # Where a sampler needs log(alpha / sigma), it takes the first level a little lower.
    "offset": np.array([TRUTH["runs"]["dpmpp_2m_sde flow"]["calls"][0], *TRUTH["sigmas_flow"][1:]]),
}
PATHS = {
    "eps": (ms.paths.VarianceExploding(sigma_data=None), "epsilon"),
    "flow": (ms.paths.Straight(), "flow_prediction"),
}

TWO_M = DPMMultistep(lower_order_final=False)
# Of each sampler the solver and its points, on added noise and on a flow.
CASES = {
    "euler": (Euler(), Euler()),
    "euler_ancestral": (DDIM(1.0), AncestralRF()),
    "heun": (Heun(), Heun()),
    "dpm_2": (Midpoint(), Straightened(Midpoint())),
    "dpm_2_ancestral": (Midpoint(eta=1.0), None),
    "dpmpp_sde": (Midpoint("x0", 1.0, True), (Midpoint("x0", 1.0, True), "offset")),
    "dpmpp_2m": (TWO_M, Straightened(TWO_M)),
    "dpmpp_2m_sde": (
        DPMMultistep(2, "sde-dpmsolver++", lower_order_final=False),
        (DPMMultistep(2, "sde-dpmsolver++", lower_order_final=False), "offset"),
    ),
    "dpmpp_2m_sde_heun": (DPMMultistepSDE(2), (DPMMultistepSDE(2), "offset")),
    "dpmpp_3m_sde": (DPMMultistepSDE(), (DPMMultistepSDE(), "offset")),
    "dpmpp_2s_ancestral": (Midpoint("x0", 1.0), None),
    "ddpm": (DDIM(1.0), None),
    "lcm": (PingPong(), PingPong()),
    "res_multistep": (RESMultistep(), Straightened(RESMultistep())),
    "res_multistep_ancestral": (RESMultistep(1.0), None),
    "seeds_2": (ExponentialRK("seeds_2", 1.0), (ExponentialRK("seeds_2", 1.0), "offset")),
    "seeds_3": (ExponentialRK("seeds_3", 1.0), (ExponentialRK("seeds_3", 1.0), "offset")),
    "gradient_estimation": (GradientEstimation(), Straightened(GradientEstimation())),
}
CASES_BY_MODEL = {
    f"{name} {model}": case if isinstance(case, tuple) else (case, model)
    for name, cases in CASES.items()
    for model, case in zip(("eps", "flow"), cases, strict=True)
    if case is not None
}


def denoised(x, alpha, sigma):
    """The guided mean of x0 given x."""
    said, unguided = (mu + alpha * v * (x - alpha * mu) / (alpha**2 * v + sigma**2) for mu, v in MODELS)
    return unguided + TRUTH["cfg"] * (said - unguided)


def run(solver, model, points):
    """(the sample at the end in units of x0, sigma / alpha of every call or sigma on a flow)."""
    path, prediction = PATHS[model]
    sigmas = np.asarray(points)
    recipe = ms.Scheduler(path, ms.spacings.Trained(), prediction, solver)
    plan = recipe.plan_over(ms.Grid(1000 * sigmas, 1 - sigmas if model == "flow" else np.ones_like(sigmas), sigmas))
    state, draws = plan.start(START), iter(NOISE)
    state = state._replace(sample=START * POINTS[model][0])
    for row in range(len(plan)):
        alpha, sigma = (float(level[row, 0]) for level in plan.rows.here)
        x0 = denoised(state.sample, alpha, sigma)
        output = recipe.prediction.target(x0, (state.sample - alpha * x0) / sigma, alpha, sigma)
        z = tuple(next(draws) for _ in range(plan.noise_draws)) if plan.needs_noise(row) else None
        state = plan.step(state, output, z)
    return state.sample, plan.rows.sigma[:, 0]


@pytest.mark.host
@pytest.mark.parametrize("case", CASES_BY_MODEL)
def test_a_run_is_that_of_comfyui(case):
    solver, points = CASES_BY_MODEL[case]
    found, calls = run(solver, case.split()[1], POINTS[points] if isinstance(points, str) else points)
    np.testing.assert_allclose(found, TRUTH["runs"][case]["sample"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(calls, TRUTH["runs"][case]["calls"], rtol=1e-9)
