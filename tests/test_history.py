"""Runs in parts: plans that go on from a run, on its grid or on another; and plans of one step."""

from dataclasses import replace

import numpy as np
import pytest
from made import flow
from zoo import EVERY, arrays, every_recipe

import multisched as ms
from multisched.analysis import Gaussian
from multisched.analysis.exact import model_of

STEPS = 7


def _split(recipe, grid, k):
    """The plan of the steps from k on, or None where step k begins within calls that belong together."""
    rows = recipe.plan_over(grid).rows
    served = recipe.parts().solver.serves(rows)[:, 0]
    if not rows.stage[served >= k].size or rows.stage[served >= k][0] == 0:
        return recipe.plan_over(grid, history=k)
    with pytest.raises(ms.ScheduleError, match="belong together"):
        recipe.plan_over(grid, history=k)
    return None


@pytest.mark.host
@every_recipe
def test_the_rows_after_a_history_are_those_of_the_whole(recipe):
    grid = recipe._made.grid(STEPS)
    whole = recipe.plan_over(grid)
    found = [_split(recipe, grid, k) for k in range(len(grid) + 1)]
    assert found[0] == whole and sum(plan is not None for plan in found) > len(whole.grid) / 3
    for k, plan in enumerate(found):
        if plan is None:
            continue
        first = len(whole) - len(plan)
        np.testing.assert_array_equal(plan.tableau.weights, whole.tableau.weights[first:])
        np.testing.assert_array_equal(plan.timesteps, whole.timesteps[first:])
        np.testing.assert_array_equal(plan.sigmas, whole.sigmas[k:])
        np.testing.assert_array_equal(plan.noise_parameters, whole.noise_parameters[first:])
        assert (plan.history, plan.grid.first, plan.grid.total) == (k, k, whole.grid.total)
        rows = range(len(plan))
        assert [plan.noise_address(row) for row in rows] == [whole.noise_address(first + row) for row in rows]
        assert [plan.rows.interval(row) for row in rows] == [whole.rows.interval(first + row) for row in rows]
        assert [plan.needs_noise(row) for row in rows] == [whole.needs_noise(first + row) for row in rows]


@pytest.mark.parametrize("name", ["dpm-3", "dpm-single-3", "sa-4", "unipc", "heun", "lms-started", "ddpm", "er-sde"])
def test_a_run_in_two_plans_is_the_run(name, make, backend):
    """To the bit, with an int for index and with an array."""
    recipe = EVERY[name]
    whole = recipe.plan(STEPS)
    late = next(plan for k in (4, 3) if (plan := _split(recipe, whole.grid, k)) is not None)
    calls = len(whole) - len(late)
    x, *outputs = arrays(1 + len(whole))

    def run(plan, state, first):
        for row in range(len(plan) if first else calls):
            z = ms.noise.draw_row(ms.noise.source(3), plan, row, state.sample) if plan.needs_noise(row) else None
            if z is None and plan.stochastic and hasattr(state.index, "shape"):
                z = (backend.xp.zeros_like(state.sample),) * plan.noise_draws
            state = plan.step(state, make(outputs[first + row]), z)
        return state

    half = run(whole, whole.start(make(x)), 0)
    state, rest = half, half
    for row in range(calls, len(whole)):
        z = ms.noise.draw_row(ms.noise.source(3), whole, row, state.sample) if whole.needs_noise(row) else None
        state = whole.step(state, make(outputs[row]), z)
    rest = run(late, late.resume(half), calls)
    np.testing.assert_array_equal(backend.to_numpy(rest.sample), backend.to_numpy(state.sample))
    index = backend.asarray(calls, "int32", backend.device(state.sample))
    traced = run(late, late.resume(half._replace(index=index)), calls)
    np.testing.assert_allclose(backend.to_numpy(traced.sample), backend.to_numpy(state.sample), rtol=2e-5, atol=1e-5)


