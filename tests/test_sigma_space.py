"""The space of x0 + sigma * noise: the same runs as elsewhere, in other units, and what its schedules are asked for."""

import math

import numpy as np
import pytest
from made import flow, quirked, ve, vp

import multisched as ms
from multisched.solvers.rows import Level

SOLVERS = [
    ms.solvers.Euler(),
    ms.solvers.DDIM(eta=1.0),
    ms.solvers.Midpoint(),
    ms.solvers.Midpoint("x0"),
    ms.solvers.Midpoint("x0", eta=0.6),
    ms.solvers.Midpoint(eta=1.0),
    ms.solvers.Midpoint("x0", eta=0.5, noisy_middle=True, s_noise=1.1),
    ms.solvers.AncestralRF(eta=0.7, s_noise=1.1),
    ms.solvers.RescaledSDE("tan", 1.5, 0.8),
]


@pytest.mark.host
def test_euler_ancestral_is_ddim_with_eta_one_in_other_units():
    """x / alpha of DDIM is the sample of Euler's ancestral steps: alpha * a, alpha_next * b and so on."""
    ddim = ms.DDIM(eta=1.0, clip_sample=False, prediction_type="v_prediction").plan(20)
    ancestral = ms.EulerAncestral(timestep_spacing="leading", prediction_type="v_prediction").plan(20)
    np.testing.assert_array_equal(ddim.timesteps, ancestral.timesteps)
    on_sample, on_output, on_noise = ancestral.tableau.fold().weights[:, 0].T
    alpha, after = ddim.alphas[:-1], ddim.alphas[1:]
    wanted = np.stack([on_sample * after / alpha, on_output * after, on_noise * after], axis=1)
    np.testing.assert_allclose(ddim.tableau.fold().weights[:, 0], wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.host
@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_a_run_is_the_same_in_any_space(solver):
    """Levels of one sigma / alpha are one run, on x0 + k * noise as on the sphere and on the straight line."""
    ratio = np.array([14.0, 6.0, 2.5, 0.9, 0.2, 0.05])
    rng = np.random.default_rng(0)
    sample, outputs, noise = (rng.standard_normal((10, 1, 4)) for _ in range(3))
    ends = []
    for schedule in (ve(sigma_data=None), vp(), flow()):
        recipe = ms.Scheduler(*schedule, "epsilon", solver)
        _, alpha, sigma, scale = schedule[0].point(ratio)
        grid = ms.Grid(np.arange(6.0)[::-1], alpha, sigma, scales=scale)
        plan = recipe.plan_over(grid)
        state = ms.State(sample[0] * float(alpha[0]), tuple(sample[1] for _ in solver.memory), 0)
        for row in range(len(plan)):
            state = plan.step(state, outputs[row], noise[row] if plan.noise_draws else None)
        ends.append(state.sample / float(alpha[-1]))
    np.testing.assert_allclose(ends[1:], [ends[0], ends[0]], rtol=1e-9)


@pytest.mark.host
@pytest.mark.parametrize("held", ["noise", "x0"])
def test_the_midpoint_as_published(held):
    """DPM-Solver-2 (Lu et al. 2022, arXiv 2206.00927, algorithm 1) and DPM-Solver++(2S) (arXiv 2211.01095, algorithm
    1), r = 1/2, written out."""
    prediction = "epsilon" if held == "noise" else "sample"
    plan = ms.Scheduler(*vp(), prediction, ms.solvers.Midpoint(held)).plan(5)
    x, first, second = np.random.default_rng(0).standard_normal((3, 1, 4))
    start, middle, end = (getattr(plan.rows.single(3), name) for name in ("start", "here", "next"))
    h = float(end.lam - start.lam)
    if held == "noise":
        u = middle.alpha / start.alpha * x - middle.sigma * math.expm1(h / 2) * first
        wanted = end.alpha / start.alpha * x - end.sigma * math.expm1(h) * second
    else:
        u = middle.sigma / start.sigma * x - middle.alpha * math.expm1(-h / 2) * first
        wanted = end.sigma / start.sigma * x - end.alpha * math.expm1(-h) * second
    state = plan.step(ms.State(x, (x,), 2), first)
    np.testing.assert_allclose(state.sample, u, rtol=1e-9)
    np.testing.assert_allclose(plan.step(state, second).sample, wanted, rtol=1e-9)


@pytest.mark.host
def test_the_midpoint_is_asked_for_where_lam_is_halfway():
    plan = ms.KDPM2(prediction_type="v_prediction").plan(5)
    first, second = plan.rows.start.lam[1::2, 0], plan.rows.next.lam[1::2, 0]
    np.testing.assert_allclose(first, -np.log(plan.sigmas[:-2]), rtol=1e-12)
    np.testing.assert_allclose(plan.rows.here.lam[1::2, 0], (first + second) / 2, rtol=1e-12)
    assert plan.stages == (0, 1) * 4 + (0,) and plan.order == 2
    np.testing.assert_allclose(plan.rows.scale, (1 + plan.rows.sigma**2) ** -0.5, rtol=1e-12)


@pytest.mark.host
def test_noise_drawn_anew_at_the_end_of_a_midpoint_step():
    """s = eta * sigma_next * sqrt(1 - (k_next / k)^2), and as much of the model's noise as that leaves."""
    solver = ms.solvers.Midpoint(eta=0.6)
    plan = ms.Scheduler(*vp("trailing", end="sigma_min"), "sample", solver).plan(6)
    rows, names = plan.rows, plan.tableau.operands
    last = rows.stage == 1
    weights = plan.tableau.weights[last[:, 0], 0]
    start, end, middle = (Level(level.alpha[last], level.sigma[last]) for level in (rows.start, rows.next, rows.here))
    drawn = 0.6 * end.sigma * np.sqrt(1 - (end.ratio / start.ratio) ** 2)
    kept = weights[:, 0] * middle.sigma + end.alpha / start.alpha * start.sigma
    np.testing.assert_allclose(weights[:, names.index("noise_0")], drawn, rtol=1e-10)
    np.testing.assert_allclose(np.hypot(kept, drawn), end.sigma, rtol=1e-10)


@pytest.mark.host
def test_no_middle_where_lam_is_infinite():
    """From pure noise, and to the clean sample, a step is one call."""
    for solver in (ms.solvers.Midpoint(), ms.solvers.Midpoint("x0", eta=1.0, noisy_middle=True)):
        plan = ms.Scheduler(*flow(), "flow_prediction", solver).plan(4)
        assert plan.stages == (0, 0, 1, 0, 1, 0)
        euler = ms.FlowMatchEuler().plan(4) if not solver.eta else ms.FlowMatchPingPong().plan(4)
        np.testing.assert_allclose(
            plan.tableau.fold().weights[0, 0, [0, *range(2, 3 + solver.draws)]],
            euler.tableau.fold().weights[0, 0],
            atol=1e-15,
        )


@pytest.mark.host
def test_karras_sigmas_are_told_as_whole_timesteps_but_for_the_middle():
    times = ms.KDPM2(use_karras_sigmas=True).plan(7).timesteps
    assert np.all(times[::2] == np.round(times[::2])) and np.any(times[1::2] != np.round(times[1::2]))


@pytest.mark.host
@pytest.mark.parametrize(("s_churn", "n", "gamma"), [(2.0, 8, 0.25), (9.0, 8, math.sqrt(2) - 1), (0.3, 1, 0.3)])
def test_churn_after_the_call_as_diffusers_has_it(s_churn, n, gamma):
    """x_hat and sigma_hat of Karras et al. 2022, algorithm 2, with the noise that the model names kept in the step."""
    plan = quirked(ms.Euler(s_churn=s_churn, s_noise=1.1, s_tmin=0.01, s_tmax=10.0), "late_churn").plan(n)
    x, output, z = np.random.default_rng(0).standard_normal((3, 1, 4))
    for row in range(n):
        sigma, after = plan.sigmas[row : row + 2]
        hat = sigma * (1 + gamma) if 0.01 <= sigma <= 10.0 else sigma
        assert plan.needs_noise(row) == (hat > sigma)
        wanted = x + 1.1 * math.sqrt(hat**2 - sigma**2) * z + (after - hat) * output
        np.testing.assert_allclose(plan.step(ms.State(x, (), row), output, z).sample, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.host
def test_late_churn_of_an_edm_network_is_the_preconditioning_at_the_raised_level():
    """x0 = c_skip(sigma_hat) * x_hat + c_out(sigma_hat) * F (table 1)."""
    plan = quirked(ms.EDMEuler(s_churn=2.0), "late_churn").plan(8)
    x, output, z = np.random.default_rng(0).standard_normal((3, 1, 4))
    sigma, after = plan.sigmas[3:5]
    hat = sigma * 1.25
    x_hat = x + math.sqrt(hat**2 - sigma**2) * z
    x0 = (0.25 * x_hat + hat * 0.5 * math.sqrt(hat**2 + 0.25) * output) / (hat**2 + 0.25)
    wanted = x0 + after * (x_hat - x0) / hat
    np.testing.assert_allclose(plan.step(ms.State(x, (), 3), output, z).sample, wanted, rtol=1e-12)


@pytest.mark.host
def test_continuous_timesteps_are_a_quarter_of_the_logarithm():
    for more in ({}, {"use_karras_sigmas": True}, {"interpolation_type": "log_linear"}):
        discrete, continuous = (ms.Euler(timestep_type=kind, **more) for kind in ("discrete", "continuous"))
        plan = continuous.plan(9)
        np.testing.assert_array_equal(plan.sigmas, discrete.plan(9).sigmas)
        np.testing.assert_allclose(plan.timesteps, np.log(plan.sigmas[:-1]) / 4, rtol=1e-12)
        assert continuous.plan(timesteps=plan.timesteps[3:]).sigmas == pytest.approx(plan.sigmas[3:], rel=1e-12)
    x = np.ones((1, 2))
    np.testing.assert_allclose(ms.Euler(timestep_type="continuous").add_noise(x, x, 0.5), 1 + math.exp(2.0))
    with pytest.raises(ms.ScheduleError, match="space must be one of 've'; given 'vp'"):
        ms.paths.Discrete(timestep_type="continuous")


@pytest.mark.host
def test_log_linear_sigmas_and_those_of_diffusers():
    """By default from end to end of the training schedule, each told with its own timestep; diffusers has one level
    more, tells other timesteps, and asks for that level too where timesteps are continuous."""
    ours, table = ms.Euler(interpolation_type="log_linear"), ms.paths.Discrete().ratios
    plan = ours.plan(6)
    assert np.ptp(np.diff(np.log(plan.sigmas[:-1]))) < 1e-12 and plan.sigmas[-1] == 0
    assert plan.sigmas[0] == pytest.approx(table[-1]) and plan.timesteps[[0, -1]] == pytest.approx([999, 0], abs=1e-6)
    config = {"_class_name": "EulerDiscreteScheduler", "interpolation_type": "log_linear"}
    theirs = ms.from_diffusers(config).plan(6)
    np.testing.assert_array_equal(theirs.timesteps, ms.Euler().plan(6).timesteps.astype(np.float32))
    assert len(theirs) == 6 and theirs.sigmas[-1] == pytest.approx(table[0])
    longer = ms.from_diffusers(config | {"timestep_type": "continuous", "prediction_type": "v_prediction"}).plan(6)
    assert len(longer) == 7 and longer.sigmas[:-1] == pytest.approx(theirs.sigmas) and longer.sigmas[-1] == 0


@pytest.mark.host
def test_the_end_of_a_list_of_sigmas():
    levels = [10.0, 3.0, 0.5]
    assert ms.Euler().plan(sigmas=levels).sigmas.tolist() == [10.0, 3.0, 0.5, 0.0]
    assert quirked(ms.Euler(), "sigmas_end").plan(sigmas=levels).sigmas.tolist() == levels
    assert ms.Euler().plan(sigmas=[*levels, 0.0]) == quirked(ms.Euler(), "sigmas_end").plan(sigmas=[*levels, 0.0])


@pytest.mark.host
def test_edm_grids_ours_and_those_of_diffusers():
    config = {"_class_name": "EDMEulerScheduler", "final_sigmas_type": "sigma_min"}
    ours, theirs = ms.EDMEuler(final_sigmas_type="sigma_min"), ms.from_diffusers(config)
    assert ours.plan(1).sigmas.tolist() == pytest.approx([80.0, 0.002]) and theirs.plan(1).sigmas[1] == 80.0
    assert theirs.plan(sigmas=np.linspace(0, 1, 9)) == theirs.plan(9)
    assert theirs.plan(9).sigmas == pytest.approx(ours.plan(9).sigmas)
    config["sigma_schedule"] = "exponential"
    assert ms.from_diffusers(config).plan(1).sigmas[0] == pytest.approx(0.002)
    assert ours.plan(sigmas=[5.0, 1.0]).sigmas.tolist() == [5.0, 1.0, 0.002]


CONFIGS = [
    {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous", "prediction_type": "v_prediction"},
    {"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True, "sigma_max": 50.0, "steps_offset": 1},
    {"_class_name": "EulerAncestralDiscreteScheduler", "rescale_betas_zero_snr": True},
    {"_class_name": "HeunDiscreteScheduler", "clip_sample": True, "beta_schedule": "exp"},
    {"_class_name": "KDPM2DiscreteScheduler", "trained_betas": [0.01] * 1000},
    {"_class_name": "KDPM2AncestralDiscreteScheduler", "timestep_spacing": "trailing"},
    {"_class_name": "DPMSolverSDEScheduler", "use_beta_sigmas": True},
    {"_class_name": "EDMEulerScheduler", "rho": 5.0},
]


@pytest.mark.host
@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_configurations_go_round(config):
    recipe = ms.from_diffusers(config)
    assert set(recipe.report.used) == set(config) - {"_class_name"}
    written = ms.to_diffusers(recipe)
    assert written.items() >= config.items() and ms.from_diffusers(written) == recipe


@pytest.mark.host
def test_what_a_configuration_says_in_other_words():
    config = {"_class_name": "EulerDiscreteScheduler", "prediction_type": "original_sample"}
    assert ms.from_diffusers(config).prediction_type == "sample"
    config |= {"timestep_type": "continuous", "prediction_type": "epsilon"}
    assert ms.from_diffusers(config).plan(5).timesteps[0] == 999
    seeded = ms.from_diffusers({"_class_name": "DPMSolverSDEScheduler", "noise_sampler_seed": 3})
    assert "drawn from the seed" in seeded.report.ignored["noise_sampler_seed"]


@pytest.mark.host
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ms.solvers.Midpoint("x"), "held must be one of 'noise', 'x0'"),
        (lambda: ms.solvers.Midpoint(eta=1.5), r"eta must be in \[0, 1\]"),
        (lambda: ms.Euler(s_churn=-1.0), "s_churn must be a number >= 0; given -1.0"),
        (lambda: ms.Euler(interpolation_type="cubic"), "interpolation_type must be one of"),
        (lambda: ms.Euler(timestep_type="real"), "timestep_type must be one of 'discrete', 'continuous'"),
        (lambda: ms.KDPM2(use_karras_sigmas=True, use_beta_sigmas=True), "one spacing of its sigmas"),
        (lambda: ms.EulerAncestral(prediction_type="flow_prediction"), "prediction_type must be one of"),
        (lambda: ms.EDMEuler(sigma_schedule="beta"), "sigma_schedule must be one of 'karras', 'exponential'"),
        (lambda: ms.EDMEuler(final_sigmas_type="last"), "final_sigmas_type must be one of 'zero', 'sigma_min'"),
        (lambda: ms.EDMEuler(prediction_type="sample"), "prediction_type must be one of 'epsilon', 'v_prediction'"),
        (lambda: quirked(ms.EDMEuler(), "edm_grid").plan(sigmas=[1.0, 0.5]), "must fall strictly"),
    ],
)
def test_refusals(make, sentence):
    with pytest.raises(ms.ScheduleError, match=sentence):
        make()
