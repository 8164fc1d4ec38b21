"""The table against the solver's own formula, and the table's own rules."""

import numpy as np
import pytest
from zoo import RECIPES, exempt

import multisched as ms
from multisched.solvers import Estimate
from multisched.table.tableau import tabulate

PREDICTIONS = ("epsilon", "sample", "v_prediction", "flow_prediction")


@pytest.mark.host
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_the_table_is_the_formula_run_on_arrays(recipe, prediction):
    """Each solver's update, run directly on samples row by row, is what its table gives."""
    parts = recipe.parts()
    schedule, solver = parts.path, parts.solver
    prediction = ms.Prediction(prediction)
    grid = parts.grid(7)
    if np.any(prediction.singular(grid.alphas[:-1], grid.sigmas[:-1])):
        grid = grid.part(1, 7)
    rows, tableau = tabulate(solver, grid, prediction, schedule)
    folded = tableau.fold()
    rng = np.random.default_rng(1)
    for index in range(len(rows)):
        row = rows.single(index)
        x, output, *registers = rng.standard_normal((2 + len(solver.memory), 5))
        noise = tuple(rng.standard_normal((solver.draws, 5)))
        x0, raw = solver.estimate(row, prediction, x, (output,))
        p, q = tableau.x0_weights[index]
        model = Estimate(x0, (x - row.alpha * x0) / row.sigma if row.sigma else raw, raw, slope=p)
        after = solver.update(row, x, model, tuple(registers), noise)
        operands = np.stack([x, *registers, output, x0, *noise])
        short = np.stack([x, *registers, output, *noise])
        wanted = np.stack([after.sample, *after.memory])
        size = np.abs(tableau.weights[index]).max()
        np.testing.assert_allclose(tableau.weights[index] @ operands, wanted, atol=1e-13 * size, rtol=1e-12)
        np.testing.assert_allclose(folded.weights[index] @ short, wanted, atol=1e-11 * size, rtol=1e-9)
        np.testing.assert_allclose(p * x + q * output, x0, rtol=1e-12, atol=1e-12)


@pytest.mark.host
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_no_register_is_read_before_it_is_written(recipe):
    """What the memory holds where a run begins reaches no sample."""
    if exempt("reads no register before it is written", recipe):
        return
    tableau = recipe.plan(9).tableau.fold()
    count = len(tableau.registers)
    reached = np.eye(count)[:, 1:]
    for weights in tableau.weights[:, :, :count]:
        reached = weights @ reached
        assert not np.any(reached[0])


@pytest.mark.host
def test_euler_on_a_flow_is_one_sum_of_two_arrays():
    folded = ms.FlowMatchEuler(shift=3.0).plan(28).tableau.fold()
    assert folded.operands == ("sample", "output")
    assert np.all(folded.weights[:, 0, 0] == 1.0)
    np.testing.assert_allclose(
        folded.weights[:, 0, 1], np.diff(ms.FlowMatchEuler(shift=3.0).plan(28).sigmas), rtol=1e-12
    )


@pytest.mark.host
def test_structural_zeros_ones_and_copies_are_exact():
    weights = ms.FlowMatchHeun(shift=3.0).plan(10).tableau.fold().weights
    first, second = weights[0::2], weights[1::2]
    assert np.all(first[:, 0, 0] == 1) and np.all(first[:, 0, 1:3] == 0) and np.all(first[:, 1] == [1, 0, 0, 0])
    assert np.all(second[:, 0, :3] == [0, 1, 0.5]) and np.all(second[:, 1] == [0, 1, 0, 0])


@pytest.mark.host
def test_folding_twice_is_folding_once():
    folded = ms.DDIM(eta=0.5).plan(5).tableau.fold()
    assert folded.folded and folded.fold() is folded


@pytest.mark.host
def test_a_table_is_validated():
    table = ms.FlowMatchEuler().plan(3).tableau
    with pytest.raises(ms.ScheduleError, match="weights"):
        ms.Tableau(table.weights[:, :, :2], table.x0_weights, table.registers, table.operands)
    with pytest.raises(ms.ScheduleError, match="not finite"):
        ms.Tableau(table.weights * np.nan, table.x0_weights, table.registers, table.operands)
    with pytest.raises(ms.ScheduleError, match="first operands"):
        ms.Tableau(table.weights, table.x0_weights, ("other",), table.operands)


@pytest.mark.host
def test_a_plan_prints_as_a_table():
    text = str(ms.FlowMatchHeun(shift=3.0).plan(3))
    assert "3 steps, 5 model calls, order 2, deterministic" in text
    assert text.count("sample =") == 5
    assert "sample = +1 anchor +0.5 slope -0.124813 output" in text
    assert str(ms.DDIM().plan(2).tableau).count("x0") == 2


@pytest.mark.host
def test_plans_and_recipes_are_immutable_hashable_and_read_only():
    recipe = ms.DDIM(trained_betas=np.linspace(1e-4, 0.02, 1000))
    plan = recipe.plan(5)
    assert hash(recipe) == hash(ms.DDIM(trained_betas=list(np.linspace(1e-4, 0.02, 1000))))
    assert plan == recipe.plan(5) and hash(plan) == hash(recipe.plan(5)) and plan != recipe.plan(6)
    assert plan != ms.DDIM(clip_sample_range=2.0).plan(5)
    for owner, name in ((plan, "order"), (recipe, "eta"), (plan.grid, "sigmas"), (plan.tableau, "weights")):
        with pytest.raises(AttributeError):
            setattr(owner, name, 0)
    for array in (plan.sigmas, plan.alphas, plan.timesteps, plan.tableau.weights, plan.tableau.x0_weights):
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


@pytest.mark.host
def test_options_are_kept_as_plain_numbers():
    single = ms.FlowMatchEuler(shift=np.float32(3), num_train_timesteps=np.int64(1000), invert_sigmas=np.bool_(True))
    plain = ms.FlowMatchEuler(shift=3.0, invert_sigmas=True)
    assert single == plain and hash(single) == hash(plain) and single.plan(5) == plain.plan(5)
    assert type(single.shift) is float and type(single.num_train_timesteps) is int


@pytest.mark.host
def test_a_plan_survives_pickling_and_copying():
    import copy
    import pickle

    plan = ms.FlowMatchHeun(s_churn=1.0).plan(4)
    for again in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan), copy.copy(plan)):
        assert again == plan and hash(again) == hash(plan)
        assert not again.sigmas.flags.writeable


@pytest.mark.host
def test_what_is_next_to_nothing_counts_where_x0_is_large():
    """At alpha = 3e-45 the noise that a model finds says x0 to within 1e44: alpha_next of that is no dust."""
    recipe = ms.CogVideoXDDIM(beta_end=0.9)
    plan, schedule = recipe.plan(5), recipe.parts().path
    alpha, sigma = (one[0] for one in (plan.alphas, plan.sigmas))
    alpha_next, sigma_next = (one[0] for one in (plan.grid.next_alphas, plan.grid.next_sigmas))
    assert alpha < 1e-40 and schedule.alphas_cumprod[-1] >= 0
    wanted = [alpha_next / alpha, sigma_next - alpha_next / alpha * sigma]
    np.testing.assert_allclose(plan.folded.weights[0, 0, :2], wanted, rtol=1e-12)
