"""The stateful face inside transformations: refused where Python runs once for many calls, never guessed."""

import functools
from typing import Any

import numpy as np
import pytest
from zoo import arrays

import multisched as ms

RECIPES = [ms.DDIM(clip_sample=False), ms.DPMSolverMultistep(), ms.Heun()]
SENTENCE = "plan.step of recipe.plan"


def _scheduler(recipe: Any, backend: Any, device: Any, steps: int = 4) -> Any:
    scheduler = recipe.on(backend, device)
    scheduler.set_timesteps(steps)
    return scheduler


def _kept(scheduler: Any) -> tuple[Any, ...]:
    return scheduler.step_index, scheduler._begun, scheduler._first, scheduler._memory


def _stagings(backend: Any) -> dict[str, Any]:
    """name -> call(f, x, t): f(x, t) traced by what runs it once for many calls."""
    if backend.name == "jax":
        import jax

        return {
            "jit": lambda f, x, t: jax.jit(f)(x, t),
            "jit-grad": lambda f, x, t: jax.jit(jax.grad(lambda x, t: f(x, t).sum()))(x, t),
            "scan": lambda f, x, t: jax.lax.scan(lambda x, t: (f(x, t), None), x, t[None])[0],
            "fori_loop": lambda f, x, t: jax.lax.fori_loop(0, 2, lambda _, x: f(x, t), x),
            "checkpoint": lambda f, x, t: jax.checkpoint(f)(x, t),
        }
    if backend.name == "mlx":
        import mlx.core as mx

        return {"compile": lambda f, x, t: mx.compile(f)(x, t), "vmap": lambda f, x, t: mx.vmap(f, (0, None))(x, t)}
    if backend.name == "torch":
        import torch
        from torch.fx.experimental.proxy_tensor import make_fx

        class Module(torch.nn.Module):
            def __init__(self, f: Any) -> None:
                super().__init__()
                self.f = f

            def forward(self, x: Any, t: Any) -> Any:
                return self.f(x, t)

        return {
            "export": lambda f, x, t: torch.export.export(Module(f), (x, t), strict=False),
            "make_fx": lambda f, x, t: make_fx(f)(x, t),
        }
    return {}


def _valueless(backend: Any) -> dict[str, Any]:
    """name -> call(f, x, t) with a timestep that has no value, though f runs in each call."""
    if backend.name == "jax":
        import jax

        return {"vmap": lambda f, x, t: jax.vmap(f, (None, 0))(x, t[None])}
    if backend.name == "mlx":
        import mlx.core as mx

        return {"vmap": lambda f, x, t: mx.vmap(f, (None, 0))(x, t[None])}
    if backend.name == "torch":
        import torch
        from torch._subclasses.fake_tensor import FakeTensorMode

        def fake(f: Any, x: Any, t: Any) -> Any:
            with FakeTensorMode() as mode:
                return f(mode.from_tensor(x), mode.from_tensor(t))

        def compiled(f: Any, x: Any, t: Any) -> Any:
            try:
                return torch.compile(f, fullgraph=True, backend="eager")(x, t)
            except torch._dynamo.exc.Unsupported as error:  # which an exception is, out of a whole graph
                raise ms.ScheduleError(str(error)) from None

        return {
            "vmap": lambda f, x, t: torch.func.vmap(f, (None, 0))(x, t[None]),
            "vmap-grad": lambda f, x, t: torch.func.vmap(
                torch.func.grad(lambda x, t: f(x, t).sum(), argnums=(0, 1)), (None, 0)
            )(x, t[None]),
            "fake": fake,
            "compile": compiled,
            "meta": lambda f, x, t: f(x.to("meta"), t.to("meta")),
        }
    return {}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
@pytest.mark.parametrize("begun", [False, True])
def test_what_is_traced_once_for_many_calls_is_refused(recipe, begun, make, backend, device):
    """With a timestep that is traced as with a number, in the first step as in later ones."""
    scheduler = _scheduler(recipe, backend, device)
    x, first = make(arrays(1)[0]), float(scheduler.plan.timesteps[0])
    if begun:
        scheduler.step(x * 0.5, first, x)
    due = float(scheduler.plan.timesteps[scheduler.step_index])
    before = _kept(scheduler)
    steps = [lambda x, t: scheduler.step(x * 0.5, t, x), lambda x, t: scheduler.step(x * 0.5, due, x)]
    if scheduler.plan.layout.scale is not None:  # else it is the sample, wherever the scheduler stands
        steps.append(lambda x, t: scheduler.scale_model_input(x, t))
        steps.append(lambda x, t: scheduler.scale_model_input(x, due))
    for name, staged in _stagings(backend).items():
        for f in steps:
            with pytest.raises(ms.ScheduleError, match=SENTENCE):
                staged(f, x, make(due))
            assert _kept(scheduler) == before, name


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
def test_a_timestep_without_a_value_is_refused(recipe, make, backend, device):
    scheduler = _scheduler(recipe, backend, device)
    x, first = make(arrays(1)[0]), float(scheduler.plan.timesteps[0])
    begun = _scheduler(recipe, backend, device)
    begun.step(x * 0.5, first, x)
    for name, call in _valueless(backend).items():
        for one in (scheduler, begun) if name != "meta" else (scheduler,):
            before = _kept(one)
            for f in (
                lambda x, t, one=one: one.step(x * 0.5, t, x),
                lambda x, t, one=one: one.scale_model_input(x, t),
            ):
                with pytest.raises(ms.ScheduleError, match=SENTENCE):
                    call(f, x, make(first))
                assert _kept(one) == before, name


