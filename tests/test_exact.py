"""The exact denoisers against their formulas in plain NumPy float64, and the models made of them."""

import copy
import pickle

import numpy as np
import pytest

import multisched as ms
from multisched.analysis import DataSet, Gaussian, Mixture, model_of

SHAPE = (3, 4)
LEVELS = [(0.0, 1.0), (0.3, 0.7), (0.9, 0.2), (1.0, 3.0)]
levels = pytest.mark.parametrize(("alpha", "sigma"), LEVELS)

rng = np.random.default_rng(0)
POINTS = rng.standard_normal((20, *SHAPE))
X = rng.standard_normal((5, *SHAPE)).astype(np.float32)
STDS = np.array([0.0, 0.2, 0.5, 1.5])
WEIGHTS = np.array([1.0, 2.0, 3.0, 4.0])
DISTRIBUTIONS = {
    "gaussian": Gaussian(POINTS[0], np.abs(POINTS[1])),
    "mixture": Mixture(POINTS[:4], STDS, WEIGHTS),
    "data": DataSet(POINTS),
}
each_distribution = pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())


def mixture_by_hand(x, alpha, sigma, means, stds, weights):
    """Bayes' rule written out: log-densities over the components, then the mean of the components' own denoisers."""
    x = x.astype(np.float64)
    noisy = alpha**2 * stds**2 + sigma**2
    away = x[:, None] - alpha * means
    squares = np.sum(away**2, axis=(2, 3))
    logs = np.log(weights) - np.log(noisy) * np.prod(SHAPE) / 2 - squares / (2 * noisy)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    gain = (alpha * stds**2 / noisy)[:, None, None]
    return np.sum(weights[:, :, None, None] * (means + gain * away), axis=1)


@levels
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.4, 0.3), (POINTS[0], np.abs(POINTS[1])), (2.0, 0.0)])
def test_gaussian(make, backend, alpha, sigma, mean, std):
    got = backend.to_numpy(Gaussian(mean, std).denoised(backend, make(X), alpha, sigma))
    expected = mean + alpha * std**2 / (alpha**2 * std**2 + sigma**2) * (X - alpha * np.asarray(mean))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert got.dtype == np.float32


@levels
def test_mixture(make, backend, alpha, sigma):
    got = backend.to_numpy(Mixture(POINTS[:4], STDS, WEIGHTS).denoised(backend, make(X), alpha, sigma))
    np.testing.assert_allclose(got, mixture_by_hand(X, alpha, sigma, POINTS[:4], STDS, WEIGHTS), rtol=1e-4, atol=1e-5)


@levels
def test_data_set(make, backend, alpha, sigma):
    got = backend.to_numpy(DataSet(POINTS).denoised(backend, make(X), alpha, sigma))
    expected = mixture_by_hand(X, alpha, sigma, POINTS, np.zeros(20), np.ones(20))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@levels
def test_equivalences(make, backend, alpha, sigma):
    def close(one, other):
        one, other = (backend.to_numpy(found.denoised(backend, make(X), alpha, sigma)) for found in (one, other))
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)

    close(Mixture(POINTS[:1], 0.3), Gaussian(POINTS[0], 0.3))
    close(Mixture(POINTS, 0.0), DataSet(POINTS))
    close(DataSet(POINTS[:1]), Gaussian(POINTS[0], 0.0))
    close(DataSet(make(POINTS)), DataSet(POINTS))


@levels
def test_one_point_is_recovered_exactly(make, backend, alpha, sigma):
    got = DataSet(POINTS[:1]).denoised(backend, make(X), alpha, sigma)
    np.testing.assert_array_equal(backend.to_numpy(got), np.broadcast_to(POINTS[0].astype(np.float32), X.shape))


def test_without_signal_the_denoiser_is_the_mean(make, backend):
    got = DataSet(POINTS).denoised(backend, make(X), 0.0, 1.0)
    np.testing.assert_allclose(backend.to_numpy(got), np.broadcast_to(POINTS.mean(axis=0), X.shape), atol=1e-6)


