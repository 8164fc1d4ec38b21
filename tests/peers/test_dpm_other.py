"""DPM-Solver on EDM's levels, for Stable Audio and for CogVideoX against diffusers', coefficient by coefficient; what a
model's variance and words of other solvers come to."""

import importlib
import sys
import types
from typing import Any
from unittest import mock

import diffusers
import draws
import numpy as np
import pytest
import torch
from diffusers.schedulers import scheduling_dpm_cogvideox, scheduling_edm_dpmsolver_multistep
from impulse import Tally, drawn
from parity import Case, compare, levels, widen_sigmas
from test_dpm import IDLE, cut, planned, solver, stepping

import multisched as ms


def edm(rng: np.random.Generator, *drop: str) -> dict[str, Any]:
    """Options of the levels and of the solver."""
    config = solver(rng, ("dpmsolver++", "dpmsolver++", "sde-dpmsolver++", "deis")) | {
        "sigma_min": float(10 ** rng.uniform(-3, -0.5)),
        "sigma_max": float(10 ** rng.uniform(1, 2.7)),
        "sigma_data": float(rng.uniform(0.3, 1.2)),
        "sigma_schedule": str(rng.choice(("karras", "exponential"))),
        "num_train_timesteps": int(rng.choice((100, 1000))),
        "prediction_type": str(rng.choice(("epsilon", "v_prediction"))),
        "rho": float(rng.uniform(3, 9)),
        "euler_at_final": bool(rng.integers(2)),
        "final_sigmas_type": str(rng.choice(("zero", "zero", "sigma_min"))),
        **cut(rng),
    }
    return {name: value for name, value in config.items() if name not in drop}


def test_edm():
    module = scheduling_edm_dpmsolver_multistep
    rng, tally = np.random.default_rng(34), Tally("EDMDPMSolverMultistepScheduler")
    with drawn(module) as give:
        for _ in range(160):
            config = edm(rng)
            compare(tally, Case(config, {"n": draws.steps(rng)}, stepping(give), module, **rounded(config)))
    # sde-dpmsolver++ knows no third order; a last step of no length is 0 / 0; "deis" does not end at zero.
    tally.verify(100, "raises UnboundLocalError", "not a number", "raises ValueError")


def rounded(config: dict[str, Any]) -> dict[str, Any]:
    """How the levels compare: as even steps of their powers 1 / rho, which is how float32 rounds them."""

    def pairing(ours: Any, theirs: Any) -> tuple[np.ndarray, np.ndarray]:
        return tuple(np.asarray(of)[None] ** (1 / config["rho"]) for of in (ours, theirs))  # type: ignore[return-value]

    return {
        "of": levels,
        "widen": lambda scheduler, plan: widen_sigmas(scheduler, plan, levels),
        "pairing": pairing,
        "double": IDLE,
        "rounded": "logarithms, exponentials and powers in float32",
    }


def test_cosine():
    """The noise that diffusers takes from a Brownian path, divided by its deviation, is unit normals."""
    with mock.patch.dict(sys.modules, torchsde=types.ModuleType("torchsde")):
        module = importlib.import_module("diffusers.schedulers.scheduling_cosine_dpmsolver_multistep")
    rng, tally = np.random.default_rng(35), Tally("CosineDPMSolverMultistepScheduler")

    def step_with(scheduler: Any) -> Any:
        scheduler._step_index = 0

        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            scheduler.noise_sampler = lambda sigma, sigma_next: noise
            return scheduler.step(output, timestep, sample).prev_sample

        return step_once

    for _ in range(190):
        config = edm(rng, "algorithm_type", *cut(rng))
        made = {"create": module.CosineDPMSolverMultistepScheduler, **rounded(config)}
        compare(tally, Case(config, {"n": draws.steps(rng)}, step_with, module, **made))
    tally.verify(100, "raises UnboundLocalError", "not a number")


