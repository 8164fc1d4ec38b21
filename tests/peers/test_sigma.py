"""The schedulers in the space of x0 + sigma * noise against diffusers', coefficient by coefficient."""

import importlib
import sys
from types import ModuleType
from typing import Any
from unittest import mock

import diffusers
import draws
import numpy as np
import pytest
import torch
from diffusers.schedulers import (
    scheduling_euler_ancestral_discrete,
    scheduling_euler_discrete,
    scheduling_heun_discrete,
    scheduling_k_dpm_2_ancestral_discrete,
    scheduling_k_dpm_2_discrete,
)
from impulse import GRID_TOLERANCE, Tally, drawn
from parity import ABOVE_THE_LAST, Case, Loose, compare, ratios

import multisched as ms


def stepper(give: Any = lambda noise: None, **options: Any) -> Any:
    """step_with of `compare`, for schedulers that are given their noise by `give`."""

    def step_with(scheduler: Any) -> Any:
        scheduler.is_scale_input_called = True
        scheduler.set_begin_index(0)

        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise)
            return scheduler.step(output, timestep, sample, **options).prev_sample

        return step_once

    return step_with


def bare(kind: Any) -> Any:
    """Makes schedulers of a class without the run over the whole training schedule that each begins with."""

    def create(**config: Any) -> Any:
        with mock.patch.object(kind, "set_timesteps", lambda self, *_: setattr(self, "sigmas", torch.zeros(1))):
            return kind(**config)

    return create


def twice(values: np.ndarray, more: int = 0) -> torch.Tensor:
    """The list of a two-call scheduler: all but the ends twice, the last 1 + `more` times."""
    inner = np.repeat(values[1 : len(values) - 1 + (more > 0)], 2)
    return torch.from_numpy(np.concatenate([values[:1], inner, values[-1:]]))


def widen_euler(scheduler: Any, plan: ms.Plan) -> None:
    """Of log_linear sigmas diffusers has one more than it uses, which counts for its churn."""
    sigmas = ratios(plan)
    unused = np.zeros(len(scheduler.sigmas) - len(sigmas))
    scheduler.sigmas = torch.from_numpy(np.append(sigmas, unused))


def widen_heun(scheduler: Any, plan: ms.Plan) -> None:
    scheduler.sigmas = twice(ratios(plan))


def widen_kdpm2(scheduler: Any, plan: ms.Plan) -> None:
    """The middle of each step is listed with its end."""
    sigmas = ratios(plan)
    scheduler.sigmas = twice(sigmas, 1)
    scheduler.sigmas_interpol = twice(np.append(0, np.sqrt(sigmas[1:] * sigmas[:-1])), 1)


def widen_kdpm2_ancestral(scheduler: Any, plan: ms.Plan) -> None:
    """The middle of each step is listed with its beginning."""
    sigmas = ratios(plan)
    after = np.append(sigmas[1:], 0)
    safe = np.where(sigmas > 0, sigmas, 1)
    up = after * np.sqrt(np.maximum(1 - (after / safe) ** 2, 0))
    down = after**2 / safe
    for name, values in (
        ("sigmas", sigmas),
        ("sigmas_up", up),
        ("sigmas_down", down),
        ("sigmas_interpol", np.sqrt(sigmas * down)),
    ):
        setattr(scheduler, name, twice(values, 1))


INNER = Loose(5 * GRID_TOLERANCE, "the middle of a step is an exponential of logarithms in float32")
LOST = Loose(
    0.02,
    "the middle of an ancestral step depends on a difference of squares, and float32 loses much of it; the timesteps "
    "lose the same, unless levels of their own spacing are rounded otherwise first",
)


def two_calls(rng: np.random.Generator, *predictions: str) -> dict[str, Any]:
    config = {**draws.trained(rng), **draws.spaced(rng), **draws.respaced(rng)}
    return {**config, "prediction_type": str(rng.choice(predictions))}


def test_euler():
    rng = np.random.default_rng(11)
    tally = Tally("EulerDiscreteScheduler")
    with drawn(scheduling_euler_discrete) as give:
        for _ in range(160):
            config = {**draws.trained(rng), **draws.spaced(rng), **draws.respaced(rng)}
            config["prediction_type"] = str(rng.choice(("epsilon", "v_prediction", "sample", "original_sample")))
            config["interpolation_type"] = str(rng.choice(("linear", "linear", "log_linear")))
            config["timestep_type"] = str(rng.choice(("discrete", "continuous")))
            config["rescale_betas_zero_snr"] = bool(rng.random() < 0.2)
            config["final_sigmas_type"] = str(rng.choice(("zero", "zero", "sigma_min")))
            config["sigma_min"] = float(rng.uniform(0.005, 0.1)) if rng.random() < 0.3 else None
            config["sigma_max"] = float(rng.uniform(5, 80)) if rng.random() < 0.3 else None
            churn: dict[str, Any] = {}
            if rng.random() < 0.4:
                churn = {"s_churn": float(rng.uniform(0, 9)), "s_tmin": float(rng.uniform(0, 0.3))}
                churn = {**churn, "s_tmax": float(rng.uniform(1, 90)), "s_noise": float(rng.uniform(0.9, 1.1))}
            run = euler_run(rng, config)
            times = ABOVE_THE_LAST if config["rescale_betas_zero_snr"] else None
            logs = "continuous" in config.values() or "log_linear" in config.values()
            rounded = "logarithms and exponentials in float32" if logs else ""
            more = {"widen": widen_euler, "times": times, "rounded": rounded}
            compare(tally, Case(config, run, stepper(give, **churn), scheduling_euler_discrete, churn, **more))
    tally.verify(100, "raises ValueError")


