"""The schedulers of score-based models against diffusers', coefficient by coefficient."""

from typing import Any

import draws
import numpy as np
import pytest
import torch
from diffusers.schedulers import scheduling_sde_ve
from diffusers.schedulers.deprecated import scheduling_karras_ve, scheduling_sde_vp
from impulse import Tally, drawn
from made import quirked
from parity import Case, compare, levels
from score import Karras, Ve, Vp

import multisched as ms

NAN = "not a number"


def widen(scheduler: Any, plan: ms.Plan) -> None:
    scheduler.widen(plan)


def step_with(scheduler: Any) -> Any:
    def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
        scheduler.give(noise)
        return scheduler.step(output, timestep, sample, noise)

    return step_once


def test_ve():
    rng, tally = np.random.default_rng(61), Tally("ScoreSdeVeScheduler")
    with drawn(scheduling_sde_ve) as give:
        Ve.give = staticmethod(give)
        for _ in range(120):
            config = {
                "num_train_timesteps": int(rng.choice((2000, 1000))),
                "snr": float(rng.uniform(0.01, 0.4)),
                "sigma_min": float(10 ** rng.uniform(-3, -1)),
                "sigma_max": float(10 ** rng.uniform(0.5, 3.3)),
                "sampling_eps": float(10 ** rng.uniform(-5, -1.5)),
                "correct_steps": int(rng.integers(4)),
            }
            # A run of one step goes from sigma_min to 0 in diffusers, whatever the sample begins with.
            n = draws.steps(rng, 50 if config["correct_steps"] else 999)
            read = {"widen": widen, "of": levels, "create": Ve, "rounded": "powers in float32"}
            compare(tally, Case(config, {"n": max(n, 2)}, step_with, scheduling_sde_ve, **read))
    tally.verify(100)


def test_vp():
    rng, tally = np.random.default_rng(62), Tally("ScoreSdeVpScheduler")
    with drawn(scheduling_sde_vp) as give:
        Vp.give = staticmethod(give)
        for _ in range(130):
            config = {
                "num_train_timesteps": int(rng.choice((2000, 1000))),
                "beta_min": float(10 ** rng.uniform(-2, 0)),
                "beta_max": float(rng.uniform(2, 40)),
                "sampling_eps": float(10 ** rng.uniform(-5, -1)),
            }
            read = {"widen": widen, "of": lambda plan: plan.grid.timesteps, "create": Vp}
            compare(tally, Case(config, {"n": draws.steps(rng)}, step_with, scheduling_sde_vp, **read))
    tally.verify(100)


def test_karras_ve():
    rng, tally = np.random.default_rng(63), Tally("KarrasVeScheduler")
    with drawn(scheduling_karras_ve) as give:
        Karras.give = staticmethod(give)
        for _ in range(140):
            config = {
                "sigma_min": float(10 ** rng.uniform(-2, -0.5)),
                "sigma_max": float(10 ** rng.uniform(0.5, 2)),
                "s_noise": float(rng.uniform(0.9, 1.1)),
                "s_churn": float(rng.choice((0.0, 80.0, rng.uniform(1, 100)))),
                "s_min": float(10 ** rng.uniform(-2, 0)),
                "s_max": float(10 ** rng.uniform(1, 4)),
            }
            read = {"widen": widen, "of": levels, "create": Karras, "rounded": "powers in float32"}
            compare(tally, Case(config, {"n": draws.steps(rng)}, step_with, scheduling_karras_ve, **read))
    tally.verify(100, NAN)


@pytest.mark.parametrize("correct_steps", [0, 1, 3])
def test_the_norms_of_a_batch(correct_steps):
    """Langevin steps on data, whose norms differ from sample to sample."""
    rng = np.random.default_rng(7)
    config = {"correct_steps": correct_steps, "snr": 0.17, "sigma_max": 50.0}
    plan = ms.from_diffusers({"_class_name": "ScoreSdeVeScheduler", **config}).plan(5)
    theirs = Ve(**config)
    theirs.set_timesteps(5)
    theirs.widen(plan)
    state = plan.start(rng.standard_normal((3, 2, 4)))
    sample = torch.from_numpy(state.sample)
    with drawn(scheduling_sde_ve) as give:
        for _ in range(len(plan)):
            output, noise = rng.standard_normal((2, 3, 2, 4)) * [[[[0.2]], [[1]], [[3]]]]
            give(torch.from_numpy(noise))
            sample = theirs.step(torch.from_numpy(output), None, sample, None)
            state = plan.step(state, output, noise)
    np.testing.assert_allclose(state.sample, sample.numpy(), rtol=1e-10)


def composed(recipe: ms.Recipe, prediction: Any, solver: Any) -> ms.Scheduler:
    """Another prediction and solver on the path of a recipe, with its spacing."""
    path, spacing, *_ = recipe.parts()
    return ms.Scheduler(path, spacing, prediction, solver)


def test_a_prediction_alone_has_the_mean_of_ddim_on_the_way_to_its_posterior():
    recipe = ms.ScoreSdeVe(correct_steps=0, sampling_eps=1e-9)
    ddim = composed(recipe, "score", ms.solvers.DDIM(eta=1.0))
    ours, theirs = (one.plan(20).tableau.fold().weights[:, 0, :2] for one in (recipe, ddim))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_heun_without_churn_is_heun():
    recipe = ms.KarrasVe(s_churn=0.0)
    heun = composed(recipe, recipe.parts().prediction, ms.solvers.Heun())
    assert recipe.plan(9).tableau == heun.plan(9).tableau and recipe.plan(9).order == 2


def test_the_levels_are_those_of_the_paper():
    recipe = ms.KarrasVe(s_churn=0.0)
    right, theirs = recipe.plan(5), quirked(recipe, "squared").plan(5)
    assert right.sigmas[0] == pytest.approx(100) and theirs.sigmas[0] == pytest.approx(1e4)
    np.testing.assert_allclose(theirs.sigmas, right.sigmas**2, rtol=1e-12)


def test_churn_raises_the_level_before_the_model_is_asked():
    """Also where a run begins or breaks off."""
    whole = ms.KarrasVe(s_max=1e3, s_noise=1.0).plan(6)
    assert whole.timesteps[0] == pytest.approx(100 * 2**0.5) == whole.grid.init_noise_sigma
    parts = [ms.KarrasVe(s_max=1e3, s_noise=1.0).plan(6, **bounds) for bounds in ({"stop": 3}, {"start": 3})]
    joined = np.concatenate([part.tableau.weights for part in parts])
    np.testing.assert_array_equal(joined, whole.tableau.weights)


def test_the_continuous_process_has_the_levels_of_its_times():
    parts = ms.ScoreSdeVp().parts()
    path, grid = parts.path, parts.grid(20)
    point = path.point(grid.sigmas[:-1] / grid.alphas[:-1])
    np.testing.assert_allclose(point.timestep, grid.timesteps[:-1], rtol=1e-9)
    # d(log alpha) / dt = -beta / 2
    t = np.linspace(0.1, 0.9, 9)
    slope = np.log(path.levels(t + 1e-6)[0] / path.levels(t - 1e-6)[0]) / 2e-6
    np.testing.assert_allclose(slope, -(0.1 + t * 19.9) / 2, rtol=1e-6)


def test_corrections_are_of_the_score_alone():
    recipe = ms.ScoreSdeVe()
    with pytest.raises(ms.ScheduleError, match="measured by the score"):
        composed(recipe, "epsilon", recipe.parts().solver).plan(3)
    assert len(composed(recipe, "epsilon", ms.solvers.PredictorCorrector(correct_steps=0)).plan(3)) == 3
