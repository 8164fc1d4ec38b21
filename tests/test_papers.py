"""One step of each stochastic and of each distilled solver, against its paper's formula written out."""

import math

import numpy as np
import pytest
from made import flow, ve, vp
from zoo import arrays

import multisched as ms
from multisched.interop.diffusers.solvers import FaintRF, HalfCurved
from multisched.paths import LinearVP

X, X0, Z = 0.7, -0.4, 1.3  # a sample, the clean one that the model says, and noise


def _geometric():
    """Score-based levels, stepped down one by one."""
    path, spacing = ve(0.1, 20.0, kind="exponential", prior=0.0, sigma_data=None, timestep="sigma")
    return path, spacing | ms.spacings.Descent(0.3)


def _steps(solver, schedule, prediction="sample", n=9):
    """A plan, its levels (alpha, sigma), those that its steps aim at, and where they lead from X, X0 and Z."""
    plan = ms.Scheduler(*schedule, prediction, solver).plan(n)
    weights = plan.tableau.fold().weights[:, 0]
    found = weights[:, [0, *range(len(plan.tableau.registers), weights.shape[1])]] @ [X, X0, Z][: 2 + plan.noise_draws]
    here = plan.alphas[:-1], plan.sigmas[:-1]
    return plan, here, (plan.grid.next_alphas, plan.grid.next_sigmas), found


@pytest.mark.host
def test_latent_consistency():
    """Luo et al. 2023 (arXiv 2310.04378, eq. 9), with the weights of its code."""
    plan, _, (a, b), found = _steps(ms.solvers.LCM(0.002), vp("trailing"))
    s = 0.002 * plan.timesteps / 0.5
    f = X * 0.25 / (s**2 / 4 + 0.25) + s / 2 / np.sqrt(s**2 / 4 + 0.25) * X0
    np.testing.assert_allclose(found, a * f + b * Z, rtol=1e-10)


@pytest.mark.host
@pytest.mark.parametrize("s_noise", [1.0, 1.1])
def test_consistency_functions(s_noise):
    """Song et al. 2023 (arXiv 2303.01469, algorithm 1 and appendix C), of a network F preconditioned as EDM's."""
    least, data = 0.02, 0.4
    solver = ms.solvers.Consistency(least, data, s_noise)
    schedule = ve(least, 5.0, end="sigma_min", sigma_data=data)
    _, (_, k), (_, after), found = _steps(solver, schedule, ms.Prediction("edm", data))
    skip, out = data**2 / ((k - least) ** 2 + data**2), (k - least) * data / np.sqrt(k**2 + data**2)
    wanted = skip * X + out * X0 + s_noise * np.sqrt(after**2 - least**2) * Z
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.host
@pytest.mark.parametrize("schedule", [flow(2.0, 0.97), vp()], ids=["flow", "vp"])
def test_ancestral_steps_of_rectified_flow(schedule):
    """A step to below the aim and the noise back up to it, as k-diffusion has them, on x / (alpha + sigma)."""
    eta, s_noise = 0.6, 1.1
    _, here, aim, found = _steps(ms.solvers.AncestralRF(eta, s_noise), schedule)
    (alpha, s), (after, s_next) = (np.array(level) / np.sum(level, axis=0) for level in (here, aim))
    down = s_next * (1 + eta * (s_next / s - 1))
    x = X / np.sum(here, axis=0)
    lower = down / s * x + (1 - down / s * s - down / s * alpha) * X0
    raised = after / (1 - down) * lower + s_noise * np.sqrt(s_next**2 - (down * after / (1 - down)) ** 2) * Z
    np.testing.assert_allclose(found, raised * np.sum(aim, axis=0), rtol=1e-9)
    *_, silent = _steps(FaintRF(eta, 0.0), schedule)
    np.testing.assert_allclose(silent, lower * np.sum(aim, axis=0), rtol=1e-9)


