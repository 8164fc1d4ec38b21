"""DPM-Solver on the discrete schedules and on flow sigmas against diffusers', coefficient by coefficient."""

from collections.abc import Callable
from typing import Any

import draws
import numpy as np
import pytest
import torch
from diffusers.schedulers import (
    scheduling_dpmsolver_multistep,
    scheduling_dpmsolver_multistep_inverse,
    scheduling_dpmsolver_singlestep,
)
from impulse import DOUBLE_TOLERANCE, Tally, drawn
from parity import ABOVE_THE_LAST, Case, Loose, compare, levels, ratios, widen_sigmas

import multisched as ms

ALGORITHMS = ("dpmsolver", "dpmsolver++", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++")
FLOW = "use_flow_sigmas"


def solver(rng: np.random.Generator, algorithms: tuple[str, ...] = ALGORITHMS) -> dict[str, Any]:
    """Options of the solver itself."""
    return {
        "solver_order": int(rng.choice((1, 2, 2, 3, 3))),
        "algorithm_type": str(rng.choice(algorithms)),
        "solver_type": str(rng.choice(("midpoint", "heun", "midpoint", "heun", "bh2"))),
        "lower_order_final": bool(rng.integers(2)),
    }


def cut(rng: np.random.Generator) -> dict[str, Any]:
    """Thresholding: the one-hot vectors are data like any other."""
    return {
        "thresholding": bool(rng.random() < 0.15),
        "dynamic_thresholding_ratio": float(rng.choice((0.9, 0.995, 1.0))),
        "sample_max_value": float(rng.uniform(1, 6)),
    }


def discrete(rng: np.random.Generator, *flags: str) -> dict[str, Any]:
    """Options of the training schedule, of the spacing of sigmas and of the prediction that goes with them."""
    config = {**draws.trained(rng), **draws.respaced(rng, FLOW, FLOW, *flags), **cut(rng)}
    config["flow_shift"] = float(rng.choice((1.0, 3.0, float(rng.uniform(0.5, 8)))))
    path = "flow_prediction" if FLOW in config else "v_prediction"
    config["prediction_type"] = str(rng.choice(("epsilon", "sample", path)))
    if rng.random() < 0.2:
        config["lambda_min_clipped"] = float(rng.uniform(-5.5, -2))
    return config


def final(rng: np.random.Generator, config: dict[str, Any]) -> str:
    """Where a run ends; diffusers lets the noise-predicting algorithms end at sigma_min only."""
    return str(rng.choice(("zero", "sigma_min"))) if config["algorithm_type"].endswith("++") else "sigma_min"


def plain(config: dict[str, Any]) -> bool:
    return not any(name.startswith("use_") and name != "use_dynamic_shifting" and config[name] for name in config)


def stepping(give: Callable[[torch.Tensor], None]) -> Callable[[Any], Any]:
    """Steps that begin at the first sigma, whatever timestep it is told as."""

    def step_with(scheduler: Any) -> Any:
        scheduler._step_index = 0

        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise[..., None])
            return scheduler.step(output[..., None], timestep, sample[..., None]).prev_sample[..., 0]

        return step_once

    return step_with


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_multistep():
    module = scheduling_dpmsolver_multistep
    rng, tally = np.random.default_rng(31), Tally("DPMSolverMultistepScheduler")
    with drawn(module) as give:
        for _ in range(150):
            config = discrete(rng, "use_lu_lambdas") | solver(rng) | draws.spaced(rng)
            config["euler_at_final"] = bool(rng.random() < 0.2)
            more: dict[str, Any] = {}
            config["rescale_betas_zero_snr"] = bool(rng.random() < 0.2)
            if config["rescale_betas_zero_snr"]:
                # Its float32 square roots lose digits, which shows in the levels.
                config["beta_end"] = 0.02
                more = {"pairing": whole, "times": None if plain(config) else ABOVE_THE_LAST}
            config["final_sigmas_type"] = final(rng, config)
            compare(tally, Case(config, run_of(rng, config), stepping(give), module, **named(config), **more))
    # sde-dpmsolver knows no third order; flow predictions have no noise; a last step of no length is 0 / 0.
    tally.verify(100, "not a number", "raises UnboundLocalError", "raises ValueError")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_singlestep():
    module = scheduling_dpmsolver_singlestep
    rng, tally = np.random.default_rng(32), Tally("DPMSolverSinglestepScheduler")
    with drawn(module) as give:
        for _ in range(180):
            config = discrete(rng) | solver(rng, ("dpmsolver", "dpmsolver++", "dpmsolver++", "sde-dpmsolver++"))
            config["final_sigmas_type"] = final(rng, config)
            run = run_of(rng, config)
            if config["thresholding"] and config["algorithm_type"] == "dpmsolver":
                tally.set_apart("x0 cut at every timestep at once", config, planned(tally, config, run))
                continue
            compare(tally, Case(config, run, stepping(give), module, **named(config)))
    reasons = ("x0 cut at every timestep at once", "timesteps that do not fall")
    tally.verify(100, *reasons, "not a number", "raises ValueError")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_inverse():
    module = scheduling_dpmsolver_multistep_inverse
    rng, tally = np.random.default_rng(33), Tally("DPMSolverMultistepInverseScheduler")
    with drawn(module) as give:
        for _ in range(220):
            config = discrete(rng) | solver(rng, ("dpmsolver++", *ALGORITHMS)) | draws.spaced(rng)
            config["euler_at_final"] = bool(rng.random() < 0.2)
            run = {"n": draws.steps(rng, config["num_train_timesteps"])}
            if run["n"] == 1 and FLOW not in config and not plain(config):
                tally.set_apart("a run of one step that stays at the data", config, planned(tally, config, run))
            else:
                compare(tally, Case(config, run, stepping(give), module, **named(config)))
    # The SDEs take no step to the noise but where flow sigmas fall, and there not all that have order 3.
    reasons = ("timesteps that do not fall", "a run of one step that stays at the data", "not a number")
    tally.verify(100, *reasons, "raises ValueError", "raises AssertionError", "raises UnboundLocalError")


