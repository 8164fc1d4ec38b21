"""`interop.k_diffusion` against the functions of the installed k-diffusion: the same calls, on the same noise."""

import numpy as np
import pytest
import torch
from test_k_diffusion import OPTIONS, PLANNED, chosen, denoiser, ends, sampling

from multisched.interop import k_diffusion as ours


@pytest.fixture(autouse=True)
def _float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", [name for name in PLANNED if "sde" not in name])
@pytest.mark.parametrize("last", [True, False], ids=["to 0", "to a level"])
def test_a_sampler_draws_and_calls_as_theirs(name, last):
    """From torch's own generator, with the same calls of the model."""
    for seed in range(6):
        rng = np.random.default_rng([seed, len(name)])
        low, high = ends(rng, "karras")
        options, n = chosen(rng, name), int(rng.integers(2, 12))
        sigmas = sampling.get_sigmas_karras(n + (not last), low, high)
        sigmas = sigmas if last else sigmas[:-1]
        inner, x = denoiser(rng, 5), torch.tensor(rng.standard_normal((2, 5))) * high
        found, seen, told = [], [], []
        for function in (getattr(sampling, name), getattr(ours, name)):
            calls, callbacks = [], []

            def model(x, sigma, *, shift, calls=calls, inner=inner):
                calls.append(sigma.clone())
                return inner(x, sigma) + shift

            torch.manual_seed(seed)
            given = {"extra_args": {"shift": 0.1}, "callback": callbacks.append, "disable": True}
            found.append(function(model, x, sigmas, **given, **options))
            seen.append(torch.stack(calls))
            told.append([(one["i"], one["denoised"]) for one in callbacks])
        np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-9, err_msg=f"{n} steps, {options}")
        np.testing.assert_allclose(seen[1], seen[0], rtol=1e-9)
        assert [i for i, _ in told[1]] == [i for i, _ in told[0]]
        for (_, mine), (_, theirs) in zip(*told, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [name for name in PLANNED if "sde" in name])
def test_a_noise_sampler_is_asked_for_the_same_intervals(name):
    rng = np.random.default_rng(len(name))
    low, high = ends(rng, "karras")
    sigmas = sampling.get_sigmas_karras(7, low, high)
    model, x = denoiser(rng, 5), torch.tensor(rng.standard_normal((2, 5))) * high
    found, asked = [], []
    for function in (getattr(sampling, name), getattr(ours, name)):
        source, own = np.random.default_rng(1), []

        def draw(begin, end, source=source, own=own):
            own.append((float(begin), float(end)))
            return torch.tensor(source.standard_normal((2, 5)))

        found.append(function(model, x, sigmas, disable=True, noise_sampler=draw))
        asked.append(own)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(asked[1], asked[0], rtol=1e-9)


def test_the_samplers_that_choose_their_levels():
    rng = np.random.default_rng(0)
    model, x = denoiser(rng, 5), torch.tensor(rng.standard_normal((2, 5))) * 40.0
    for n in (1, 2, 3, 7, 10):
        wanted = sampling.sample_dpm_fast(model, x, 0.03, 40.0, n, disable=True)
        np.testing.assert_allclose(ours.sample_dpm_fast(model, x, 0.03, 40.0, n), wanted, rtol=1e-9, atol=1e-9)
    wanted, info = sampling.sample_dpm_adaptive(model, x, 0.03, 40.0, disable=True, return_info=True)
    found, said = ours.sample_dpm_adaptive(model, x, 0.03, 40.0, return_info=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    assert said == info


@pytest.mark.parametrize("name", ["sa_solver", "sa_solver_pece"])
def test_noise_in_the_middle_of_a_run(name):
    """A draw in each step from a level in the middle of Stable Diffusion's, and none in a run without such a step."""
    rng = np.random.default_rng(0)
    model, x = denoiser(rng, 5), torch.tensor(rng.standard_normal((2, 5)))
    for low, high in ((0.03, 14.6), (0.03, 0.5)):
        sigmas, asked = sampling.get_sigmas_karras(12, low, high), []

        def draw(begin, end, asked=asked):
            asked.append(float(begin))
            return torch.zeros(2, 5)

        getattr(ours, f"sample_{name}")(model, x * high, sigmas, noise_sampler=draw)
        assert asked == [one for one in sigmas[:-1].tolist() if 0.571 <= one <= 5.092]


@pytest.mark.parametrize("name", ours.LEVELS)
def test_the_noise_levels(name):
    given = {} if name.endswith("vp") else {"sigma_min": 0.02, "sigma_max": 12.0}
    for n in (1, 2, 5, 30):
        wanted = getattr(sampling, name)(n, **given)
        np.testing.assert_allclose(getattr(ours, name)(n, **given), wanted, rtol=1e-6, atol=0)


def test_every_function_there_is_here():
    there = {name for name in vars(sampling) if name.startswith(("sample_", "get_sigmas_"))}
    assert there <= set(dir(ours))
    assert set(OPTIONS) <= set(dir(ours))
