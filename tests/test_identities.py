"""Solvers that are others in disguise, and options that change nothing."""

import dataclasses
import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from made import flow, quirked, ve, vp
from zoo import EVERY, arrays, every_recipe, exempt, run

import multisched as ms
from multisched.interop.diffusers.solvers import OwnAdams, SwappedPingPong

BETAS = np.linspace(1e-4, 0.02, 1000)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_ddim_with_eta_one_is_ddpm(spacing, prediction, make, backend):
    """The posterior of Ho et al. 2020 (arXiv 2006.11239, eq. 6 and 7) over the steps of the run."""
    recipe = ms.DDIM(eta=1.0, clip_sample=False, timestep_spacing=spacing, prediction_type=prediction)
    plan = recipe.plan(20)
    sample, output = arrays(2)
    levels = np.append(np.cumprod(1 - BETAS)[plan.timesteps.astype(int)], 1.0)
    for row in range(20):
        bar, bar_next = levels[row], levels[row + 1]
        beta = 1 - bar / bar_next
        x0 = recipe.parts().prediction.denoised(sample.astype(float), output, math.sqrt(bar), math.sqrt(1 - bar))
        wanted = math.sqrt(bar_next) * beta / (1 - bar) * x0
        wanted = wanted + math.sqrt(1 - beta) * (1 - bar_next) / (1 - bar) * sample
        mean, std = plan.transition(ms.State(make(sample), (), row), make(output))
        assert std == pytest.approx(math.sqrt((1 - bar_next) / (1 - bar) * beta), rel=1e-4, abs=1e-12)
        np.testing.assert_allclose(backend.to_numpy(mean), wanted, rtol=2e-4, atol=2e-5 * np.abs(wanted).max())


def test_the_variance_of_a_step_by_its_timesteps(make):
    recipe = ms.DDIM(eta=1.0, clip_sample=False)
    plan = recipe.plan(20)
    x = make(arrays(1)[0])
    for row, t in enumerate(plan.timesteps):
        before = int(plan.timesteps[row + 1]) if row < 19 else -1
        std = plan.transition(ms.State(x, (), row), x)[1]
        assert recipe._get_variance(int(t), before) == pytest.approx(std**2, rel=1e-9, abs=1e-15)


@pytest.mark.host
def test_ddim_with_eta_zero_is_euler():
    euler = ms.Scheduler(*ms.DDIM().parts()[:2], "epsilon", ms.solvers.Euler()).plan(30)
    ddim = ms.DDIM(clip_sample=False).plan(30)
    np.testing.assert_allclose(ddim.tableau.fold().weights, euler.tableau.fold().weights, rtol=1e-12, atol=1e-14)


def test_ping_pong_with_the_models_own_noise_is_euler(make, backend):
    ping_pong, euler = ms.FlowMatchPingPong(shift=3.0).plan(12), ms.FlowMatchEuler(shift=3.0).plan(12)
    ours, theirs = (plan.start(make(arrays(1)[0])) for plan in (ping_pong, euler))
    for row, output in enumerate(arrays(12, seed=1)):
        own_noise = ours.sample + make(output) * (1 - float(ping_pong.sigmas[row]))
        ours, theirs = ping_pong.step(ours, make(output), own_noise), euler.step(theirs, make(output))
        np.testing.assert_allclose(backend.to_numpy(ours.sample), backend.to_numpy(theirs.sample), atol=3e-6, rtol=0)


@pytest.mark.host
def test_stochastic_sampling_is_ping_pong():
    stochastic, ping_pong = ms.FlowMatchEuler(shift=3.0, stochastic_sampling=True), ms.FlowMatchPingPong(shift=3.0)
    assert stochastic.plan(9).tableau == ping_pong.plan(9).tableau


@pytest.mark.host
def test_swapped_sampling_is_ping_pong_with_the_sample_and_the_noise_exchanged():
    swapped = ms.Scheduler(*flow(sigma_max=0.9), "epsilon", SwappedPingPong()).plan(9)
    ping_pong = ms.Scheduler(*flow(sigma_max=0.9), "sample", ms.solvers.PingPong()).plan(9)
    found, wanted = (plan.tableau.fold().weights[:, 0, 1:] for plan in (swapped, ping_pong))
    np.testing.assert_allclose(found, wanted[:, ::-1], atol=1e-14)