def run_of(rng: np.random.Generator, config: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a run; `config` gets what a dynamic shift needs."""
    total = config["num_train_timesteps"]
    n = draws.steps(rng, total)
    if FLOW in config and rng.random() < 0.4:
        config["use_dynamic_shifting"], config["time_shift_type"] = True, "exponential"
        return {"n": n, "mu": float(rng.uniform(-0.5, 2))}
    if plain(config) and rng.random() < 0.3:
        return {"timesteps": np.sort(rng.choice(total, min(n, total // 2), replace=False))[::-1].tolist()}
    return {"n": n}


def whole(ours: Any, theirs: Any) -> tuple[np.ndarray, np.ndarray]:
    """alpha_bar of ratios, to be right on the whole."""
    return 1 / (1 + np.asarray(ours)[None] ** 2), 1 / (1 + np.asarray(theirs)[None] ** 2)


def idle(plan: ms.Plan) -> float:
    """The tolerance of rows in float64."""
    return DOUBLE_TOLERANCE if abs(plan.sigmas[-2] / max(plan.sigmas[-1], 1e-9) - 1) > 1e-9 else 1e-7


IDLE = Loose(idle, "in a last step without length, the square root of rounding is the noise")


def planned(tally: Tally, config: dict[str, Any], run: dict[str, Any]) -> Callable[[], ms.Plan]:
    """Makes our plan."""
    return lambda: ms.from_diffusers({"_class_name": tally.name, **config}).plan(**run)


def named(config: dict[str, Any]) -> dict[str, Any]:
    """What diffusers calls sigmas."""
    of = levels if FLOW in config else ratios
    widen = lambda scheduler, plan: widen_sigmas(scheduler, plan, of)  # noqa: E731
    return {"of": of, "widen": widen, "double": IDLE}
