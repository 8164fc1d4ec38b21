"""The samplers of ComfyUI by its own names: what its file gives in float64 for a Gaussian model with guidance, on added
noise (x = x0 + sigma * noise) and on the straight path of flow models."""

import json
from pathlib import Path

import numpy as np
import pytest

import multisched as ms
from multisched.interop.summed import SummedDEIS
from multisched.solvers import (
    DDIM,
    ERSDE,
    Adams,
    AncestralRF,
    CFGPlusPlus,
    ChurnedMidpoint,
    DPMFast,
    DPMMultistep,
    DPMMultistepSDE,
    Euler,
    ExponentialRK,
    GradientEstimation,
    Heun,
    HeunPlus,
    Midpoint,
    PingPong,
    RESMultistep,
    StochasticAdams,
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

FAST = {f"fast {model}": DPMFast.ratios(8, *points[[0, -2]]) for model, points in POINTS.items() if model != "offset"}
TWO_M = DPMMultistep(lower_order_final=False)
TWO_M_SDE = DPMMultistepSDE(2, solver_type="midpoint")
LMS, IPNDM = Adams(denoised_end=True), Adams("even", denoised_end=True)
# Noise is added in the middle of the run: on steps 1 to 3, on a flow 1 to 5.
AMID = ((1900.0, 8000.0), (600.0, 960.0))
SA, PECE = ([StochasticAdams(calls=calls, tau_start=low, tau_end=high) for low, high in AMID] for calls in (1, 2))
# Of each sampler the solver, and the points where they are not the model's own: on added noise, and on a flow.
CASES = {
    "euler": (Euler(), Euler()),
    "euler_ancestral": (DDIM(1.0), AncestralRF()),
    "heun": (Heun(), Heun()),
    "heunpp2": (HeunPlus(), Straightened(HeunPlus())),
    "dpm_2": (ChurnedMidpoint(), Straightened(Midpoint())),
    "dpm_2_ancestral": (Midpoint(eta=1.0), Midpoint("velocity", 1.0, aim="share")),
    "dpm_fast": ((DPMFast(), "fast eps"), (Straightened(DPMFast()), "fast flow")),
    "lms": (LMS, Straightened(LMS)),
    "ipndm": (IPNDM, Straightened(IPNDM)),
    "dpmpp_sde": (Midpoint("x0", 1.0, True), (Midpoint("x0", 1.0, True), "offset")),
    "dpmpp_2m": (TWO_M, Straightened(TWO_M)),
    "dpmpp_2m_sde": (TWO_M_SDE, (TWO_M_SDE, "offset")),
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
    "euler_cfg_pp": (CFGPlusPlus(), CFGPlusPlus()),
    "euler_ancestral_cfg_pp": (CFGPlusPlus(DDIM(1.0)), CFGPlusPlus(DDIM(1.0))),
    "dpmpp_2m_cfg_pp": (CFGPlusPlus(TWO_M), CFGPlusPlus(Straightened(TWO_M), keeps="velocity")),
    "gradient_estimation_cfg_pp": (
        CFGPlusPlus(GradientEstimation()),
        CFGPlusPlus(Straightened(GradientEstimation()), keeps="velocity"),
    ),
    "res_multistep_cfg_pp": (
        CFGPlusPlus(RESMultistep(), "start"),
        CFGPlusPlus(Straightened(RESMultistep()), "start", "velocity"),
    ),
    "res_multistep_ancestral_cfg_pp": (CFGPlusPlus(RESMultistep(1.0), "start"), None),
    "deis": (SummedDEIS(), Straightened(SummedDEIS())),
    "er_sde": (ERSDE(terms=200), (ERSDE(terms=200), "offset")),
    "sa_solver": (SA[0], (SA[1], "offset")),
    "sa_solver_pece": (PECE[0], (PECE[1], "offset")),
}
# What ComfyUI does otherwise, and how far off the end is for that.
DIFFER = {
    "dpmpp_2s_ancestral flow": (
        Midpoint("x0", 1.0, aim="share"),
        1e-5,
    ),  # the middle of a step from 1 is 0.9999
    "ddpm flow": (DDIM(1.0), 3.0),  # takes the sample for x0 + sigma * noise, so that the level is another
    "res_multistep_ancestral flow": (RESMultistep(1.0), 4.0),  # adds noise without taking signal away
    "res_multistep_ancestral_cfg_pp flow": (CFGPlusPlus(RESMultistep(1.0), "start"), 20.0),  # the same
    # Mixes the guided x0 of a step's first call with the unguided one of its second, and on a flow adds noise without
    # taking signal away. Newer releases do neither; `test_sampler_identities` has their step.
    "dpmpp_2s_ancestral_cfg_pp eps": (CFGPlusPlus(Midpoint("x0", 1.0), "end"), 0.1),
    "dpmpp_2s_ancestral_cfg_pp flow": (CFGPlusPlus(Midpoint("x0", 1.0, aim="share"), "end"), 10.0),
    "ipndm_v eps": (LMS, 0.3),  # (1 - a * b) / 2 in place of (1 - a) * b / 2: no polynomial on steps that are not even
    "ipndm_v flow": (Straightened(LMS), 0.3),
}
EVERY = {
    f"{name} {model}": case
    for name, cases in CASES.items()
    for model, case in zip(("eps", "flow"), cases, strict=True)
    if case is not None
} | {name: case for name, (case, _) in DIFFER.items()}


def _mean(x, alpha, sigma, mu, v):
    """The mean of x0 given x."""
    return mu + alpha * v * (x - alpha * mu) / (alpha**2 * v + sigma**2)


def denoised(x, alpha, sigma):
    """The guided mean of x0 given x."""
    said, unguided = (_mean(x, alpha, sigma, *model) for model in MODELS)
    return unguided + TRUTH["cfg"] * (said - unguided)


def _output(recipe, x, x0, alpha, sigma):
    return recipe.prediction.target(x0, (x - alpha * x0) / sigma, alpha, sigma)


def run(solver, model, sigmas):
    """(the sample at the end, the sigma of every call)."""
    path, prediction = PATHS[model]
    recipe = ms.Scheduler(path, ms.spacings.Trained(), prediction, solver)
    plan = recipe.plan_over(ms.Grid(1000 * sigmas, 1 - sigmas if model == "flow" else np.ones_like(sigmas), sigmas))
    state, draws = plan.start(START), iter(NOISE)
    state = state._replace(sample=START * POINTS[model][0])
    for row in range(len(plan)):
        alpha, sigma = (float(level[row, 0]) for level in plan.rows.here)
        x0 = denoised(state.sample, alpha, sigma)
        output = _output(recipe, state.sample, x0, alpha, sigma)
        if plan.tableau.operands.count("output_1"):
            unguided = _mean(state.sample, alpha, sigma, *MODELS[1])
            output = np.concatenate([output, _output(recipe, state.sample, unguided, alpha, sigma)], axis=1)
        drawn = plan.folded.weights[row, 0, len(plan.folded.operands) - plan.noise_draws :]
        z = tuple(next(draws) if np.any(drawn) else 0 * START for _ in drawn) if plan.needs_noise(row) else None
        state = plan.step(state, output, z)
    return state.sample, plan.rows.sigma[:, 0]


@pytest.mark.host
@pytest.mark.parametrize("case", EVERY)
def test_a_run_is_that_of_comfyui(case):
    solver, points = EVERY[case] if isinstance(EVERY[case], tuple) else (EVERY[case], case.split()[1])
    found, calls = run(solver, case.split()[1], {**POINTS, **FAST}[points])
    wanted = TRUTH["runs"][case]
    off = np.max(np.abs(found - wanted["sample"]))
    if case in DIFFER:
        assert 1e-6 < off < DIFFER[case][1]
    else:
        assert off < 1e-6
        np.testing.assert_allclose(calls, wanted["calls"], rtol=1e-9)
