"""The flow-matching schedulers against diffusers': tables by impulse response, grids, and the forward process."""

import functools
import math
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.schedulers import (
    scheduling_flow_match_euler_discrete as euler_module,
    scheduling_flow_match_heun_discrete as heun_module,
)
from impulse import GRID_TOLERANCE, TOLERANCE, Tally, drawn, elementwise, our_rows, their_rows
from made import quirked

import multisched as ms

TOTALS = (1, 10, 50, 100, 500, 1000, 1500)
STEPS = (1, 2, 3, 4, 7, 20, 50, 100)


@pytest.fixture(autouse=True, scope="module")
def quiet():
    """diffusers logs that given timesteps and shifted sigmas do not match; here that is what is asked for."""
    before = diffusers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity_error()
    yield
    diffusers.utils.logging.set_verbosity(before)


def draw_total_and_steps(rng: np.random.Generator) -> tuple[int, int]:
    """A default grid has no more steps than the training schedule: diffusers repeats timesteps there, ours refuses."""
    total = int(rng.choice(TOTALS))
    return total, int(rng.choice([n for n in STEPS if n <= total]))


def draw_shift(rng: np.random.Generator) -> float:
    return float(rng.choice((1.0, 3.0, 10 ** rng.uniform(-0.9, 1.1))))


def draw_mu(rng: np.random.Generator, time_shift_type: str) -> float:
    return float(rng.uniform(-2.5, 3.0) if time_shift_type == "exponential" else rng.uniform(0.2, 6.0))


def draw_levels(rng: np.random.Generator, count: int) -> np.ndarray:
    """Noise levels that fall from 1 or below, far enough apart to stay so in float32."""
    gaps = rng.uniform(0.05, 1.0, count + 1)
    levels = 1 - (np.cumsum(gaps) - gaps[0] * rng.integers(2)) / gaps.sum()
    return levels[:-1]


def draw_euler(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options and set_timesteps' arguments that both libraries have."""
    total, n = draw_total_and_steps(rng)
    options: dict[str, Any] = {
        "num_train_timesteps": total,
        "shift": draw_shift(rng),
        "use_dynamic_shifting": bool(rng.random() < 0.4),
        "time_shift_type": str(rng.choice(("exponential", "linear"))),
        "shift_terminal": float(rng.uniform(0.01, 0.4)) if rng.random() < 0.3 else None,
    }
    arguments = draw_lists(rng, total) or {"num_inference_steps": n}
    if options["use_dynamic_shifting"]:
        arguments["mu"] = draw_mu(rng, options["time_shift_type"])
    return options, arguments


def draw_lists(rng: np.random.Generator, total: int) -> dict[str, Any]:
    """sigmas=, timesteps=, both or neither."""
    kind, count = rng.integers(5), int(rng.choice(STEPS))
    sigmas, timesteps = draw_levels(rng, count).tolist(), (total * draw_levels(rng, count)).tolist()
    return ({}, {}, {"sigmas": sigmas}, {"timesteps": timesteps}, {"sigmas": sigmas, "timesteps": timesteps})[kind]


def nothing_to_stretch(options: dict[str, Any], arguments: dict[str, Any]) -> bool:
    """A single level of 1, to be stretched to a terminal level: 0 / 0 there, or rounding over rounding."""
    total, n = options["num_train_timesteps"], arguments.get("num_inference_steps")
    levels = arguments.get("sigmas") or [t / total for t in arguments.get("timesteps", [total] * (n or 0))]
    return options["shift_terminal"] is not None and len(levels) == 1 and levels[0] == 1


def plan_of(recipe: ms.Recipe, num_inference_steps: int | None = None, **arguments: Any) -> ms.Plan:
    """The plan for diffusers' arguments."""
    return recipe.plan(num_inference_steps, **arguments)


def test_every_coefficient_of_euler():
    rng, tally = np.random.default_rng(11), Tally()
    for _ in range(450):
        options, arguments = draw_euler(rng)
        recipe = quirked(ms.FlowMatchEuler(**options), "double_shift")
        compare_euler(tally, options, arguments, [recipe])
    tally.verify(300, "nothing to stretch")


def test_every_coefficient_of_stochastic_sampling():
    """Which is FlowMatchPingPong, and FlowMatchEuler under diffusers' option."""
    rng, tally = np.random.default_rng(12), Tally()
    for _ in range(450):
        options, arguments = draw_euler(rng)
        recipes = [
            quirked(ms.FlowMatchPingPong(**options), "double_shift"),
            quirked(ms.FlowMatchEuler(**options, stochastic_sampling=True), "double_shift"),
        ]
        compare_euler(tally, options | {"stochastic_sampling": True}, arguments, recipes)
    tally.verify(600, "nothing to stretch")


def compare_euler(tally: Tally, options: dict[str, Any], arguments: dict[str, Any], recipes: list[ms.Recipe]) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**options)
    with np.errstate(invalid="ignore", divide="ignore"):
        scheduler.set_timesteps(**arguments)
    scheduler.set_begin_index(0)
    with drawn(euler_module) as give:

        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise)
            return scheduler.step(output, timestep, sample).prev_sample

        theirs = their_rows(scheduler, step_once)
    for recipe in recipes:
        if nothing_to_stretch(options, arguments):
            make = functools.partial(plan_of, recipe, **arguments)
            tally.set_apart("nothing to stretch", (options, arguments), make)
        else:
            compare_flow(tally, recipe, (options, arguments), scheduler.timesteps, scheduler.sigmas, theirs)


