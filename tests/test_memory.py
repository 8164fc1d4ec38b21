"""Memory that is used again, and how much a step takes."""

import tracemalloc

import numpy as np
import pytest
from zoo import EVERY, arrays, run

import multisched as ms
from multisched.backends.numpy_sums import BLOCK


def test_a_step_into_the_arrays_of_another_state(make, backend):
    """On NumPy and torch, whose arrays can be written to; elsewhere it is said that they cannot."""
    for recipe in EVERY.values():
        plan = recipe.plan(4)
        outputs, draws = arrays(len(plan), seed=1), arrays(len(plan), seed=2)
        states = run(plan, make, arrays(1)[0], outputs, draws)
        used = [plan.start(make(np.zeros((2, 3, 4), np.float32))) for _ in range(2)]
        state = states[0]
        for row in range(len(plan)):
            z = tuple(make(draws[row]) for _ in range(plan.noise_draws)) or None
            if backend.name not in ("numpy", "torch"):
                if plan.tableau.registers.count("mask"):
                    continue
                with pytest.raises(ms.ScheduleError, match="cannot be written to"):
                    plan.step(state, make(outputs[row]), z, out=used[0])
                break
            state = plan.step(state, make(outputs[row]), z, out=used[row % 2])
            assert state.sample is used[row % 2].sample
            wanted = states[row + 1]
            for one, other in zip((state.sample, *state.memory), (wanted.sample, *wanted.memory), strict=True):
                np.testing.assert_array_equal(backend.to_numpy(one), backend.to_numpy(other))


def test_a_state_is_not_written_into_itself(make, backend):
    if backend.name not in ("numpy", "torch"):
        pytest.skip(f"arrays of {backend.name} are not written to")
    plan = ms.DPMSolverMultistep().plan(3)
    state = plan.start(make(arrays(1)[0]))
    other = plan.start(make(arrays(1, (2, 3, 5))[0]))
    for out in (state, state._replace(sample=make(arrays(1)[0])), other, other._replace(memory=())):
        with pytest.raises(ms.ScheduleError, match="share no array"):
            plan.step(state, state.sample, out=out)


def test_a_jax_state_is_donated(make, backend):
    if backend.name != "jax":
        pytest.skip("donation is JAX's")
    plan = ms.DPMSolverMultistep().plan(3)
    output, state = make(arrays(1, seed=1)[0]), plan.start(make(arrays(1)[0]))
    wanted = backend.to_numpy(plan.step(state, output).sample)
    after = plan.step(state, output, compile=True, out=state)
    np.testing.assert_allclose(backend.to_numpy(after.sample), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    assert state.sample.is_deleted()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("share", [1 << 14, 1 << 30])
@pytest.mark.parametrize(
    "recipe", [ms.UniPCMultistep(solver_order=3), ms.DDIM(clip_sample_range=0.5)], ids=["unipc", "clipped"]
)
def test_large_arrays_are_summed_in_pieces(recipe, share, dtype, make, backend, monkeypatch):
    """As small ones are, bit for bit, also where they do not lie in one piece; on NumPy by several threads or one."""
    monkeypatch.setattr("multisched.backends.numpy_sums.SHARE", share)
    plan = recipe.plan(6)
    shape = (3, (1 << 17) + 7)  # more than a piece of either library
    sample, *memory, output = arrays(len(plan.tableau.registers) + 1, shape, seed=4)

    def step(cut):
        state = ms.State(*(make(one, dtype) for one in (cut(sample),)), tuple(make(cut(m), dtype) for m in memory), 4)
        return plan.step(state, make(cut(output), dtype))

    try:
        whole = step(lambda array: array)
    except ms.ScheduleError:
        assert backend.name == "array_api_strict", "only the standard itself lacks half precision"
        pytest.skip("the array-API standard has no half precision")
    for cut in (lambda a: a[:, :5], lambda a: a[1:2], lambda a: a[:, ::2]):
        part = step(cut)
        for one, other in zip((part.sample, *part.memory), (whole.sample, *whole.memory), strict=True):
            np.testing.assert_array_equal(backend.to_numpy(one), cut(backend.to_numpy(other)))


@pytest.mark.host
def test_threads_mind_what_the_caller_says_of_overflow(monkeypatch):
    monkeypatch.setattr("multisched.backends.numpy_sums.SHARE", 1)
    plan, huge = ms.FlowMatchEuler().plan(2), np.full(2 * BLOCK, -3e38, np.float32)
    with np.errstate(over="ignore"):
        assert np.all(np.isinf(plan.step(ms.State(-huge, (), 0), huge).sample))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        plan.step(ms.State(-huge, (), 0), huge)


@pytest.mark.host
@pytest.mark.parametrize("name", ["flow-euler", "flow-heun", "dpm-3", "unipc", "sa-4", "euler-ancestral", "ddim-clip"])
def test_a_step_takes_its_registers_and_no_more_than_a_sample_beside(name):
    plan = EVERY[name].plan(6)
    sample = np.ones((4, 300_000), np.float32)
    state = plan.start(sample)
    z = (sample,) * plan.noise_draws
    for _ in range(3):
        state = plan.step(state, sample, z)
    new = sum(len(one.operands) != 1 or one.weights != (1.0,) for one in plan._weights(3).sums)
    tracemalloc.start()
    plan.step(state, sample, z)
    peak = tracemalloc.get_traced_memory()[1] / sample.nbytes
    tracemalloc.stop()
    assert peak <= new + 1.05, peak
