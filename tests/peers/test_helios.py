"""The stages of Helios against diffusers', coefficient by coefficient."""

from dataclasses import replace
from typing import Any

import draws
import numpy as np
import pytest
import torch
from diffusers.schedulers import scheduling_helios, scheduling_helios_dmd
from impulse import Tally
from parity import Case, compare, levels

import multisched as ms

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers gives NumPy tensors


def stages(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration of the stages, and what a plan of one of them takes."""
    count = int(rng.choice((1, 2, 3, 3, 4)))
    inner = np.sort(rng.uniform(0.1, 0.9, count - 1))
    config = {
        "num_train_timesteps": int(rng.choice((400, 1000, 1000))),
        "shift": float(rng.choice((1.0, float(rng.uniform(0.5, 4))))),
        "stages": count,
        "stage_range": [0.0, *inner.tolist(), 0.95, 1.0][: count + 1 + int(rng.integers(2))],
        "gamma": float(rng.uniform(0.1, 1.0)),
        "time_shift_type": str(rng.choice(("exponential", "linear"))),
        "prediction_type": "flow_prediction",
    }
    run: dict[str, Any] = {"n": draws.steps(rng, 50)}
    if rng.random() < 0.3:
        config["use_dynamic_shifting"], config["shift"], run["mu"] = True, 1.0, float(rng.uniform(0.2, 2))
    if count == 1 and rng.random() < 0.4:
        run["sigmas"] = np.array(draws.falling(rng, run.pop("n"), 0.01, 1.0))
    return config, run


def theirs(run: dict[str, Any], stage: int) -> dict[str, Any]:
    """What diffusers takes for it."""
    n = {"n": len(run["sigmas"])} if "sigmas" in run else {}
    return {**run, **n, "stage_index": stage}


def widen(scheduler: Any, plan: Any) -> None:
    scheduler.sigmas = torch.from_numpy(np.append(plan.sigmas[:-1], 0.0))


def test_helios():
    rng, tally = np.random.default_rng(51), Tally("HeliosScheduler")

    def step_with(scheduler: Any) -> Any:
        return lambda output, timestep, sample, noise: scheduler.step(output, timestep, sample).prev_sample

    for _ in range(140):
        config, run = stages(rng)
        config["scheduler_type"] = str(rng.choice(("euler", "unipc", "unipc")))
        config["solver_order"] = int(rng.choice((1, 2, 2, 3, 4)))
        config["solver_type"] = str(rng.choice(("bh1", "bh2", "bh2", "heun")))
        config["disable_corrector"] = [[], [], [0], [1, 3]][rng.integers(4)]
        config["lower_order_final"] = bool(rng.integers(2))
        config["thresholding"] = bool(rng.random() < 0.05)
        if config["scheduler_type"] == "unipc":
            # From alpha = 0 or so on, where one stage begins, no noise says what x0 is.
            kinds = ("epsilon", "sample", "flow_prediction")[config["stages"] == 1 :]
            config["prediction_type"] = str(rng.choice(kinds))
            config["predict_x0"] = bool(config["prediction_type"] == "flow_prediction" or rng.random() < 0.6)
        stage = int(rng.integers(config["stages"]))
        more = {"their_run": theirs(run, stage), "widen": widen, "of": levels}
        compare(tally, Case(config, run, step_with, scheduling_helios, {"stage": stage}, **more))
    # There is no thresholding; bh1 from alpha = 0 on, and steps of no length.
    tally.verify(100, "raises AttributeError", "not a number")


def test_levels_are_those_of_the_timesteps():
    for stage in range(3):
        for recipe in (ms.Helios(stage=stage), ms.HeliosDMD(stage=stage, stage_range=(0.1, 0.2, 0.5, 0.8), shift=2.0)):
            plan = recipe.plan(7)
            found = recipe.parts().path.levels(plan.timesteps)
            np.testing.assert_allclose(found, [plan.alphas[:-1], plan.sigmas[:-1]], atol=1e-12)


def test_helios_dmd():
    rng, tally = np.random.default_rng(52), Tally("HeliosDMDScheduler")

    def step_with(scheduler: Any) -> Any:
        calls = iter(range(1000))

        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            video, drawn, velocity = (array[..., None, None, None] for array in (sample, noise, output))
            more = {"dmd_noisy_tensor": drawn, "cur_sampling_step": next(calls), "all_timesteps": scheduler.timesteps}
            levels = {"dmd_sigmas": scheduler.sigmas, "dmd_timesteps": scheduler.timesteps}
            return scheduler.step(velocity, timestep, video, **more, **levels).prev_sample[..., 0, 0, 0]

        return step_once

    for _ in range(130):
        config, run = stages(rng)
        run = {"n": 3, **{name: value for name, value in run.items() if name != "sigmas"}}
        stage = int(rng.integers(config["stages"]))
        plan = replace(ms.from_diffusers({"_class_name": tally.name, **config}), stage=stage).plan(**run)
        if np.any(np.diff(plan.sigmas) >= 0):
            tally.set_apart("two timesteps with one level", config, lambda plan=plan: plan)
            continue
        more = {"their_run": theirs(run, stage), "widen": widen, "of": levels}
        compare(tally, Case(config, run, step_with, scheduling_helios_dmd, {"stage": stage}, **more))
    tally.verify(100, "two timesteps with one level")
