"""Order of convergence, measured on a mixture of Gaussians, and the exact flow of a single one."""

import numpy as np
import pytest

import multisched as ms
from multisched.analysis import Gaussian, Mixture
from multisched.analysis.exact import model_of

# Three bumps, two of them close and narrow: the flow bends.
MIXTURE = Mixture(means=[[-1.2], [0.3], [1.0]], stds=[0.5, 0.35, 0.4], weights=[0.4, 0.25, 0.35])
TOP, BOTTOM = 0.95, 0.15
X = np.linspace(-1.8, 1.9, 7)[:, None]


@pytest.fixture(scope="module")
def end():
    """Runge and Kutta's fourth-order method in 4,000 steps, written out here on its own: exact to about 1e-13."""
    numpy = ms.backends.get("numpy")

    def velocity(x, sigma):
        x0 = MIXTURE.denoised(numpy, x, 1 - sigma, sigma)
        return (x - x0) / sigma

    x, steps = X.copy(), 4000
    h = (BOTTOM - TOP) / steps
    for k in range(steps):
        sigma = TOP + k * h
        k1 = velocity(x, sigma)
        k2 = velocity(x + h / 2 * k1, sigma + h / 2)
        k3 = velocity(x + h / 2 * k2, sigma + h / 2)
        k4 = velocity(x + h * k3, sigma + h)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def _error(recipe, n, end, make, backend, dtype):
    """Largest error at BOTTOM of n even steps from TOP."""
    levels = np.linspace(TOP, BOTTOM, n + 1)
    plan = recipe.plan(sigmas=levels, stop=n)
    assert plan.sigmas[-1] == BOTTOM and len(plan) == n * (1 + len(plan.tableau.registers[1:]))
    found = ms.sample(model_of(recipe, MIXTURE), plan, make(X, dtype))
    return np.abs(backend.to_numpy(found) - end).max()


@pytest.mark.parametrize(
    ("recipe", "order"),
    [
        (ms.FlowMatchEuler(), 1),
        (ms.FlowMatchHeun(), 2),
        (ms.Scheduler(ms.schedules.Flow(), "flow_prediction", ms.solvers.DDIM()), 1),
    ],
    ids=["euler", "heun", "ddim"],
)
def test_order_of_convergence(recipe, order, end, make, backend, has_float64):
    """The slope over the last doublings is the order that the plan states, within 0.1."""
    # float32 has its rounding in the way of the finest grids.
    dtype, steps = ("float64", (64, 128, 256)) if has_float64 and backend.name != "mlx" else ("float32", (16, 32, 64))
    errors = [_error(recipe, n, end, make, backend, dtype) for n in steps]
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert recipe.plan(2).order == order
    assert abs(slopes[-1] - order) < 0.1, (errors, slopes)


def test_ddim_has_order_one_on_a_variance_preserving_grid(make, backend, has_float64):
    """On timesteps of one's own, against the closed-form flow of a Gaussian."""
    gaussian = Gaussian(0.3, 0.5)
    recipe = ms.DDIM(clip_sample=False)
    dtype = "float64" if has_float64 else "float32"
    schedule = recipe.parts().schedule
    errors = []
    for n in (36, 72, 144):
        timesteps = np.linspace(900, 36, n + 1)
        plan = recipe.plan(timesteps=timesteps, stop=n)
        found = backend.to_numpy(ms.sample(model_of(recipe, gaussian), plan, make(X, dtype)))
        levels = [tuple(float(level) for level in schedule.levels(t)) for t in (900, 36)]
        errors.append(np.abs(found - gaussian.flow_map(X, *levels)).max())
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(1.0, abs=0.1), errors


@pytest.mark.parametrize("recipe", [ms.FlowMatchEuler(shift=3.0), ms.FlowMatchHeun(shift=3.0)])
def test_the_flow_of_a_gaussian(recipe, make, backend):
    """From pure noise to data: x -> mean + std * x."""
    gaussian = Gaussian(0.4, 0.6)
    plan = recipe.plan(200)
    found = backend.to_numpy(ms.sample(model_of(recipe, gaussian), plan, make(X)))
    wanted = gaussian.flow_map(X, (plan.alphas[0], plan.sigmas[0]), (1.0, 0.0))
    np.testing.assert_allclose(wanted, 0.4 + 0.6 * X, atol=1e-12)
    np.testing.assert_allclose(found, wanted, atol=0.02 if plan.order == 1 else 1e-3)


def test_moments_of_stochastic_steps():
    """DDIM's noise at any eta, and ping-pong's, keep the marginals: with the exact posterior of x0 the next sample
    has variance alpha_next^2 std^2 + sigma_next^2 when x0 is drawn from it.
    """
    std = 0.7
    for eta in (0.0, 0.4, 1.0):
        plan = ms.DDIM(eta=eta, clip_sample=False).plan(10)
        for row, weights in enumerate(plan.tableau.fold().weights[:, 0]):
            alpha, sigma = plan.alphas[row], plan.sigmas[row]
            on_sample, on_output, *on_noise = weights
            # x = alpha * x0 + sigma * noise and the output is that very noise, so all three are independent normals.
            variance = (
                (on_sample * alpha * std) ** 2 + (on_sample * sigma + on_output) ** 2 + sum(w**2 for w in on_noise)
            )
            wanted = (plan.grid.next_alphas[row] * std) ** 2 + plan.grid.next_sigmas[row] ** 2
            assert variance == pytest.approx(wanted, rel=1e-9)
