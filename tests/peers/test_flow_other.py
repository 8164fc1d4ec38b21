"""The other schedulers on the straight path against diffusers'."""

import types
from typing import Any

import diffusers
import draws
import numpy as np
import pytest
import torch
from diffusers.schedulers import (
    scheduling_flow_map_euler_discrete as flow_map_module,
    scheduling_ltx_euler_ancestral_rf as ltx_module,
    scheduling_minimax_h3 as h3_module,
    scheduling_piflow as piflow_module,
    scheduling_rfd4_proteina as proteina_module,
)
from impulse import DOUBLE_TOLERANCE, GRID_TOLERANCE, Tally, drawn, elementwise, relative_error
from parity import FLOOR, Case, compare, doubled, levels

import multisched as ms


@pytest.fixture(autouse=True, scope="module")
def quiet():
    """diffusers logs that a run does not end at 0; here that is what is asked for."""
    before = diffusers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity_error()
    yield
    diffusers.utils.logging.set_verbosity(before)


def whole(ours: Any, theirs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors as one row: float32 leaves of 1 - sigma what is right for the size of 1."""
    return np.asarray(ours)[None], np.asarray(theirs)[None]


def plain_step(scheduler: Any) -> Any:
    """A step without noise."""
    scheduler.set_begin_index(0)
    return lambda output, timestep, sample, noise: scheduler.step(output, timestep, sample).prev_sample


def draw_shift(rng: np.random.Generator) -> float:
    return float(rng.choice((1.0, 3.0, 5.0, 10 ** rng.uniform(-0.3, 1.2))))


def draw_levels(rng: np.random.Generator, n: int) -> list[float]:
    """At most 50 noise levels."""
    return [float(rng.uniform(0.95, 1.0)), *draws.falling(rng, min(n, 50) - 1, 0.01, 0.9)]


def test_flow_map_euler():
    rng, tally = np.random.default_rng(31), Tally("FlowMapEulerDiscreteScheduler")
    for _ in range(150):
        total = int(rng.choice((100, 1000, 1000)))
        config = {"num_train_timesteps": total, "shift": draw_shift(rng)}
        n, kind = draws.steps(rng), rng.integers(6)
        run: dict[str, Any] = {"n": n}
        if kind < 3:
            run = {"sigmas": draw_levels(rng, n)} if kind < 2 else {}
            run |= {"timesteps": [total * level for level in draw_levels(rng, n)]} if kind > 0 else {}

        def widen(scheduler: Any, plan: ms.Plan) -> None:
            scheduler.sigmas, scheduler.timesteps = (torch.tensor(v) for v in (plan.sigmas, plan.timesteps))

        compare(tally, Case(config, run, plain_step, flow_map_module, widen=widen, of=levels))
    tally.verify(150)


def test_any_step_of_a_flow_map():
    """diffusers' `r_timestep` is the end of a step: a grid of two points."""
    scheduler = diffusers.FlowMapEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(10)
    x, output = (torch.randn(1, 5, dtype=torch.float64) for _ in range(2))
    start, end = torch.tensor(712.5, dtype=torch.float64), torch.tensor(130.25, dtype=torch.float64)
    theirs = scheduler.step(output, start, x, r_timestep=end).prev_sample
    recipe = ms.FlowMapEuler(shift=3.0)
    grid = recipe.parts().grid(timesteps=[712.5, 130.25]).part(0, 1)
    ours = recipe.plan_over(grid).step(ms.State(x, (), 0), output).sample
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def without(number: float, function: Any) -> Any:
    """A function with 0 in place of a number."""
    code = function.__code__
    constants = tuple(0.0 if constant == number else constant for constant in code.co_consts)
    assert constants != code.co_consts
    return types.FunctionType(code.replace(co_consts=constants), function.__globals__, argdefs=function.__defaults__)


def draw_left_behind(rng: np.random.Generator) -> dict[str, Any]:
    """Keys that a configuration of FlowMatchEuler leaves in LTX's, whose default grid follows them."""
    if rng.random() < 0.5:
        return {}
    return {
        "shift": draw_shift(rng),
        "use_dynamic_shifting": bool(rng.random() < 0.5),
        "shift_terminal": float(rng.uniform(0.02, 0.3)) if rng.random() < 0.4 else None,
        **draws.respaced(rng),
    }


def test_ltx_euler_ancestral_rf():
    rng, tally = np.random.default_rng(32), Tally("LTXEulerAncestralRFScheduler")
    kind = diffusers.LTXEulerAncestralRFScheduler
    unguarded = without(1e-12, kind.step)  # added to what float64 may divide by as it is
    with drawn(ltx_module) as give:
        for _ in range(200):
            total = int(rng.choice((100, 1000, 1000)))
            left = draw_left_behind(rng)
            config = {
                "num_train_timesteps": total,
                "eta": float(rng.choice((0.0, 1.0, rng.uniform(0, 1), rng.uniform(1, 2)))),
                "s_noise": float(rng.choice((0.0, 1.0, 1.0, rng.uniform(0.5, 1.5)))),
                **left,
            }
            n = draws.steps(rng, total)
            run: dict[str, Any] = {"n": n}
            theirs: dict[str, Any] = {"num_inference_steps": n}
            if left.get("use_dynamic_shifting"):
                run["mu"] = theirs["mu"] = float(rng.uniform(-0.5, 2.0))
            if n > 1 and rng.random() < 0.4:
                given = draw_levels(rng, n)
                closed = [*given, 0.0]
                run, theirs = ({"sigmas": closed}, {"sigmas": closed})
                if rng.random() < 0.3:  # diffusers ends where the list ends
                    run, theirs = {"sigmas": closed, "stop": len(given) - 1}, {"sigmas": given}

            def build(config: dict[str, Any] = config, theirs: dict[str, Any] = theirs) -> Any:
                scheduler = kind.from_config(config)
                scheduler.set_timesteps(**theirs)
                scheduler.timesteps = scheduler.timesteps[: len(scheduler.sigmas) - 1]  # no call at the end
                return scheduler

            def step_with(scheduler: Any) -> Any:
                scheduler.set_begin_index(0)

                def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
                    give(noise)
                    return scheduler.step(output, timestep, sample).prev_sample

                return step_once

            def widen(scheduler: Any, plan: ms.Plan) -> None:
                scheduler.sigmas = torch.tensor(plan.sigmas)
                scheduler.step = types.MethodType(unguarded, scheduler)

            pairing = whole if left.get("shift_terminal") else elementwise
            read = {"widen": widen, "of": levels, "build": build, "pairing": pairing}
            compare(tally, Case(config, run, step_with, ltx_module, **read))
    tally.verify(180, "raises RuntimeWarning")  # one step of sigma = 1, to be stretched to a terminal level: 0 / 0


def test_minimax_h3():
    rng, tally = np.random.default_rng(33), Tally("MiniMaxH3Scheduler")
    for _ in range(140):
        config = {"shift": float(rng.choice((12.0, 1.0, 10 ** rng.uniform(-0.5, 1.5))))}
        n = draws.steps(rng)
        run: dict[str, Any] = {"n": n} if rng.random() < 0.7 else {"sigmas": [*draw_levels(rng, n), 0.0]}

        def widen(scheduler: Any, plan: ms.Plan) -> None:
            scheduler.sigmas, scheduler.timesteps = torch.tensor(plan.sigmas), torch.tensor(plan.timesteps)

        compare(tally, Case(config, run, plain_step, h3_module, widen=widen, of=levels))
    tally.verify(110, "raises ValueError")  # n = 1 is a grid of one point


def draw_proteina(rng: np.random.Generator) -> tuple[dict[str, Any], int]:
    n, multiplier = draws.steps(rng), int(rng.choice((2, 2, 3)))
    config = {
        "schedule_mode": str(rng.choice(("log", "power"))),
        "noise_mode": str(rng.choice(("1/t", "tan"))),
        "tsr_k": float(rng.choice((1.0, 10 ** rng.uniform(-0.5, 1.0)))),
        "tsr_sigma": float(10 ** rng.uniform(-1.0, 1.0)),
        "tail_steps": int(rng.choice((0, rng.integers(0, n // multiplier + 2), 10))),
        "tail_step_multiplier": multiplier,
        "t_lim_ode": float(rng.choice((0.95, rng.uniform(0.5, 0.99)))),
        "t_lim_ode_below": float(rng.choice((0.02, rng.uniform(0.0, 0.3)))),
    }
    return config, n


def proteina_step_with(scheduler: Any, give: Any) -> Any:
    emit = torch.ones(1, 1, dtype=torch.bool)

    def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
        give(noise[:, None])
        return scheduler.step(output[:, None], timestep, sample[:, None], emit).prev_sample[:, 0]

    return step_once


def widen_proteina(scheduler: Any, plan: ms.Plan) -> None:
    """Our times, and diffusers' own functions of them in float64."""
    config = scheduler.config
    times = torch.tensor(plan.alphas)
    noise = proteina_module._noise_schedule(times[:-1], config.noise_mode)
    scheduler._noise = noise / proteina_module._tsr_ratio(times[:-1], config.tsr_k, config.tsr_sigma) ** 2
    scheduler._times, scheduler.timesteps = times, times[:-1]


def test_rfd4_proteina():
    rng, tally = np.random.default_rng(34), Tally("RFD4ProteinaScheduler")
    with drawn(proteina_module) as give:
        for _ in range(170):
            config, n = draw_proteina(rng)
            case = Case(
                config,
                {"n": n},
                lambda scheduler: proteina_step_with(scheduler, give),
                proteina_module,
                widen=widen_proteina,
                of=lambda plan: plan.alphas.copy(),
                their_levels=lambda scheduler: scheduler._times,
                pairing=whole,
                rounded="powers in float32",
            )
            compare(tally, case)
    tally.verify(110, "raises ValueError")  # more fine steps than steps


def test_a_partial_run_of_proteins():
    """diffusers' start_time counts n steps from the end of a longer run, which `start=` does."""
    scheduler = diffusers.schedulers.RFD4ProteinaScheduler("log", "tan", 2.0, 1.0)
    recipe = ms.from_diffusers({"_class_name": "RFD4ProteinaScheduler", **scheduler.config})
    scheduler.set_timesteps(40, start_time=0.6)
    dense = recipe.plan(4000).timesteps
    total = round(40 * 4000 / int(np.sum(dense >= 0.6 - 1e-6)))
    plan = recipe.plan(total, start=total - 40)
    np.testing.assert_allclose(plan.timesteps, scheduler.timesteps.numpy(), atol=1e-6)


def piflow_rows(scheduler: Any, parts: int) -> np.ndarray:
    """(rows, 1 + parts): the weights of the sample and of the parts of the output."""
    one_hot = torch.eye(1 + parts)[:, None]
    output = one_hot[1:].reshape(1, -1)
    rows = [scheduler.step(output, t, one_hot[0]).prev_sample[0].double() for t in scheduler.timesteps]
    return torch.stack(rows).numpy()


def test_piflow():
    rng, tally = np.random.default_rng(35), Tally("PiflowScheduler")
    for _ in range(120):
        config = {
            "num_train_timesteps": int(rng.choice((100, 1000, 1000))),
            "shift": draw_shift(rng),
            "n_grid": int(rng.choice((2, 3, 10, 10))),
            "eps": float(rng.choice((1e-6, 1e-6, 1e-4, 1e-3))),
            "final_step_size_scale": float(rng.choice((0.5, 1.0, rng.uniform(0.05, 1.0)))),
            "num_policy_substeps": int(rng.choice((128, 128, 64, 16, 1))),
        }
        # Halves of a substep, which float32 rounds either way, are met by 1 / 2 steps alone: at least one is taken.
        n = draws.steps(rng, 50 if rng.random() < 0.97 else 999)
        scheduler, wide = (diffusers.schedulers.PiflowScheduler(**config) for _ in range(2))
        for one in (scheduler, wide):
            one.set_timesteps(n)
        timesteps, sigmas = (values.double().numpy() for values in (scheduler.timesteps, scheduler.sigmas))
        plan = ms.from_diffusers({"_class_name": tally.name, **config}).plan(n)
        stock = piflow_rows(scheduler, config["n_grid"])
        wide.sigmas = torch.tensor(plan.sigmas)
        wide._piflow_raw_timesteps = wide.sigmas[:-1] / (config["shift"] + (1 - config["shift"]) * wide.sigmas[:-1])
        with doubled(piflow_module):
            torch.set_default_dtype(torch.float64)
            try:
                double = piflow_rows(wide, config["n_grid"])
            finally:
                torch.set_default_dtype(torch.float32)
        rows = plan.tableau.fold().weights[:, 0]
        own = max(relative_error(stock, double), FLOOR)
        tally.own = max(tally.own, own)
        pairs = {
            "timesteps": (*whole(plan.timesteps, timesteps), GRID_TOLERANCE * max(1.0, config["shift"])),
            "sigmas": (*whole(plan.sigmas, sigmas), GRID_TOLERANCE * max(1.0, config["shift"])),
            "rows": (rows, stock, 3 * own),
            "double": (rows, double, DOUBLE_TOLERANCE),
        }
        tally.compare((config, n), pairs)
    tally.verify(120)


def test_a_step_of_piflow_on_arrays():
    """The plan splits the output as diffusers does where the channels are both the second axis and the last."""
    scheduler = diffusers.schedulers.PiflowScheduler()
    scheduler.set_timesteps(4)
    plan = ms.Piflow().plan(4)
    state = plan.start(torch.randn(3, 5))
    for t in scheduler.timesteps:
        output = torch.randn(3, 50)
        theirs = scheduler.step(output, t, state.sample).prev_sample
        state = plan.step(state, output)
        torch.testing.assert_close(state.sample, theirs, rtol=1e-4, atol=1e-4)
