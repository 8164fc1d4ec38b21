"""What may not be silently wrong in a step: its index, the arrays that it writes to, densities, constants, numbers."""

import contextlib
import gc
import math
import os
import resource
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from zoo import EVERY, arrays

import multisched as ms

CLIPS = {"clip_sample_range": (0.5, 0.7, 3.0), "sample_max_value": (1.5, 2.0, 3.0)}


# What torch says of itself while it compiles.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:overflow encountered in cast", "ignore:There is a performance drop"
)
LONG = ms.FlowMatchEuler().plan(1000)


def _clipped(name, value):
    return ms.DDIM(thresholding=name == "sample_max_value", **{name: value})


def _index(make, values):
    return make(values, "int32")


def test_a_step_without_noise_has_a_density_that_harms_no_other(make, backend):
    plan = ms.DDIM(eta=1.0, clip_sample=False).plan(4)
    x, output = arrays(2, (2, 3, 4))
    state = ms.State(make(x), (), _index(make, [0, 3]))

    def density(output, sample=None):
        mean, std = plan.transition(state, output)
        return ms.log_prob(mean + 0.1 if sample is None else sample, mean, std)

    mean, _ = plan.transition(state, make(output))
    found = backend.to_numpy(density(make(output), mean))
    assert math.isfinite(found[0]) and found[1] == 0
    found = backend.to_numpy(density(make(output)))
    assert math.isfinite(found[0]) and found[1] == -math.inf
    alone = ms.State(make(x[1:]), (), 3)
    mean, std = plan.transition(alone, make(output[1:]))
    assert std == 0 and backend.to_numpy(ms.log_prob(mean, mean, std)) == 0
    assert backend.to_numpy(ms.log_prob(mean + 1.0, mean, std)) == -math.inf
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ms.ScheduleError, match="std must be a finite number"):
            ms.log_prob(mean, mean, bad)


def _gradient(backend, function, at):
    """Of a sum."""
    if backend.name == "torch":
        import torch

        at = at.clone().requires_grad_()
        return torch.autograd.grad(function(at).sum(), at)[0]
    if backend.name == "jax":
        import jax

        return jax.grad(lambda one: function(one).sum())(at)
    import mlx.core as mx

    return mx.grad(lambda one: function(one).sum())(at)


def test_gradients_of_a_density_are_those_of_each_sample_alone(make, backend):
    if backend.name not in ("torch", "jax", "mlx"):
        pytest.skip(f"{backend.name} has no gradients")
    plan = ms.DDIM(eta=1.0, clip_sample=False).plan(4)
    x, output, sample = arrays(3, (2, 3, 4))

    def density(rows, part):
        given = ms.State(make(x[part]), (), rows)
        return lambda one: ms.log_prob(make(sample[part]), *plan.transition(given, one))

    both = slice(None)
    found = backend.to_numpy(_gradient(backend, density(_index(make, [0, 3]), both), make(output)))
    first = backend.to_numpy(_gradient(backend, density(0, slice(0, 1)), make(output[:1])))
    np.testing.assert_allclose(found[:1], first, rtol=1e-5)
    assert np.all(found[1] == 0) and np.any(first != 0)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_an_index_that_cannot_count_to_the_end_is_refused(dtype, make, backend):
    if (backend.name, dtype) == ("jax", "int64"):
        pytest.skip("JAX has int64 only with jax_enable_x64")
    plan, long = ms.FlowMatchEuler().plan(4), LONG
    x, output = (make(one) for one in arrays(2))
    state = plan.step(ms.State(x, (), make([1, 3], dtype)), output)
    np.testing.assert_array_equal(backend.to_numpy(state.index), [2, 4])
    wanted = plan.step(ms.State(x, (), _index(make, [1, 3])), output)
    np.testing.assert_array_equal(backend.to_numpy(state.sample), backend.to_numpy(wanted.sample))
    for many in (long, ms.stack_plans([long] * 33)):
        if dtype in ("int32", "int64") or (dtype == "int16" and many is long):
            many.step(ms.State(x, (), make([255, 256], dtype)), output)
            continue
        with pytest.raises(ms.ScheduleError, match="so use int32"):
            many.step(ms.State(x, (), make([100, 101], dtype)), output)
    for index in (True, np.bool_(True), make([1.0, 2.0]) > 1.5):
        with pytest.raises(ms.ScheduleError, match="an int or an integer array"):
            plan.step(ms.State(x, (), index), output)
    assert plan.step(ms.State(x, (), np.uint8(2)), output).index == 3


