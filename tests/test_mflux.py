"""Schedulers of mflux, on MLX, against a stand-in of the interface that mflux 0.24 has."""

import importlib
import sys
from abc import ABC, abstractmethod
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import multisched as ms
from multisched.interop import mflux as ours


@pytest.fixture
def mx(backend, monkeypatch):
    """MLX, with a stand-in of mflux's schedulers."""
    if backend.name != "mlx":
        pytest.skip("mflux is of MLX")
    import mlx.core as mx

    class BaseScheduler(ABC):
        @property
        @abstractmethod
        def sigmas(self): ...

        @abstractmethod
        def step(self, noise, timestep, latents, **kwargs): ...

        def scale_model_input(self, latents, t):
            return latents

    class LinearScheduler(BaseScheduler):
        def __init__(self, config):
            n = config.num_inference_steps
            even = mx.linspace(1.0, 1.0 / n, n)
            self._sigmas = mx.concatenate([3 * even / (1 + 2 * even), mx.zeros(1)])  # shifted by 3

        @property
        def sigmas(self):
            return self._sigmas

        def step(self, noise, timestep, latents, **kwargs):
            return latents + noise * (self._sigmas[timestep + 1] - self._sigmas[timestep])

    names = ["mflux", "mflux.models", "mflux.models.common", "mflux.models.common.schedulers"]
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    base = ModuleType(names[-1] + ".base_scheduler")
    base.BaseScheduler, sys.modules[names[-1]].LinearScheduler = BaseScheduler, LinearScheduler
    monkeypatch.setitem(sys.modules, base.__name__, base)
    ours.__getattr__.cache_clear()
    yield mx
    ours.__getattr__.cache_clear()


def made(name, n=8):
    """As mflux makes it of a dotted path."""
    kind = getattr(importlib.import_module("multisched.interop.mflux"), name)
    base = sys.modules["mflux.models.common.schedulers.base_scheduler"].BaseScheduler
    assert isinstance(kind, type) and issubclass(kind, base)
    return kind(SimpleNamespace(num_inference_steps=n))


def run(scheduler, latents, first=0, n=8):
    """mflux's loop; the model is passed sigmas and the number of the step."""
    for t in range(first, n):
        noise = latents * 0.4 + float(scheduler.sigmas[t])
        latents = scheduler.step(noise=noise, timestep=t, latents=scheduler.scale_model_input(latents, t))
    return np.array(latents)


def test_euler_is_mfluxs_own(mx):
    own = sys.modules["mflux.models.common.schedulers"].LinearScheduler(SimpleNamespace(num_inference_steps=8))
    x = ms.noise.normal((1, 16, 4), backend="mlx")
    np.testing.assert_allclose(made("Euler").sigmas, own.sigmas, rtol=1e-6)
    np.testing.assert_allclose(run(made("Euler"), x), run(own, x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run(made("Euler"), x, 3), run(own, x, 3), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ours.NAMES)
def test_a_run_is_that_of_the_plan(name, mx):
    scheduler, x = made(name), ms.noise.normal((1, 16, 4), backend="mlx")
    calls = {"calls": 8} if name == "Auto" else {}
    recipe = ms.sampler(ours.NAMES[name], like=ms.paths.Straight(), **calls)
    for first in (0, 3):
        asked = {"n": 8} if name == "Auto" else {"sigmas": np.asarray(scheduler.sigmas, np.float64)}
        plan = recipe.plan(**asked, start=first)
        state = plan.start(x)._replace(sample=x)
        for row in range(len(plan)):
            state = plan.step(state, state.sample * 0.4 + float(np.float32(plan.rows.sigma[row, 0])))
        np.testing.assert_allclose(run(scheduler, x, first), state.sample, rtol=2e-5, atol=1e-5)


def test_bfloat16_stays(mx):
    scheduler, x = made("DPMpp2M"), ms.noise.normal((1, 16, 4), backend="mlx", dtype="bfloat16")
    assert scheduler.step(noise=x.astype(mx.float32), timestep=0, latents=x).dtype == mx.bfloat16
    assert scheduler.timesteps.tolist() == list(range(8))


@pytest.mark.host
def test_names_are_hinted_at():
    with pytest.raises(AttributeError, match="did you mean 'DPMpp2M'"):
        _ = ours.DPMpp2m