def test_data_set_at_small_sigma(make, backend):
    """Two points less than a sigma apart in each element, thousands from zero: expanded squares would keep no digit."""
    alpha, sigma = 0.997, 0.003
    points = np.stack([POINTS[0] * 5, POINTS[0] * 5 + 2e-3, POINTS[1] * 5]).astype(np.float32)
    x = np.stack([alpha * points[k].astype(np.float64) + sigma * X[k] for k in range(3)]).astype(np.float32)
    got = backend.to_numpy(DataSet(points).denoised(backend, make(x), alpha, sigma))
    expected = mixture_by_hand(x, alpha, sigma, points.astype(np.float64), np.zeros(3), np.ones(3))
    assert np.abs(expected[0] - points[0]).max() > 1e-4  # both of the close points have a share
    np.testing.assert_allclose(got, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("sigma", [1e-3, 1e-6, 1e-12])
def test_data_set_has_no_nan_as_sigma_vanishes(make, backend, sigma):
    x = POINTS[:2].astype(np.float32)
    got = DataSet(POINTS).denoised(backend, make(x), 1.0, sigma)
    np.testing.assert_array_equal(backend.to_numpy(got), x)


@each_distribution
@pytest.mark.parametrize("kind", [float, np.float64, np.float32, np.asarray, "device"])
def test_levels_of_every_kind(make, backend, distribution, kind):
    """A NumPy number must not turn the arrays of another library into NumPy's, nor widen them."""
    level = [make(value) if kind == "device" else kind(value) for value in (0.6, 0.8)]
    x = make(X)
    got = distribution.denoised(backend, x, *level)
    assert ms.backends.of(got) is backend
    assert got.dtype == x.dtype
    expected = distribution.denoised(ms.backends.get("numpy"), X.astype(np.float64), 0.6, 0.8)
    np.testing.assert_allclose(backend.to_numpy(got), expected, rtol=1e-4, atol=1e-5)


@each_distribution
def test_half_precision_is_rounded_once(make, backend, distribution):
    try:
        x = make(X, "float16")
    except ms.ScheduleError:
        assert backend.name == "array_api_strict"
        return
    got = distribution.denoised(backend, x, 0.6, 0.8)
    assert got.dtype == x.dtype
    wide = distribution.denoised(backend, make(backend.to_numpy(x)), 0.6, 0.8)
    np.testing.assert_array_equal(backend.to_numpy(got), backend.to_numpy(backend.astype(wide, x.dtype)))


RECIPES = {
    "flow": ms.FlowMatchEuler(shift=3.0),
    "epsilon": ms.DDIM(clip_sample=False),
    "v": ms.DDIM(prediction_type="v_prediction", clip_sample=False),
    "sample": ms.DDIM(prediction_type="sample", clip_sample=False),
}
each_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())


@each_distribution
@each_recipe
@pytest.mark.parametrize("kind", [float, np.float64, "device"])
def test_plan_reads_the_denoiser_out_of_the_model(make, backend, distribution, recipe, kind):
    plan = recipe.plan(7)
    model = model_of(recipe, distribution)
    state = plan.start(make(X))
    for row in range(3):
        t = make(plan.timesteps[row]) if kind == "device" else kind(plan.timesteps[row])
        output = model(plan.model_input(state), t)
        assert ms.backends.of(output) is backend
        assert output.dtype == state.sample.dtype
        expected = distribution.denoised(backend, state.sample, plan.alphas[row], plan.sigmas[row])
        got = plan.denoised(state, output)
        np.testing.assert_allclose(backend.to_numpy(got), backend.to_numpy(expected), rtol=1e-3, atol=2e-4)
        state = plan.step(state, output)


@each_distribution
@each_recipe
def test_float64_stays_float64(make, backend, distribution, recipe, has_float64):
    x = make(X, "float64" if has_float64 else "float32")
    t = make(500.0, "float64" if has_float64 else "float32")
    output = model_of(recipe, distribution)(x, t)
    assert output.dtype == x.dtype
    expected = model_of(recipe, distribution)(X.astype(np.float64), 500.0)
    # Tables on a device are float32; levels that a formula gives, and NumPy's, are not.
    tabled = isinstance(recipe.parts().path, ms.paths.Discrete)
    tight = has_float64 and (not tabled or backend.name == "numpy")
    accuracy = 1e-12 if tight and backend.name != "mlx" else 1e-4  # MLX takes exp in float32
    np.testing.assert_allclose(backend.to_numpy(output), expected, rtol=accuracy, atol=accuracy)


