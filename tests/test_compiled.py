"""Steps in a compiler's hands: jit, scan, compile, export, vmap, gradients; one graph for all rows and plans."""

import subprocess
import sys

import numpy as np
import pytest
from made import flow
from zoo import EVERY, arrays, exempt, run

import multisched as ms
from multisched import sampling
from multisched.table import kernel, stepper
from multisched.table.kernel import compiled

# What torch says of itself while it compiles.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:overflow encountered in cast")

# One recipe of each solver family, and of each kind of thing that is done between the sums.
NAMES = (
    "flow-euler", "flow-heun-churn", "flow-euler-omega", "ddim-threshold", "ddim-eta", "euler", "euler-ancestral",
    "heun", "kdpm2-ancestral", "dpm-sde", "dpm-3", "dpm-multi-sde", "dpm-single-3", "ddpm", "lms", "pndm", "ipndm",
    "lcm", "deis-3", "unipc-3-bh1", "sa-4", "score-ve",
)  # fmt: skip
FEW = {name: EVERY[name] for name in NAMES}
COMPILERS = ("torch", "jax", "mlx")
families = pytest.mark.parametrize("recipe", FEW.values(), ids=FEW)


@pytest.fixture
def compiler(backend):
    if backend.name not in COMPILERS:
        pytest.skip(f"{backend.name} has no compiler")
    return backend.name


@pytest.fixture
def traces(compiler, monkeypatch):
    """Counts of the graphs that were made so far."""
    compiled.cache_clear()
    if compiler == "torch":
        import torch

        torch._dynamo.reset()
        # Dynamo reads the code and does not run it, so it says itself what it made.
        return lambda: torch._dynamo.utils.counters["stats"]["unique_graphs"]
    if compiler == "mlx":
        import mlx.core as mx

        first = mx.compile(lambda array: array + array)  # of a process, which MLX traces twice
        mx.eval(first(first(mx.ones(1))))
    made, advance = [], kernel.advance
    for module in (kernel, stepper, sampling):
        monkeypatch.setattr(module, "advance", lambda *given, **named: made.append(0) or advance(*given, **named))
    return lambda: len(made)


def _inputs(plan, make):
    outputs, draws = arrays(len(plan), seed=1), arrays(len(plan), seed=2)
    return make(arrays(1)[0]), [make(one) for one in outputs], [make(one) for one in draws]


def _steps(plan, state, step, outputs, draws):
    for output, z in zip(outputs, draws, strict=True):
        state = step(state, output, (z,) * plan.noise_draws)
    return state


def _near(backend, found, wanted, rows=1):
    """Within what a compiler's fused sums may change in so many rows."""
    wanted = backend.to_numpy(wanted)
    np.testing.assert_allclose(backend.to_numpy(found), wanted, rtol=0, atol=3e-6 * rows * np.abs(wanted).max())


@families
def test_a_compiled_step_is_the_eager_one(recipe, make, backend, compiler):
    """Row by row, to 4 eps of the sum of |c * x|."""
    plan = recipe.plan(4)
    outputs, draws = arrays(len(plan), seed=1), arrays(len(plan), seed=2)
    states = run(plan, make, arrays(1)[0], outputs, draws)
    exact = plan.output_transform is None and plan.noise_transform is None and plan.denoised_transform is None
    for row, state in enumerate(states[:-1]):
        z = tuple(make(draws[row]) for _ in range(plan.noise_draws)) if plan.needs_noise(row) else None
        found = plan.step(state, make(outputs[row]), z, compile=True)
        assert found.index == row + 1
        for k, (one, other) in enumerate(
            zip((found.sample, *found.memory), (states[row + 1].sample, *states[row + 1].memory), strict=True)
        ):
            one, other = backend.to_numpy(one), backend.to_numpy(other)
            if not exact:
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * max(1.0, np.abs(other).max()))
                continue
            operands = [state.sample, *state.memory, make(outputs[row]), *(z or (make(draws[row]),) * plan.noise_draws)]
            weights = np.abs(plan.tableau.fold().weights[row, k])
            size = sum(w * np.abs(backend.to_numpy(x)) for w, x in zip(weights, operands, strict=True))
            assert np.all(np.abs(one - other) <= 4 * np.finfo(np.float32).eps * size)


@families
def test_one_trace_for_fifty_steps(recipe, make, traces):
    plan = recipe.plan(50)
    noise, outputs, draws = _inputs(plan, make)
    before = traces()
    _steps(plan, plan.start(noise), lambda *given: plan.step(*given, compile=True), outputs, draws)
    assert traces() - before <= 1


