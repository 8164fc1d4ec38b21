"""The nodes of ComfyUI against a stand-in of the objects that ComfyUI hands to them."""

import functools
import importlib.util
import itertools
import json
import math
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
GROUPS = {"dpm_fast": 11, "dpm_adaptive": 0, "dpmpp_2s": 16, "dpmpp_3s": 11}  # steps that are told of, of 30 calls


@pytest.fixture
def nodes(monkeypatch):
    """The package as ComfyUI imports it, with a stand-in of `comfy.samplers`."""

    @dataclass
    class KSAMPLER:
        sampler_function: Any
        extra_options: Any = None
        inpaint_options: Any = None

    def set_model_options_post_cfg_function(options, function, disable_cfg1_optimization=False):
        assert disable_cfg1_optimization
        return {**options, "sampler_post_cfg_function": [*options.get("sampler_post_cfg_function", []), function]}

    def default_noise_sampler(x, seed=None):
        generator = torch.Generator().manual_seed(seed + 1)
        return lambda sigma, sigma_next: torch.randn(x.shape, generator=generator)

    def brownian(x, sigma_min, sigma_max, seed=None, cpu=False):
        assert 0 < sigma_min < sigma_max and cpu
        return default_noise_sampler(x, seed)

    given = {
        "comfy": {},
        "comfy.samplers": {"KSAMPLER": KSAMPLER},
        "comfy.model_patcher": {"set_model_options_post_cfg_function": set_model_options_post_cfg_function},
        "comfy.k_diffusion": {},
        "comfy.k_diffusion.sampling": {
            "default_noise_sampler": default_noise_sampler,
            "BrownianTreeNoiseSampler": brownian,
        },
    }
    for name, members in given.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
        if "." in name:
            monkeypatch.setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], module, raising=False)
    spec = importlib.util.spec_from_file_location(
        "multisched_nodes", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    package = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "multisched_nodes", package)
    spec.loader.exec_module(package)
    return package.NODE_CLASS_MAPPINGS


class CONST:
    """ComfyUI's class of flow models."""


class Sampling:
    """ComfyUI's model_sampling: a table of noise levels, and the model's time of each."""

    @property
    def sigma_min(self):
        return self.sigmas[0]

    @property
    def sigma_max(self):
        return self.sigmas[-1]

    def percent_to_sigma(self, percent):
        return float(self.sigmas[round((1 - percent) * (len(self.sigmas) - 1))])


class Flow(Sampling, CONST):
    shift, levels = 3.0, 1000

    def __init__(self):
        t = torch.arange(1, self.levels + 1) / self.levels
        shift = self.true_shift()
        self.sigmas = shift * t / (1 + (shift - 1) * t)

    def true_shift(self):
        return self.shift

    def percent_to_sigma(self, percent):
        return 1.0 if percent <= 0 else 3.0 * (1 - percent) / (1 + 2.0 * (1 - percent))


class Flux(Flow):
    """Whose number `shift` is the logarithm of the shift, and whose table is longer."""

    shift, levels = math.log(3.0), 10000

    def true_shift(self):
        return math.exp(self.shift)


class EPS(Sampling):
    def __init__(self):
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        kept = torch.cumprod(1 - betas, 0)
        self.sigmas = ((1 - kept) / kept).sqrt().float()

    def timestep(self, sigma):
        return (self.sigmas - sigma).abs().argmin()

    def sigma(self, timestep):
        t = float(timestep)
        low, high = self.sigmas[math.floor(t)], self.sigmas[math.ceil(t)]
        return torch.exp(torch.lerp(low.log(), high.log(), t % 1))


class EDM(Sampling):
    def __init__(self):
        self.sigmas = torch.exp(torch.linspace(math.log(0.002), math.log(80.0), 1000))

    def timestep(self, sigma):
        return 0.25 * sigma.log()

    def sigma(self, timestep):
        return (4 * timestep).exp()


class Continuous(EDM):
    """The levels of EDM in another time than its table's."""

    def timestep(self, sigma):
        return sigma / (1 + sigma)

    def sigma(self, timestep):
        return timestep / (1 - timestep)


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
        found = (MEAN + share * (x - alpha * MEAN)).to(x.dtype)
        for function in model_options.get("sampler_post_cfg_function", []):
            found = function({"denoised": found, "uncond_denoised": found})
        return found


@pytest.fixture(params=[Flow, Flux, EPS, EDM, Continuous], ids=lambda kind: kind.__name__)
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