def test_out_shares_memory_with_nothing_that_is_read(make, backend):
    if backend.name not in ("numpy", "torch"):
        pytest.skip(f"arrays of {backend.name} are not written to")
    plan = ms.EulerAncestral().plan(3)
    room = make(np.zeros((5, 3, 4), np.float32))
    x, output, z = (make(one) for one in arrays(3))
    state = plan.start(x)
    half = make(np.zeros((2, 3, 4), np.float32), "float64")
    bad = [
        (state, output, z, half),
        (state, output, z, None),
        (state, output, z, make(np.zeros((2, 3, 5), np.float32))),
    ]
    bad += [(state._replace(sample=room[:2]), output, z, room[1:3])]
    bad += [(state, room[:2], z, room[1:3]), (state, output, room[2:4], room[1:3])]
    if backend.name == "numpy":
        closed = np.zeros((2, 3, 4), np.float32)
        closed.flags.writeable = False
        bad += [(state, output, z, closed)]
        folded = np.lib.stride_tricks.as_strided(np.zeros((3, 4), np.float32), (2, 3, 4), (0, 16, 4), writeable=True)
        bad += [(state, output, z, folded)]
    else:
        import torch

        bad += [(state, output, z, one) for one in (
            torch.zeros(2, 3, 4, requires_grad=True), torch.zeros(2, 3, 4, device="meta"),
            torch.zeros(2, 3, 4).to_sparse(), torch.zeros(1, 3, 4).expand(2, 3, 4),
        )]  # fmt: skip
    for given, result, noise, out in bad:
        with pytest.raises(ms.ScheduleError, match="share no array"):
            plan.step(given, result, noise, out=ms.State(out, (), 0))
    found = plan.step(state, output, z, out=ms.State(room[:2], (), 0))
    np.testing.assert_array_equal(backend.to_numpy(found.sample), backend.to_numpy(plan.step(state, output, z).sample))


@pytest.mark.parametrize("name", CLIPS)
def test_plans_that_differ_in_the_numbers_of_transforms_share_a_layout(name, make, backend):
    plans = [_clipped(name, value).plan(3) for value in CLIPS[name]]
    assert len({plan.layout for plan in plans}) == 1
    stack = ms.stack_plans(plans)
    assert len(stack.layout.denoised_transforms) == 1
    x, output = (make(4 * one) for one in arrays(2, (3, 3, 4)))
    state = stack.start(x)
    both = [stack.step(state, output)]
    if backend.name in ("torch", "jax", "mlx"):
        both.append(stack.step(state, output, compile=True))
    for k, plan in enumerate(plans):
        own, given = plan.start(x[k : k + 1, ...]), output[k : k + 1, ...]
        wanted = backend.to_numpy(plan.step(own, given).sample)
        if backend.name in ("torch", "jax", "mlx"):
            found = backend.to_numpy(plan.step(own, given, compile=True).sample)
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
        for state in both:
            found = backend.to_numpy(state.sample)[k : k + 1]
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    samples = [backend.to_numpy(plan.step(plan.start(x), output).sample) for plan in plans]
    assert not np.array_equal(samples[0], samples[1])


def test_steps_of_no_samples(make, backend):
    plan = ms.DDIM().plan(3)
    x = make(np.zeros((0, 3, 4), np.float32))
    state = plan.step(ms.State(x, (), _index(make, np.zeros(0, int))), x)
    assert tuple(state.sample.shape) == (0, 3, 4) and tuple(state.index.shape) == (0,)