@pytest.mark.host
@pytest.mark.parametrize("mode", ["1/t", "tan"])
def test_a_rescaled_sde(mode):
    """Proteina's SDE (Geffner et al. 2025, arXiv 2503.00710) from its velocity and score, with the rescaled score of Xu
    et al. 2025 (arXiv 2510.01184), in data time."""
    k, deviation, start, end = 1.7, 0.8, 0.15, 0.9
    solver = ms.solvers.RescaledSDE(mode, k, deviation, start, end)
    plan, (t, s), (after, _), found = _steps(solver, flow(2.0, 0.97))
    snr = (t / s) ** 2
    rescaled = (snr * deviation**2 + 1) / (snr * deviation**2 / k + 1)
    noise = rescaled * (X - t * X0) / s
    velocity, score = (X - noise) / t, -noise / s
    angle = math.pi / 2 * t
    g = 1 / (t + 0.01) if mode == "1/t" else math.pi / 2 * np.cos(angle) / (np.sin(angle) + 0.01)
    g = np.where((t >= start) & (t <= end) & (after < 1), g / rescaled**2, 0)
    dt = after - t
    assert 2 < np.sum(g > 0) < len(plan) - 1
    np.testing.assert_allclose(found, X + (velocity + g * score) * dt + np.sqrt(2 * g * dt) * Z, rtol=1e-9)


@pytest.mark.host
def test_the_reverse_process_of_a_linear_rate():
    """Song et al. 2020 (arXiv 2011.13456, eq. 6 and 11): dx = -(x / 2 + score) * beta dt + sqrt(beta) dw."""
    plan, (_, sigma), _, found = _steps(
        ms.solvers.EulerMaruyama(0.2, 15.0), (LinearVP(0.2, 15.0), ms.spacings.Times(1.0, 0.001, False)), "epsilon"
    )
    rate = (0.2 + plan.timesteps * 14.8) / len(plan)
    noisy = np.append(np.sqrt(rate[:-1]), 0.0)
    np.testing.assert_allclose(found, X + (X / 2 - X0 / sigma) * rate + noisy * Z, rtol=1e-10)


@pytest.mark.parametrize("norms", ["sample", "batch"])
def test_langevin_steps_and_a_prediction(norms, make, backend):
    """Song et al. 2020 (arXiv 2011.13456, algorithms 2 and 4), with the norms of each sample or averaged over the
    batch."""
    schedule = _geometric()
    plan = ms.Scheduler(*schedule, "score", ms.solvers.PredictorCorrector(0.2, 2, norms)).plan(5)
    x, score, z = arrays(3)
    size = [np.sqrt(np.sum(one.astype(float) ** 2, axis=(1, 2), keepdims=True)) for one in (z, score)]
    size = [np.mean(one) for one in size] if norms == "batch" else size
    step = 2 * (0.2 * size[0] / size[1]) ** 2
    lost = plan.sigmas[1] ** 2 - plan.grid.next_sigmas[1] ** 2
    for row, wanted in ((4, x + step * score + np.sqrt(2 * step) * z), (5, x + lost * score + np.sqrt(lost) * z)):
        found = backend.to_numpy(plan.step(ms.State(make(x), (), row), make(score), make(z)).sample)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("omega", [-1e5, -8.0, 0.0, 10.0, 300.0])
def test_an_output_scaled_about_its_mean(omega, make, backend):
    """ACE-Step's logistic function between 0.9 and 1.1 (arXiv 2506.00045), which is a hyperbolic tangent."""
    x = np.random.default_rng(2).normal(size=(2, 3, 4)) + 1.0
    mean = x.mean(axis=(1, 2), keepdims=True)
    wanted = mean + (1 + 0.1 * math.tanh(0.05 * omega)) * (x - mean)
    found = backend.to_numpy(ms.transforms.MeanShift(omega)(backend, make(x)))
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.6, 1.0])
def test_a_variance_that_the_model_learned(share, make, backend):
    """Between its two bounds, even in the logarithm (arXiv 2102.09672, eq. 15)."""
    small, large = 0.01, 0.04
    output = make(np.stack([np.full((2, 3), 0.7), np.full((2, 3), share)], axis=1))
    logs = math.log(small), math.log(large)
    prediction, (drawn,) = ms.transforms.LearnedVariance()(backend, logs, output, (make(np.ones((2, 1, 3))),))
    np.testing.assert_allclose(backend.to_numpy(prediction), np.full((2, 1, 3), 0.7), rtol=1e-6)
    wanted = math.sqrt(large ** ((1 + share) / 2) * small ** ((1 - share) / 2))
    np.testing.assert_allclose(backend.to_numpy(drawn), np.full((2, 1, 3), wanted), rtol=2e-6)