def test_the_model_reads_nothing_on_the_host(make, backend):
    """Compiled, or on torch's device without data: a read of x or t would raise."""
    for recipe in RECIPES.values():
        for distribution in DISTRIBUTIONS.values():
            model = model_of(recipe, distribution)
            x, t = make(X), make(500.0)
            if backend.name == "torch":
                assert model(x.to("meta"), t.to("meta")).device.type == "meta"
                continue
            compiled = _compile(backend.name)(model)
            got, expected = (backend.to_numpy(run(x, t)) for run in (compiled, model))
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def _compile(name):
    if name == "jax":
        import jax

        return jax.jit
    if name == "mlx":
        import mlx.core as mx

        return mx.compile
    return lambda model: model


@pytest.mark.parametrize("distribution", [Gaussian(0.3, 0.5), DISTRIBUTIONS["gaussian"]], ids=["scalar", "elements"])
@pytest.mark.parametrize("recipe", [ms.FlowMatchHeun(), RECIPES["epsilon"]], ids=["heun", "ddim"])
def test_sampling_a_gaussian_follows_its_flow_map(make, backend, distribution, recipe):
    plan = recipe.plan(200)
    noise = make(X)
    got = ms.sample(model_of(recipe, distribution), plan, noise)
    expected = distribution.flow_map(noise, (plan.alphas[0], plan.sigmas[0]), (plan.alphas[-1], plan.sigmas[-1]))
    error = np.abs(backend.to_numpy(got) - backend.to_numpy(expected)).max()
    assert error < (1e-3 if plan.order == 2 else 5e-2)


def test_flow_map_keeps_the_marginals(make, backend):
    """There and back is the identity, and standard deviations from the mean are kept."""
    exact, start, end = Gaussian(0.3, 0.5), (0.2, 0.8), (1.0, 0.0)
    x = make(X)
    moved = exact.flow_map(x, start, end)
    back = exact.flow_map(moved, end, start)
    np.testing.assert_allclose(backend.to_numpy(back), X, rtol=1e-5, atol=1e-6)
    score = (X - 0.2 * 0.3) / np.sqrt(0.2**2 * 0.5**2 + 0.8**2)
    np.testing.assert_allclose(backend.to_numpy(moved), 0.3 + 0.5 * score, rtol=1e-5, atol=1e-6)
    assert moved.dtype == x.dtype


@pytest.mark.host
@each_distribution
def test_distributions_are_values(distribution):
    twin = pickle.loads(pickle.dumps(distribution))
    assert twin == distribution
    assert hash(twin) == hash(distribution)
    assert copy.deepcopy(distribution) is distribution
    with pytest.raises(AttributeError):
        distribution.means = 1.0


@pytest.mark.host
@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: Gaussian(0.0, -1.0), "std must not be negative"),
        (lambda: Gaussian(np.nan), "mean must be finite"),
        (lambda: Mixture(POINTS[:2], [1.0, 1.0, 1.0]), "one length"),
        (lambda: Mixture(POINTS[:2], 1.0, [1.0]), r"one length; given \(2, 3, 4\), \(2,\), \(1,\)"),
        (lambda: Mixture(POINTS[:2], -1.0), "must not be negative"),
        (lambda: Mixture(POINTS[:2], 1.0, [0.0, 1.0]), "weights must be positive"),
        (lambda: Mixture(1.0, 1.0), "a mean per component"),
        (lambda: DataSet(POINTS[:0]), "at least one point"),
        (lambda: DataSet(POINTS * np.inf), "points must be finite"),
    ],
)
def test_distributions_that_cannot_be(made, says):
    with pytest.raises(ms.ScheduleError, match=says):
        made()


@pytest.mark.parametrize("distribution", [DISTRIBUTIONS["mixture"], DISTRIBUTIONS["data"]], ids=["mixture", "data"])
def test_samples_of_another_shape_are_refused(make, backend, distribution):
    with pytest.raises(ms.ScheduleError, match=r"shape \(samples, 3, 4\); given \(5, 4\)"):
        distribution.denoised(backend, make(X[:, 0]), 0.5, 0.5)
    with pytest.raises(ms.ScheduleError, match="floating"):
        distribution.denoised(backend, make(np.zeros((1, *SHAPE)), "int32"), 0.5, 0.5)
