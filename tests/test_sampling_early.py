"""The loop "auto" compiles the steps where that pays from the first run on."""

import numpy as np
import pytest
from zoo import arrays

import multisched as ms

LARGE = (1, 1 << 16)


def model(x, t):
    return x * 0.5 + t * 0.001


@pytest.mark.parametrize("shape", [(1, 100), LARGE])
def test_it_is_the_loop_it_says(shape, make, backend, monkeypatch):
    plan, noise = ms.DPMSolverMultistep().plan(4), make(arrays(1, shape)[0])
    seen = []
    step = ms.Plan.step
    monkeypatch.setattr(ms.Plan, "step", lambda *given, **kw: seen.append(kw["compile"]) or step(*given, **kw))
    found = backend.to_numpy(ms.sample(model, plan, noise))
    assert set(seen) == {backend.name == "mlx" and shape == LARGE}
    wanted = backend.to_numpy(ms.sample(model, plan, noise, loop="python"))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_it_goes_through_what_mlx_traces(make, backend):
    if backend.name != "mlx":
        pytest.skip("only MLX compiles early")
    import mlx.core as mx

    plan, noise = ms.DPMSolverMultistep().plan(4), make(arrays(1, LARGE)[0])
    wanted = np.array(ms.sample(model, plan, noise))

    def sampled(x):
        return ms.sample(model, plan, x)

    stacked = mx.vmap(sampled)(mx.stack([noise, noise]))
    for found in (mx.compile(sampled)(noise), stacked[0], mx.vjp(lambda x: [sampled(x)], [noise], [noise])[0][0]):
        np.testing.assert_allclose(np.array(found), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