def test_what_is_written_to_a_table_changes_no_step(make, backend):
    plan = ms.DDIM(clip_sample=False).plan(3)
    x, output = (make(one) for one in arrays(2))
    wanted = backend.to_numpy(plan.step(ms.State(x, (), _index(make, 1)), output).sample).copy()
    table = plan.table(backend)
    with contextlib.suppress(TypeError, ValueError):
        table[...] = 0
    found = plan.step(ms.State(x, (), _index(make, 1)), output).sample
    np.testing.assert_array_equal(backend.to_numpy(found), wanted)


def _arrays_of(value, seen):
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _arrays_of(one, seen)
    elif type(value).__module__.startswith("multisched") and hasattr(value, "__dict__"):
        for one in list(vars(value).values()):
            yield from _arrays_of(one, seen)


@pytest.mark.host
def test_no_array_that_a_plan_or_a_recipe_leads_to_can_be_written_to():
    for name, recipe in EVERY.items():
        plan = recipe.plan(4)
        _ = plan.timesteps, plan.folded, plan.layout
        found = list(_arrays_of((recipe, plan), set()))
        held = {id(plan._packed[1])}  # of no public attribute
        assert len(found) > 10
        for array in found:
            assert not array.flags.writeable or id(array) in held, name


def test_a_torch_plan_first_used_under_a_mode_is_as_any_other(make, backend):
    if backend.name != "torch":
        pytest.skip("these modes are torch's")
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    def fake(plan, x, index):
        with FakeTensorMode() as mode:
            plan.step(ms.State(mode.from_tensor(x), (), mode.from_tensor(index)), mode.from_tensor(x))

    def inference(plan, x, index):
        with torch.inference_mode():
            plan.step(ms.State(x.clone(), (), index), x)

    def transforms(plan, x, index):
        torch.func.vmap(lambda one: plan.step(ms.State(one, (), index[0]), one).sample)(x)

    def gradient(plan, x, index):
        torch.func.grad(lambda one: plan.step(ms.State(one, (), index), one).sample.sum())(x)

    def compiled(plan, x, index):
        torch._dynamo.reset()
        step = torch.compile(lambda a, k: plan.step(ms.State(a, (), k), a).sample, fullgraph=True, backend="eager")
        torch.testing.assert_close(step(x, index), plan.step(ms.State(x, (), index), x).sample)

    for recipe in (ms.FlowMatchEuler(), ms.DDIM()):
        for use in (fake, inference, transforms, gradient, compiled):
            plan, x, index = recipe.plan(4), make(arrays(1)[0]), make([1, 2], "int32")
            use(plan, x, index)
            assert all(type(one) is torch.Tensor and not one.is_inference() for one in plan._on_device.values())
            at = x.clone().requires_grad_()
            found = plan.step(ms.State(at, (), index), at).sample
            found.sum().backward()
            fresh = recipe.plan(4).step(ms.State(x, (), index), x).sample
            torch.testing.assert_close(found.detach(), fresh, rtol=0, atol=0)


@pytest.mark.parametrize("index", [1, [1, 2]])
def test_a_plan_that_torch_compile_sees_first(index, make, backend):
    """Its numbers are its own, of whatever length it is, and a graph of another plan does not take theirs."""
    if backend.name != "torch":
        pytest.skip("torch.compile reads the code of a step")
    import torch

    x, place = make(arrays(1)[0]), index if index == 1 else make(index, "int32")

    def step(plan, sample, memory):
        state = ms.State(sample, memory, place)
        output = plan.model_input(state) * plan.timestep(state).sum() * 1e-3
        return plan.step(state, output, (sample,) * plan.noise_draws).sample, plan.denoised(state, output)

    for name in ("flow-euler", "dpm-3", "euler-ancestral", "ddim-clip", "ddim-threshold"):
        torch._dynamo.reset()
        own = torch.compile(step, fullgraph=True, backend="eager")
        for n in (4, 6, 4, 9):
            plan = EVERY[name].plan(n)
            memory = tuple(torch.zeros_like(x) for _ in plan.tableau.registers[1:])
            found = own(plan, x, memory)
            torch.testing.assert_close(found, step(EVERY[name].plan(n), x, memory), rtol=1e-5, atol=1e-5)