def test_plans_of_one_layout_share_a_graph(make, traces):
    """Whatever the schedulers: their numbers are inputs."""
    first, *others = (
        ms.FlowMatchEuler(shift=3.0).plan(5),
        ms.FlowMatchEuler(shift=7.0).plan(9),
        ms.Euler(use_karras_sigmas=True).plan(4),
        ms.FlowMapEuler().plan(6),
    )
    noise, output, _ = _inputs(first, make)
    first.step(first.start(noise), output[0], compile=True)
    before = traces()
    for plan in others:
        plan.step(plan.start(noise), output[0], compile=True)
    assert traces() == before


def test_a_step_in_the_users_own_compiler(make, backend, compiler):
    """jax.jit, torch.compile(fullgraph=True), mx.compile over `plan.step`: one trace for all rows."""
    for name in ("flow-heun", "dpm-3", "euler-ancestral", "ddim-threshold", "unipc-noise"):
        plan = EVERY[name].plan(5)
        noise, outputs, draws = _inputs(plan, make)
        count = []

        def step(sample, memory, index, output, z, plan=plan, count=count):
            if compiler != "torch":
                count.append(0)
            state = ms.State(sample, memory, index)
            return tuple(plan.step(state, output * plan.timestep(state) * 1e-3, (z,) * plan.noise_draws))

        own = _compile(compiler, step)
        state = found = plan.start(noise)._replace(index=make(0, "int32"))
        for output, z in zip(outputs, draws, strict=True):
            state = ms.State(*step(*state, output, z))
            found = ms.State(*own(*found, output, z))
        _near(backend, found.sample, state.sample, len(plan))
        assert compiler == "torch" or len(count) == len(plan) + 1, name


def _compile(compiler, function):
    if compiler == "jax":
        import jax

        return jax.jit(function)
    if compiler == "mlx":
        import mlx.core as mx

        return mx.compile(function)
    import torch

    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, backend="aot_eager")


@pytest.mark.parametrize("name", EVERY)
def test_a_scan_is_the_loop(name, make, backend):
    if backend.name != "jax":
        if name == "ddim":
            with pytest.raises(ms.ScheduleError, match="no loop of its own"):
                ms.sample(lambda x, t: x, EVERY[name].plan(2), make(arrays(1)[0]), loop="scan")
        return
    plan = EVERY[name].plan(4)
    given = {one: make(np.ones((2, 3, 4), np.float32) * 0.5) for one in plan.inputs}

    def model(x, t):
        x = x * 0.5 + t * 1e-3
        return backend.xp.concat([x] * (1 + (plan.tableau.outputs > 1)), axis=1)

    runs = [ms.sample(model, plan, make(arrays(1)[0]), rng=3, loop=loop, inputs=given) for loop in ("scan", "python")]
    _near(backend, *runs, rows=10 * len(plan))


def test_a_scan_draws_its_noise_in_the_graph(make, backend):
    if backend.name != "jax":
        pytest.skip("the loop over rows is JAX's")
    for name in ("euler-ancestral", "dpm-sde", "score-ve-predictor", "ddpm"):
        plan = EVERY[name].plan(5)
        runs = [
            ms.sample(lambda x, t: x * 0.5, plan, make(arrays(1)[0]), rng=ms.noise.PhiloxNoise(7), loop=loop)
            for loop in ("scan", "python")
        ]
        _near(backend, *runs, rows=10 * len(plan))


def test_a_scan_is_compiled_once_and_as_large_for_any_number_of_steps(make, backend, traces):
    if backend.name != "jax":
        pytest.skip("the loop over rows is JAX's")
    import jax

    def model(x, t):
        return x * 0.5

    noise, sizes = make(arrays(1)[0]), []
    for n in (10, 1000):
        plan = ms.DEISMultistep(timestep_spacing="trailing").plan(n)
        before = traces()
        sizes.append(jax.jit(lambda x, plan=plan: ms.sample(model, plan, x)).lower(noise).as_text().count("\n"))
        assert traces() - before <= 2  # of the shapes, and of the numbers
    assert abs(sizes[0] - sizes[1]) <= 2, sizes
    before = traces()
    ms.sample(model, plan, noise, loop="scan")
    ms.sample(model, plan, noise, loop="scan")
    assert traces() - before <= 2


