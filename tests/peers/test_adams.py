"""The linear multistep schedulers against diffusers', coefficient by coefficient."""

from typing import Any

import diffusers
import draws
import numpy as np
import pytest
import torch
from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule
from diffusers.schedulers import AysSchedules, scheduling_ipndm, scheduling_lms_discrete, scheduling_pndm
from impulse import Tally
from parity import Case, Loose, compare, levels, ratios

import multisched as ms
from multisched.paths import Betas, Discrete
from multisched.spacings import align_your_steps
from multisched.spacings.trained import linear_quadratic


def _alphas(plan: ms.Plan) -> np.ndarray:
    return plan.alphas.copy()


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")  # the integrand is in float32
def test_lms():
    rng, tally = np.random.default_rng(31), Tally("LMSDiscreteScheduler")

    def widen(scheduler: Any, plan: ms.Plan) -> None:
        # NumPy's numbers, as the integrand takes thousands of them one by one.
        scheduler.sigmas = ratios(plan)

    for index in range(125):
        config = {**draws.trained(rng), **draws.spaced(rng), **draws.respaced(rng)}
        config["prediction_type"] = str(rng.choice(("epsilon", "v_prediction", "sample")))
        order = int(rng.choice((4, 4, 3, 2, 1)))

        def step_with(scheduler: Any, order: int = order) -> Any:
            scheduler.is_scale_input_called = True
            return lambda output, t, sample, _: scheduler.step(output, t, sample, order=order).prev_sample

        # A run of 999 steps takes diffusers seconds, in its quadrature.
        n = draws.steps(rng, 50) if index else 999
        case = Case(config, {"n": n}, step_with, scheduling_lms_discrete, {"order": order}, widen=widen)
        compare(tally, case)
    tally.verify(100)


def test_pndm():
    """Timesteps with both starts, and both predictions, at diffusers' stride."""
    tally = Tally("PNDMScheduler")
    rng = np.random.default_rng(32)

    def step_with(scheduler: Any) -> Any:
        return lambda output, t, sample, _: scheduler.step(output, t, sample).prev_sample

    def widen(scheduler: Any, plan: ms.Plan) -> None:
        level = ms.DDIM(**trained).parts().path.alphas_cumprod
        scheduler.alphas_cumprod = torch.from_numpy(level.copy())
        scheduler.final_alpha_cumprod = torch.tensor(plan.alphas[-1] ** 2, dtype=torch.float64)

    def their_alphas(scheduler: Any) -> np.ndarray:
        level = scheduler.alphas_cumprod.double().numpy()
        return np.sqrt(np.append(level[scheduler._timesteps[::-1].astype(int)], float(scheduler.final_alpha_cumprod)))

    for _ in range(150):
        trained = draws.trained(rng)
        config = {**trained, **draws.spaced(rng)}
        config["timestep_spacing"] = str(rng.choice(("leading", "leading", "linspace", "trailing")))
        config["prediction_type"] = str(rng.choice(("epsilon", "v_prediction")))
        config["skip_prk_steps"], config["set_alpha_to_one"] = (bool(rng.random() < 0.5) for _ in range(2))
        n = draws.steps(rng, config["num_train_timesteps"])
        read = {"widen": widen, "of": _alphas, "their_levels": their_alphas}
        compare(tally, Case(config, {"n": n}, step_with, scheduling_pndm, **read))
    tally.verify(100, "raises ValueError", "raises IndexError")


def test_ipndm():
    rng = np.random.default_rng(33)
    tally = Tally("IPNDMScheduler")

    def step_with(scheduler: Any) -> Any:
        return lambda output, t, sample, _: scheduler.step(output, t, sample).prev_sample

    def widen(scheduler: Any, plan: ms.Plan) -> None:
        scheduler.betas, scheduler.alphas = (torch.from_numpy(level.copy()) for level in (plan.sigmas, plan.alphas))

    for _ in range(130):
        n = int(rng.integers(1, 60)) if rng.random() < 0.6 else draws.steps(rng)
        config = {"num_train_timesteps": int(rng.choice((100, 1000)))}
        if rng.random() < 0.4:
            top, bottom = rng.choice((1.0, rng.uniform(0.5, 1))), rng.choice((0.0, rng.uniform(0, 0.1)))
            config["trained_betas"] = [float(top), *draws.falling(rng, n - 1, 0.1, 0.5), float(bottom)]
        case = Case(
            config,
            {"n": n},
            step_with,
            scheduling_ipndm,
            widen=widen,
            of=levels,
            their_levels=lambda scheduler: scheduler.betas,
            times=Loose(3e-5, "float32 loses alpha = sqrt(1 - sigma^2), and with it the angle, where sigma is near 1"),
            rounded="sines and arc tangents in float32",
        )
        compare(tally, case)
    tally.verify(100)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (diffusers.DDPMScheduler, "sigmoid"),
        (diffusers.DDPMScheduler, "laplace"),
        (diffusers.HeunDiscreteScheduler, "exp"),
    ],
)
def test_beta_schedules(kind, name):
    for total in (100, 250, 1000):
        options = {"num_train_timesteps": total, "beta_start": 0.0003, "beta_end": 0.03, "beta_schedule": name}
        theirs, ours = kind(**options).alphas_cumprod.double().numpy(), Discrete(Betas(**options)).alphas_cumprod
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_align_your_steps():
    for model, theirs in (("sd1", "StableDiffusion"), ("sdxl", "StableDiffusionXL")):
        np.testing.assert_array_equal(align_your_steps(model)["timesteps"], AysSchedules[f"{theirs}Timesteps"])
    np.testing.assert_allclose(align_your_steps("svd")["sigmas"], AysSchedules["StableDiffusionVideoSigmas"][:-1])


def test_linear_quadratic():
    for n in range(2, 100):
        np.testing.assert_allclose(linear_quadratic(n), linear_quadratic_schedule(n, 0.025), rtol=0, atol=1e-12)