def test_a_jax_plan_first_used_in_a_trace_keeps_no_tracer(make, backend):
    if backend.name != "jax":
        pytest.skip("tracers are JAX's")
    import jax

    x, index = make(arrays(1)[0]), make([1, 2], "int32")
    uses = (jax.jit, jax.checkpoint, lambda f: lambda a: jax.eval_shape(f, a), lambda f: jax.grad(lambda a: f(a).sum()))
    for use in uses:
        plan = ms.DDIM().plan(4)
        use(lambda a, plan=plan: plan.step(ms.State(a, (), index), a).sample)(x)
        assert plan._on_device and not any(isinstance(one, jax.core.Tracer) for one in plan._on_device.values())
    plan = ms.DDIM().plan(4)
    found = jax.vmap(lambda a, k: plan.step(ms.State(a, (), k), a).sample)(x, index)
    np.testing.assert_allclose(found, plan.step(ms.State(x, (), index), x).sample, rtol=1e-6)


def test_an_array_elsewhere_is_refused(make, backend):
    if backend.name != "torch":
        pytest.skip("the device without data is torch's")
    plan = ms.DPMSolverMultistep().plan(3)
    state, output = plan.start(make(arrays(1)[0])), make(arrays(1)[0])
    index = make([0, 1], "int32")
    memory = tuple(one.to("meta") for one in state.memory)
    for given, result, says in (
        (state._replace(memory=memory), output, "memory lies on meta, the sample on cpu"),
        (state, output.to("meta"), "the model's output lies on meta"),
        (state._replace(index=index.to("meta")), output, "the index lies on meta"),
    ):
        for compile in (False, True):
            with pytest.raises(ms.ScheduleError, match=says):
                plan.step(given, result, compile=compile)


def test_a_stack_has_no_slot_beyond_its_batch(make, backend):
    stack = ms.stack_plans([ms.FlowMatchEuler().plan(3)] * 2)
    state = stack.start(make(arrays(1)[0]))
    fresh = stack.start(make(arrays(1)[0][:1]), [1])
    for slot in (-1, 2, True, 0.5, "0"):
        with pytest.raises(ms.ScheduleError, match="slot"):
            stack.put(state, slot, fresh)
    with pytest.raises(ms.ScheduleError, match="replaced by one of shape"):
        stack.put(state, 0, state)
    assert backend.to_numpy(stack.put(state, 1, fresh).index).tolist() == [0, 4]


@pytest.mark.parametrize("compile", [False, True])
def test_nothing_is_left_of_2000_plans_or_of_2000_requests(compile, make, backend):
    if compile and backend.name not in ("torch", "jax", "mlx"):
        pytest.skip(f"{backend.name} has no compiler")
    x, left = make(arrays(1, (1, 2))[0]), []
    index = make([0], "int32")
    for k in range(2_000):
        plan = ms.DDIM(clip_sample_range=1.0 + k / 1000).plan(2)
        state = plan.step(plan.start(x)._replace(index=index), x, compile=compile)
        left.append(weakref.ref(plan))
    del plan, state
    gc.collect()
    assert sum(one() is not None for one in left) == 0
    stack = ms.stack_plans([ms.DDIM(clip_sample_range=1.0 + k).plan(2) for k in range(3)])
    state = stack.start(make(np.zeros((4, 2), np.float32)), [0, 1, 2, 0])
    state = stack.step(state, state.sample, compile=compile)

    def serve(requests, state):
        for k in range(requests):
            state = stack.put(state, k % 4, stack.start(x, [k % 3]))
            state = stack.step(state, state.sample, compile=compile)
            backend.synchronize(state.sample, state.index)
        gc.collect()
        return state, len(gc.get_objects())

    state, before = serve(100, state)  # what the library keeps of each operation is there after these
    kept = len(stack._on_device)
    _, after = serve(2_000, state)
    assert len(stack._on_device) == kept and after - before < 500, (before, after)


