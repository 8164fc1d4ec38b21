"""Densities and weights beside diffusers.training_utils."""

import math

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import (
    compute_density_for_timestep_sampling,
    compute_loss_weighting_for_sd3,
    compute_snr,
)

import multisched as ms
from multisched.training import ByDensity, Constant, CosMap, LogitNormal, MinSNR, Mode, Uniform

SIZE = 20000


@pytest.mark.parametrize(
    ("scheme", "density", "options"),
    [
        ("logit_normal", LogitNormal(0.4, 0.8), {"logit_mean": 0.4, "logit_std": 0.8}),
        ("mode", Mode(1.1), {"mode_scale": 1.1}),
        ("none", Uniform(), {}),
    ],
)
def test_densities_have_the_laws_of_diffusers(scheme, density, options):
    generator = torch.Generator().manual_seed(0)
    theirs = compute_density_for_timestep_sampling(scheme, SIZE, generator=generator, **options).numpy()
    ours = density.quantile((np.arange(SIZE) + 0.5) / SIZE)
    share = np.searchsorted(ours, np.sort(theirs)) / SIZE
    assert np.max(np.abs(share - (np.arange(SIZE) + 0.5) / SIZE)) < 1.63 / math.sqrt(SIZE)
    if scheme == "mode":  # the same draws, from the other end of the unit interval
        u = torch.rand(SIZE, generator=torch.Generator().manual_seed(0)).numpy()
        np.testing.assert_allclose(theirs, density.quantile(np.clip(1.0 - u, 1e-7, 1 - 1e-7)), atol=2e-6)


def test_weights_are_those_of_diffusers():
    times = torch.arange(1000)
    theirs = compute_snr(DDPMScheduler(), times).numpy()
    recipe = ms.DDPM()
    np.testing.assert_allclose(Constant("epsilon")(recipe, times.numpy(), "sample"), theirs, rtol=1e-4)
    wanted = np.minimum(theirs, 5.0) / theirs
    np.testing.assert_allclose(MinSNR()(recipe, times.numpy()), wanted, rtol=1e-4)
    sigmas = torch.linspace(0.01, 0.99, 33)
    wanted = compute_loss_weighting_for_sd3("cosmap", sigmas).numpy()
    found = ByDensity(CosMap())(ms.FlowMatchEuler(), 1000 * sigmas.numpy())
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
