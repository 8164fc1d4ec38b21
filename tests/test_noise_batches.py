"""An image owes nothing to its batch, for every stochastic scheduler: not to its neighbours, their order, or the part
of the batch and of the run that it is drawn in."""

import numpy as np
import pytest
from zoo import EVERY, exempt

import multisched as ms
from multisched.noise import BrownianNoise, HostNoise, NativeNoise, OffsetNoise, PhiloxNoise, PyramidNoise, Select
from multisched.transforms import LearnedVariance

STOCHASTIC = {name: recipe for name, recipe in EVERY.items() if recipe.plan(5).stochastic} | {"repaint": ms.RePaint()}
stochastic = pytest.mark.parametrize("recipe", STOCHASTIC.values(), ids=STOCHASTIC.keys())
SHAPE = (3, 4, 4)


def _steps(recipe):
    return 20 if exempt("needs no more than 5 steps", recipe) else 5


def _run(recipe, make, backend, noise, rng, **part):
    plan = recipe.plan(_steps(recipe), **part)
    parts = 2 if isinstance(plan.noise_transform, LearnedVariance) else plan.tableau.outputs
    inputs = {name: make(0.0 * backend.to_numpy(noise)) for name in plan.inputs}

    def model(x, t):
        output = x * 0.3
        return output if parts == 1 else backend.xp.concat([output] * parts, axis=1)

    return backend.to_numpy(ms.sample(model, plan, noise, rng=rng, inputs=inputs))


def _start(backend, device, rng, samples):
    return ms.noise.normal((samples, *SHAPE), rng, backend, device)


@stochastic
def test_batches(recipe, make, backend, device):
    """Alone, in another order, and in two parts: bit for bit, for one seed and for a seed per sample."""
    _check_batches(recipe, HostNoise, make, backend, device)


@pytest.mark.parametrize("name", ["euler-ancestral", "dpm-sde", "sa"])
def test_batches_of_device_noise(name, make, backend, device):
    _check_batches(STOCHASTIC[name], PhiloxNoise, make, backend, device)


def _check_batches(recipe, kind, make, backend, device):
    source = kind(7)
    whole = _run(recipe, make, backend, _start(backend, device, source, 4), source)
    assert not np.array_equal(whole[0], whole[1])
    for ids in ([2], [3, 1, 0, 2], [0, 1], [2, 3]):
        chosen = Select(source, ids)
        part = _run(recipe, make, backend, _start(backend, device, chosen, len(ids)), chosen)
        np.testing.assert_array_equal(part, whole[ids])

    seeds = (5, 11, 5 + 2**32)
    each = _run(recipe, make, backend, _start(backend, device, kind(seeds), 3), kind(seeds))
    for order in ([1], [2, 0, 1]):
        chosen = kind(tuple(seeds[k] for k in order))
        part = _run(recipe, make, backend, _start(backend, device, chosen, len(order)), chosen)
        np.testing.assert_array_equal(part, each[order])


@pytest.mark.host
@stochastic
def test_a_part_of_a_run_asks_for_the_noise_of_the_whole(recipe):
    whole = recipe.plan(_steps(recipe))
    try:
        part = recipe.plan(_steps(recipe), start=2)
    except ms.ScheduleError:
        pytest.skip("this recipe has no part of a run")
    rows = [row for row in range(len(whole)) if int(whole.rows.step[row, 0]) >= 2]
    if len(rows) != len(part):  # a solver that begins anew begins with other stages
        rows = []
    for row, at in zip(range(len(part)), rows, strict=False):
        assert part.noise_address(row) == whole.noise_address(at)
        np.testing.assert_allclose(part.rows.interval(row), whole.rows.interval(at), atol=1e-12)


@stochastic
def test_a_state_resumes(recipe, make, backend, device):
    """Nothing of the noise is in the state: a run goes on from its arrays and a number, in another process."""
    plan = recipe.plan(_steps(recipe))
    if plan.inputs or plan.noise_transform is not None or plan.tableau.outputs > 1:
        pytest.skip("covered by the whole runs")

    def run(state, first, last):
        for row in range(first, last):
            z = None
            if plan.needs_noise(row):
                source = ms.noise.source(9)
                z = ms.noise.draw(source, *plan.noise_address(row), state.sample, plan.rows.interval(row))
            state = plan.step(state, plan.model_input(state) * 0.3, z)
        return state

    start = plan.start(_start(backend, device, 9, 2))
    half = run(start, 0, len(plan) // 2)
    memory = tuple(make(backend.to_numpy(one)) for one in half.memory)
    copied = ms.State(make(backend.to_numpy(half.sample)), memory, half.index)
    found, wanted = run(copied, len(plan) // 2, len(plan)), run(start, 0, len(plan))
    np.testing.assert_array_equal(backend.to_numpy(found.sample), backend.to_numpy(wanted.sample))


@pytest.mark.parametrize(
    "rng",
    [
        NativeNoise(7),
        OffsetNoise(7),
        PyramidNoise(PhiloxNoise(7)),
        BrownianNoise(7, depth=10),
        OffsetNoise(BrownianNoise(7, depth=10)),
        ms.noise.ColouredNoise(7),
    ],
    ids=lambda source: f"{type(source).__name__}-{type(getattr(source, 'source', None)).__name__}",
)
def test_other_sources_keep_samples_apart_too(rng, make, backend, device):
    recipe = ms.DPMSolverSDE(use_karras_sigmas=True)
    whole = _run(recipe, make, backend, _start(backend, device, rng, 4), rng)
    for ids in ([2], [3, 1]):
        chosen = Select(rng, ids)
        part = _run(recipe, make, backend, _start(backend, device, chosen, len(ids)), chosen)
        np.testing.assert_array_equal(part, whole[ids])


def test_the_stateful_face_takes_seeds(make, backend, device):
    noise = make(np.zeros((2, 3), np.float32))

    def run(rng, x):
        scheduler = ms.EulerAncestral().on(backend, rng=rng)
        scheduler.set_timesteps(3)
        for t in scheduler.plan.timesteps:
            x = scheduler.step(x * 0.3, float(t), x)
        return backend.to_numpy(x)

    both = run([4, 9], noise)
    np.testing.assert_array_equal(both[1:], run([9], noise[1:, ...]))
    with pytest.raises(ms.ScheduleError, match="3 seeds are given, one per sample; the batch has 2"):
        run([1, 2, 3], noise)
