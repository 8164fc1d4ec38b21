"""Compiled steps that overwrite their own state, one register after the other."""

import numpy as np
import pytest
from zoo import EVERY, arrays

import multisched as ms
from multisched.table.in_turn import served, taken_over, turns

LAYOUTS = {recipe.plan(6).layout.of_step: name for name, recipe in EVERY.items()}
NAMES = [name for layout, name in LAYOUTS.items() if served(layout)]


@pytest.mark.host
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_overwritten_that_is_read_later(name):
    layout = EVERY[name].plan(6).layout
    operands = {entry.operand for register in layout.sums for entry in register}
    alive, made = set(operands), set()
    for register, over in turns(layout.sums):
        assert {entry.operand for entry in layout.sums[register]} <= alive
        assert over is None or over < len(layout.sums)  # the state's own
        alive.discard(over)
        made.add(register)
    taken = {k for k, register in enumerate(layout.sums) if taken_over(register)}
    assert made == set(range(len(layout.sums))) - taken
    assert {layout.sums[k][0].operand for k in taken} <= alive


@pytest.mark.host
def test_two_registers_take_no_new_memory():
    assert all(turn.over is not None for turn in turns(ms.DPMSolverMultistep().plan(6).layout.sums))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_compiled_step(name, make, backend):
    if backend.name != "jax":
        pytest.skip("donation is JAX's")
    plan = EVERY[name].plan(6)
    count = len(plan.tableau.registers)
    for row in range(len(plan)):
        given = arrays(count + 1 + plan.noise_draws, seed=row)
        sample, *memory = (make(one) for one in given[:count])
        output, *z = (make(one) for one in given[count:])
        state = ms.State(sample, tuple(memory), row)
        wanted = [backend.to_numpy(one) for one in _arrays(plan.step(state, output, tuple(z), compile=True))]
        found = plan.step(state, output, tuple(z), compile=True, out=state)
        for one, other in zip(_arrays(found), wanted, strict=True):
            np.testing.assert_allclose(backend.to_numpy(one), other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def _arrays(state):
    return state.sample, *state.memory
