"""One backend against NumPy, and the rules of dtype and device."""

import math
from itertools import pairwise

import numpy as np
import pytest
from zoo import OMEGA, arithmetic_recipe, arrays, every_recipe, run

import multisched as ms


@arithmetic_recipe
def test_eager_trajectories_are_bit_equal_to_numpy(recipe, make, backend):
    plan = recipe.plan(9)
    noise, outputs, draws = arrays(1)[0], arrays(len(plan), seed=1), arrays(len(plan), seed=2)
    there = run(plan, np.asarray, noise, outputs, draws)
    if backend.name == "torch":
        return _within_fused_sums(plan, there, make, backend, outputs, draws)
    here = run(plan, make, noise, outputs, draws)
    for ours, numpys in zip(here, there, strict=True):
        for one, other in zip((ours.sample, *ours.memory), (numpys.sample, *numpys.memory), strict=True):
            assert ms.backends.of(one) is backend
            np.testing.assert_array_equal(backend.to_numpy(one), other)
    return None


def _within_fused_sums(plan, there, make, backend, outputs, draws):
    """torch multiplies and adds with one rounding: each row, begun where NumPy's does, is within 4 eps of the sum of
    |c * x|."""
    for row, (before, after) in enumerate(pairwise(there)):
        state = ms.State(make(before.sample), tuple(map(make, before.memory)), row)
        z = (draws[row],) * plan.noise_draws
        found = plan.step(state, make(outputs[row]), tuple(map(make, z)) or None)
        x0 = () if plan.denoised_transform is None else (plan.denoised(before, outputs[row]),)
        folded = plan.tableau.fold() if not x0 else plan.tableau
        outs = np.split(outputs[row], plan.tableau.outputs, axis=1)
        operands = [before.sample, *before.memory, *outs, *x0, *z]
        for k, (one, other) in enumerate(
            zip((found.sample, *found.memory), (after.sample, *after.memory), strict=True)
        ):
            assert ms.backends.of(one) is backend
            size = sum(abs(w) * np.abs(x) for w, x in zip(folded.weights[row, k], operands, strict=True))
            if x0:  # which is a sum itself, cut, or divided by the largest of it
                size = size + 8 * abs(folded.weights[row, k, -1 - len(z)]) * np.abs(x0[0]).max()
            assert np.all(np.abs(backend.to_numpy(one) - other) <= 4 * np.finfo(np.float32).eps * size)


@pytest.mark.parametrize("recipe", OMEGA.values(), ids=OMEGA.keys())
def test_omega_agrees_with_numpy(recipe, make, backend):
    """A mean sums in an order of each library's own, so its last bits differ."""
    plan = recipe.plan(9)
    noise, outputs = arrays(1)[0], arrays(len(plan), seed=1)
    here, there = (run(plan, maker, noise, outputs, outputs)[-1].sample for maker in (make, np.asarray))
    np.testing.assert_allclose(backend.to_numpy(here), there, atol=3e-6, rtol=0)


@every_recipe
def test_float32_is_float64_rounded(recipe, make, backend):
    plan = recipe.plan(6)
    noise, outputs, draws = arrays(1)[0], arrays(len(plan), seed=1), arrays(len(plan), seed=2)
    here = backend.to_numpy(run(plan, make, noise, outputs, draws)[-1].sample)
    exact = run(plan, lambda values, _: np.asarray(values, np.float64), noise, outputs, draws)[-1].sample
    np.testing.assert_allclose(here, exact, atol=3e-5 * np.abs(exact).max(), rtol=0)


