"""The schedulers of distilled models against diffusers', coefficient by coefficient."""

from typing import Any

import diffusers
import draws
import numpy as np
import pytest
import torch
from diffusers.schedulers import (
    scheduling_consistency_decoder,
    scheduling_consistency_models,
    scheduling_lcm,
    scheduling_scm,
    scheduling_tcd,
)
from impulse import Tally, drawn
from parity import Case, compare, levels

import multisched as ms

RAISES, NAN = "raises ValueError", "not a number"


def squares(plan: ms.Plan) -> np.ndarray:
    """1 + alpha_bar, whose relative error is the absolute one of alpha_bar."""
    return 1 + plan.alphas**2


def widen(scheduler: Any, plan: ms.Plan) -> None:
    """Give a scheduler our alpha_bar in float64."""
    config = {"_class_name": type(scheduler).__name__, **scheduler.config}
    scheduler.alphas_cumprod = torch.from_numpy(ms.from_diffusers(config).parts().path.alphas_cumprod.copy())


def skipping(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Configuration, our options, and the arguments of our plan and of `set_timesteps`."""
    config = {**draws.trained(rng), **draws.spaced(rng)}
    config["set_alpha_to_one"] = bool(rng.integers(2))
    config["prediction_type"] = str(rng.choice(("epsilon", "sample", "v_prediction")))
    config["rescale_betas_zero_snr"] = bool(rng.random() < 0.3)
    config["timestep_scaling"] = float(rng.choice((10.0, rng.uniform(0.01, 3))))
    config["clip_sample"] = bool(rng.integers(2))
    config["clip_sample_range"] = float(10 ** rng.uniform(-0.5, 2))
    config["thresholding"] = bool(rng.random() < 0.2)
    config["dynamic_thresholding_ratio"] = float(rng.choice((0.9, 0.995, 1.0)))
    config["sample_max_value"] = float(rng.uniform(1, 6))
    total = config["num_train_timesteps"]
    config["original_inference_steps"] = original = int(rng.choice((4, 10, 50, 50, 90, total)))
    if rng.random() < 0.3:
        count = draws.steps(rng, total // 2)
        run = {"timesteps": np.sort(rng.choice(total, count, replace=False))[::-1].tolist()}
        return config, {}, run, dict(run)
    options = {"strength": float(rng.choice((1.0, 1.0, rng.uniform(0.3, 1))))}
    n = draws.steps(rng, max(1, int(original * options["strength"])))
    return config, options, {"n": n}, {"num_inference_steps": n, **options}


def test_lcm():
    rng, tally = np.random.default_rng(51), Tally("LCMScheduler")

    def step_with(scheduler: Any) -> Any:
        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise[..., None])
            # As an int, since of a tensor the boundary's weights are made in single precision.
            return scheduler.step(output[..., None], int(timestep), sample[..., None]).prev_sample[..., 0]

        return step_once

    def their_levels(scheduler: Any) -> np.ndarray:
        return 1 + np.append(scheduler.alphas_cumprod[scheduler.timesteps].double(), 1)

    with drawn(scheduling_lcm) as give:
        for _ in range(160):
            config, options, run, theirs = skipping(rng)
            if rng.random() < 0.3 and "n" in run:  # the number of original steps as an argument
                options["original_inference_steps"] = theirs["original_inference_steps"] = run["n"] + 1
                options["strength"] = theirs["strength"] = 1.0
            read = {"widen": widen, "of": squares, "their_levels": their_levels}
            compare(tally, Case(config, run, step_with, scheduling_lcm, options, theirs, **read))
    tally.verify(100, NAN)


def test_tcd():
    rng, tally = np.random.default_rng(52), Tally("TCDScheduler")
    eta = 0.3

    def step_with(scheduler: Any) -> Any:
        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise)
            return scheduler.step(output, timestep, sample, eta=eta).prev_sample

        return step_once

    def their_levels(scheduler: Any) -> np.ndarray:
        bars = scheduler.alphas_cumprod
        return 1 + np.append(bars[scheduler.timesteps].double(), bars[0])

    with drawn(scheduling_tcd) as give:
        for _ in range(170):
            config, options, run, theirs = skipping(rng)
            eta = options["eta"] = float(rng.choice((0.0, 0.3, 0.3, 1.0, rng.uniform(0, 1))))
            if rng.random() < 0.2 and "n" in run:  # as an argument, it makes diffusers pick from every timestep
                theirs["original_inference_steps"] = run["n"]
                options["original_inference_steps"] = config["num_train_timesteps"]
            read = {"widen": widen, "of": squares, "their_levels": their_levels}
            compare(tally, Case(config, run, step_with, scheduling_tcd, options, theirs, **read))
    tally.verify(100, NAN)


class Ended(diffusers.SCMScheduler):
    """A scheduler whose timesteps do not list the end of the run."""

    wide: torch.Tensor | None = None

    def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
        super().set_timesteps(*args, **kwargs)
        self.all, self.timesteps = self.timesteps, self.timesteps[:-1]

    def step(self, *args: Any) -> Any:
        shown, self.timesteps = self.timesteps, self.all
        result = super().step(*args)
        self.timesteps = shown
        return result


def test_scm():
    rng, tally = np.random.default_rng(53), Tally("SCMScheduler")

    def step_with(scheduler: Any) -> Any:
        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise)
            return scheduler.step(output, timestep, sample).prev_sample

        return step_once

    def widen_times(scheduler: Any, plan: ms.Plan) -> None:
        scheduler.all = torch.from_numpy(np.minimum(plan.grid.timesteps, np.pi / 2))
        scheduler.timesteps = scheduler.all[:-1]

    def their_levels(scheduler: Any) -> Any:
        return torch.sin(scheduler.all) * scheduler.config.sigma_data

    with drawn(scheduling_scm) as give:
        for _ in range(140):
            config = {"sigma_data": float(rng.uniform(0.1, 2)), "num_train_timesteps": int(rng.choice((1000, 2000)))}
            n = draws.steps(rng)
            top = float(rng.choice((1.5708, np.pi / 2, rng.uniform(1, 1.57))))
            middle = [None, float(rng.uniform(0.1, 0.95))][int(n == 2 and rng.random() < 0.7)]
            theirs = {"num_inference_steps": n, "max_timesteps": top, "intermediate_timesteps": middle}
            run: dict[str, Any] = {"n": n}
            options = {"max_timesteps": top, "intermediate_timesteps": middle}
            if rng.random() < 0.3:
                times = [*draws.falling(rng, n, 0.001, 1.57), 0.0]
                run, options = {"timesteps": times}, {}
                theirs |= {"timesteps": times, "max_timesteps": None, "intermediate_timesteps": None}
            read = {"widen": widen_times, "of": levels, "their_levels": their_levels, "create": Ended}
            compare(tally, Case(config, run, step_with, scheduling_scm, options, theirs, **read))
    tally.verify(100)


def test_consistency_models():
    rng, tally = np.random.default_rng(54), Tally("CMStochasticIterativeScheduler")

    def step_with(scheduler: Any) -> Any:
        scheduler.is_scale_input_called = True

        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise)
            return scheduler.step(output, timestep, sample).prev_sample

        return step_once

    with drawn(scheduling_consistency_models) as give:
        for _ in range(160):
            total = int(rng.choice((2, 18, 40, 40, 151, 1000)))
            config = {
                "num_train_timesteps": total,
                "sigma_min": float(10 ** rng.uniform(-3, -1.5)),
                "sigma_max": float(10 ** rng.uniform(0.5, 2.5)),
                "sigma_data": float(rng.uniform(0.1, 2)),
                "s_noise": float(rng.uniform(0.9, 1.1)),
                "rho": float(rng.uniform(3, 9)),
                "clip_denoised": bool(rng.integers(2)),
            }
            if rng.random() < 0.7:
                config["sigma_min"] = float(np.float32(config["sigma_min"]))
            n = draws.steps(rng, total)
            run: dict[str, Any] = {"n": n}
            if rng.random() < 0.3:
                run = {"timesteps": np.sort(rng.choice(total, min(n, total), replace=False))[::-1].tolist()}
            compare(tally, Case(config, run, step_with, scheduling_consistency_models, of=levels))
    # The square root of sigma_min^2 - sigma_min^2, rounded below 0 where sigma_min is no float32.
    tally.verify(100, NAN)


def test_consistency_decoder():
    rng, tally = np.random.default_rng(55), Tally("ConsistencyDecoderScheduler")

    def step_with(scheduler: Any) -> Any:
        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise)
            return scheduler.step(output, timestep, sample).prev_sample

        return step_once

    def their_levels(scheduler: Any) -> np.ndarray:
        return 1 + np.append(scheduler.sqrt_alphas_cumprod[scheduler.timesteps].double() ** 2, 1)

    def widen_all(scheduler: Any, plan: ms.Plan) -> None:
        config = {"_class_name": type(scheduler).__name__, **scheduler.config}
        bars = torch.from_numpy(ms.from_diffusers(config).parts().path.alphas_cumprod.copy())
        ratio, data = torch.sqrt(1 / bars - 1), scheduler.config.sigma_data
        scheduler.sqrt_alphas_cumprod, scheduler.sqrt_one_minus_alphas_cumprod = bars**0.5, (1 - bars) ** 0.5
        scheduler.c_skip = bars**-0.5 * data**2 / (ratio**2 + data**2)
        scheduler.c_out = ratio * data / (ratio**2 + data**2) ** 0.5

    with drawn(scheduling_consistency_decoder) as give:
        for _ in range(140):
            config = {
                "num_train_timesteps": int(rng.choice((1000, 1009, 1024, 1024, 2000, rng.integers(1009, 4000)))),
                "sigma_data": float(rng.uniform(0.1, 2)),
            }
            read = {"widen": widen_all, "of": squares, "their_levels": their_levels}
            compare(tally, Case(config, {"n": 2}, step_with, scheduling_consistency_decoder, **read))
    tally.verify(100, "raises IndexError")


@pytest.mark.parametrize("name", ["CMStochasticIterativeScheduler", "ConsistencyDecoderScheduler"])
def test_what_the_model_sees(name):
    scheduler = getattr(diffusers.schedulers, name)(sigma_data=0.7)
    scheduler.set_timesteps(2)
    plan = ms.from_diffusers({"_class_name": name, "sigma_data": 0.7}).plan(2)
    assert plan.grid.init_noise_sigma == pytest.approx(float(scheduler.init_noise_sigma), rel=1e-6)
    for row, timestep in enumerate(scheduler.timesteps):
        wanted = float(scheduler.scale_model_input(torch.ones(1), timestep))
        assert float(plan.rows.scale[row, 0]) == pytest.approx(wanted, rel=1e-6)
        if name.startswith("CM"):
            scheduler.step(torch.ones(1), timestep, torch.ones(1))


@pytest.mark.parametrize("recipe", [ms.LCM(rescale_betas_zero_snr=True), ms.TCD(rescale_betas_zero_snr=True)])
def test_noise_says_nothing_of_the_sample_where_there_is_no_signal(recipe):
    with pytest.raises(ms.ScheduleError, match="says nothing of x0"):
        recipe.plan(4)


def composed(parts: Any, solver: Any) -> ms.Scheduler:
    """A recipe of some parts and another solver, that cuts nothing."""
    return ms.Scheduler(parts.path, parts.spacing, parts.prediction, solver)


def test_a_boundary_far_away_is_ping_pong():
    lcm, models = ms.LCM(timestep_scaling=1e12).parts(), ms.CMStochasticIterative().parts()
    for parts, solver in ((lcm, lcm.solver), (models, ms.solvers.Consistency(sigma_min=0.0))):
        solvers = (solver, ms.solvers.PingPong())
        ours, pong = (composed(parts, one).plan(10).tableau.fold().weights for one in solvers)
        np.testing.assert_allclose(ours, pong, rtol=1e-9, atol=1e-12)


def test_a_consistency_function_is_the_identity_at_sigma_min():
    recipe = ms.CMStochasticIterative()
    folded = recipe.plan(timesteps=[39, 0]).tableau.fold()
    np.testing.assert_allclose(folded.weights[1, 0], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(ms.LCM().plan(timesteps=[5, 0]).tableau.fold().weights[1, 0], [1, 0, 0], atol=1e-12)


def test_trajectories_that_go_nowhere_below_are_euler():
    parts = ms.TCD(eta=0.0).parts()
    solvers = (ms.TCD().parts().solver, ms.solvers.Euler())
    ours, euler = (composed(parts, solver).plan(10) for solver in solvers)
    np.testing.assert_array_equal(ours.tableau.weights[:, :, :3], euler.tableau.weights)
    assert not ours.stochastic and ms.TCD(eta=0.0).plan(10).tableau == euler.tableau


def test_noise_up_to_the_next_level_keeps_the_marginals():
    """Of unit-variance data, every level of a variance-preserving path has variance 1."""
    plan = ms.TCD(eta=0.4).plan(10)
    aims, points = plan.grid.next_alphas, plan.alphas[1:]
    weights = plan.tableau.weights[:, 0, -1]
    np.testing.assert_allclose(weights**2, 1 - (points / aims) ** 2, atol=1e-14)
    assert np.all(aims >= points) and weights[-1] == 0


def test_steps_are_picked_from_those_of_the_distillation():
    assert list(ms.LCM().plan(4).timesteps) == [999, 759, 499, 259]
    assert list(ms.LCM(strength=0.5).plan(2).timesteps) == [499, 259]
    assert list(ms.ConsistencyDecoder().plan(2).timesteps) == [1008, 512]
    assert list(ms.ConsistencyDecoder().plan(4).timesteps) == [1008, 768, 512, 256]
    for make in (
        lambda: ms.LCM().plan(51),
        lambda: ms.LCM(original_inference_steps=1001),
        lambda: ms.LCM(strength=1.5),
    ):
        with pytest.raises(ms.ScheduleError, match=r"must (be|lie) in"):
            make()