@pytest.mark.host
@pytest.mark.parametrize(("s_churn", "gamma"), [(2.0, 0.4), (9.0, math.sqrt(2) - 1)])
def test_heun_with_churn_before_the_call(s_churn, gamma):
    """A run of Karras et al. 2022 (arXiv 2206.00364, algorithm 2): noise is given at the end of the step before."""
    solver, levels = ms.solvers.ChurnedHeun(s_churn, 0.1, 8.0, 1.1), [10.0, 5.0, 2.0, 0.5, 0.05, 0.0]
    recipe = ms.Scheduler(*ve(sigma_data=None, prior=0.0, timestep="sigma"), "epsilon", solver)
    plan = recipe.plan(sigmas=levels)
    hats = [sigma * (1 + gamma if 0.1 <= sigma <= 8.0 else 1.0) for sigma in levels]
    draws = np.random.default_rng(0).standard_normal((2 * len(levels), 3))
    noise, outputs = draws[: len(levels)], draws[len(levels) :]
    x, state = hats[0] * noise[0], plan.start(noise[:1])
    np.testing.assert_allclose(plan.timesteps[::2], hats[:-1])
    for step, (hat, after) in enumerate(zip(hats, levels[1:], strict=False)):
        first, second = outputs[step], outputs[step][::-1]
        state = plan.step(state, first[None], noise[:1])
        slope = first
        if after > 0:
            state = plan.step(state, second[None], noise[step + 1 : step + 2])
            slope = (first + second) / 2
        x = x + (after - hat) * slope + 1.1 * math.sqrt(hats[step + 1] ** 2 - after**2) * noise[step + 1]
        np.testing.assert_allclose(state.sample[0], x, rtol=1e-12)


@pytest.mark.host
@pytest.mark.parametrize("n", [1, 3, 40])
def test_the_rollout_of_a_policy(n):
    """Chen et al. 2025 (arXiv 2510.14974): Euler's substeps, one after the other, on the line through the x0s."""
    solver, x0s = ms.solvers.PiFlow(n_grid=4, shift=3.0, substeps=16, eps=1e-3), np.array([0.3, -1.0, 0.5, 2.0])
    schedule = flow(3.0, 0.98, sigma_min=0.0, spare=True)
    plan = ms.Scheduler(*schedule, "sample", solver).plan(n)
    raw = np.maximum(plan.sigmas / (3 - 2 * plan.sigmas), 1e-3)
    for row, weights in enumerate(plan.tableau.fold().weights[:, 0]):
        count = max(round((raw[row] - raw[row + 1]) * 16), 1)
        times = np.linspace(raw[row], raw[row + 1], count + 1)
        levels, x = 3 * times / (1 + 2 * times), X
        for time, s, after in zip(times, levels, levels[1:], strict=False):
            x0 = np.interp(time, np.linspace(raw[row + 1], raw[row], 4), x0s)
            x = (1 - after) * x0 + after * (x - (1 - s) * x0) / s
        np.testing.assert_allclose(weights @ [X, *x0s], x, rtol=1e-10)


@pytest.mark.host
def test_a_policy_that_says_one_thing_is_euler():
    schedule = flow(5.0, 0.98, 0.05, sigma_min=0.1)
    euler, policy = (
        ms.Scheduler(*schedule, "flow_prediction", solver).plan(6)
        for solver in (ms.solvers.Euler(), ms.solvers.PiFlow())
    )
    sample, *outputs = policy.tableau.fold().weights[:, 0].T
    np.testing.assert_allclose([sample, sum(outputs)], euler.tableau.fold().weights[:, 0].T, rtol=1e-10)
    assert policy.order == euler.order == 1