@every_recipe
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_rounds_once_per_step(recipe, make, backend, dtype):
    _require(backend, dtype)
    plan = recipe.plan(5)
    noise, outputs, draws = arrays(1)[0], arrays(len(plan), seed=1), arrays(len(plan), seed=2)
    states = run(plan, make, noise, outputs, draws, dtype)
    for row, (before, after) in enumerate(pairwise(states)):
        assert _name(after.sample) == dtype and all(_name(array) == dtype for array in after.memory)
        widened = ms.State(_wide(backend, before.sample), tuple(_wide(backend, a) for a in before.memory), row)
        z = tuple(_wide(backend, make(draws[row], dtype)) for _ in range(plan.noise_draws)) or None
        exact = plan.step(widened, _wide(backend, make(outputs[row], dtype)), z)
        for half, single in zip((after.sample, *after.memory), (exact.sample, *exact.memory), strict=True):
            rounded = backend.astype(single, half.dtype)
            np.testing.assert_array_equal(backend.to_numpy(half), backend.to_numpy(rounded))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sampling_in_half_precision_keeps_a_float32_state(make, backend, dtype):
    """Given the same outputs over 300 steps, the result is within one unit in the last place of the float32 run."""
    _require(backend, dtype)
    plan = ms.DDIM(clip_sample=False, eta=0.5, prediction_type="v_prediction").plan(300)
    noise = make(arrays(1)[0], dtype)
    outputs = [make(values, dtype) for values in arrays(300, seed=1)]
    seen = []

    def replay(widen):
        calls = iter(outputs)

        def model(x, t):
            seen.append((_name(x), _name(t), t.shape))
            output = next(calls)
            return _wide(backend, output) if widen else output

        return model

    half = ms.sample(replay(widen=False), plan, noise, rng=3)
    assert _name(half) == dtype and set(seen) == {(dtype, "float32", ())}
    single = ms.sample(replay(widen=True), plan, _wide(backend, noise), rng=3)
    rounded = backend.to_numpy(backend.astype(single, half.dtype))
    bits = 10 if dtype == "float16" else 7
    ulp = 2.0 ** (np.floor(np.log2(np.abs(rounded))) - bits)
    assert np.all(np.abs(backend.to_numpy(half) - backend.to_numpy(single)) <= ulp)


def test_start_sets_the_dtype_that_the_state_keeps(make, backend):
    _require(backend, "float16")
    plan = ms.FlowMatchHeun().plan(3)
    state = plan.start(make(arrays(1)[0], "float16"), dtype="float32")
    state = plan.step(state, make(arrays(1)[0], "float16"))
    assert _name(state.sample) == _name(state.memory[0]) == "float32"


@every_recipe
def test_no_float64_is_made_of_float32(recipe, make, backend):
    plan = recipe.plan(3)
    state = plan.start(make(arrays(1)[0]))
    output, z = make(arrays(1)[0]), tuple(make(arrays(1)[0]) for _ in range(plan.noise_draws)) or None
    assert _name(plan.denoised(state, output)) == "float32"
    if plan.noise_transform is None:
        mean, std = plan.transition(state, output)
        assert _name(mean) == "float32" and isinstance(std, float)
    state = plan.step(state, output, z)
    assert {_name(array) for array in (state.sample, *state.memory)} == {"float32"}


def test_float64_stays_float64(make, has_float64):
    if not has_float64:
        pytest.skip("no float64 on this device")
    plan = ms.DDIM().plan(3)
    state = plan.step(plan.start(make(arrays(1)[0], "float64")), make(arrays(1)[0], "float64"))
    assert _name(state.sample) == "float64"


def test_device_is_kept(make, backend):
    x = make(arrays(1)[0])
    plan = ms.FlowMatchPingPong().plan(2)
    state = plan.step(plan.start(x), x, x)
    assert str(backend.device(state.sample)) == str(backend.device(x))


def test_mixed_backends_are_refused(make, backend):
    other = ms.backends.get("dask").asarray(arrays(1)[0]) if backend.name == "numpy" else arrays(1)[0]
    plan = ms.FlowMatchEuler().plan(3)
    state = plan.start(make(arrays(1)[0]))
    with pytest.raises(ms.ScheduleError, match=rf"output is an array of \w+, the sample of {backend.name}"):
        plan.step(state, other)
    with pytest.raises(ms.ScheduleError, match="x0 is an array of"):
        plan.start(make(arrays(1)[0]), x0=other)


def test_a_backend_is_found_by_name_array_or_itself(make, backend):
    x = make([1.0, 2.0])
    assert ms.backends.of(x) is backend is ms.backends.get(backend.name) is ms.backends.resolve(backend)
    assert ms.backends.resolve(x) is backend
    assert _name(backend.asarray([1.0], "bfloat16" if _has(backend, "bfloat16") else "float32"))
    assert repr(backend).startswith(f"<multisched backend {backend.name} ")


def test_a_users_subclass_is_what_it_extends(backend):
    if backend.name == "numpy":

        class Own(np.ndarray):
            pass

        x = arrays(1)[0].view(Own)
    elif backend.name == "torch":
        import torch

        class Own(torch.Tensor):
            pass

        x = torch.from_numpy(arrays(1)[0]).as_subclass(Own)
    else:
        pytest.skip(f"arrays of {backend.name} are not subclassed")
    plan = ms.FlowMatchEuler().plan(2)
    assert ms.backends.of(x) is backend
    assert plan.step(plan.start(x), x).sample.shape == x.shape


