"""Runs that are shared, interrupted and resumed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from zoo import EVERY, arrays, every_recipe, run

import multisched as ms


@every_recipe
def test_one_plan_in_32_threads_equals_serial(recipe, make, backend):
    plan = recipe.plan(6)

    def one(seed):
        noise, outputs, draws = (arrays(len(plan), seed=100 * seed + k) for k in range(3))
        return backend.to_numpy(run(plan, make, noise[0], outputs, draws)[-1].sample)

    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(one, range(32)))
    fresh = recipe.plan(6)
    assert fresh == plan
    for seed, found in enumerate(together):
        np.testing.assert_array_equal(found, one(seed))


@every_recipe
def test_stopped_after_every_row_saved_and_resumed(recipe, make, backend, tmp_path):
    plan = recipe.plan(4)
    outputs, draws = arrays(len(plan), seed=1), arrays(len(plan), seed=2)
    states = run(plan, make, arrays(1)[0], outputs, draws)
    for k, state in enumerate(states):
        saved = {f"memory_{i}": backend.to_numpy(array) for i, array in enumerate(state.memory)}
        np.savez(tmp_path / "state.npz", sample=backend.to_numpy(state.sample), index=state.index, **saved)
        with np.load(tmp_path / "state.npz") as file:
            memory = tuple(make(file[f"memory_{i}"]) for i in range(len(state.memory)))
            resumed = ms.State(make(file["sample"]), memory, file["index"])
        for row in range(k, len(plan)):
            z = tuple(make(draws[row]) for _ in range(plan.noise_draws)) if plan.needs_noise(row) else None
            resumed = plan.step(resumed, make(outputs[row]), z)
        np.testing.assert_array_equal(backend.to_numpy(resumed.sample), backend.to_numpy(states[-1].sample))
        assert int(resumed.index) == len(plan)


def test_a_step_leaves_its_arguments_as_they_were(make, backend):
    for recipe in EVERY.values():
        plan = recipe.plan(3)
        noise, output, z = (make(values) for values in arrays(3))
        state = plan.start(noise)
        before = [backend.to_numpy(array).copy() for array in (state.sample, *state.memory, output, z)]
        plan.step(state, output, tuple(z for _ in range(plan.noise_draws)) or None)
        after = [backend.to_numpy(array) for array in (state.sample, *state.memory, output, z)]
        assert state.index == 0
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)


def test_image_to_image_begins_on_the_path(make, backend):
    for recipe in (ms.FlowMatchEuler(shift=3.0), ms.DDIM(), ms.FlowMatchHeun()):
        plan = recipe.plan(10, strength=0.6)
        x0, noise = arrays(2)
        state = plan.start(make(noise), x0=make(x0))
        wanted = plan.alphas[0] * x0 + plan.sigmas[0] * noise
        np.testing.assert_allclose(backend.to_numpy(state.sample), wanted, atol=1e-6, rtol=0)
        nothing = recipe.plan(10, strength=0.0)
        assert len(nothing) == 0
        result = ms.sample(lambda x, t: x, nothing, make(noise), x0=make(x0))
        np.testing.assert_array_equal(backend.to_numpy(result), x0)
