"""The loop."""

import sys

import numpy as np
import pytest
from zoo import arrays, every_recipe

import multisched as ms


@every_recipe
def test_sample_is_the_loop_written_out(recipe, make, backend):
    plan = recipe.plan(5)
    noise = arrays(1)[0]

    def model(x, t):
        return x * 0.5 + t * 1e-3

    found = ms.sample(model, plan, make(noise), rng=7)
    state = plan.start(make(noise))
    for row, t in enumerate(plan.timesteps):
        z = None
        if plan.needs_noise(row):
            z = tuple(
                make(ms.noise.HostNoise(7).normal(range(2), step, draw, (3, 4)))
                for step, draws in [plan.noise_address(row)]
                for draw in draws
            )
        state = plan.step(state, model(plan.model_input(state), make(t)), z)
    np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(state.sample))


def test_the_model_sees_a_0d_float_array_of_its_backend(make, backend):
    seen = []

    def model(x, t):
        seen.append((ms.backends.of(t), t.shape, str(t.dtype).rpartition(".")[2], float(t)))
        return x

    plan = ms.FlowMatchHeun().plan(3)
    ms.sample(model, plan, make(arrays(1)[0]))
    assert all(found[:3] == (backend, (), "float32") for found in seen)
    np.testing.assert_allclose([found[3] for found in seen], plan.timesteps, rtol=1e-6)


def test_callback_and_progress(make, backend, capsys):
    plan = ms.FlowMatchEuler().plan(4)
    calls = []
    output = make(arrays(1, seed=5)[0])
    result = ms.sample(
        lambda x, t: output,
        plan,
        make(arrays(1)[0]),
        callback=lambda index, state, x0: calls.append((index, state, x0)),
        progress=True,
    )
    assert [call[0] for call in calls] == [0, 1, 2, 3] == [call[1].index - 1 for call in calls]
    np.testing.assert_array_equal(backend.to_numpy(calls[-1][1].sample), backend.to_numpy(result))
    np.testing.assert_allclose(backend.to_numpy(calls[-1][2]), backend.to_numpy(result), atol=1e-6)
    shown = capsys.readouterr().err
    assert "FlowMatchEuler" in shown and "4/4" in shown


def test_progress_without_tqdm_says_what_to_install(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ms.ScheduleError, match=r"tqdm: install multisched-diffusion\[cli\]"):
        ms.sample(lambda x, t: x, ms.FlowMatchEuler().plan(2), make(arrays(1)[0]), progress=True)


def test_rng_is_reproducible_and_each_sample_has_its_own_noise(make, backend):
    plan = ms.FlowMatchPingPong().plan(3)
    x = make(np.zeros((4, 3), np.float32))

    def run(x, rng):
        return backend.to_numpy(ms.sample(lambda x, t: x, plan, x, rng=rng))

    np.testing.assert_array_equal(run(x, 1), run(x, 1))
    np.testing.assert_array_equal(run(x, 1)[:2], run(x[:2, ...], 1))
    assert np.abs(run(x, 1) - run(x, 2)).max() > 0.1
    assert np.unique(run(x, 1)).size == 12


def test_a_run_in_two_parts_is_the_whole_run(make, backend):
    """The noise of a step is that step's, wherever the run began."""
    noise = make(arrays(1)[0])
    for recipe in (ms.FlowMatchPingPong(), ms.FlowMatchHeun(s_churn=2.0), ms.DDIM(eta=1.0)):
        whole = ms.sample(lambda x, t: x * 0.5, recipe.plan(6), noise, rng=5)
        half = ms.sample(lambda x, t: x * 0.5, recipe.plan(6, stop=3), noise, rng=5)
        parts = ms.sample(lambda x, t: x * 0.5, recipe.plan(6, start=3), half, rng=5)
        np.testing.assert_array_equal(backend.to_numpy(parts), backend.to_numpy(whole))


@pytest.mark.host
def test_sampling_on_any_array_api_library():
    """Dask computes nothing on its way through: its arrays stay graphs until asked."""
    import dask.array as dask

    plan = ms.DDIM().plan(4)
    noise = arrays(1)[0]
    found = ms.sample(lambda x, t: x * 0.5, plan, dask.from_array(noise, chunks=(1, 3, 4)))
    assert isinstance(found, dask.Array)
    np.testing.assert_array_equal(found.compute(), ms.sample(lambda x, t: x * 0.5, plan, noise))


def test_a_torch_step_reads_no_value(backend):
    """On the meta device there is no value to read."""
    if backend.name != "torch":
        pytest.skip("the meta device is torch's")
    import torch

    for recipe in (ms.FlowMatchEuler(omega=3.0), ms.FlowMatchHeun(s_churn=1.0), ms.DDIM(thresholding=True, eta=0.5)):
        plan = recipe.plan(3)
        state = plan.start(torch.zeros(2, 3, device="meta"))
        for _ in range(len(plan)):
            state = plan.step(state, state.sample, state.sample)
        assert state.sample.device.type == "meta"


def test_gradients_flow_through_a_run(backend):
    """d(result)/d(noise) of a linear run is the product of its weights."""
    plan = ms.FlowMatchHeun(shift=3.0).plan(4)

    def run(x):
        return ms.sample(lambda x, t: x * 0.3, plan, x)

    ones = np.ones((1, 2), np.float32)
    wanted = run(ones)
    if backend.name == "torch":
        import torch

        x = torch.tensor(ones, requires_grad=True)
        run(x).sum().backward()
        found = x.grad
    elif backend.name == "jax":
        import jax

        found = jax.grad(lambda x: run(x).sum())(backend.asarray(ones))
    elif backend.name == "mlx":
        import mlx.core as mx

        found = mx.grad(lambda x: run(x).sum())(mx.array(ones))
    else:
        pytest.skip(f"{backend.name} has no gradients")
    np.testing.assert_allclose(backend.to_numpy(found), wanted, rtol=1e-5)
