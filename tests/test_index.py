"""An index that is an array: coefficients gathered from the device's table, for one row or a row per sample."""

import numpy as np
import pytest
from zoo import EVERY, arrays, every_recipe, run

import multisched as ms


def _index(backend, make, values):
    return make(values, "int64" if backend.name == "numpy" else "int32")


def _draws(plan, make, values):
    return tuple(make(values) for _ in range(plan.noise_draws)) or None


def _close(recipe, found, wanted):
    """Equal bit for bit, save where a mean, a norm or an exponential is taken on the way."""
    plan = recipe.plan(2)
    if plan.output_transform is None and plan.noise_transform is None:
        np.testing.assert_array_equal(found, wanted)
    else:
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * max(1.0, np.abs(wanted).max()))


@every_recipe
def test_an_array_for_index_makes_the_same_run(recipe, make, backend):
    """A 0-d one, and one for each sample; and a run that has ended stays where it is."""
    plan = recipe.plan(5)
    outputs, draws = arrays(len(plan), seed=1), arrays(len(plan), seed=2)
    states = run(plan, make, arrays(1)[0], outputs, draws)
    for first in (0, [0, 0]):
        state = states[0]._replace(index=_index(backend, make, first))
        for row in range(len(plan)):
            given = plan.model_input(state)
            wanted = plan.model_input(states[row])
            np.testing.assert_array_equal(backend.to_numpy(given), backend.to_numpy(wanted))
            np.testing.assert_allclose(backend.to_numpy(plan.timestep(state)), plan.timesteps[row], rtol=1e-6)
            x0, same = (plan.denoised(one, make(outputs[row])) for one in (state, states[row]))
            _close(recipe, backend.to_numpy(x0), backend.to_numpy(same))
            state = plan.step(state, make(outputs[row]), _draws(plan, make, draws[row]))
            _close(recipe, backend.to_numpy(state.sample), backend.to_numpy(states[row + 1].sample))
        if (plan.noise_transform is None and backend.name != "numpy") or first:
            after = plan.step(state, make(outputs[0]), _draws(plan, make, draws[0]))
            np.testing.assert_array_equal(backend.to_numpy(after.sample), backend.to_numpy(state.sample))
            np.testing.assert_array_equal(backend.to_numpy(after.index), len(plan))


def test_samples_at_rows_of_their_own(make, backend):
    """A batch at rows 3, 5 and 0 is three steps."""
    for recipe in EVERY.values():
        plan = recipe.plan(7)
        if plan.noise_transform is not None or getattr(recipe, "omega_mean", "") == "batch":
            continue
        registers = 1 + len(plan.tableau.registers)
        values = arrays(registers + 1 + max(1, plan.noise_draws), (3, 2, 4), seed=3)
        sample, *memory = values[: len(plan.tableau.registers)]
        output, draws = values[registers], values[registers + 1 :][: plan.noise_draws]
        state = ms.State(make(sample), tuple(map(make, memory)), _index(backend, make, [3, 5, 0]))
        noise = tuple(map(make, draws)) or None
        found = plan.step(state, make(output), noise)
        np.testing.assert_array_equal(backend.to_numpy(found.index), [4, 6, 1])
        for k, row in enumerate((3, 5, 0)):
            own = ms.State(make(sample[k : k + 1]), tuple(make(one[k : k + 1]) for one in memory), row)
            wanted = plan.step(own, make(output[k : k + 1]), tuple(make(z[k : k + 1]) for z in draws) or None)
            for one, other in zip((found.sample, *found.memory), (wanted.sample, *wanted.memory), strict=True):
                _close(recipe, backend.to_numpy(one)[k : k + 1], backend.to_numpy(other))