@pytest.mark.host
def test_omega_zero_changes_nothing():
    for recipe in (ms.FlowMatchEuler(shift=3.0), ms.FlowMatchHeun()):
        assert dataclasses.replace(recipe, omega=0.0, omega_mean="batch").plan(5) == recipe.plan(5)


@pytest.mark.host
def test_omega_is_ace_steps_logistic():
    from multisched.transforms import MeanShift

    published = {0.0: 1.0, 1.0: 1.004996, 10.0: 1.046212, -10.0: 0.953788, 100.0: 1.099991}
    for omega, scale in published.items():
        assert MeanShift(omega).scale == pytest.approx(scale, abs=1e-6)
    assert MeanShift(-1e9).scale == pytest.approx(0.9) and MeanShift(1e9).scale == pytest.approx(1.1)


@pytest.mark.host
def test_predictions_mean_what_their_papers_say():
    x0, noise = (values.astype(np.float64) for values in arrays(2))
    for alpha, sigma in ((0.6, 0.8), (0.9, 0.1), (0.3, 0.7)):
        x = alpha * x0 + sigma * noise
        targets = {
            "epsilon": noise,
            "sample": x0,
            "v_prediction": alpha * noise - sigma * x0,
            "flow_prediction": noise - x0,
            "flow_to_data": x0 - noise,
            "score": -noise / sigma,
        }
        for name, wanted in targets.items():
            prediction = ms.Prediction(name)
            np.testing.assert_allclose(prediction.target(x0, noise, alpha, sigma), wanted, rtol=1e-14)
            np.testing.assert_allclose(prediction.denoised(x, wanted, alpha, sigma), x0, atol=1e-13)
            np.testing.assert_allclose(prediction.noise(x, wanted, alpha, sigma), noise, atol=1e-13)


@pytest.mark.host
def test_churn_as_ace_step_writes_it():
    """x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z; d1 = (x_hat - D) / sigma_hat, D = x_hat - sigma * v."""
    plan = quirked(ms.FlowMatchHeun(s_churn=3.0, s_noise=1.2, s_tmin=0.3, s_tmax=0.9), "late_churn").plan(5)
    x, first, second, z = (values.astype(np.float64) for values in arrays(4))
    sigma, after = plan.sigmas[1], plan.sigmas[2]
    hat = sigma * (1 + min(3.0 / 9, math.sqrt(2) - 1))
    x_hat = x + 1.2 * math.sqrt(hat**2 - sigma**2) * z
    d1 = sigma * first / hat
    middle = plan.step(ms.State(x, (x, x), 2), first, z)
    np.testing.assert_allclose(middle.sample, x_hat + (after - hat) * d1, atol=1e-12)
    end = plan.step(middle, second, z)
    np.testing.assert_allclose(end.sample, x_hat + (after - hat) * (d1 + second) / 2, atol=1e-12)
    # Below s_tmin and above s_tmax there is none.
    for row in (0, 1, 6, 7):
        assert not plan.needs_noise(row)


@pytest.mark.parametrize("mean", ["sample", "batch"])
def test_omega_in_euler_and_heun_as_ace_step_writes_it(mean, make, backend):
    """dx = (sigma_next - sigma) * v; x + scale * (dx - mean) + mean, at both stages of Heun from the first x."""
    x, first, second = (values.astype(np.float64) for values in arrays(3))
    axes = (1, 2) if mean == "sample" else None
    scale = 1.046211716

    def shifted(dx):
        m = dx.mean(axis=axes, keepdims=True)
        return scale * (dx - m) + m

    euler = ms.FlowMatchEuler(shift=3.0, omega=10.0, omega_mean=mean).plan(4)
    dt = euler.sigmas[1] - euler.sigmas[0]
    after = euler.step(euler.start(make(x)), make(first))
    np.testing.assert_allclose(backend.to_numpy(after.sample), x + shifted(dt * first), atol=2e-6, rtol=0)

    heun = ms.FlowMatchHeun(shift=3.0, omega=10.0, omega_mean=mean).plan(4)
    middle = heun.step(heun.start(make(x)), make(first))
    np.testing.assert_allclose(backend.to_numpy(middle.sample), x + shifted(dt * first), atol=2e-6, rtol=0)
    end = heun.step(middle, make(second))
    np.testing.assert_allclose(backend.to_numpy(end.sample), x + shifted(dt * (first + second) / 2), atol=2e-6, rtol=0)


