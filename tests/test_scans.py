"""The data that `multisched sample` draws from: the digits, and points with noise on them."""

import numpy as np
import pytest

from multisched import digits
from multisched.analysis import DataSet, Mixture
from multisched.cli.models import Blurred
from multisched.pictures.images import nearest_distance


@pytest.fixture(scope="module")
def points():
    return digits.images()


def test_blurred_data_are_a_mixture(backend, make):
    """The exact denoiser of points with noise on them is that of a mixture of Gaussians of one size."""
    points, x = np.random.default_rng(0).standard_normal((2, 5, 1, 2, 2)).astype(np.float32)
    mixture = Mixture(means=points, stds=0.3)
    for alpha, sigma in ((1.0, 2.0), (0.6, 0.8), (0.9, 0.05), (1.0, 1e-3)):
        found = Blurred(DataSet(make(points)), 0.3).denoised(backend, make(x), alpha, sigma)
        wanted = mixture.denoised(backend, make(x), alpha, sigma)
        np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(wanted), atol=2e-5)


@pytest.mark.host
def test_the_digits_are_those_of_scikit_learn(points):
    load = pytest.importorskip("sklearn.datasets").load_digits()
    assert points.shape == (1797, 1, 8, 8) and points.dtype == np.float32
    np.testing.assert_array_equal(points[:, 0], load.images / 8 - 1)
    np.testing.assert_array_equal(digits.labels(), load.target)
    assert (points.min(), points.max()) == (-1, 1)


@pytest.mark.host
def test_nearest_distance(points):
    assert nearest_distance(points[:3], points) == 0
    assert nearest_distance(points[:1] + np.float32(0.01), points[:1]) == pytest.approx(0.01, rel=1e-4)