@pytest.mark.host
@pytest.mark.parametrize(
    "solver",
    [
        ms.solvers.Started(ms.solvers.DPMMultistep(3), ms.solvers.RungeKutta()),
        ms.solvers.Started(ms.solvers.Adams(), ms.solvers.RungeKutta(), 2),
        ms.solvers.Started(ms.solvers.ExponentialAdams(True, 3, 4, falling=15.0), ms.solvers.RungeKutta()),
    ],
    ids=["dpm", "lms", "unipc"],
)
def test_a_change_of_the_grid_keeps_the_order(solver):
    """Half way the steps get another length; without the memory the end is far off."""
    gaussian, x = Gaussian(0.4, 0.6), np.linspace(-1.8, 1.9, 5)[:, None]
    recipe = ms.Scheduler(*flow(), "flow_prediction", solver)
    model, errors = model_of(recipe, gaussian), []
    for n in (48, 96):
        first = np.linspace(0.8, 0.5, n + 1)
        early = recipe.plan(sigmas=first, stop=n)
        half, ends = _end(early, early.start(x), model), []
        for history, kept in ((n, 1), (3, 1), (3, 0)):
            points = np.append(first[n - history : n], np.linspace(0.5, 0.2, n // 2 + 1))
            late = recipe.plan_over(recipe.plan(sigmas=points, stop=len(points) - 1).grid, history=history)
            begun = half._replace(memory=tuple(kept * one for one in half.memory))
            end = _end(late, late.resume(begun), model).sample
            ends.append(np.abs(end - gaussian.flow_map(x, (0.2, 0.8), (late.alphas[-1], late.sigmas[-1]))).max())
        errors.append(ends)
    slopes = np.log2(np.array(errors[0]) / errors[1])
    assert slopes[:2] == pytest.approx(solver.order, abs=0.35) and errors[1][2] > 1e-3, (errors, slopes)


def _end(plan, state, model):
    for t in plan.timesteps:
        state = plan.step(state, model(state.sample, t))
    return state


def test_a_state_that_does_not_fit_is_refused(make):
    two, three = (ms.DPMSolverMultistep(solver_order=order) for order in (2, 3))
    plan = two.plan_over(two.plan(6).grid, history=3)
    x = make(arrays(1)[0])
    with pytest.raises(ms.ScheduleError, match=r"goes on from 3 steps before it.*plan\.resume\(state\)"):
        plan.start(x)
    with pytest.raises(ms.ScheduleError, match="keeps 1 memory registers; the state has 2"):
        plan.resume(three.plan(6).start(x))
    with pytest.raises(ms.ScheduleError, match="memory has shape"):
        plan.resume(two.plan(6).start(x)._replace(memory=(x[:1, ...],)))
    with pytest.raises(ms.ScheduleError, match="goes on from 3 steps"):
        ms.stack_plans([plan, two.plan(4)]).start(x)
    euler = ms.FlowMatchEuler()
    later = euler.plan_over(euler.plan(6).grid, history=3)
    assert later.start(x).memory == ()  # what keeps nothing needs nothing


@pytest.mark.host
@pytest.mark.parametrize(("history", "said"), [(-1, "given -1"), (7, "given 7"), (1.5, "an int"), (True, "an int")])
def test_a_history_is_a_number_of_steps(history, said):
    recipe = ms.DPMSolverMultistep()
    with pytest.raises(ms.ScheduleError, match=said):
        recipe.plan_over(recipe.plan(6).grid, history=history)


@pytest.mark.host
def test_a_history_ends_where_a_group_does():
    recipe = ms.DPMSolverSinglestep(solver_order=3, final_sigmas_type="sigma_min", lower_order_final=False)
    grid = recipe.plan(9).grid
    with pytest.raises(ms.ScheduleError, match=r"history=5 ends within calls that belong together.*give 3"):
        recipe.plan_over(grid, history=5)
    assert recipe.plan_over(grid, history=3).stages == (0, 1, 2) * 2


@pytest.mark.host
@every_recipe
def test_a_step_between_two_times_is_the_first_of_a_plan(recipe):
    times = recipe.plan(3).grid.timesteps[:2]
    calm = replace(recipe, quirks=tuple(quirk for quirk in recipe.quirks if not quirk.whole))
    try:
        wanted = calm.plan(timesteps=times, stop=1)
    except ms.ScheduleError:
        return
    if len(wanted) and wanted.sigmas[1] * wanted.alphas[0] < wanted.sigmas[0] * wanted.alphas[1]:
        found = recipe.between(*times.tolist())
        assert found.tableau == wanted.tableau and (found.order, found.name) == (wanted.order, wanted.name)
        assert found.timesteps.tolist() == wanted.timesteps.tolist() and len(found.grid) == 1
        np.testing.assert_array_equal([found.alphas, found.sigmas], [wanted.alphas, wanted.sigmas])
    else:  # which is part of a run to the noise, or of none
        assert type(recipe).__name__ in ("DDIMInverse", "LCM"), repr(wanted)


@pytest.mark.host
def test_a_single_step_does_not_have_the_stride_of_a_run():
    """Runs of diffusers' DDIM aim T // n timesteps lower; a step from 800 to 600 leads to 600."""
    faithful, ours = (
        ms.from_diffusers({"_class_name": "DDIMScheduler", "clip_sample": False}),
        ms.DDIM(clip_sample=False),
    )
    assert faithful.plan(timesteps=[800, 600]).grid.next_sigmas[0] < 0.8
    assert faithful.between(800, 600).tableau == ours.between(800, 600).tableau
    assert faithful.between(800, 600).grid.next_sigmas[0] == faithful.plan(timesteps=[800, 600]).sigmas[1]


def test_times_chosen_on_the_way(make, backend):
    """A run step by step is that of the plan with these times; x is not scaled where it begins."""
    recipe, times = ms.DDIM(eta=0.7, clip_sample=False), [901.0, 640.0, 200.0, 17.0]
    plan = recipe.plan(timesteps=times)
    x, *outputs = arrays(1 + len(plan))
    state, sample = plan.start(make(x)), make(x)
    for row, (t, after, output) in enumerate(zip(times, [*times[1:], None], outputs, strict=True)):
        z = ms.noise.draw_row(ms.noise.source(3), plan, row, sample)
        state, step = plan.step(state, make(output), z), recipe.between(t, after)
        sample = step.step(step.start(sample), make(output), z).sample
        np.testing.assert_array_equal(backend.to_numpy(sample), backend.to_numpy(state.sample))
    euler = ms.Euler().between(500.5, 300.25)
    np.testing.assert_array_equal(backend.to_numpy(euler.start(make(x)).sample), x)
    assert euler.timesteps.tolist() == [500.5] and euler.sigmas.shape == (2,)
    assert ms.DDPM().between(500, 400).stochastic  # which is not its last step
    assert not ms.DDPM().between(1).stochastic
    assert ms.DDIM(set_alpha_to_one=False).between(1.5).grid.next_sigmas > 0 == ms.DDIM().between(1.5).sigmas[1]


@pytest.mark.host
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ms.DDIM().between(300, 500), "a step leads to a cleaner level; given t=300 and t_prev=500"),
        (lambda: ms.DDIM().between(300, 300), "given t=300 and t_prev=300"),
        (lambda: ms.DDIM().between("t", 3), "t must be a number; given 't'"),
        (lambda: ms.DDIM().between(3, [1, 2]), "t_prev must be a number"),
        (lambda: ms.DDIM().between(5000, 3), "timesteps must lie in"),
        (lambda: ms.FlowMatchEuler().between(float("nan"), 3), "given .*nan"),
        (lambda: ms.FlowMatchEuler().between(0.0), "given t=0.0 and t_prev=None"),
    ],
)
def test_times_that_make_no_step_are_refused(make, said):
    with pytest.raises(ms.ScheduleError, match=said):
        make()


@pytest.mark.host
def test_a_plan_says_its_history():
    recipe = ms.DPMSolverMultistep()
    plan = recipe.plan_over(recipe.plan(6).grid, history=2)
    assert plan == recipe.plan_over(recipe.plan(6).grid, history=2) != replace(plan, history=0)