def test_a_sample_does_not_depend_on_its_batch_mates(make, backend):
    noise, outputs = arrays(1, (4, 3, 5))[0], arrays(40, (4, 3, 5), seed=1)
    for name, recipe in EVERY.items():
        plan = recipe.plan(6)
        together = backend.to_numpy(run(plan, make, noise, outputs, outputs)[-1].sample)
        alone = backend.to_numpy(run(plan, make, noise[1:2], outputs[:, 1:2], outputs[:, 1:2])[-1].sample)
        if name == "flow-euler-omega-batch":
            assert np.abs(together[1:2] - alone).max() > 1e-4
        elif "omega" in name:
            np.testing.assert_allclose(together[1:2], alone, atol=2e-6, rtol=0)
        else:
            np.testing.assert_array_equal(together[1:2], alone)


def test_dynamic_thresholding_is_the_quantile(make, backend):
    from multisched.transforms import DynamicThreshold

    x = arrays(1, (3, 7, 5))[0] * 2
    for ratio, maximum in ((0.995, 3.0), (0.5, 10.0), (1.0, 100.0), (0.9, 1.0)):
        limit = np.clip(np.quantile(np.abs(x.reshape(3, -1)), ratio, axis=1), 1, maximum)[:, None, None]
        ours = backend.to_numpy(DynamicThreshold(ratio, maximum)(backend, make(x)))
        np.testing.assert_allclose(ours, np.clip(x, -limit, limit) / limit, atol=1e-6, rtol=0)


@every_recipe
def test_denoised_and_transition_agree_with_step(recipe, make, backend):
    """mean + std * z is the step; at the end the step is the estimate of x0."""
    plan = recipe.plan(5)
    if plan.noise_transform is not None:
        with pytest.raises(ms.ScheduleError, match="no one deviation"):
            plan.transition(plan.start(make(arrays(1)[0])), make(arrays(1)[0]))
        return
    outputs, draws = arrays(len(plan), seed=1), arrays(len(plan), seed=2)
    states = run(plan, make, arrays(1)[0], outputs, draws)
    for row, (before, after) in enumerate(pairwise(states)):
        mean, std = plan.transition(before, make(outputs[row]))
        found = backend.to_numpy(mean) + std * draws[row]
        np.testing.assert_allclose(backend.to_numpy(after.sample), found, atol=2e-6 * np.abs(found).max(), rtol=0)
    if plan.sigmas[-1] == 0 and not exempt("ends at the estimate of x0", recipe):
        x0 = backend.to_numpy(plan.denoised(states[-2], make(outputs[-1])))
        np.testing.assert_allclose(backend.to_numpy(states[-1].sample), x0, atol=1e-5 * np.abs(x0).max(), rtol=0)


def test_log_prob_is_the_gaussian_density(make, backend):
    x, mean = arrays(2)
    wide = (x.astype(np.float64) - mean) / 0.7
    wanted = (-0.5 * wide**2 - math.log(0.7) - 0.5 * math.log(2 * math.pi)).sum(axis=(1, 2))
    found = backend.to_numpy(ms.log_prob(make(x), make(mean), 0.7))
    assert found.shape == (2,)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


DPM_SCHEDULES = {
    "vp": vp("trailing"),
    "flow": flow(shift=3.0, sigma_max=0.99),
    "ve": ve(),
}


def _samples(solver, schedule, n=20):
    """Rows of the sample, x0 folded."""
    return ms.Scheduler(*schedule, "v_prediction", solver).plan(n).tableau.fold().weights[:, 0]


@pytest.mark.host
@pytest.mark.parametrize("schedule", DPM_SCHEDULES.values(), ids=DPM_SCHEDULES)
def test_dpm_solver_of_order_one_is_ddim(schedule):
    """Lu et al. 2022 (arXiv 2206.00927, section 4.1; arXiv 2211.01095, section 5): without noise and with all of it."""
    for eta, algorithms in {0.0: ("dpmsolver", "dpmsolver++"), 1.0: ("sde-dpmsolver++",)}.items():
        wanted = _samples(ms.solvers.DDIM(eta), schedule)
        for algorithm in algorithms:
            for kind in (ms.solvers.DPMMultistep, ms.solvers.DPMSinglestep):
                found = _samples(kind(solver_order=1, algorithm_type=algorithm), schedule)
                np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-13)


