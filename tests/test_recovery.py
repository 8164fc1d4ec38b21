"""A model that knows the noise: whatever the schedule, a deterministic run ends at the clean sample."""

import numpy as np
import pytest

import multisched as ms
from multisched.table.tableau import tabulate

SPACINGS = ("leading", "trailing", "linspace")
# Every short run, and long ones that divide the training timesteps and that do not.
STEPS = (*range(1, 64), *range(64, 1001, 37), 250, 500, 999, 1000)
PREDICTIONS = ("epsilon", "sample", "v_prediction")


@pytest.mark.host
def test_every_row_of_every_plan_lands_on_the_path():
    """Given x = alpha * x0 + sigma * noise and the exact output, each row gives alpha_next * x0 + sigma_next * noise.

    Operands and results are written in the basis (x0, noise), for every spacing, prediction type and many n in 1..1000.
    """
    worst = 0.0
    for spacing in SPACINGS:
        for prediction in PREDICTIONS:
            recipe = ms.DDIM(clip_sample=False, timestep_spacing=spacing, prediction_type=prediction)
            worst = max(worst, *(_miss(recipe, n) for n in STEPS))
    for recipe in (ms.FlowMatchEuler(shift=3.0), ms.FlowMatchHeun(shift=3.0)):
        worst = max(worst, *(_miss(recipe, n) for n in STEPS))
    assert worst < 1e-10


def _miss(recipe, n):
    parts = recipe.parts()
    schedule, _, prediction, solver, *_ = parts
    rows, tableau = tabulate(solver, parts.grid(n), prediction, schedule)
    a, b = prediction.weights(rows.alpha[:, 0], rows.sigma[:, 0])
    zero = np.zeros(len(rows))
    sample = np.stack([rows.alpha[:, 0], rows.sigma[:, 0]], axis=1)
    output = np.stack([a + zero, b + zero], axis=1)
    anchor = np.stack([rows.alpha_start[:, 0], rows.sigma_start[:, 0]], axis=1)
    wanted = np.stack([rows.alpha_next[:, 0], rows.sigma_next[:, 0]], axis=1)
    kept = {"anchor": anchor, "slope": wanted - anchor}
    operands = np.stack([sample, *(kept[name] for name in solver.memory), output], axis=1)
    after = np.einsum("rk,rkb->rb", tableau.fold().weights[:, 0], operands)
    assert np.all(wanted[-1] == [1.0, 0.0])
    return float(np.abs(after - wanted).max())


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("n", [1, 2, 3, 10, 61, 250])
def test_ddim_recovers_x0(spacing, prediction, n, make, backend, has_float64):
    recipe = ms.DDIM(clip_sample=False, timestep_spacing=spacing, prediction_type=prediction)
    _recovers(recipe, n, make, backend, has_float64)


@pytest.mark.parametrize("recipe", [ms.FlowMatchEuler(shift=3.0), ms.FlowMatchHeun(), ms.FlowMatchPingPong()])
@pytest.mark.parametrize("n", [1, 2, 50])
def test_flow_schedulers_recover_x0(recipe, n, make, backend, has_float64):
    _recovers(recipe, n, make, backend, has_float64)


def test_zero_terminal_snr_recovers_x0(make, backend, has_float64):
    for prediction in ("v_prediction", "sample"):
        recipe = ms.DDIM(
            clip_sample=False, rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type=prediction
        )
        _recovers(recipe, 20, make, backend, has_float64)


def _recovers(recipe, n, make, backend, has_float64):
    """Within 1e-5 in float64; in float32, rounding at the first level grows by alpha_end / alpha_start on the way."""
    dtype = "float64" if has_float64 else "float32"
    rng = np.random.default_rng(n)
    x0, noise = make(rng.uniform(-1, 1, (2, 4)), dtype), make(rng.standard_normal((2, 4)), dtype)
    plan = recipe.plan(n)
    prediction, schedule = recipe.parts().prediction, recipe.parts().path
    state = plan.start(noise, x0=x0)
    for t in plan.timesteps:
        alpha, sigma = (float(level) for level in schedule.levels(t))
        output = prediction.target(x0, noise, alpha, sigma)
        z = noise if plan.stochastic else None
        state = plan.step(state, output, z)
    smallest = plan.alphas[plan.alphas > 0][0]
    tolerance = 1e-5 if has_float64 else 1e-5 + 2e-6 / smallest
    np.testing.assert_allclose(backend.to_numpy(state.sample), backend.to_numpy(x0), atol=tolerance, rtol=0)