def test_a_step_of_one_number_stays_an_array(make, backend):
    plan = ms.FlowMatchEuler().plan(2)
    state = plan.step(plan.start(make(1.0)), make(0.5))
    assert ms.backends.of(state.sample) is backend and type(state.sample) is type(make(1.0))


def test_what_is_not_floating_is_refused(make):
    plan = ms.FlowMatchPingPong().plan(2)
    x = make(arrays(1)[0])
    whole = make(np.ones((2, 3, 4)), "int32")
    with pytest.raises(ms.ScheduleError, match="floating-point"):
        plan.step(plan.start(x), whole, x)
    with pytest.raises(ms.ScheduleError, match="floating-point"):
        plan.step(plan.start(x), x, whole)


def test_weighted_sum_and_round_trip(make, backend):
    x, y = arrays(2)
    total = backend.weighted_sum([1.0, -0.3], [make(x), make(y)])
    twice = x + y * np.float32(-0.3)
    once = (x.astype(np.float64) + y.astype(np.float64) * np.float32(-0.3)).astype(np.float32)
    assert (once != twice).any()
    found = backend.to_numpy(total)
    # torch has a fused product and sum where the processor has one, and rounds once there.
    assert ((found == twice) | ((backend.name == "torch") & (found == once))).all()
    np.testing.assert_array_equal(backend.to_numpy(make(x)), x)
    if _has(backend, "bfloat16"):
        assert backend.to_numpy(make(x, "bfloat16")).dtype == np.float32


def test_native_normals(backend, device):
    draws = [backend.to_numpy(backend.normal((4000,), seed, "float32", device)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert draws[0].dtype == np.float32 and not np.array_equal(draws[0], draws[2])
    assert abs(draws[0].mean()) < 5 / math.sqrt(4000) and abs(draws[0].std() - 1) < 0.06


def test_unknown_names_are_refused(backend):
    with pytest.raises(ms.ScheduleError, match="unknown backend 'no_such_library'"):
        ms.backends.get("no_such_library")
    with pytest.raises(ms.ScheduleError, match="no dtype"):
        backend.asarray([1.0], "float33")
    with pytest.raises(ms.ScheduleError, match="device"):
        backend.asarray([1.0], "float32", "no_such_device")
    with pytest.raises(ms.ScheduleError, match="expected an array"):
        ms.backends.of([1.0, 2.0])


def test_samples_are_floating(make):
    with pytest.raises(ms.ScheduleError, match="floating-point"):
        ms.FlowMatchEuler().plan(2).start(make([[1, 2]], "int32"))


def test_available_says_why_not(monkeypatch):
    from multisched import backends

    found = ms.backends.available()
    assert set(found) >= {"numpy", "torch", "jax", "mlx"}
    assert found["numpy"].version == np.__version__ and found["numpy"].reason is None
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    monkeypatch.setattr(backends, "_by_name", {})
    absent = ms.backends.available()["mlx"]
    assert absent.version is None and "mlx" in absent.reason and "not installed" in absent.reason


def test_a_third_party_adds_a_backend_by_entry_point(monkeypatch):
    from multisched import backends

    class Point:
        name, value = "mylib", "mylib:BACKEND"

        @staticmethod
        def load():
            return backends.ArrayAPIBackend("mylib", np, "7")

    def points(group, name=None):
        assert group == "multisched.backends"
        return [Point()] if name in (None, "mylib") else []

    monkeypatch.setattr("importlib.metadata.entry_points", points)
    monkeypatch.setattr(backends, "_by_name", {})
    assert backends.get("mylib").version == "7"
    assert backends.available()["mylib"].version == "7"


def _name(array):
    return str(array.dtype).rpartition(".")[2]


def _wide(backend, array):
    return backend.astype(array, backend.compute_dtype(array.dtype))


def _has(backend, dtype):
    try:
        backend.asarray(0.0, dtype)
    except ms.ScheduleError:
        return False
    return True


def _require(backend, dtype):
    if not _has(backend, dtype):
        assert backend.name not in ms.backends.BUILTIN, "each of these has half precision"
        pytest.skip(f"{backend.name} has no {dtype}; the array-API standard asks for none")
