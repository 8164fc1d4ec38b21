"""Runs whose steps are as long as a tolerance allows."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from test_backends import _require

import multisched as ms

GAUSSIAN = ms.analysis.Gaussian(mean=0.4, std=0.6)
RECIPES = {
    "flow": ms.FlowMatchEuler(shift=3.0),
    "inverted": ms.FlowMatchEuler(invert_sigmas=True),
    "vp": ms.DDIM(clip_sample=False),
    "edm": ms.EDMEuler(),
    "zero-snr": ms.DDIM(clip_sample=False, rescale_betas_zero_snr=True, prediction_type="v_prediction"),
}
each = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def _start(count=6, size=5):
    return np.random.default_rng(0).standard_normal((count, size)).astype(np.float32)


@each
def test_a_smaller_tolerance_is_closer_to_the_flow_of_a_gaussian(recipe, make, backend):
    """x = mean + std * z in the end, where the run begins at pure noise, or nearly."""
    model, z = ms.analysis.model_of(recipe, GAUSSIAN), _start()
    errors = []
    for rtol in (0.1, 1e-3):
        found = ms.sample_adaptive(model, recipe, make(z), rtol=rtol, atol=rtol / 10)
        errors.append(np.abs(backend.to_numpy(found.sample) - (0.4 + 0.6 * z)).max())
        assert found.calls <= 2 + 3 * (found.accepted + found.rejected).max() and found.accepted.shape == (6,)
    assert errors[1] < 0.02 and errors[1] < errors[0]


@pytest.mark.parametrize("order", [2, 3])
def test_the_error_falls_as_the_tolerance_does(order, make, backend, has_float64):
    if not has_float64:
        pytest.skip("float32 is too coarse for it")
    recipe, z = ms.EDMEuler(sigma_max=80.0), _start().astype(np.float64)
    model = ms.analysis.model_of(recipe, GAUSSIAN)
    errors = []
    for tolerance in (1e-3, 1e-6):
        found = ms.sample_adaptive(model, recipe, make(z, "float64"), order=order, rtol=tolerance, atol=tolerance)
        wide = math.hypot(80.0, 0.6)  # of the samples there; a run begins a little wider
        share = (math.hypot(80.0, 1.0) * z - 0.4) / wide
        errors.append(np.abs(backend.to_numpy(found.sample) - (0.4 + 0.6 * share)).max())
    assert errors[1] < errors[0] / 30, errors


@each
def test_a_sample_does_not_depend_on_its_batch_mates(recipe, make, backend):
    model, z = ms.analysis.model_of(recipe, GAUSSIAN), _start()
    whole = ms.sample_adaptive(model, recipe, make(z))
    alone = ms.sample_adaptive(model, recipe, make(z[2:3]))
    np.testing.assert_allclose(
        backend.to_numpy(alone.sample)[0], backend.to_numpy(whole.sample)[2], rtol=1e-4, atol=1e-5
    )
    assert alone.accepted[0] == whole.accepted[2] and alone.rejected[0] == whole.rejected[2]


def _jitted(backend):
    """What compiles a function whole; None on libraries that do not."""
    if backend.name == "jax":
        import jax

        return jax.jit
    if backend.name == "mlx":
        import mlx.core as mx

        return mx.compile
    if backend.name == "torch":
        import torch

        return lambda f: torch.compile(f, fullgraph=True)
    return None


def _jax(backend):
    if backend.name != "jax":
        pytest.skip("JAX alone has a loop that ends by itself")
    import jax

    return jax


@each
@pytest.mark.parametrize("order", [2, 3])
def test_a_run_inside_jit_is_that_outside(order, recipe, make, backend):
    """The same steps are taken; elsewhere than on JAX it is refused in a sentence."""
    compiled, model, z = _jitted(backend), ms.analysis.model_of(recipe, GAUSSIAN), make(_start())
    if compiled is None:
        pytest.skip(f"{backend.name} compiles nothing")

    def run(z):
        return ms.sample_adaptive(model, recipe, z, rtol=0.01, atol=1e-3, order=order)

    if backend.name != "jax":
        with pytest.raises(Exception, match=r"compile the model|call this outside"):
            compiled(lambda z: run(z).sample)(z)
        return
    found, wanted = compiled(run)(z), run(z)
    np.testing.assert_allclose(found.sample, wanted.sample, atol=1e-4)
    assert int(found.calls) == wanted.calls and bool(found.arrived.all()) and bool(wanted.arrived.all())
    for one, other in ((found.accepted, wanted.accepted), (found.rejected, wanted.rejected)):
        np.testing.assert_array_equal(one, other)


def test_inside_jit_a_run_that_does_not_arrive_says_so(make, backend):
    jax, recipe, z = _jax(backend), RECIPES["vp"], make(_start())
    model = ms.analysis.model_of(recipe, GAUSSIAN)
    cut = jax.jit(lambda z: ms.sample_adaptive(model, recipe, z, most=3))(z)
    assert not cut.arrived.any() and int(cut.calls) == 10 and bool((cut.accepted + cut.rejected == 3).all())

    def broken(x, t):
        return jax.numpy.where(jax.numpy.arange(6)[:, None] == 2, math.nan, model(x, t))

    found = jax.jit(lambda z: ms.sample_adaptive(broken, recipe, z))(z)
    assert found.arrived.tolist() == [True, True, False, True, True, True]
    np.testing.assert_allclose(found.sample[0], ms.sample_adaptive(model, recipe, z).sample[0], atol=1e-4)


def test_derivatives_go_forward_through_the_step_sizes(make, backend):
    """By a number of the model, also where the noise itself is not traced."""
    jax, recipe, z = _jax(backend), RECIPES["flow"], make(_start())
    model = ms.analysis.model_of(recipe, GAUSSIAN)

    def end(share):
        return ms.sample_adaptive(lambda x, t: share * model(x, t), recipe, z).sample.sum()

    _, slope = jax.jvp(end, (1.0,), (1.0,))
    assert float(slope) == pytest.approx(float(end(1.01) - end(0.99)) / 0.02, rel=1e-3)


def test_half_precision_stays(make, backend):
    _require(backend, "float16")
    recipe = RECIPES["flow"]
    found = ms.sample_adaptive(lambda x, t: 0.0 * x, recipe, make(_start(), "float16"))
    assert str(found.sample.dtype).endswith("float16")


@pytest.mark.host
def test_it_is_the_run_that_comfyui_has():
    """One step size for the batch, from its first noise level to its last but one."""
    known = json.loads((Path(__file__).parent / "comfy_samplers.json").read_text())
    mean, spread, mean_u, spread_u = (np.array(known[name]) for name in ("mu", "v", "mu_uncond", "v_uncond"))
    levels, run, seen = known["sigmas_eps"], known["runs"]["dpm_adaptive eps"], []

    def model(x, t):
        seen.append(float(t[0]))
        one, other = (mu + v * (x - mu) / (v + t[:, None] ** 2) for mu, v in ((mean, spread), (mean_u, spread_u)))
        return other + known["cfg"] * (one - other)

    path = ms.paths.VarianceExploding(0.01, 80.0, None, "sigma")
    recipe = ms.Scheduler(path, "karras", "sample", ms.solvers.Euler())
    z = np.array(known["start"]) * levels[0] / math.hypot(levels[0], 1.0)
    theirs = {"longest": math.inf, "denoise": False, "together": True}
    found = ms.sample_adaptive(model, recipe, z, top=levels[0], bottom=levels[-2], **theirs)
    np.testing.assert_allclose(seen, run["calls"], rtol=1e-9)
    np.testing.assert_allclose(found.sample, run["sample"], rtol=1e-8, atol=1e-9)


@pytest.mark.host
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"order": 4}, "order must be"),
        ({"rtol": 0.0}, "rtol must be a positive number"),
        ({"atol": -1.0}, "atol must be a positive number"),
        ({"first": math.nan}, "first must be"),
        ({"pid": (1.0, 0.0)}, "pid must be three numbers"),
        ({"pid": "fast"}, "pid must be a list of numbers"),
        ({"longest": "far"}, "longest must be"),
        ({"most": 1}, "has not arrived in 1 tries"),
        ({"top": 0.001, "bottom": 1.0}, "a run falls from top to bottom"),
    ],
)
def test_what_is_refused(options, says):
    recipe = RECIPES["flow"]
    with pytest.raises(ms.ScheduleError, match=says):
        ms.sample_adaptive(ms.analysis.model_of(recipe, GAUSSIAN), recipe, _start(), **options)


@pytest.mark.host
def test_an_output_that_is_not_finite_ends_in_a_sentence():
    with pytest.raises(ms.ScheduleError, match="not finite"):
        ms.sample_adaptive(lambda x, t: x * math.nan, RECIPES["vp"], _start(), most=50)


@pytest.mark.host
def test_an_output_of_another_shape_is_refused():
    with pytest.raises(ms.ScheduleError, match="must be shaped as its input"):
        ms.sample_adaptive(lambda x, t: x[:, :2], RECIPES["vp"], _start())