@pytest.mark.host
def test_the_third_order_of_the_sde_as_published():
    """k-diffusion's coefficients, with h^2 * m'' halved and phi_3 short by one, on three estimates."""
    solver = HalfCurved(3, "sde-dpmsolver++", "heun", lower_order_final=False)
    plan = ms.Scheduler(*vp(), "sample", solver).plan(8)
    row = 4
    lam = np.log(plan.alphas[:-1] / plan.sigmas[:-1])
    h, h0, h1 = np.diff(lam)[[row, row - 1, row - 2]]
    m, before, before_that = 0.3, -1.0, 0.5
    first, slope = (m - before) * h / h0, (before - before_that) * h / h1
    second = (first - slope) * h / (h0 + h1)
    first = first + (first - slope) * h0 / (h0 + h1)
    (alpha, sigma), decay = (plan.alphas[row + 1], plan.sigmas[row + 1]), math.exp(-2 * h)
    wanted = sigma / plan.sigmas[row] * math.exp(-h) * X + sigma * math.sqrt(1 - decay) * Z
    wanted += alpha * ((1 - decay) * m + (1 - (1 - decay) / (2 * h)) * first)
    wanted += alpha * ((1 - decay - 2 * h) / (2 * h) ** 2 - 0.5) * second
    weights = plan.tableau.fold().weights[row, 0]
    assert plan.tableau.operands[:3] == ("sample", "before", "before_that")
    np.testing.assert_allclose(weights @ [X, before, before_that, m, Z], wanted, rtol=1e-9)


@pytest.mark.host
def test_the_third_order_of_a_singlestep_solver():
    """The step from the start of a group is exact where x0 is a parabola in lam: sigma * integral of e^lam * x0."""
    solver = ms.solvers.DPMSinglestep(3, "dpmsolver++", "heun")
    plan = ms.Scheduler(*ve(0.3, 5.0, "sigma_min"), "sample", solver).plan(6)
    row, lam = 5, -np.log(plan.sigmas[3:7])
    assert plan.stages[row] == 2 and plan.tableau.registers == ("sample", "anchor", "first", "second")
    points, weights = np.polynomial.legendre.leggauss(20)
    place = lam[0] + (points + 1) / 2 * (lam[3] - lam[0])
    integral = (lam[3] - lam[0]) / 2 * np.sum(weights * np.exp(place) * (0.3 - place + 2 * place**2))
    x0 = 0.3 - lam + 2 * lam**2
    found = plan.tableau.fold().weights[row, 0] @ [9.0, X, x0[0], x0[1], x0[2]]
    np.testing.assert_allclose(found, plan.sigmas[6] * (X / plan.sigmas[3] + integral), rtol=1e-10)


@pytest.mark.host
@pytest.mark.parametrize("data", [True, False])
def test_the_noise_of_a_stochastic_adams_method(data):
    """Xue et al. 2023 (arXiv 2309.05019, section 4), between the timesteps that it is to be added at."""
    solver = ms.solvers.ExponentialAdams(data, 2, tau=0.6, tau_start=200.0, tau_end=800.0)
    plan, (alpha, sigma), (a, b), _ = _steps(solver, vp(end="sigma_min"), "v_prediction")
    shrunk = alpha * b / (a * sigma)  # e^-h
    wanted = b * np.sqrt(1 - shrunk ** (2 * 0.36)) if data else 0.6 * a * np.sqrt((sigma / alpha) ** 2 - (b / a) ** 2)
    noisy = (plan.timesteps >= 200) & (plan.timesteps <= 800)
    np.testing.assert_allclose(plan.tableau.weights[:, 0, -1], np.where(noisy, wanted, 0), rtol=1e-9)
