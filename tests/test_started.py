"""Multistep solvers whose first steps are those of another method."""

from dataclasses import replace

import numpy as np
import pytest
from made import flow, vp
from zoo import composed

import multisched as ms
from multisched.analysis import Gaussian
from multisched.analysis.exact import model_of
from multisched.solvers import (
    DDIM,
    Adams,
    DPMMultistep,
    DPMSinglestep,
    Euler,
    ExponentialAdams,
    ExponentialRK,
    Heun,
    Midpoint,
    PiFlow,
    RungeKutta,
    Started,
    Straightened,
)


def _weights(solver, path="vp", n=9):
    return composed(path, solver).plan(n).tableau.fold()


@pytest.mark.host
@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("path", ["vp", "edm", "flow"])
def test_started_with_a_step_of_its_own_it_is_the_solver(path, steps):
    """The first step of DPM-Solver++ is Euler's. A corrector takes no step of another method again."""
    dpm, corrected = DPMMultistep(3, lower_order_final=False), ExponentialAdams(True, 1, 3)
    found, wanted = _weights(Started(dpm, Euler()), path), _weights(dpm, path)
    np.testing.assert_allclose(found.weights, wanted.weights, atol=1e-12, rtol=1e-9)
    disabled = replace(corrected, disable_corrector=tuple(range(steps + (path == "flow"))))
    found, wanted = _weights(Started(corrected, Euler(), steps), path), _weights(disabled, path)
    np.testing.assert_allclose(found.weights, wanted.weights, atol=1e-12, rtol=1e-9)


@pytest.mark.host
def test_calls_of_a_run():
    plan = composed("vp", Started(DPMMultistep(3), ExponentialRK("res_3s"), 2)).plan(8)
    assert plan.stages == (0, 1, 2, 0, 1, 2, *(0,) * 6) and plan.order == 3
    only = composed("vp", ExponentialRK("res_3s")).plan(8)
    np.testing.assert_array_equal(plan.timesteps[:6], only.timesteps[:6])
    # A start at pure noise is one step more, of one call where its lam is infinite.
    assert composed("flow", Started(DPMMultistep(3), Heun(), 2)).plan(8).stages == (*(0, 1) * 3, *(0,) * 5)
    assert composed("flow", Started(DPMMultistep(3))).plan(8).stages == (0, 0, 1, 2, *(0,) * 6)
    assert (
        len(composed("vp", Started(DPMMultistep(3), Heun(), 20)).plan(3)) == 5
    )  # all of them, and one call at the end


@pytest.mark.host
@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (Straightened(Started(DPMMultistep(3), RungeKutta())), 3),
        (Straightened(Started(Adams(), RungeKutta(), 2)), 4),
        (Straightened(Started(ExponentialAdams(True, 3, 4, falling=15.0), RungeKutta())), 4),
        (Straightened(DPMMultistep(3)), 2),
    ],
)
def test_order_from_pure_noise(solver, order):
    """On the straight path pure noise is a point like others."""
    gaussian, x = Gaussian(0.4, 0.6), np.linspace(-1.8, 1.9, 5)[:, None]
    recipe, errors = ms.Scheduler(*flow(), "flow_prediction", solver), []
    for n in (192, 384):
        plan = recipe.plan(sigmas=np.linspace(1.0, 0.3, n + 1), stop=n)
        found = ms.sample(model_of(recipe, gaussian), plan, x)
        errors.append(np.abs(found - gaussian.flow_map(x, (0.0, 1.0), (plan.alphas[-1], plan.sigmas[-1]))).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15), errors


@pytest.mark.host
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Started(DDIM(1.0)), "solver must be a deterministic solver that has an order"),
        (lambda: Started(start=DDIM(1.0)), "start must be a deterministic solver"),
        (lambda: Started("dpm"), "solver must be a deterministic solver"),
        (lambda: Started(start=PiFlow()), "start must be a solver of one output"),
        (lambda: Started(steps=0), "steps must be at least 1"),
        (lambda: composed("vp", Started(RungeKutta())).plan(5), "solver must be a solver of one model call a step"),
        (lambda: composed("vp", Started(start=DPMSinglestep())).plan(5), "start must have all calls of a step within"),
    ],
)
def test_what_does_not_go_together_is_refused(make, said):
    with pytest.raises(ms.ScheduleError, match=said):
        make()


@pytest.mark.host
def test_any_recipe_takes_one():
    """By its parts, on any spacing, and over a grid of its own."""
    path, spacing, prediction, *_ = ms.DPMSolverMultistep().parts()
    recipe = ms.Scheduler(path, spacing, prediction, Started(DPMMultistep(3), Midpoint()))
    assert len(recipe.plan(6, spacing="karras")) == len(recipe.plan(6)) == 7
    assert recipe.plan(6, start=3).stages == (0, 1, 0, 0)
    assert replace(recipe, solver=replace(recipe.solver, steps=2)).plan(6).stages == (0, 1, 0, 1, 0, 0, 0, 0)
    assert ms.Scheduler(*vp("trailing", "karras"), "epsilon", Started()).plan(4).order == 3