@pytest.mark.host
@pytest.mark.parametrize("schedule", DPM_SCHEDULES.values(), ids=DPM_SCHEDULES)
@pytest.mark.parametrize("algorithm", ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"])
def test_dpm_solver_multistep_is_an_exponential_adams_method(schedule, algorithm):
    """Closed forms in the derivatives against integrals of Lagrange's polynomials; "midpoint" is the rule "bh2"."""
    for order, kind, rule in ((2, "midpoint", "bh2"), (2, "heun", "exact"), (3, "heun", "exact")):
        dpm = ms.solvers.DPMMultistep(order, algorithm, kind)
        data, tau = algorithm.endswith("++"), float(algorithm.startswith("sde"))
        adams = ms.solvers.ExponentialAdams(data, order, rule=rule, falling=15, tau=tau, tau_start=-math.inf)
        # The step to sigma = 0 is another where noise is both predicted and added.
        found, wanted = (_samples(solver, schedule)[: -1 if tau else None] for solver in (dpm, adams))
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)


@pytest.mark.host
@pytest.mark.parametrize("schedule", DPM_SCHEDULES.values(), ids=DPM_SCHEDULES)
def test_linear_multistep_methods_of_one_call_are_euler(schedule):
    wanted = _samples(ms.solvers.Euler(), schedule)
    for kind in (ms.solvers.Adams, partial(OwnAdams, velocity=True)):
        for weights in ("exact", "even"):
            found = _samples(kind(weights, most=1), schedule)
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-13)


@pytest.mark.host
@pytest.mark.parametrize(("calls", "n"), [(4, 7), (2, 7), (4, 40)])
def test_calls_of_a_stride_lead_as_far_as_it_is_long(calls, n):
    """First steps of Runge and Kutta's method, and of Heun's, under diffusers' rule of the previous timestep."""
    recipe = quirked(ms.PNDM(timestep_spacing="trailing", skip_prk_steps=calls == 2), "stride")
    plan, schedule, stride = recipe.plan(n), recipe.parts().path, 1000 // n
    rows, half = plan.rows, stride // 2
    step = np.arange(1 if calls == 2 else 3)
    begin, end = plan.grid.timesteps[step], plan.grid.timesteps[step + 1]
    landings = {1: end} if calls == 2 else {0: begin - half, 1: end + half, 2: end, 3: end}
    for stage, times in landings.items():
        found = [column[rows.stage == stage][step] for column in (rows.alpha_next, rows.sigma_next)]
        np.testing.assert_array_equal(found, schedule.levels(times))
    if calls == 2:
        np.testing.assert_array_equal(rows.alpha_start[1], schedule.levels(end + stride)[0])


@pytest.mark.host
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("rule", ["bh1", "bh2"])
@pytest.mark.parametrize("flow", [False, True])
def test_a_run_of_unipc_to_no_noise_is_the_limit_of_runs_to_less_and_less(rule, order, flow):
    """B(h) = h is infinite at sigma = 0 (diffusers computes NaN there): it drops out of a last step of order 1."""
    kind = "flow_prediction" if flow else "epsilon"
    recipe = ms.UniPCMultistep(solver_type=rule, solver_order=order, use_flow_sigmas=flow, prediction_type=kind)
    plan = recipe.plan(6)
    found = []
    for end in (1e-3, 1e-5, 1e-7):
        grid, alpha = plan.grid, 1 - end if flow else math.sqrt(1 - end**2)
        ends = {"alphas": np.append(grid.alphas[:-1], alpha), "sigmas": np.append(grid.sigmas[:-1], end)}
        short = recipe.plan_over(dataclasses.replace(grid, **ends, next_alphas=None, next_sigmas=None))
        found.append(np.max(np.abs(short.folded.weights - plan.folded.weights)) / np.max(np.abs(plan.folded.weights)))
    assert found[0] < 1e-2 and found[1] < 2e-2 * found[0] and found[2] < 2e-2 * found[1]
