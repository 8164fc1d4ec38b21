"""The nodes of ComfyUI against a stand-in of the objects that ComfyUI hands to them."""

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import multisched as ms

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"
MEAN, STD = 0.4, 0.6


@pytest.fixture
def nodes(monkeypatch):
    """The package as ComfyUI imports it, with a stand-in of `comfy.samplers`."""

    @dataclass
    class KSAMPLER:
        sampler_function: Any
        extra_options: Any = None
        inpaint_options: Any = None

    samplers = ModuleType("comfy.samplers")
    samplers.KSAMPLER = KSAMPLER
    monkeypatch.setitem(sys.modules, "comfy", ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.samplers", samplers)
    spec = importlib.util.spec_from_file_location(
        "multisched_nodes", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    package = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "multisched_nodes", package)
    spec.loader.exec_module(package)
    return package.NODE_CLASS_MAPPINGS


class CONST:
    """ComfyUI's class of flow models."""


class Flow(CONST):
    shift = 3.0

    def __init__(self):
        t = torch.arange(1, 1001) / 1000
        self.sigmas = self.shift * t / (1 + (self.shift - 1) * t)


class EPS:
    def __init__(self):
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        kept = torch.cumprod(1 - betas, 0)
        self.sigmas = ((1 - kept) / kept).sqrt().float()


class Model:
    """What a sampler function is called with: it gives the denoised sample of (x, sigma)."""

    def __init__(self, sampling):
        self.inner_model = SimpleNamespace(inner_model=SimpleNamespace(model_sampling=sampling))
        self.flow = isinstance(sampling, CONST)

    def __call__(self, x, sigma, model_options, seed):
        assert sigma.shape == (x.shape[0],)
        sigma = sigma.reshape(-1, 1, 1, 1).double()
        alpha = 1 - sigma if self.flow else torch.ones_like(sigma)
        share = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        return (MEAN + share * (x - alpha * MEAN)).to(x.dtype)


@pytest.fixture(params=[Flow, EPS], ids=["flow", "eps"])
def sampling(request):
    return request.param()


def sigmas_of(nodes, sampling, spacing, steps=20, denoise=1.0):
    node = nodes["MultischedScheduler"]()
    patcher = SimpleNamespace(get_model_object=lambda name: {"model_sampling": sampling}[name])
    (found,) = getattr(node, node.FUNCTION)(patcher, spacing, steps, denoise)
    return found


def test_the_nodes_say_what_comfyui_asks(nodes):
    for node in nodes.values():
        names = node.INPUT_TYPES()["required"]
        assert all(isinstance(one, tuple) for one in names.values())
        assert callable(getattr(node(), node.FUNCTION))
        assert len(node.RETURN_TYPES) == 1 and node.CATEGORY


def test_every_sampler_runs_on_every_kind_of_model(nodes, sampling):
    node = nodes["MultischedSampler"]()
    names = node.INPUT_TYPES()["required"]["sampler_name"][0]
    sigmas = sigmas_of(nodes, sampling, "karras", 30)
    z = torch.randn(8, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    x = z * sigmas[0]
    for name in names:
        (made,) = getattr(node, node.FUNCTION)(name, 1.0, 1.0)
        called = []
        torch.manual_seed(0)
        found = made.sampler_function(
            Model(sampling),
            x,
            sigmas,
            extra_args={"model_options": {}, "seed": 1},
            callback=called.append,
            disable=True,
            **made.extra_options,
        )
        assert found.shape == x.shape, name
        assert len(called) == (11 if name == "dpm_fast" else 30), name  # whose steps have three calls
        assert abs(float(found.mean()) - 0.4) < 0.1, name
        assert abs(float(found.std()) - 0.6) < 0.25, name  # "lcm" is for models that it was distilled with


def test_the_levels_are_those_of_comfyui(nodes, sampling):
    """ "simple" takes every so many-th level of the model's table, "karras" lies between its ends."""
    steps = 25
    table = sampling.sigmas.numpy()
    wanted = [table[-(1 + int(k * len(table) / steps))] for k in range(steps)]
    np.testing.assert_allclose(sigmas_of(nodes, sampling, "simple", steps)[:-1], wanted, rtol=1e-5)
    found = sigmas_of(nodes, sampling, "karras", steps)
    ramp = np.linspace(table[-1] ** (1 / 7), table[0] ** (1 / 7), steps) ** 7
    np.testing.assert_allclose(found[:-1], ramp, rtol=1e-4)
    assert float(found[-1]) == 0
    part = sigmas_of(nodes, sampling, "simple", 10, 0.4)
    assert len(part) == 11
    np.testing.assert_allclose(part, sigmas_of(nodes, sampling, "simple", 25)[-11:])
    assert len(sigmas_of(nodes, sampling, "simple", 10, 0.0)) == 0


def test_options_reach_the_solver(nodes):
    node = nodes["MultischedSampler"]()
    (made,) = node.get_sampler("euler_ancestral", eta=0.0)
    assert made.extra_options == {"eta": 0.0}
    sigmas = sigmas_of(nodes, EPS(), "karras", 10)
    x = torch.ones(1, 1, 2, 2) * sigmas[0]
    given = {"extra_args": {"model_options": {}, "seed": 1}}
    (euler,) = node.get_sampler("euler")
    found = made.sampler_function(Model(EPS()), x, sigmas, **given, **made.extra_options)
    torch.testing.assert_close(found, euler.sampler_function(Model(EPS()), x, sigmas, **given))
    with pytest.raises(ms.ScheduleError, match="the name of a sampler"):
        node.get_sampler("eular")