def test_an_output_that_alone_is_traced_is_refused(make, backend, device):
    scheduler = _scheduler(ms.DDIM(clip_sample=False), backend, device)
    x, first = make(arrays(1)[0]), float(scheduler.plan.timesteps[0])
    before = _kept(scheduler)
    for name, staged in _stagings(backend).items():
        with pytest.raises(ms.ScheduleError, match=SENTENCE):
            staged(lambda output, t: scheduler.step(output, first, x), x * 1.0, make(first))
        if backend.name == "jax":  # what comes of arrays that are not traced is, inside jit
            with pytest.raises(ms.ScheduleError, match=SENTENCE):
                staged(lambda output, t: scheduler.step(x * 1.0, first, x), x * 1.0, make(first))
        assert _kept(scheduler) == before, name


def _gradient(backend: Any, f: Any, x: Any) -> Any:
    if backend.name == "jax":
        import jax

        return jax.grad(f)(x)
    if backend.name == "mlx":
        import mlx.core as mx

        return mx.grad(f)(x)
    import torch

    return torch.func.grad(f)(x)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
@pytest.mark.parametrize("hosted", [True, False])
def test_gradients_of_an_eager_loop(recipe, hosted, make, backend, device):
    """Python runs in each call of these, so that nothing is lost; the run is linear, its gradient what it grows by."""
    if backend.name not in ("jax", "mlx", "torch"):
        pytest.skip("this library has no gradients")
    scheduler = _scheduler(recipe, backend, device)

    def run(x: Any) -> Any:
        scheduler.reset()
        steps = scheduler.timesteps()
        for row, t in enumerate(scheduler.plan.timesteps):
            x = scheduler.step(scheduler.scale_model_input(x, float(t)) * 0.5, float(t) if hosted else steps[row], x)
        return x

    x = make(arrays(1)[0])
    grown = backend.to_numpy(run(x)) / backend.to_numpy(x)
    found = backend.to_numpy(_gradient(backend, lambda x: run(x).sum(), x))
    np.testing.assert_allclose(found, grown, rtol=2e-5)


def test_a_batch_of_samples_under_vmap_with_numbers(make, backend, device):
    x = make(arrays(1)[0])
    scheduler = _scheduler(ms.DPMSolverMultistep(), backend, device)

    def run(x: Any) -> Any:
        scheduler.reset()
        for t in scheduler.plan.timesteps.tolist():
            x = scheduler.step(x * 0.5, t, x)
        return x

    wanted = backend.to_numpy(run(x))
    if backend.name == "jax":
        import jax

        np.testing.assert_allclose(backend.to_numpy(jax.vmap(run)(x)), wanted, rtol=1e-5)
    if backend.name == "torch":
        import torch

        np.testing.assert_allclose(backend.to_numpy(torch.func.vmap(run)(x)), wanted, rtol=1e-5)
    scheduler.reset()
    np.testing.assert_array_equal(backend.to_numpy(run(x)), wanted)


@pytest.mark.parametrize("recipe", RECIPES[:2], ids=lambda recipe: type(recipe).__name__)
def test_torch_compiles_a_step_with_a_number(recipe, make, backend, device):
    """Dynamo guards Python's state: each row is compiled for itself, and the position is kept."""
    if backend.name != "torch":
        pytest.skip("a matter of torch.compile")
    import torch

    torch._dynamo.reset()
    eager, other = (_scheduler(recipe, backend, device) for _ in range(2))
    f = functools.partial(torch.compile, fullgraph=True, backend="eager")(lambda x, t: other.step(x * 0.5, t, x))
    x = y = make(arrays(1)[0])
    for t in eager.plan.timesteps.tolist():
        x, y = eager.step(x * 0.5, t, x), f(y, t)
        assert other.step_index == eager.step_index
        np.testing.assert_allclose(backend.to_numpy(y), backend.to_numpy(x), rtol=1e-5, atol=1e-6)


def test_levels_and_targets_may_be_traced(make, backend, device):
    """They keep nothing."""
    recipe = ms.DDIM(clip_sample=False)
    scheduler = _scheduler(recipe, backend, device)
    x0, noise = (make(values) for values in arrays(2))
    t = backend.asarray(np.array([10, 700]), "int32", device)

    def f(x: Any, t: Any) -> Any:
        noisy = scheduler.add_noise(x, noise, t)
        return noisy + scheduler.get_velocity(x, noise, t) + scheduler.scale_noise(x, t, noise)

    wanted = backend.to_numpy(f(x0, t))
    compiled = {"jax": "jit", "mlx": "compile"}.get(backend.name)
    if compiled is not None:
        np.testing.assert_allclose(backend.to_numpy(_stagings(backend)[compiled](f, x0, t)), wanted, rtol=1e-5)
