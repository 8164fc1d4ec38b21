"""FlowMatchEuler, FlowMatchLCM and FlowMatchHeun against diffusers', every key of their configurations drawn."""

import math
from collections.abc import Callable
from typing import Any

import diffusers
import draws
import numpy as np
import pytest
import torch
from diffusers.schedulers import (
    scheduling_flow_match_euler_discrete as euler_module,
    scheduling_flow_match_heun_discrete as heun_module,
    scheduling_flow_match_lcm as lcm_module,
)
from impulse import Tally, drawn, elementwise
from parity import Case, compare, levels

import multisched as ms


@pytest.fixture(autouse=True, scope="module")
def quiet():
    """diffusers logs that given timesteps and shifted sigmas do not match; here that is what is asked for."""
    before = diffusers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity_error()
    yield
    diffusers.utils.logging.set_verbosity(before)


def whole(ours: Any, theirs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors as one row: float32 leaves of 1 - sigma what is right for the size of 1."""
    return np.asarray(ours)[None], np.asarray(theirs)[None]


def data_shares(plan: ms.Plan) -> np.ndarray:
    """What diffusers calls sigmas where they are inverted."""
    return plan.alphas.copy()


def draw_config(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration, and arguments of `plan`."""
    total = int(rng.choice((100, 250, 1000, 1000)))
    config: dict[str, Any] = {
        "num_train_timesteps": total,
        "shift": float(rng.choice((1.0, 3.0, 10 ** rng.uniform(-0.3, 1.0)))),
        "use_dynamic_shifting": bool(rng.random() < 0.4),
        "time_shift_type": str(rng.choice(("exponential", "linear"))),
        "shift_terminal": float(rng.uniform(0.01, 0.4)) if rng.random() < 0.3 else None,
        "invert_sigmas": bool(rng.random() < 0.35),
        "base_shift": float(rng.uniform(0.3, 0.6)),
        "max_shift": float(rng.uniform(0.9, 2.0)),
        "base_image_seq_len": int(rng.integers(64, 512)),
        "max_image_seq_len": int(rng.integers(2048, 8192)),
        **draws.respaced(rng),
    }
    n = draws.steps(rng, total)
    run: dict[str, Any] = {"n": n}
    kind = rng.integers(6)
    if kind < 3:  # sigmas, timesteps, or both
        # The first is near 1, or stretching to a terminal level would leave the rounding of a difference.
        sigmas, times = ([rng.uniform(0.95, 1.0), *draws.falling(rng, min(n, 50) - 1, 0.01, 0.9)] for _ in range(2))
        timesteps = [total * t for t in times]
        run = {"sigmas": sigmas} if kind < 2 else {}
        run |= {"timesteps": timesteps} if kind > 0 else {}
    if config["use_dynamic_shifting"]:
        exponential = config["time_shift_type"] == "exponential"
        run["mu"] = float(rng.uniform(-1.0, 2.5) if exponential else rng.uniform(0.5, 6.0))
    return config, run


def against(tally: Tally, module: Any, config: dict[str, Any], run: dict[str, Any]) -> None:
    of: Callable[[ms.Plan], np.ndarray] = data_shares if config["invert_sigmas"] else levels
    absolute = config["invert_sigmas"] or config["shift_terminal"]
    with drawn(module) as give:

        def step_with(scheduler: Any) -> Any:
            scheduler.set_begin_index(0)

            def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
                give(noise)
                return scheduler.step(output, timestep, sample).prev_sample

            return step_once

        def widen(scheduler: Any, plan: ms.Plan) -> None:
            scheduler.sigmas = torch.from_numpy(of(plan))

        pairing = whole if absolute else elementwise
        compare(tally, Case(config, run, step_with, module, widen=widen, of=of, pairing=pairing))


def test_euler():
    rng, tally = np.random.default_rng(21), Tally("FlowMatchEulerDiscreteScheduler")
    for _ in range(200):
        config, run = draw_config(rng)
        config["stochastic_sampling"] = bool(rng.random() < 0.3)
        against(tally, euler_module, config, run)
    tally.verify(180, "raises RuntimeWarning")  # one step of sigma = 1, to be stretched to a terminal level: 0 / 0


def test_lcm():
    rng, tally = np.random.default_rng(22), Tally("FlowMatchLCMScheduler")
    for _ in range(200):
        config, run = draw_config(rng)
        config |= {"scale_factors": None, "upscale_mode": str(rng.choice(("bicubic", "nearest")))}
        against(tally, lcm_module, config, run)
    tally.verify(180, "raises RuntimeWarning")


def test_scale_factors_are_refused():
    config = {"_class_name": "FlowMatchLCMScheduler", "scale_factors": [1.5, 2.0]}
    with pytest.raises(ms.ScheduleError, match="scale_factors"):
        ms.from_diffusers(config)
    assert ms.from_diffusers(config | {"scale_factors": []}).plan(3) is not None


def test_heun():
    rng, tally = np.random.default_rng(23), Tally("FlowMatchHeunDiscreteScheduler")
    with drawn(heun_module) as give:
        for _ in range(130):
            total = int(rng.choice((100, 250, 1000, 1000)))
            config = {"num_train_timesteps": total, "shift": float(rng.choice((1.0, 3.0, 10 ** rng.uniform(-0.3, 1))))}
            churn = {
                "s_churn": float(rng.choice((0.0, rng.uniform(0.1, 60.0)))),
                "s_tmin": float(rng.choice((0.0, rng.uniform(0.0, 0.6)))),
                "s_tmax": float(rng.choice((math.inf, rng.uniform(0.3, 1.0)))),
                "s_noise": float(rng.choice((1.0, rng.uniform(0.5, 1.5)))),
            }

            def step_with(scheduler: Any, churn: dict[str, float] = churn) -> Any:
                scheduler.set_begin_index(0)

                def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
                    give(noise)
                    return scheduler.step(output, timestep, sample, **churn).prev_sample

                return step_once

            def widen(scheduler: Any, plan: ms.Plan) -> None:
                doubled = np.concatenate([plan.sigmas[:1], np.repeat(plan.sigmas[1:-1], 2), plan.sigmas[-1:]])
                scheduler.sigmas = torch.from_numpy(doubled)

            run = {"n": draws.steps(rng, total)}
            compare(tally, Case(config, run, step_with, heun_module, churn, widen=widen, of=levels))
    tally.verify(120)


def test_mu_of_an_image_is_that_of_the_pipelines():
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    rng = np.random.default_rng(24)
    for _ in range(20):
        config, _ = draw_config(rng)
        recipe = ms.from_diffusers({"_class_name": "FlowMatchEulerDiscreteScheduler", **config})
        ends = (config[key] for key in ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift"))
        length = int(rng.integers(16, 10000))
        assert recipe.mu(length) == pytest.approx(calculate_shift(length, *ends), rel=1e-12)
    for options in ({"base_shift": None}, {"max_image_seq_len": 256}):
        with pytest.raises(ms.ScheduleError, match="mu needs"):
            ms.FlowMatchEuler(**options).mu(1024)


def test_mu_of_flux_2_and_of_ltx_2_is_that_of_their_pipelines():
    from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
    from diffusers.pipelines.ltx2.pipeline_ltx2 import calculate_shift

    rng = np.random.default_rng(25)
    for _ in range(20):
        tokens, steps = int(rng.integers(16, 10_000)), int(rng.integers(1, 300))
        assert ms.spacings.flux2_mu(tokens, steps) == pytest.approx(compute_empirical_mu(tokens, steps), rel=1e-12)
        assert ms.spacings.ltx2_mu(tokens) == pytest.approx(calculate_shift(tokens, 1024, 4096, 0.95, 2.05), rel=1e-12)


def test_an_inverted_schedule_is_the_same_run_told_otherwise():
    """Rising timesteps and x0 - noise in place of falling ones and noise - x0."""
    plain, inverted = ms.FlowMatchEuler(shift=3.0), ms.FlowMatchEuler(shift=3.0, invert_sigmas=True)
    one, other = plain.plan(7), inverted.plan(7)
    np.testing.assert_array_equal(one.sigmas, other.sigmas)
    np.testing.assert_allclose(other.timesteps, 1000 - one.timesteps, atol=1e-9)
    weights, turned = one.tableau.fold().weights, other.tableau.fold().weights
    np.testing.assert_allclose(turned, weights * [1, -1], atol=1e-15)
    given = inverted.plan(timesteps=other.timesteps)
    np.testing.assert_allclose(given.sigmas, other.sigmas, atol=1e-12)
    np.testing.assert_array_equal(given.timesteps, other.timesteps)
    with pytest.raises(ms.ScheduleError, match="must fall strictly"):
        inverted.plan(timesteps=[900.0, 500.0])
