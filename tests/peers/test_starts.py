"""Runs that start in mid-schedule, as image to image has them, against diffusers."""

import diffusers
import numpy as np
import pytest
import torch

import multisched as ms

SHAPE = (2, 5)


def _theirs(kind, config, n, start, x, outputs):
    scheduler = kind(**config)
    scheduler.set_timesteps(n)
    scheduler.set_begin_index(start)
    sample = torch.from_numpy(x)
    for t, output in zip(scheduler.timesteps[start:], outputs, strict=True):
        scheduler.scale_model_input(sample, t)
        sample = scheduler.step(torch.from_numpy(output), t, sample).prev_sample
    return sample.numpy()


def _ours(recipe, n, start, x, outputs):
    plan = recipe.plan(n, start=start)
    state = plan.start(x)._replace(sample=x)
    for output in outputs:
        state = plan.step(state, output)
    return state.sample


LMS = {"use_karras_sigmas": True}
SINGLE = [
    {"solver_order": order, "algorithm_type": kind, "lower_order_final": final, "final_sigmas_type": end}
    for order, kind, final, end in (
        (2, "dpmsolver++", True, "zero"),
        (3, "dpmsolver++", True, "zero"),
        (3, "dpmsolver++", False, "sigma_min"),
        (3, "dpmsolver", True, "sigma_min"),
        (1, "dpmsolver++", False, "zero"),
    )
]
CASES = [
    ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    ("UniPCMultistepScheduler", {"solver_order": 3}),
    ("DEISMultistepScheduler", {"solver_order": 3}),
    ("EulerDiscreteScheduler", {}),
    ("LMSDiscreteScheduler", {}),
    ("LMSDiscreteScheduler", LMS),
    *(("DPMSolverSinglestepScheduler", config) for config in SINGLE),
]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("start", [0, 1, 2, 3, 4, 7, 9])
@pytest.mark.parametrize(("name", "config"), CASES, ids=[f"{name}-{k}" for k, (name, _) in enumerate(CASES)])
def test_a_start_in_mid_schedule(name, config, start):
    rng, n = np.random.default_rng(start), 11
    x, *outputs = rng.standard_normal((1 + n - start, *SHAPE))
    x = 3 * x
    recipe = ms.from_diffusers({"_class_name": name, **config})
    theirs = _theirs(getattr(diffusers, name), config, n, start, x, outputs)
    ours = _ours(recipe, n, start, x, outputs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("name", ["LMSDiscreteScheduler", "DPMSolverSinglestepScheduler"])
def test_mended_it_begins_anew(name):
    """The rows of a run that starts at a step are then those of a run over what is left of the grid."""
    recipe = ms.from_diffusers({"_class_name": name})
    mended = getattr(ms, name.removesuffix("Scheduler").replace("Discrete", ""))()
    assert mended == type(recipe)() and recipe.plan(9) is not None
    grid = mended.plan(9).grid.part(3, 9)
    np.testing.assert_array_equal(mended.plan(9, start=3).tableau.weights, mended.plan_over(grid).tableau.weights)
    assert recipe.plan(9, start=3).tableau != mended.plan(9, start=3).tableau
    assert any("starts in mid-schedule" in sentence for sentence in recipe.report.reproduced)
