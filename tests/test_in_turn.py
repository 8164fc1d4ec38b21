"""Compiled steps that overwrite their own state, one register after the other."""

import subprocess
import sys

import numpy as np
import pytest
from zoo import EVERY, arrays

import multisched as ms
from multisched.table.in_turn import of_row, served, taken_over, turns

LAYOUTS = {recipe.plan(6).layout.of_step: name for name, recipe in EVERY.items()}
NAMES = [name for layout, name in LAYOUTS.items() if served(layout)]


def _rows(plan):
    """The layout of each row."""
    _, columns = plan._packed
    return [of_row(plan.layout.of_step, columns[row]) for row in range(len(plan))]


@pytest.mark.host
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_overwritten_that_is_read_later(name, together):
    plan = EVERY[name].plan(6)
    for layout in {plan.layout, *_rows(plan)}:
        alive, made = set(range(len(layout.sums) + 1 + layout.draws)), []
        for registers, over in turns(layout.sums, together):
            assert {entry.operand for k in registers for entry in layout.sums[k]} <= alive
            assert set(over) <= alive & set(range(len(layout.sums)))  # the state's own
            assert len(over) <= len(registers)  # a compiler warns of what no result fits
            alive -= {*over}
            made += registers
        taken = [k for k, register in enumerate(layout.sums) if taken_over(register)]
        assert sorted(made + taken) == list(range(len(layout.sums)))
        assert {layout.sums[k][0].operand for k in taken} <= alive


@pytest.mark.host
@pytest.mark.parametrize("recipe", [ms.DPMSolverMultistep(), ms.Heun()])
def test_no_new_memory_is_taken(recipe):
    plan = recipe.plan(6)
    for layout in _rows(plan)[2:-2]:
        assert all(turn.over for turn in turns(layout.sums))


@pytest.mark.host
@pytest.mark.parametrize("name", NAMES)
def test_a_row_reads_what_has_a_weight_in_it(name):
    plan = EVERY[name].plan(6)
    for row, layout in enumerate(_rows(plan)):
        for weights, register in zip(plan.folded.weights[row], layout.sums, strict=True):
            assert {entry.operand for entry in register} == set(np.flatnonzero(weights) if weights.any() else [0])
        # A state's arrays are all different.
        taken = [register[0].operand for register in layout.sums if taken_over(register)]
        assert len(taken) == len(set(taken))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_compiled_step(name, make, backend):
    if backend.name != "jax":
        pytest.skip("donation is JAX's")
    plan = EVERY[name].plan(6)
    for row in range(len(plan)):
        state, output, z = _given(plan, row, make)
        wanted = [backend.to_numpy(one) for one in _arrays(plan.step(state, output, z, compile=True))]
        found = plan.step(state, output, z, compile=True, out=state)
        for one, other in zip(_arrays(found), wanted, strict=True):
            np.testing.assert_allclose(backend.to_numpy(one), other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_other_rows_do_not_count(make, backend):
    """What is left over in a register is not read by rows that give it no weight."""
    if backend.name != "jax":
        pytest.skip("donation is JAX's")
    plan = ms.Heun().plan(6)
    (x, _, _), output, _ = _given(plan, 4, make)
    full = make(np.full(x.shape, np.nan, np.float32)), make(np.full(x.shape, np.nan, np.float32))
    found = plan.step(ms.State(x, full, 4), output, compile=True, out=ms.State(x, full, 4))
    assert not any(np.isnan(backend.to_numpy(one)).any() for one in _arrays(found))


ONE_LOOP = """
import jax, numpy as np
import multisched as ms
from multisched.table.in_turn import _call, turns

backend, plan = ms.backends.get("jax"), ms.UniPCMultistep().plan(6)
assert backend.fuses_results
layout = plan.layout.of_step
(turn,) = turns(layout.sums, together=True)
assert len(turn.over) == len(turn.registers) == 3
arrays = [jax.numpy.full((64, 64), 1.0 + k) for k in range(5)]
state = ms.State(arrays[0], tuple(arrays[1:4]), 3)
wanted = plan.step(state, arrays[4], compile=True)
over = {k: arrays[k] for k in turn.over}
others = {k: one for k, one in enumerate(arrays) if k not in over}
made = _call(backend, tuple(layout.sums[k] for k in turn.registers), arrays[0].dtype)
coefficients = jax.numpy.ones(layout.end + 1)
assert made.lower(coefficients, over, others).compile().memory_analysis().temp_size_in_bytes < arrays[0].nbytes
found = plan.step(state, arrays[4], compile=True, out=state)
for one, other in zip((found.sample, *found.memory), (wanted.sample, *wanted.memory), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5)
"""


def test_with_a_flag_of_xla_one_loop_makes_all(backend, monkeypatch):
    if backend.name != "jax":
        pytest.skip("donation is JAX's")
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion")
    subprocess.run([sys.executable, "-c", ONE_LOOP], check=True)


def _given(plan, row, make):
    """A state, an output and noise."""
    count = len(plan.tableau.registers)
    given = [make(one) for one in arrays(count + 1 + plan.noise_draws, seed=row)]
    return ms.State(given[0], tuple(given[1:count]), row), given[count], tuple(given[count + 1 :])


def _arrays(state):
    return state.sample, *state.memory