def resident():
    """Bytes of this process in memory; where the system does not say, the most that there were."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("serve", [False, True], ids=["plans", "requests"])
def test_memory_is_flat(serve, compile, make, backend):
    """Over 2,000 plans that are stepped and dropped, or requests put into a stack and taken from it, the process grows
    by less than one of the 2,000 samples, tables and states each 4 kB would take."""
    if compile and backend.name not in ("torch", "jax", "mlx"):
        pytest.skip(f"{backend.name} has no compiler")
    x, index = make(arrays(1, (1, 1000))[0]), make([0], "int32")
    stack = ms.stack_plans([ms.DDIM(clip_sample_range=1.0 + k).plan(2) for k in range(3)])
    held = [stack.start(make(np.zeros((4, 1000), np.float32)), [0, 1, 2, 0])]

    def run(count):
        for k in range(count):
            if serve:
                state = stack.put(held[0], k % 4, stack.start(x, [k % 3]))
                held[0] = state = stack.step(state, state.sample, compile=compile)
            else:
                plan = ms.DDIM(clip_sample_range=1.0 + k / 1000).plan(2)
                state = plan.step(plan.start(x)._replace(index=index), x, compile=compile)
            backend.synchronize(state.sample, state.index)
        gc.collect()
        return resident()

    before = run(1_000)  # allocators keep what they once had
    assert run(2_000) - before < 4 * 2**20


def test_jax_does_not_take_float32_for_float64(make, backend):
    if backend.name != "jax":
        pytest.skip("other libraries have float64, or say so")
    plan = ms.FlowMatchEuler().plan(2)
    for call in (lambda: plan.start(make(arrays(1)[0]), dtype="float64"), lambda: plan.table("jax", dtype="float64")):
        with pytest.raises(ms.ScheduleError, match="jax_enable_x64"):
            call()


def test_arrays_on_two_jax_devices_are_refused(backend):
    if backend.name != "jax":
        pytest.skip("other CPU libraries have one device")
    code = """if True:
        import jax, multisched as ms
        plan, ones = ms.DPMSolverMultistep().plan(3), jax.numpy.ones((2, 3))
        here, there = (jax.device_put(ones, one) for one in jax.devices())
        index = jax.device_put(jax.numpy.array([0, 1]), jax.devices()[0])
        says = "lies on {}, the sample on {}".format(*jax.devices())
        for compile in (False, True):
            for state, output in ((plan.start(there), here), (plan.start(there)._replace(index=index), there)):
                try:
                    plan.step(state, output, compile=compile)
                except ms.ScheduleError as error:
                    assert says in str(error), error
                else:
                    raise AssertionError("not refused")
        assert plan.step(plan.start(there), there).sample.devices() == {jax.devices()[1]}
    """
    flags = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env=flags)


def test_a_scan_holds_no_model(make, backend):
    if backend.name != "jax":
        pytest.skip("the loop over rows is JAX's")
    plan, x = ms.FlowMatchEuler().plan(3), make(arrays(1)[0])

    class Model:
        def __init__(self, weight):
            self.weight = weight

        def __call__(self, x, t):
            return x * self.weight

        def forward(self, x, t):
            return x * self.weight

    left = []
    for k in range(4):
        model = Model(make(np.full((2, 3, 4), float(k))))
        wanted = ms.sample(model, plan, x, loop="python")
        for called in (model, model.forward):
            np.testing.assert_allclose(ms.sample(called, plan, x, loop="scan"), wanted, rtol=1e-5, atol=1e-5)
        left += [weakref.ref(model), weakref.ref(model.weight)]
    del model, called
    gc.collect()
    assert all(one() is None for one in left)
