"""DDPM, DDIM and their kin against diffusers', coefficient by coefficient.

Where x0 is cut, the one-hot vectors are data like any other: both sides are given the same.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import diffusers
import draws
import numpy as np
import pytest
import torch
from impulse import Tally, drawn
from parity import Case, compare

import multisched as ms

DDPM_VARIANCES = ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range")
NAN, INDEX = "not a number", "raises IndexError"


def levels(plan: ms.Plan) -> np.ndarray:
    """1 + alpha_bar, whose relative error is the absolute one of alpha_bar."""
    return 1 + plan.alphas**2


def module_of(name: str) -> Any:
    return importlib.import_module(getattr(diffusers.schedulers, name).__module__)


def their_levels(final: str) -> Callable[[Any], np.ndarray]:
    """The same of a scheduler that ends at its attribute `final`."""

    def found(scheduler: Any) -> np.ndarray:
        if scheduler.timesteps.min() < 0:
            return np.zeros(1)
        bars = scheduler.alphas_cumprod[scheduler.timesteps].double().numpy()
        return 1 + np.append(bars, float(getattr(scheduler, final)))

    return found


def widened(final: str) -> Callable[[Any, ms.Plan], None]:
    """Give a scheduler the alpha_bar of our plan in float64, as far as the plan knows it, and let it end there."""

    def widen(scheduler: Any, plan: ms.Plan) -> None:
        ours = ms.from_diffusers({"_class_name": type(scheduler).__name__, **scheduler.config}).parts().path
        scheduler.alphas_cumprod = torch.from_numpy(ours.alphas_cumprod.copy())
        whole = float(getattr(scheduler, final)) == 1
        setattr(scheduler, final, torch.ones((), dtype=torch.float64) if whole else scheduler.alphas_cumprod[0])
        # UnCLIP takes the betas themselves for steps of one timestep.
        scheduler.betas = torch.from_numpy(ours.own_betas.copy())
        scheduler.alphas = 1 - scheduler.betas

    return widen


def ending(final: str) -> dict[str, Any]:
    """How the levels of a scheduler that ends at its attribute `final` are read and widened."""
    return {"widen": widened(final), "of": levels, "their_levels": their_levels(final)}


def draw(rng: np.random.Generator, *schedules: str, thresholds: bool = True, zero_snr: bool = True) -> dict[str, Any]:
    """Options of the training schedule, the spacing, the prediction and of how x0 is cut."""
    known = ("linear", "scaled_linear", "squaredcos_cap_v2", *schedules)
    config = {**draws.trained(rng, known), **draws.spaced(rng)}
    config["prediction_type"] = str(rng.choice(("epsilon", "sample", "v_prediction")))
    config["rescale_betas_zero_snr"] = bool(zero_snr and rng.random() < 0.3)
    config["clip_sample"] = bool(rng.integers(2))
    config["clip_sample_range"] = float(10 ** rng.uniform(-0.5, 2))
    if thresholds:
        config["sample_max_value"] = float(rng.uniform(1, 6))
        config["dynamic_thresholding_ratio"] = float(rng.choice((0.9, 0.995, 1.0)))
        config["thresholding"] = bool(rng.random() < 0.2)
    return config


@contextmanager
def learning(value: float) -> Iterator[None]:
    """Where the model of a plan is to give a variance, let it give `value` everywhere."""
    step = ms.Plan.step

    def step_on(plan: ms.Plan, state: Any, output: Any, noise: Any = None) -> Any:
        if plan.noise_transform is not None:
            output = np.concatenate([output, np.full_like(output, value)], axis=1)
        return step(plan, state, output, noise)

    with mock.patch.object(ms.Plan, "step", step_on):
        yield


def learned(output: torch.Tensor, config: dict[str, Any], value: float) -> torch.Tensor:
    """The same of the output for diffusers."""
    if not config["variance_type"].startswith("learned"):
        return output
    return torch.cat([output, torch.full_like(output, value)], dim=1)


@pytest.mark.parametrize("name", ["DDPMScheduler", "DDPMParallelScheduler"])
def test_ddpm(name):
    rng, tally, module = np.random.default_rng(21), Tally(name), module_of(name)
    with drawn(module) as give:
        for _ in range(260):
            config = draw(rng, "laplace", "sigmoid") | {"variance_type": str(rng.choice(DDPM_VARIANCES))}
            # The square root of log(beta) is a number at beta = 1, the first step of zero terminal SNR, and only there.
            config["rescale_betas_zero_snr"] &= config["variance_type"] != "fixed_large_log"
            total = config["num_train_timesteps"]
            n = draws.steps(rng, total)
            run: dict[str, Any] = {"n": n}
            if rng.random() < 0.25:
                run = {"timesteps": np.sort(rng.choice(total, min(n, total // 2), replace=False))[::-1].tolist()}
            value = float(rng.uniform(0.1, 1) * (-1) ** (rng.integers(2) * (config["variance_type"] != "learned")))

            def step_with(scheduler: Any, config: dict[str, Any] = config, value: float = value) -> Any:
                def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
                    give(noise[..., None])
                    output = learned(output, config, value)[..., None]
                    return scheduler.step(output, timestep, sample[..., None]).prev_sample[..., 0]

                return step_once

            with learning(value):
                compare(tally, Case(config, run, step_with, module, **ending("one")))
    tally.verify(100, NAN, INDEX)


@pytest.mark.parametrize("name", ["DDIMScheduler", "DDIMParallelScheduler", "CogVideoXDDIMScheduler"])
def test_ddim(name):
    rng, tally, module = np.random.default_rng(22), Tally(name), module_of(name)
    cog = name.startswith("Cog")
    for _ in range(190):
        config = draw(rng, thresholds=not cog) | {"set_alpha_to_one": bool(rng.integers(2))}
        options = {"eta": float(rng.choice((0.0, 0.4, 1.0))), "use_clipped_model_output": bool(rng.integers(2))}
        if config["rescale_betas_zero_snr"]:
            # At alpha = 0 and eta = 1 diffusers takes the square root of a difference that is 0 up to rounding.
            options["eta"] = min(options["eta"], 0.4)
        if cog:
            config |= {"snr_shift_scale": float(rng.uniform(0.5, 5)), "sample_max_value": 2.0}

        def step_with(scheduler: Any, options: dict[str, Any] = options) -> Any:
            def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
                output, sample, noise = (one[..., None] for one in (output, sample, noise))
                after = scheduler.step(output, timestep, sample, variance_noise=noise, **options)
                return after.prev_sample[..., 0]

            return step_once

        run = {"n": draws.steps(rng, config["num_train_timesteps"])}
        ours, final = {} if cog else options, "final_alpha_cumprod"
        compare(tally, Case(config, run, step_with, module, ours, **ending(final)))
    tally.verify(100, NAN, INDEX)


def test_cogvideox_trained_on_double_precision_where_it_says_so():
    for schedule in ("scaled_linear", "linear", "squaredcos_cap_v2"):
        config = {"beta_schedule": schedule, "snr_shift_scale": 2.0}
        recipe = ms.from_diffusers({"_class_name": "CogVideoXDDIMScheduler", **config})
        theirs = diffusers.CogVideoXDDIMScheduler(**config).alphas_cumprod
        rtol = 1e-13 if theirs.dtype == torch.float64 else 1e-6
        np.testing.assert_allclose(recipe.parts().path.alphas_cumprod, theirs.double().numpy(), rtol=rtol)
        assert (theirs.dtype == torch.float64) == (recipe.parts().path.betas.precision == "float64")


def test_ddim_inverse():
    name, final = "DDIMInverseScheduler", "initial_alpha_cumprod"
    rng, tally = np.random.default_rng(23), Tally(name)

    def step_with(scheduler: Any) -> Any:
        return lambda output, timestep, sample, noise: scheduler.step(output, timestep, sample).prev_sample

    def starts(scheduler: Any) -> np.ndarray:
        stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
        begun = scheduler.timesteps - stride
        if scheduler.timesteps.min() < 0:
            return np.zeros(1)
        bars = torch.where(begun < 0, getattr(scheduler, final), scheduler.alphas_cumprod[begun.clip(min=0)])
        return 1 + np.append(bars.double().numpy(), scheduler.alphas_cumprod[scheduler.timesteps[-1]].item())

    read = {**ending(final), "their_levels": starts}
    for _ in range(200):
        config = draw(rng, thresholds=False)
        config["set_alpha_to_one"] = bool(rng.integers(2)) and config["prediction_type"] != "sample"
        config["timestep_spacing"] = str(rng.choice(("leading", "trailing")))
        run = {"n": draws.steps(rng, config["num_train_timesteps"])}
        compare(tally, Case(config, run, step_with, module_of(name), **read))
    config = {"prediction_type": "sample", "clip_sample": False}
    compare(tally, Case(config, {"n": 4}, step_with, module_of(name), **read))
    tally.verify(100, NAN, INDEX)


def test_unclip():
    name = "UnCLIPScheduler"
    rng, tally, module = np.random.default_rng(24), Tally(name), module_of(name)
    with drawn(module) as give:
        for _ in range(150):
            config = {
                "num_train_timesteps": int(rng.choice((100, 250, 1000, 1000))),
                "variance_type": str(rng.choice(("fixed_small_log", "learned_range"))),
                "clip_sample": bool(rng.integers(2)),
                "clip_sample_range": float(10 ** rng.uniform(-0.5, 2)),
                "prediction_type": str(rng.choice(("epsilon", "sample"))),
                "beta_schedule": "squaredcos_cap_v2",
            }
            value = float(rng.uniform(-1, 1))

            def step_with(scheduler: Any, config: dict[str, Any] = config, value: float = value) -> Any:
                after = dict(zip(scheduler.timesteps.tolist(), [*scheduler.timesteps.tolist()[1:], None], strict=True))

                def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
                    give(noise)
                    output, before = learned(output, config, value), after[int(timestep)]
                    return scheduler.step(output, timestep, sample, prev_timestep=before).prev_sample

                return step_once

            run = {"n": draws.steps(rng, config["num_train_timesteps"])}
            with learning(value):
                compare(tally, Case(config, run, step_with, module, **ending("one")))
    tally.verify(100, "raises ZeroDivisionError")


def test_a_whole_loop_of_unclip_takes_the_tables_betas():
    """All 1,000 steps of one timestep, in which the rounding of alpha_bar adds up."""
    theirs = diffusers.UnCLIPScheduler(clip_sample=False)
    theirs.set_timesteps(1000)
    plan = ms.from_diffusers({"_class_name": "UnCLIPScheduler", "clip_sample": False}).plan(1000)
    sample, state = torch.ones((1, 1), dtype=torch.float64), plan.start(np.ones((1, 1)))
    with mock.patch("diffusers.schedulers.scheduling_unclip.randn_tensor", lambda shape, **_: torch.zeros(shape)):
        for t in theirs.timesteps:
            sample = theirs.step(sample * 0.3, int(t), sample).prev_sample
            state = plan.step(state, state.sample * 0.3, np.zeros((1, 1)))
    assert float(sample) == pytest.approx(float(state.sample[0, 0]), rel=1e-5)


class Open(diffusers.DDPMWuerstchenScheduler):
    """Wuerstchen's scheduler, which lists the end of a run among its timesteps, without that."""

    def set_timesteps(self, *arguments: Any, **options: Any) -> None:
        super().set_timesteps(*arguments, **options)
        self.every, self.timesteps = self.timesteps, self.timesteps[:-1]

    def step(self, *arguments: Any, **options: Any) -> Any:
        with mock.patch.object(self, "timesteps", self.every):
            return super().step(*arguments, **options)