def test_tokens_at_rows_of_their_own(make, backend):
    """An index of shape (samples, tokens): each token takes the step of its row; one behind the last row stays."""
    rows = np.array([[0, 3, 7], [7, 5, 2]])
    for recipe in EVERY.values():
        plan = recipe.plan(7)
        if plan.noise_transform or plan.output_transform or plan.denoised_transform or len(plan) != 7:
            continue  # transforms measure whole samples
        count = len(plan.tableau.registers)
        values = arrays(count + 1 + plan.noise_draws, (2, 3, 4), seed=4)
        sample, *memory = map(make, values[:count])
        output, draws = make(values[count]), tuple(map(make, values[count + 1 :])) or None
        state = ms.State(sample, tuple(memory), _index(backend, make, rows))
        found, told = plan.step(state, output, draws), backend.to_numpy(plan.timestep(state))
        np.testing.assert_array_equal(backend.to_numpy(found.index), np.minimum(rows + 1, 7))
        assert told.shape == rows.shape
        for place in np.ndindex(rows.shape):
            row = int(rows[place])
            if row == len(plan):
                mine = (backend.to_numpy(found.sample)[place], values[0][place])
                np.testing.assert_array_equal(*mine)
                continue
            own = plan.step(state._replace(index=row), output, draws)
            for one, other in zip((found.sample, *found.memory), (own.sample, *own.memory), strict=True):
                _close(recipe, backend.to_numpy(one)[place], backend.to_numpy(other)[place])
            assert told[place] == pytest.approx(plan.timesteps[row], rel=1e-6)


def test_a_transition_at_an_array_for_index(make, backend):
    plan = ms.DDIM(eta=1.0).plan(6)
    x, output = (make(values) for values in arrays(2))
    mean, std = plan.transition(ms.State(x, (), _index(backend, make, [1, 4])), output)
    for k, row in enumerate((1, 4)):
        wanted, own = plan.transition(ms.State(x, (), row), output)
        np.testing.assert_array_equal(backend.to_numpy(mean)[k], backend.to_numpy(wanted)[k])
        assert float(backend.to_numpy(std)[k, 0, 0]) == pytest.approx(own, rel=1e-6)
    density = backend.to_numpy(ms.log_prob(x, mean, std))
    for k, row in enumerate((1, 4)):
        one = ms.log_prob(x, *plan.transition(ms.State(x, (), row), output))
        assert density[k] == pytest.approx(backend.to_numpy(one)[k], rel=1e-5)


def test_an_index_per_frame(make, backend):
    """An index of more axes than the batch: a row for each sample and frame."""
    plan = ms.FlowMatchEuler(shift=3.0).plan(6)
    x, output = arrays(2, (2, 3, 4))
    rows = np.array([[0, 1, 2], [5, 3, 6]])
    after = plan.step(ms.State(make(x), (), _index(backend, make, rows)), make(output))
    steps = np.append(np.diff(plan.sigmas), 0.0).astype(np.float32)[rows]
    np.testing.assert_allclose(backend.to_numpy(after.sample), x + steps[..., None] * output, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(backend.to_numpy(after.index), [[1, 2, 3], [6, 4, 6]])


def test_the_table_is_put_on_a_device_once(make, backend):
    plan = ms.DPMSolverMultistep().plan(4)
    table = plan.table(backend, backend.device(make(0.0)))
    assert table is plan.table(backend, backend.device(make(0.0))) and table.shape[1] > 5
    assert ms.backends.of(table) is backend and str(table.dtype).endswith("float32")


def test_bad_indices_are_refused(make, backend):
    plan = ms.FlowMatchEuler().plan(3)
    x = make(arrays(1)[0])
    other = ms.backends.get("dask").asarray([0, 0]) if backend.name == "numpy" else np.array([0, 0])
    for index, says in (
        (make([0.0, 1.0]), "an int or an integer array; given .*float32"),
        (other, f"the index is an array of (dask|numpy), the sample of {backend.name}"),
        (_index(backend, make, [0, 1, 2]), r"index has shape \(3,\), the sample \(2, 3, 4\)"),
        ("0", "an int or an integer array; given str"),
    ):
        with pytest.raises(ms.ScheduleError, match=says):
            plan.step(ms.State(x, (), index), x)