def test_the_workflow_is_of_the_nodes(nodes):
    """Its links lead to nodes, and what it gives to ours is what they take."""
    graph = json.loads((FOLDER / "workflow.json").read_text())
    ours = [node for node in graph.values() if node["class_type"] in nodes]
    assert {node["class_type"] for node in ours} == set(nodes)
    for node in graph.values():
        assert all(link[0] in graph for link in node["inputs"].values() if isinstance(link, list))
    for node in ours:
        taken = nodes[node["class_type"]].INPUT_TYPES()
        kinds = taken["required"] | taken.get("optional", {})
        assert set(taken["required"]) <= set(node["inputs"]) <= set(kinds)
        words = [(node["inputs"][name], kind[0]) for name, kind in kinds.items() if isinstance(kind[0], list)]
        assert words and all(word in allowed for word, allowed in words)


def test_every_sampler_runs_on_every_kind_of_model(nodes, sampling):
    node = nodes["MultischedSampler"]()
    names = node.INPUT_TYPES()["required"]["sampler_name"][0]
    sigmas = sigmas_of(nodes, sampling, "karras", 30)
    z = torch.randn(8, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    x = z * sigmas[0]
    for name in names:
        (made,) = getattr(node, node.FUNCTION)(name, 1.0, 1.0)
        called, found = [], []
        for seed in (1, 1, 2):
            given = {"model_options": {}, "seed": seed}
            run = functools.partial(made.sampler_function, Model(sampling), x, sigmas, disable=True)
            found.append(run(extra_args=given, callback=called.append, **made.extra_options))
        assert found[0].shape == x.shape, name
        assert torch.equal(found[0], found[1]), name
        noisy = ms.sampler(name, like=ms.FlowMatchEuler()).plan(9).stochastic if name != "dpm_adaptive" else False
        assert torch.equal(found[0], found[2]) is not noisy, name  # the noise is of the seed that ComfyUI gives
        assert len(called) == 3 * GROUPS.get(name, 30), name
        assert abs(float(found[0].mean()) - 0.4) < 0.1, name
        assert abs(float(found[0].std()) - 0.6) < 0.25, name  # "lcm" is for models that it was distilled with


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


@pytest.mark.parametrize("spacing", ["normal", "sgm_uniform"])
def test_levels_even_in_the_time_of_the_model(nodes, spacing):
    steps, levels = 20, Continuous()
    ends = (float(levels.timestep(end)) for end in (levels.sigma_max, levels.sigma_min))
    times = np.linspace(*ends, steps + (spacing == "sgm_uniform"))[:steps]
    np.testing.assert_allclose(sigmas_of(nodes, levels, spacing, steps)[:-1], times / (1 - times), rtol=1e-4)


def test_levels_that_are_no_shift_are_refused(nodes):
    levels = Flow()
    levels.sigmas = levels.sigmas**2
    with pytest.raises(ms.ScheduleError, match="the noise levels of Flow are no shift of even ones"):
        sigmas_of(nodes, levels, "simple")


@pytest.mark.parametrize("kind", [EPS, Flow])
def test_cfg_plus_plus_is_given_both_outputs(nodes, kind):
    """Euler's run with the guided x0 and the noise of the unguided one."""
    levels = kind()
    sigmas = sigmas_of(nodes, levels, "karras", 8)
    x = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0)) * sigmas[0]

    class Guided(Model):
        def __call__(self, x, sigma, model_options, seed):
            plain = super().__call__(x, sigma, {}, seed)
            args = {"denoised": plain + 0.3, "uncond_denoised": plain}
            return model_options["sampler_post_cfg_function"][0](args)

    (made,) = nodes["MultischedSampler"]().get_sampler("euler_cfg_pp")
    found = made.sampler_function(Guided(levels), x, sigmas, extra_args={"model_options": {}, "seed": 1})
    plain = Model(levels)
    for sigma, below in itertools.pairwise(sigmas):
        x0 = plain(x, sigma.repeat(2), {}, 1)
        alpha, alpha_below = (1 - sigma, 1 - below) if kind is Flow else (1.0, 1.0)
        x = alpha_below * (x0 + 0.3) + below * (x - alpha * x0) / sigma
    torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4)


def test_sa_solver_adds_noise_in_the_middle_of_a_run(nodes):
    module, levels = sys.modules["multisched_nodes.nodes"], EPS()
    sigmas = sigmas_of(nodes, levels, "simple", 20).double()
    found = module.middle(levels, sigmas, 1.0)
    low, high = levels.percent_to_sigma(0.8), levels.percent_to_sigma(0.2)
    inside = [
        float(end) for begin, end in itertools.pairwise(sigmas) if found["tau_start"] <= begin <= found["tau_end"]
    ]
    assert inside == [float(end) for end in sigmas[1:] if low <= end <= high]
    assert module.middle(levels, sigmas[-2:], 1.0) == {"tau": 0.0}


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