def test_wuerstchen():
    name = "DDPMWuerstchenScheduler"
    rng, tally, module = np.random.default_rng(25), Tally(name), module_of(name)

    def bars(scheduler: Any) -> np.ndarray:
        return 1 + scheduler._alpha_cumprod(scheduler.every, "cpu").double().numpy()

    def widen(scheduler: Any, plan: ms.Plan) -> None:
        # Where alpha_bar is cut off, a run may end at any of many times; only at 0 does diffusers add no noise.
        end = plan.grid.timesteps[-1] or float(scheduler.every[-1])
        scheduler.every = torch.from_numpy(np.append(plan.grid.timesteps[:-1], end))
        scheduler.timesteps = scheduler.every[:-1]
        scheduler.s = torch.tensor([scheduler.config.s], dtype=torch.float64)
        scheduler._init_alpha_cumprod = torch.cos(scheduler.s / (1 + scheduler.s) * torch.pi * 0.5) ** 2

    with drawn(module) as give, mock.patch.object(diffusers.schedulers, name, Open):

        def step_with(scheduler: Any) -> Any:
            def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
                give(noise)
                return scheduler.step(output, timestep[None], sample).prev_sample

            return step_once

        for _ in range(130):
            config = {"scaler": float(rng.choice((1.0, 0.7, 1.6, 3.0))), "s": float(10 ** rng.uniform(-3, -1))}
            n = draws.steps(rng)
            run: dict[str, Any] = {"n": n}
            their_run = None
            if rng.random() < 0.4:
                given = draws.falling(rng, n, 0.0, 1.0)
                if rng.random() < 0.5 or n == 1:
                    run, their_run = {"timesteps": given}, {"timesteps": [*given, 0.0]}
                else:
                    run, their_run = {"timesteps": given, "stop": n - 1}, {"timesteps": given}
            read = {"widen": widen, "of": levels, "their_levels": bars}
            compare(tally, Case(config, run, step_with, module, their_run=their_run, **read))
    tally.verify(120)