def test_a_compiled_loop_is_the_eager_one(make, backend, compiler):
    for name in ("unipc", "euler-ancestral"):
        plan = EVERY[name].plan(6)
        runs = [
            ms.sample(lambda x, t: x * 0.5, plan, make(arrays(1)[0]), rng=5, loop=loop)
            for loop in ("compile", "python")
        ]
        _near(backend, *runs, rows=len(plan))


def test_without_a_compiler_it_says_so(make, backend):
    if backend.name in COMPILERS:
        pytest.skip(f"{backend.name} has a compiler")
    plan = ms.FlowMatchEuler().plan(2)
    x = make(arrays(1)[0])
    with pytest.raises(ms.ScheduleError, match=f"{backend.name} has no compiler"):
        plan.step(plan.start(x), x, compile=True)
    with pytest.raises(ms.ScheduleError, match="without callback or progress"):
        ms.sample(lambda x, t: x, plan, x, loop="scan", progress=True)


def test_nothing_is_moved_or_read_in_a_jax_step(make, backend):
    """Under a guard that forbids every transfer that is not asked for."""
    if backend.name != "jax":
        pytest.skip("the guard is JAX's")
    import jax

    for recipe in FEW.values():
        plan = recipe.plan(3)
        noise, outputs, draws = _inputs(plan, make)
        jitted = jax.jit(plan.step)
        states = [plan.start(noise), plan.start(noise)._replace(index=make(0, "int32"))]
        given = [(output, (z,) * plan.noise_draws) for output, z in zip(outputs, draws, strict=True)]
        plan.step(states[0], *given[0], compile=True)
        with jax.transfer_guard("disallow"):
            for one in given:
                states = [plan.step(states[0], *one, compile=True), jitted(states[1], *one)]
        _near(backend, *(state.sample for state in states), rows=len(plan))


def test_an_mlx_step_evaluates_nothing(make, backend):
    """Inside mx.compile an evaluation is an error; every scheduler goes through."""
    if backend.name != "mlx":
        pytest.skip("lazy arrays are MLX's")
    import mlx.core as mx

    for recipe in EVERY.values():
        plan = recipe.plan(2)
        if plan.inputs:
            continue
        noise, outputs, draws = _inputs(plan, make)

        def both(x, output, z, plan=plan):
            eager = plan.step(plan.start(x), output, (z,) * plan.noise_draws)
            return eager.sample, plan.denoised(eager, output)

        mx.eval(mx.compile(both)(noise, outputs[0], draws[0]))


def test_torch_exports_maps_and_differentiates_a_step(make, backend):
    if backend.name != "torch":
        pytest.skip("torch.export and torch.func are torch's")
    import torch

    plan = ms.DPMSolverMultistep().plan(4)
    noise, outputs, _ = _inputs(plan, make)
    state = plan.start(noise)._replace(index=make(1, "int64"))

    class Step(torch.nn.Module):
        def forward(self, sample, memory, index, output):
            return tuple(plan.step(ms.State(sample, (memory,), index), output))[::2]

    given = (state.sample, state.memory[0], state.index, outputs[0])
    exported = torch.export.export(Step(), given).module()
    for index in (0, 3):
        found = exported(*given[:2], make(index, "int64"), given[3])[0]
        torch.testing.assert_close(found, plan.step(state._replace(index=index), outputs[0]).sample)

    def end(sample, output):
        return plan.step(ms.State(sample, state.memory, 2), output).sample

    batch = torch.stack(outputs)
    mapped = torch.func.vmap(end, in_dims=(None, 0))(noise, batch)
    torch.testing.assert_close(mapped, torch.stack([end(noise, one) for one in outputs]))
    weight = float(plan.tableau.fold().weights[2, 0, 2])
    found = torch.func.grad(lambda output: end(noise, output).sum())(outputs[0])
    torch.testing.assert_close(found, torch.full_like(found, weight))


def test_a_device_is_named_inside_a_compiled_function(make, backend, device):
    if backend.name != "torch":
        pytest.skip("other libraries have no device inside what they compile")
    import torch

    source, name = ms.noise.PhiloxNoise(7), str(device or "cpu")

    def draw(step):
        return source.normal_on(backend, name, [0], step, 0, (2, 3))

    found = torch.compile(draw, fullgraph=True, backend="aot_eager")(make(3, "int32"))
    torch.testing.assert_close(found, draw(3))


