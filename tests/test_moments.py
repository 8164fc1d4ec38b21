"""The law of a plan's samples for a Gaussian target, against closed forms and against sampling; orders, measured."""

import numpy as np
import pytest
from zoo import EVERY, RECIPES

import multisched as ms
from multisched.analysis import Gaussian, MultivariateGaussian, model_of, moments, order

MEAN = np.array([0.5, -0.3, 0.1])
COVARIANCE = np.array([[0.9, 0.4, 0.1], [0.4, 0.5, -0.2], [0.1, -0.2, 0.3]])
TARGET = MultivariateGaussian(MEAN, COVARIANCE)


def test_the_denoiser_is_the_posterior_mean(backend, make):
    """By the formula of jointly Gaussian vectors, with a matrix inverse."""
    x, alpha, sigma = np.random.default_rng(0).standard_normal((5, 3)), 0.8, 0.4
    inverse = np.linalg.inv(alpha**2 * COVARIANCE + sigma**2 * np.eye(3))
    wanted = MEAN + (x - alpha * MEAN) @ (alpha * COVARIANCE @ inverse).T
    found = backend.to_numpy(TARGET.denoised(backend, make(x.astype(np.float32)), alpha, sigma))
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.host
def test_without_correlation_it_is_the_other_gaussian():
    numpy, x = ms.backends.get("numpy"), np.random.default_rng(1).standard_normal((4, 3))
    std = np.array([0.5, 1.5, 0.0])
    pair = Gaussian(MEAN, std), MultivariateGaussian(MEAN, np.diag(std**2))
    np.testing.assert_allclose(*(one.denoised(numpy, x, 0.7, 0.6) for one in pair), rtol=1e-12)
    laws = [moments(ms.FlowMatchHeun().plan(6), one) for one in pair]
    np.testing.assert_allclose(laws[0].covariance, laws[1].covariance, atol=1e-14)


SAMPLED = {
    "flow": (ms.FlowMatchEuler(shift=3.0), "noise"),
    "heun": (ms.FlowMatchHeun(), "marginal"),
    "ancestral": (ms.EulerAncestral(timestep_spacing="trailing"), "noise"),
    "sde": (ms.DPMSolverMultistep(algorithm_type="sde-dpmsolver++", use_karras_sigmas=True), "marginal"),
    "unipc": (ms.UniPCMultistep(), "noise"),
    "ddpm": (ms.DDPM(clip_sample=False), "marginal"),
    "edm": (ms.EDMEuler(s_churn=5.0), "noise"),
    "angle": (RECIPES["angle-flow"], "noise"),
    "sa": (ms.SASolver(), "noise"),
}


@pytest.mark.host
@pytest.mark.parametrize("name", SAMPLED)
def test_the_law_of_samples(name):
    """Of 200,000 runs, within five deviations of the estimates."""
    recipe, start = SAMPLED[name]
    plan, count, rng = recipe.plan(6), 200_000, np.random.default_rng(2)
    noise = rng.standard_normal((count, 3))
    x0 = MEAN + rng.standard_normal((count, 3)) @ np.linalg.cholesky(COVARIANCE).T if start == "marginal" else None
    state, model = plan.start(noise, x0), model_of(recipe, TARGET)
    for row in range(len(plan)):
        output = model(plan.model_input(state), plan.timestep(state))
        draws = tuple(rng.standard_normal((count, 3)) for _ in range(plan.noise_draws))
        state = plan.step(state, output, draws if plan.needs_noise(row) else None)
    law, found = moments(plan, TARGET, start), state.sample
    deviation = np.sqrt(np.diag(law.covariance))
    np.testing.assert_array_less(np.abs(found.mean(0) - law.mean), 5 * deviation / np.sqrt(count))
    error = np.abs(np.cov(found.T) - law.covariance)
    np.testing.assert_array_less(error, 5 * np.sqrt(2 / count) * np.outer(deviation, deviation))


@pytest.mark.host
def test_one_step_in_closed_form():
    """From pure noise the model says the mean, which one step goes to; from the marginal, the shrunken sample."""
    law = moments(ms.FlowMatchEuler().plan(1), TARGET)
    np.testing.assert_allclose(law.mean, MEAN)
    np.testing.assert_allclose(law.covariance, 0, atol=1e-15)
    plan = ms.FlowMatchEuler().plan(sigmas=[0.4])
    gain = 0.6 * COVARIANCE @ np.linalg.inv(0.36 * COVARIANCE + 0.16 * np.eye(3))
    law = moments(plan, TARGET, "marginal")
    np.testing.assert_allclose(law.mean, MEAN)
    np.testing.assert_allclose(law.covariance, gain @ (0.36 * COVARIANCE + 0.16 * np.eye(3)) @ gain.T, atol=1e-14)


@pytest.mark.host
@pytest.mark.parametrize("name", ["flow-euler-shift", "dpm", "angle-edm", "unipc-flow", "heun"])
def test_fine_runs_reach_the_target(name):
    recipe = EVERY[name]
    errors = []
    for n in (30, 120):
        plan = recipe.plan(n, spacing=ms.spacings.SoftLog(0.1, 10.0, 0.005))
        law = moments(plan, TARGET, "marginal")
        np.testing.assert_allclose(law.mean, MEAN, atol=0.02)
        errors.append(np.abs(law.covariance - COVARIANCE).max())
    assert errors[1] < errors[0] / 3 and errors[1] < 0.03


@pytest.mark.host
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: moments(ms.DDIM(thresholding=True).plan(5), TARGET), "DDIM changes outputs by"),
        (lambda: moments(ms.RePaint(clip_sample=False).plan(20), TARGET), "RePaint starts from .* too"),
        (lambda: moments(None, TARGET), "moments takes a plan of NumPy's numbers; given None"),
        (lambda: moments(ms.FlowMatchEuler().plan(5), TARGET, "data"), "start must be one of 'noise', 'marginal'"),
        (lambda: MultivariateGaussian([0.0], [[1.0, 0.0]]), r"has a covariance of shape \(d, d\)"),
        (lambda: MultivariateGaussian([0.0], [[np.inf]]), "must be finite"),
        (lambda: MultivariateGaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "eigenvalues are not below 0"),
        (lambda: MultivariateGaussian([0.0, 0.0], [[1.0, 0.2], [0.3, 1.0]]), "a covariance is symmetric"),
        (lambda: order(ms.EulerAncestral()), "EulerAncestral follows no flow"),
        (lambda: order(ms.FlowMatchEuler(), (4,)), "two rising numbers of steps or more"),
        (lambda: order(ms.FlowMatchEuler(), between=(0.4, 1.0)), "between must fall strictly"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ms.ScheduleError, match=message):
        call()


@pytest.mark.host
@pytest.mark.parametrize(
    "name", ["flow-euler", "flow-heun", "dpm-3", "lms", "unipc-4", "edm-euler", "angle", "angle-flow"]
)
def test_measured_orders(name):
    recipe = EVERY[name]
    assert order(recipe) == pytest.approx(recipe.parts().solver.order, abs=0.15)


@pytest.mark.host
def test_an_order_on_another_law():
    found = order(ms.FlowMatchHeun(), (10, 20, 40), (3.0, 0.5), Gaussian(0.2, 0.8))
    assert found == pytest.approx(2.0, abs=0.15)