def euler_run(rng: np.random.Generator, config: dict[str, Any]) -> dict[str, Any]:
    total, kind = config["num_train_timesteps"], rng.random()
    if kind < 0.15:
        end = rng.choice((0.0, 0.03))
        return {"sigmas": [*draws.falling(rng, draws.steps(rng, 20), 0.05, 20.0), float(end)]}
    if kind < 0.3:
        times = np.array(draws.falling(rng, draws.steps(rng, 20), 0, total - 1))
        return {"timesteps": (np.round(times, 1) if rng.random() < 0.5 else times).tolist()}
    return {"n": draws.steps(rng, total)}


def test_euler_ancestral():
    rng, tally = np.random.default_rng(12), Tally("EulerAncestralDiscreteScheduler")
    with drawn(scheduling_euler_ancestral_discrete) as give:
        for _ in range(125):
            config = {**draws.trained(rng), **draws.spaced(rng)}
            config["prediction_type"] = str(rng.choice(("epsilon", "v_prediction")))
            config["rescale_betas_zero_snr"] = bool(rng.random() < 0.3)
            run = {"n": draws.steps(rng, config["num_train_timesteps"])}
            compare(tally, Case(config, run, stepper(give), scheduling_euler_ancestral_discrete))
    tally.verify(100, "not a number")


def test_heun():
    rng, tally = np.random.default_rng(13), Tally("HeunDiscreteScheduler")
    for _ in range(125):
        config = two_calls(rng, "epsilon", "v_prediction", "sample")
        config["beta_schedule"] = str(rng.choice(("linear", "scaled_linear", "squaredcos_cap_v2", "exp")))
        total = config["num_train_timesteps"]
        run: dict[str, Any] = {"n": draws.steps(rng, total)}
        if rng.random() < 0.2:
            run = {"timesteps": draws.falling(rng, draws.steps(rng, 20), 0, total - 1)}
        made = {"widen": widen_heun, "create": bare(diffusers.HeunDiscreteScheduler)}
        compare(tally, Case(config, run, stepper(), scheduling_heun_discrete, **made))
    tally.verify(100, "raises ValueError", "timesteps that do not fall")


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept")
@pytest.mark.parametrize("ancestral", [False, True])
def test_kdpm2(ancestral):
    rng = np.random.default_rng(14 + ancestral)
    module = scheduling_k_dpm_2_ancestral_discrete if ancestral else scheduling_k_dpm_2_discrete
    tally = Tally("KDPM2AncestralDiscreteScheduler" if ancestral else "KDPM2DiscreteScheduler")
    widen = widen_kdpm2_ancestral if ancestral else widen_kdpm2
    create = bare(getattr(diffusers, tally.name))
    with drawn(scheduling_k_dpm_2_ancestral_discrete) as give:
        for _ in range(125):
            config = two_calls(rng, "epsilon", "v_prediction")
            run = {"n": draws.steps(rng, config["num_train_timesteps"])}
            lost = ancestral and any(name.endswith("_sigmas") for name in config)
            more = {"widen": widen, "create": create, "times": LOST if lost else INNER}
            rounded = "logarithms and exponentials in float32"
            compare(tally, Case(config, run, stepper(give), module, rounded=rounded, **more))
    tally.verify(100, *(("not a number", "timesteps that do not fall") if ancestral else ()))


def test_dpm_solver_sde():
    """diffusers' module wants torchsde, whose Brownian tree is only a source of noise: here it is the vectors given."""
    rng, tally = np.random.default_rng(16), Tally("DPMSolverSDEScheduler")
    given: list[torch.Tensor] = []
    with mock.patch.dict(sys.modules, {"torchsde": ModuleType("torchsde")}):
        module = importlib.import_module("diffusers.schedulers.scheduling_dpmsolver_sde")
    create = bare(module.DPMSolverSDEScheduler)
    sampler = mock.Mock(side_effect=lambda *_: given[-1])
    with mock.patch.object(module, "BrownianTreeNoiseSampler", return_value=sampler):
        for _ in range(125):
            config = two_calls(rng, "epsilon", "v_prediction")
            config["noise_sampler_seed"] = int(rng.integers(9))
            s_noise = float(rng.choice((1.0, 1.05)))
            run = {"n": draws.steps(rng, config["num_train_timesteps"])}
            step_with, rounded = stepper(given.append, s_noise=s_noise), "quantiles of the beta law"
            made = {"widen": widen_heun, "create": create, "rounded": rounded}
            compare(tally, Case(config, run, step_with, module, {"s_noise": s_noise}, **made))
    tally.verify(100)


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept")
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize(
    "name", ["EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete"]
)
def test_where_a_run_begins_and_what_the_model_sees(name, spacing):
    scheduler = getattr(diffusers, f"{name}Scheduler")(timestep_spacing=spacing)
    plan = ms.from_diffusers(dict(scheduler.config) | {"_class_name": f"{name}Scheduler"}).plan(7)
    scheduler.set_timesteps(7)
    assert plan.grid.init_noise_sigma == pytest.approx(float(scheduler.init_noise_sigma), rel=1e-6)
    state = plan.start(np.ones((1, 1)))
    for timestep in scheduler.timesteps:
        one = torch.ones(1, 1, dtype=torch.float64)
        seen = plan.model_input(state._replace(sample=one.numpy()))
        np.testing.assert_allclose(seen, scheduler.scale_model_input(one, timestep).numpy(), rtol=1e-6)
        scheduler.step(one, timestep, one)
        state = plan.step(state, one.numpy(), one.numpy())
