"""Solvers of several calls a step: what the step begins from is in memory, and the sample of a later call is only what
the model is asked about, so that a caller may edit it."""

import numpy as np
import pytest
from made import flow, grid, ve, vp
from test_order import EVERY as VARIANTS
from zoo import SOLVERS, solver_name

import multisched as ms
from multisched.solvers import Estimate

PATHS = {
    "vp": vp("trailing"),
    "edm": ve(),
    "flow": flow(3.0, 0.99),
}
# Solvers whose later calls go on from the sample, each with the reason.
GOES_ON = {
    "PredictorCorrector": "each call is a step of its own, of Langevin or to the next level",
    "CFGPlusPlus": "the unguided noise of a call is what its sample holds beside the unguided x0",
    "EDICT": "each call moves one of two samples by what the model says of the other, which is its sample",
}


def _rows(solver, path):
    return solver.rows(grid(PATHS[path], 7), PATHS[path][0])


def _several(solver):
    return type(solver).__name__ != "EulerMaruyama" and bool(np.any(_rows(solver, "flow").stage > 0))


SEVERAL = list(filter(_several, dict.fromkeys([*SOLVERS, *VARIANTS])))
each_solver = pytest.mark.parametrize("solver", SEVERAL, ids=map(solver_name, SEVERAL))


@pytest.mark.host
def test_every_kind_of_several_calls_is_here():
    kinds = {type(one).__name__ for one in SEVERAL}
    assert kinds >= {"Heun", "LateHeun", "Midpoint", "Adams", "OwnAdams", "DPMSinglestep", "PredictorCorrector"}


@pytest.mark.host
@pytest.mark.parametrize("path", PATHS)
@each_solver
def test_no_register_takes_the_sample_of_a_later_call(solver, path):
    """With x, x0 and the noise that the model says as operands of their own, x has no part in any register of a row
    after the first of its step."""
    rows = _rows(solver, path)
    memory, draws = len(solver.memory), solver.draws
    x, x0, noise, *others = np.eye(3 + memory + draws)
    model = Estimate(x0, noise, noise, slope=0.0)
    after = solver.update(rows, x, model, tuple(others[:memory]), tuple(others[memory:]))
    shape = (len(rows), len(x))
    taken = np.stack([np.broadcast_to(one, shape)[:, 0] for one in (after.sample, *after.memory)], axis=1)
    later = rows.stage[:, 0] > 0
    assert np.any(later)
    assert not np.any(taken[later]) or type(solver).__name__ in GOES_ON


EDITED = {
    "heun": ms.Heun(),
    "heun-karras": ms.Heun(use_karras_sigmas=True, prediction_type="v_prediction"),
    "flow-heun": ms.FlowMatchHeun(shift=2.0),
    "karras-ve": ms.KarrasVe(s_churn=0.0),
}


@pytest.mark.parametrize("name", EDITED)
def test_a_sample_edited_between_the_calls(name, make, backend, has_float64):
    """Heun's method by hand, as a loop that keeps the first sample and slope and asks the model about an edited one."""
    recipe, dtype = EDITED[name], "float64" if has_float64 else "float32"
    plan, prediction = recipe.plan(5), recipe.parts().prediction
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3)) * float(plan.grid.init_noise_sigma)
    state = plan.start(make(rng.standard_normal((2, 3)), dtype))._replace(sample=make(x, dtype))
    scales, here = plan.rows.scale[:, 0], (plan.rows.alpha[:, 0], plan.rows.sigma[:, 0])

    def slope(seen, output, row, step):
        alpha, sigma = (float(level[row]) for level in here)
        read = (float(scales[row]) * seen, output, float(scales[row]) * alpha, float(scales[row]) * sigma)
        x0 = prediction.denoised(*read)
        noise = (seen - alpha * x0) / sigma
        return np.diff(plan.alphas)[step] * x0 + np.diff(plan.sigmas)[step] * noise

    step = -1
    for row, stage in enumerate(plan.stages):
        output = rng.standard_normal((2, 3))
        if stage == 0:
            step, anchor = step + 1, x
            first = slope(x, output, row, step)
            x = anchor + first
        else:
            x = 1.3 * x + 0.7  # what a callback does
            state = state._replace(sample=1.3 * state.sample + 0.7)
            x = anchor + (first + slope(x, output, row, step)) / 2
        state = plan.step(state, make(output, dtype))
        tolerance = 1e-11 if has_float64 else 1e-4
        np.testing.assert_allclose(backend.to_numpy(state.sample), x, atol=tolerance * np.abs(x).max(), rtol=0)