def test_cogvideox():
    """diffusers draws twice where it takes a step of second order; it is given the same noise both times."""
    module = scheduling_dpm_cogvideox
    rng, tally = np.random.default_rng(36), Tally("CogVideoXDPMScheduler")

    def step_with(scheduler: Any) -> Any:
        before: list[Any] = [None, None]

        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise)
            back, old = before
            before[:] = int(timestep), None
            after, before[1] = scheduler.step(output, old, int(timestep), back, sample)
            return after

        return step_once

    with drawn(module) as give:
        for _ in range(200):
            config = {**draws.trained(rng), **draws.spaced(rng)}
            config["prediction_type"] = str(rng.choice(("epsilon", "sample", "v_prediction")))
            config["set_alpha_to_one"] = bool(rng.integers(2))
            config["snr_shift_scale"] = float(rng.choice((1.0, 3.0, float(rng.uniform(0.5, 5)))))
            config["rescale_betas_zero_snr"] = bool(rng.random() < 0.3)
            run = {"n": draws.steps(rng, config["num_train_timesteps"])}
            scheduler = diffusers.CogVideoXDPMScheduler(**config)
            scheduler.set_timesteps(num_inference_steps=run["n"])
            left = int(scheduler.timesteps[-1]) - config["num_train_timesteps"] // run["n"]
            if left >= 0 and not config["set_alpha_to_one"]:
                # It aims at a timestep and has order 2, which says another thing than to end at timestep 0.
                tally.set_apart("a last step that falls short", config, planned(tally, config, run))
                continue
            read = {"of": bars, "their_levels": their_bars, "widen": widen_bars}
            compare(tally, Case(config, run, step_with, module, **read))
    tally.verify(100, "a last step that falls short", "not a number", "raises IndexError")


def bars(plan: ms.Plan) -> np.ndarray:
    """1 + alpha_bar, whose relative error is the absolute one of alpha_bar."""
    return 1 + plan.alphas**2


def their_bars(scheduler: Any) -> np.ndarray:
    found = scheduler.alphas_cumprod[scheduler.timesteps].double().numpy()
    return 1 + np.append(found, float(scheduler.final_alpha_cumprod))


def widen_bars(scheduler: Any, plan: ms.Plan) -> None:
    recipe: Any = ms.from_diffusers({"_class_name": type(scheduler).__name__, **scheduler.config})
    scheduler.alphas_cumprod = torch.from_numpy(recipe.parts().path.alphas_cumprod.copy())
    scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    if recipe.set_alpha_to_one:
        scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64)


@pytest.mark.parametrize("kind", ["Multistep", "Singlestep", "MultistepInverse"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_learned_variance_is_left_out(kind, prediction):
    """A model of the noise in three channels that gives a variance in three more."""
    name = f"DPMSolver{kind}Scheduler"
    config = {"variance_type": "learned_range", "thresholding": True, "prediction_type": prediction}
    scheduler = getattr(diffusers.schedulers, name)(**config)
    scheduler.set_timesteps(5)
    plan = ms.from_diffusers({"_class_name": name, **config}).plan(5)
    channels = 6 if prediction == "epsilon" else 3
    normal = torch.Generator().manual_seed(0)
    sample = torch.randn(2, 3, 4, 4, generator=normal)
    state = plan.start(sample)
    for timestep in scheduler.timesteps:
        output = torch.randn(2, channels, 4, 4, generator=normal)
        sample = scheduler.step(output, timestep, sample).prev_sample
        state = plan.step(state, output)
        torch.testing.assert_close(state.sample, sample, rtol=1e-4, atol=1e-4)


def test_words_of_other_solvers_are_read_as_diffusers_reads_them():
    config = {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "deis", "solver_type": "logrho"}
    recipe: Any = ms.from_diffusers(config)
    assert (recipe.algorithm_type, recipe.solver_type) == ("dpmsolver++", "midpoint")