def test_a_cuda_step_never_waits_and_is_captured(make, backend, device):
    if not str(device).startswith("cuda"):
        pytest.skip("CUDA graphs need a CUDA device: --device cuda")
    import torch

    plan = ms.UniPCMultistep().plan(5)
    noise, outputs, _ = _inputs(plan, make)
    states = [plan.start(noise), plan.start(noise)._replace(index=make(0, "int64"))]
    torch.cuda.set_sync_debug_mode("error")
    try:
        for output in outputs:
            states = [plan.step(state, output) for state in states]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    start = plan.start(noise)._replace(index=make(0, "int64"))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = plan.step(start, outputs[0])
    for row in range(len(plan)):
        start.index.fill_(row)
        eager = plan.step(start._replace(index=row), outputs[0])
        graph.replay()
        _near(backend, captured.sample, eager.sample)


SOLVERS = {
    "euler": ms.solvers.Euler(),
    "heun": ms.solvers.Heun(),
    "dpm-3": ms.solvers.DPMMultistep(3),
    "dpm-single": ms.solvers.DPMSinglestep(),
    "unipc": ms.solvers.ExponentialAdams(True, 2, 2),
    "ddim": ms.solvers.DDIM(0.5),
    "adams": ms.solvers.Adams(),
}


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_gradients_with_respect_to_the_sigmas(solver, make, backend):
    """Of a whole run, against differences on NumPy."""
    if backend.name not in ("torch", "jax"):
        pytest.skip(f"a grid of {backend.name} has no gradients")
    levels = np.linspace(0.99, 0.05, 6)
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)

    def loss(sigmas, noise):
        recipe = ms.Scheduler(*flow(), "flow_prediction", solver)
        plan = recipe.plan_over(ms.Grid(sigmas * 1000.0, 1 - sigmas, sigmas))
        return (ms.sample(lambda x, t: x * 0.5 + t * 1e-3, plan, noise) ** 2).sum()

    moved = [[loss(levels + sign * 1e-6 * one, x.astype(float)) for sign in (1, -1)] for one in np.eye(6)]
    wanted = np.array([(up - down) / 2e-6 for up, down in moved])
    if backend.name == "torch":
        import torch

        sigmas = torch.tensor(levels, requires_grad=True)
        loss(sigmas, make(x)).backward()
        found = sigmas.grad.numpy()
    else:
        import jax

        gradient = jax.jit(jax.grad(lambda sigmas: loss(sigmas, make(x))))
        if exempt("has derivatives by the levels inside jit", solver):
            with pytest.raises(TypeError, match="traced"):
                gradient(make(levels))
            return
        found = gradient(make(levels))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("solver", [ms.solvers.Midpoint(), ms.solvers.ChurnedHeun(s_churn=1.0)])
def test_levels_between_those_of_a_grid_are_looked_up_on_the_host(solver, make, backend):
    levels = make(np.linspace(0.99, 0.05, 6, dtype=np.float32))
    recipe, grid = ms.Scheduler(*flow(), "flow_prediction", solver), (levels * 1000.0, 1 - levels, levels)
    if backend.name == "numpy":
        assert len(recipe.plan_over(ms.Grid(*grid))) == 10
        return
    with pytest.raises(ms.ScheduleError, match="give a grid of NumPy"):
        recipe.plan_over(ms.Grid(*grid))


@pytest.mark.parametrize("early", [False, True], ids=["jax-later", "jax-first"])
def test_a_plan_is_an_argument_of_jit(early, backend):
    """A constant of the compiled function, which is traced once for equal plans; whichever is imported first."""
    if backend.name != "jax":
        pytest.skip("other libraries' compilers take any argument")
    code = """
import multisched as ms
plan = ms.FlowMatchEuler().plan(3)
traces = []
def run(plan, x):
    traces.append(plan)
    return plan.step(plan.start(x), x).sample
import jax
if not EARLY:
    ms.backends.get("jax")
plan = ms.FlowMatchEuler().plan(3) if EARLY else plan
step, x = jax.jit(run), jax.numpy.ones((1, 2))
first = step(plan, x)
assert (first == plan.step(plan.start(x), x).sample).all()
step(ms.FlowMatchEuler().plan(3), x)
assert len(traces) == 1
step(ms.FlowMatchEuler().plan(4), x)
assert len(traces) == 2 and jax.tree_util.tree_leaves(plan) == []
"""
    subprocess.run([sys.executable, "-c", code.replace("EARLY", str(early))], check=True)