def compare_flow(tally: Tally, recipe: ms.Recipe, config: Any, timesteps: Any, sigmas: Any, theirs: np.ndarray) -> None:
    try:
        plan = plan_of(recipe, **config[-1])
    except ms.ScheduleError as error:
        tally.refused(config, error)
        return
    # What float32 leaves of 1 - (1 - sigma) * c is right for the size of 1, not for that of a small sigma.
    own_size = (lambda *pair: pair) if config[0].get("shift_terminal") else elementwise
    # And of 1 + (shift - 1) * sigma, where shift is below 1, for that of shift.
    tolerance = GRID_TOLERANCE / min(1.0, config[0]["shift"])
    pairs = {
        "timesteps": (*own_size(plan.timesteps, timesteps), tolerance),
        "sigmas": (*own_size(plan.sigmas, sigmas), tolerance),
        "rows": (our_rows(plan), theirs, TOLERANCE),
    }
    tally.compare(config, pairs)


def draw_churn(rng: np.random.Generator) -> dict[str, float]:
    return {
        "s_churn": float(rng.choice((0.0, rng.uniform(0.1, 5.0), rng.uniform(5.0, 60.0)))),
        "s_tmin": float(rng.choice((0.0, rng.uniform(0.0, 0.6)))),
        "s_tmax": float(rng.choice((math.inf, rng.uniform(0.3, 1.0)))),
        "s_noise": float(rng.choice((1.0, rng.uniform(0.5, 1.5)))),
    }


def test_every_coefficient_of_heun():
    rng, tally = np.random.default_rng(13), Tally()
    for _ in range(360):
        total, n = draw_total_and_steps(rng)
        compare_heun(tally, {"num_train_timesteps": total, "shift": draw_shift(rng)}, draw_churn(rng), n)
    tally.verify(300)


def compare_heun(tally: Tally, options: dict[str, Any], churn: dict[str, float], n: int) -> None:
    scheduler = diffusers.FlowMatchHeunDiscreteScheduler(**options)
    scheduler.set_timesteps(n)
    scheduler.set_begin_index(0)
    with drawn(heun_module) as give:

        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise)
            return scheduler.step(output, timestep, sample, **churn).prev_sample

        theirs = their_rows(scheduler, step_once)
    # diffusers lists the level between two steps twice.
    sigmas = torch.cat([scheduler.sigmas[:1], scheduler.sigmas[1::2]])
    recipe = quirked(ms.FlowMatchHeun(**options, **churn), "double_shift", "late_churn")
    compare_flow(tally, recipe, (options, churn, {"num_inference_steps": n}), scheduler.timesteps, sigmas, theirs)


def test_the_forward_process():
    """scale_noise, with a timestep of the schedule per sample."""
    rng, tally = np.random.default_rng(14), Tally()
    for _ in range(100):
        total, n = draw_total_and_steps(rng)
        options = {"num_train_timesteps": total, "shift": draw_shift(rng)}
        recipe = quirked(ms.FlowMatchEuler(**options), "double_shift")
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**options)
        scheduler.set_timesteps(n)
        x, noise = (rng.standard_normal((4, 3, 2), dtype=np.float32) for _ in range(2))
        rows = rng.integers(0, n, 4)
        theirs = scheduler.scale_noise(torch.from_numpy(x), scheduler.timesteps[rows], torch.from_numpy(noise)).numpy()
        try:
            timesteps = recipe.plan(n).timesteps[rows]
        except ms.ScheduleError as error:
            tally.refused((options, n), error)
            continue
        ours = recipe.on("numpy").scale_noise(x, timesteps, noise)
        tally.compare((options, n), {"scale_noise": (ours, theirs, TOLERANCE)})
    tally.verify(100)


def test_the_grid_of_ace_step():
    """Its shift of 3 goes in twice, which leaves the last level at S(S(0.001)) = 1 / 112."""
    for n in (2, 8, 27, 60):
        sigmas = quirked(ms.FlowMatchEuler(shift=3.0), "double_shift").plan(n).sigmas
        assert abs(sigmas[-2] - 0.008929) < 5e-7
        assert (sigmas[0], sigmas[-1]) == (1, 0)
