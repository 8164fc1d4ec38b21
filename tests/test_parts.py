"""Parts of a run: `stop` cuts it, and its rows are the first of the longer run, bit for bit."""

from dataclasses import fields

import numpy as np
import pytest
from made import vp
from zoo import EVERY, arrays, every_recipe

import multisched as ms

STEPS = 6


def _check_first(part, whole):
    """The rows of `part` are the first of `whole`, in all that a plan says of a row."""
    count = len(part)
    assert part.tableau.registers == whole.tableau.registers and part.tableau.operands == whole.tableau.operands
    pairs = [(getattr(plan.tableau, name) for plan in (part, whole)) for name in ("weights", "x0_weights")]
    pairs += [(getattr(plan.folded, name) for plan in (part, whole)) for name in ("weights", "x0_weights")]
    names = [one.name for one in fields(part.rows) if one.name not in ("grid", "opened")]
    assert part.rows.opened == whole.rows.opened
    pairs += [(getattr(plan.rows, name) for plan in (part, whole)) for name in names]
    pairs += [(getattr(plan, name) for plan in (part, whole)) for name in ("noise_parameters", "timesteps")]
    for found, wanted in pairs:
        np.testing.assert_array_equal(found, wanted[:count])
    for ask in ("noise_address", "needs_noise"):
        assert [getattr(part, ask)(row) for row in range(count)] == [getattr(whole, ask)(row) for row in range(count)]
    assert [part.rows.interval(row) for row in range(count)] == [whole.rows.interval(row) for row in range(count)]


@pytest.mark.host
@pytest.mark.parametrize("start", [0, 1, 3])
@every_recipe
def test_a_run_that_stops_early_is_the_beginning_of_the_whole(recipe, start):
    whole, calls = recipe.plan(STEPS, start=start), 0
    for stop in range(start, start + len(whole.grid) + 1):
        part = recipe.plan(STEPS, start=start, stop=stop)
        _check_first(part, whole)
        assert len(part.grid) == stop - start and (part.grid.first, part.grid.total) == (start, whole.grid.total)
        for name in ("alphas", "sigmas"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[: stop - start + 1])
        assert calls <= len(part)
        calls = len(part)
    assert calls == len(whole)


@pytest.mark.host
def test_the_jumps_of_inpainting_stop_too():
    recipe = ms.RePaint(jump_length=2, jump_n_sample=2)
    whole = recipe.plan(STEPS)
    for stop in range(len(whole.grid) + 1):
        _check_first(recipe.plan(STEPS, stop=stop), whole)


@pytest.mark.host
def test_the_first_step_of_plms_has_two_calls_however_short_the_run():
    whole, part = ms.PNDM(skip_prk_steps=True).plan(5), ms.PNDM(skip_prk_steps=True).plan(5, stop=1)
    ends = []
    for plan, calls in ((whole, 2), (part, len(part))):
        state = plan.start(np.ones((1, 1)))
        for _ in range(calls):
            state = plan.step(state, 0.3 * state.sample)
        ends.append(state.sample)
    assert len(part) == 2
    np.testing.assert_array_equal(*ends)


@pytest.mark.host
def test_what_lies_beyond_the_stop_is_not_refused():
    """A model of the noise says nothing of x0 at pure noise, where the last call of this run to the noise is."""
    path, down = vp("trailing", end="sigma_min", terminal_alpha_bar=0.0)
    recipe = ms.Scheduler(path, down | ms.spacings.Reversed(), "epsilon", ms.solvers.Heun())
    with pytest.raises(ms.ScheduleError, match="says nothing of x0"):
        recipe.plan(5)
    assert len(recipe.plan(5, stop=4)) == 8


@pytest.mark.parametrize("name", ["dpm-3", "sa-4", "unipc", "heun", "karras-ve", "flow-heun-churn"])
def test_a_scheduler_that_begins_part_of_the_way_stops_where_it_was_told(name, make, backend):
    recipe = EVERY[name]
    scheduler, plan = recipe.on(backend, rng=3), recipe.plan(8, start=2, stop=5)
    scheduler.set_timesteps(8, stop=5)
    x, *outputs = arrays(1 + len(plan))
    state, sample = ms.State(make(x), plan.start(make(x)).memory, 0), make(x)
    for row, output in enumerate(outputs):
        z = ms.noise.draw_row(ms.noise.source(3), plan, row, sample)
        state = plan.step(state, make(output), z)
        sample = scheduler.step(make(output), float(plan.timesteps[row]), sample)
        np.testing.assert_array_equal(backend.to_numpy(sample), backend.to_numpy(state.sample))
