"""Bad input gets one clear sentence, as early as it can be known, and leaves the object as it was."""

import math

import numpy as np
import pytest
from made import flow, quirked, strided, vp
from zoo import arrays

import multisched as ms

FLOW, DDIM = ms.FlowMatchEuler(), ms.DDIM()
DYNAMIC = ms.FlowMatchEuler(use_dynamic_shifting=True)
SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}


CASES = [
    (lambda: ms.FlowMatchEuler(shift=0), "shift must be a positive number; given 0"),
    (lambda: ms.FlowMatchEuler(shift=math.nan), "shift must be a positive number; given nan"),
    (lambda: ms.FlowMatchEuler(num_train_timesteps=0), "num_train_timesteps must be in 1..100000; given 0"),
    (lambda: ms.FlowMatchEuler(num_train_timesteps=1e3), "num_train_timesteps must be an int; given 1000.0"),
    (lambda: ms.FlowMatchEuler(sigma_max=1.5), "sigma_max must be in"),
    (lambda: ms.FlowMatchEuler(shift_terminal=1.0), r"shift_terminal must be in \(0, 1\)"),
    (lambda: ms.FlowMatchEuler(time_shift_type="cubic"), "must be one of 'exponential', 'linear'; given 'cubic'"),
    (lambda: ms.FlowMatchEuler(omega=math.inf), "omega must be a finite number; given inf"),
    (lambda: ms.FlowMatchEuler(omega_mean="all"), "omega_mean must be one of 'sample', 'batch'; given 'all'"),
    (lambda: ms.FlowMatchEuler(shift="3"), "shift must be a number; given '3'"),
    (lambda: ms.FlowMatchEuler(shift=None), "shift must be a number; given None"),
    (lambda: ms.FlowMatchEuler(shift_terminal="x"), "shift_terminal must be a number; given 'x'"),
    (lambda: ms.FlowMatchEuler(invert_sigmas="no"), "invert_sigmas must be True or False; given 'no'"),
    (lambda: ms.FlowMatchEuler(time_shift_type=1), "time_shift_type must be one of 'exponential', 'linear'; given 1"),
    (lambda: ms.DDIM(clip_sample="false"), "clip_sample must be True or False; given 'false'"),
    (lambda: ms.DDIM(prediction_type=["epsilon"]), "prediction_type must be one of 'epsilon'"),
    (lambda: ms.DDIM(prediction_type="flow_prediction"), "prediction_type must be one of"),
    (lambda: ms.DDIM(dynamic_thresholding_ratio=-7.0), "dynamic_thresholding_ratio must be in"),
    (lambda: ms.DDIM(trained_betas=0.1), "trained_betas must be a list of numbers; given 0.1"),
    (lambda: ms.DDIM(trained_betas=[0.01] * 1000, beta_schedule="none"), "beta_schedule must be one of"),
    (lambda: FLOW.plan(5, start=1.5), "start must be an int; given 1.5"),
    (lambda: FLOW.plan(5, strength="0.6"), "strength must be a number; given '0.6'"),
    (lambda: DYNAMIC.plan(5, mu="1"), "mu must be a number; given '1'"),
    (lambda: ms.betas_for_alpha_bar(10, "x"), "max_beta must be a number; given 'x'"),
    (lambda: ms.rescale_zero_terminal_snr("x"), "betas must be a list of numbers; given 'x'"),
    (lambda: ms.noise.normal(5), "begins with the number of samples; given 5"),
    (lambda: ms.noise.normal((2, -1)), "no negative axis"),
    (lambda: ms.noise.normal((2.5,)), "must be an int; given 2.5"),
    (lambda: ms.noise.normal((2, 2), dtype="int32"), "floating-point arrays; given numpy int32"),
    (lambda: ms.noise.normal((2, 2), dtype="sin"), "numpy has no dtype 'sin'"),
    (lambda: ms.noise.normal((2,), rng=True), "a whole number >= 0; given True"),
    (lambda: ms.noise.normal((2,), rng=np.random.RandomState(0)), "rng must be a seed"),
    (lambda: ms.noise.normal((2,), rng=np.random), "rng must be a seed"),
    (lambda: ms.backends.get(""), "unknown backend ''"),
    (lambda: ms.retrieve_timesteps(None, [2.0, -1.0], 2, 1000), "noise levels must not be negative"),
    (lambda: ms.log_prob(np.ones(2), np.ones(2), None), "std must be"),
    (lambda: ms.sample(lambda x, t: x, FLOW, np.ones((1, 2))), "runs a plan, which recipe.plan.n. makes"),
    (lambda: ms.FlowMatchHeun(s_churn=-1.0), "s_churn must be a number >= 0; given -1.0"),
    (lambda: ms.FlowMatchHeun(s_noise=math.nan), "s_noise must be a number >= 0; given nan"),
    (lambda: ms.DDIM(beta_schedule="cosine"), "beta_schedule must be one of 'linear', 'scaled_linear'"),
    (lambda: ms.DDIM(timestep_spacing="even"), "timestep_spacing must be one of 'leading', 'trailing'"),
    (
        lambda: ms.DDIM(prediction_type="noise"),
        "one of 'epsilon', 'sample', 'v_prediction'; given 'noise'",
    ),
    (lambda: ms.DDIM(beta_start=0.5, beta_end=0.1), "0 < beta_start <= beta_end < 1; given 0.5, 0.1"),
    (lambda: ms.DDIM(trained_betas=[0.1, 0.2]), "trained_betas must be 1000 numbers"),
    (lambda: ms.DDIM(num_train_timesteps=2, trained_betas=[0.1, math.nan]), "trained_betas must be finite"),
    (lambda: ms.DDIM(eta=1.5), r"eta must be in \[0, 1\]; given 1.5"),
    (lambda: ms.DDIM(eta=math.nan), r"eta must be in \[0, 1\]; given nan"),
    (lambda: ms.DDIM(clip_sample_range=0.0), "clip_sample_range must be positive"),
    (lambda: ms.DDIM(thresholding=True, sample_max_value=0.5), "sample_max_value must be at least 1"),
    (lambda: ms.DDIM(thresholding=True, dynamic_thresholding_ratio=0), r"must be in \(0, 1\]; given 0"),
    (lambda: ms.DDIM(steps_offset=0.5), "steps_offset must be an int; given 0.5"),
    (lambda: ms.Scheduler(*DDIM.parts()[:2], "w_prediction", ms.solvers.Euler()), "given 'w_prediction'"),
    (lambda: ms.betas_for_alpha_bar(10, alpha_transform_type="tanh"), "alpha_transform_type must be one of"),
    (lambda: ms.betas_for_alpha_bar(10, max_beta=2.0), r"max_beta must be in \(0, 1\]; given 2.0"),
    (lambda: ms.rescale_zero_terminal_snr([0.5]), "at least two numbers"),
    (lambda: FLOW.plan(), "exactly one of n, timesteps, sigmas; given none"),
    (lambda: FLOW.plan(0), r"must be in 1..1000; given 0"),
    (lambda: FLOW.plan(1001), r"must be in 1..1000; given 1001"),
    (lambda: ms.FlowMatchEuler(sigma_max=0.001).plan(3), "do not fall strictly to 0: .0.001 0.001 0.001."),
    (lambda: ms.FlowMatchHeun(shift=1e20).plan(3), "do not fall strictly"),
    (lambda: FLOW.plan(5.0), "must be an int; given 5.0"),
    (lambda: FLOW.plan(True), "must be an int; given True"),
    (lambda: DDIM.plan(0), r"must be in 1..1000; given 0"),
    (lambda: DDIM.plan(1001), r"must be in 1..1000; given 1001"),
    (lambda: ms.DDIM(steps_offset=1).plan(1000), "must fall strictly within 0..999"),
    (lambda: FLOW.plan(sigmas=[]), "at least one number"),
    (lambda: FLOW.plan(sigmas=[0.5, 0.7]), "must fall strictly"),
    (lambda: FLOW.plan(sigmas=[0.5, 0.5]), "must fall strictly"),
    (lambda: FLOW.plan(sigmas=[0.5, math.nan]), "sigmas must be finite"),
    (lambda: FLOW.plan(sigmas=[1.5, 0.5]), r"sigmas must lie in \[0, 1\]; given 0.5 to 1.5"),
    (lambda: FLOW.plan(sigmas=[0.0]), "must hold a level above 0"),
    (lambda: FLOW.plan(sigmas=[[1.0, 0.5]]), r"given shape \(1, 2\)"),
    (lambda: FLOW.plan(sigmas="high"), "must be a list of numbers; given 'high'"),
    (lambda: FLOW.plan(timesteps=[1001.0]), r"timesteps must lie in \[0, 1000\]"),
    (lambda: FLOW.plan(timesteps=[900, 500], sigmas=[0.9]), "must have one length; given 2 and 1"),
    (lambda: FLOW.plan(3, sigmas=[0.9, 0.5]), "n = 3 steps, but the list given makes 2"),
    (lambda: FLOW.plan(3, mu=1.0), "mu=.* has no use"),
    (lambda: FLOW.plan(sigmas=[0.5], mu=1.0), "taken as they are, so mu=1.0 has no use"),
    (lambda: DYNAMIC.plan(3), "shifted by the image size: give mu="),
    (lambda: DYNAMIC.plan(3, mu=math.nan), r"mu must be in \[-700, 700\]"),
    (lambda: DYNAMIC.plan(3, mu=1000.0), r"mu must be in \[-700, 700\]"),
    (lambda: DDIM.plan(3, mu=1.0), "belongs to flow schedules"),
    (lambda: DDIM.plan(sigmas=[]), "at least one number"),
    (lambda: DDIM.plan(sigmas="high"), "must be a list of numbers; given 'high'"),
    (lambda: FLOW.plan(sigmas=np.linspace(0, 1, 900)), r"given \[0. +0.0\d+ ... 0.9\d+ 1. +\]"),
    (lambda: ms.DDIM(trained_betas=np.full(1000, 2.0)), r"1000 numbers in \(0, 1\); given \[2. 2. ... 2. 2.\]"),
    (lambda: DDIM.plan(sigmas=[0.5, 0.9]), "must fall strictly"),
    (lambda: DDIM.plan(sigmas=[math.nan]), "must be finite"),
    (lambda: DDIM.plan(sigmas=[1.0]), "sigmas must lie in"),
    (lambda: quirked(ms.MiniMaxH3(), "count_end").plan("5"), "n must be an int; given '5'"),
    (lambda: ms.SASolver(variance_type=""), "variance_type must be one of 'learned', 'learned_range'; given ''"),
    (lambda: ms.ScoreSdeVp(sampling_eps=math.nan), r"sampling_eps must lie in \[0, 1\]; given nan"),
    (lambda: DDIM.plan(timesteps=[500.5]), r"whole numbers in 0..999; given"),
    (lambda: DDIM.plan(timesteps=[1000]), r"timesteps must lie in \[0, 999\]; given"),
    (lambda: DDIM.plan(timesteps=[500], sigmas=[0.5]), "exactly one of timesteps, sigmas"),
    (lambda: ms.DDIM(**SNR).plan(5), "'epsilon' says nothing of x0 at timestep 999, where alpha = 0"),
    (lambda: FLOW.plan(5, start=3, stop=2), "0 <= start <= stop <= 5; given 3 and 2"),
    (lambda: FLOW.plan(5, stop=6), "0 <= start <= stop <= 5; given 0 and 6"),
    (lambda: FLOW.plan(5, strength=1.2), r"strength must be in \[0, 1\]; given 1.2"),
    (lambda: FLOW.plan(5, strength=math.nan), r"strength must be in \[0, 1\]; given nan"),
    (lambda: FLOW.plan(5, strength=0.5, start=1), "start or strength, not both"),
    (lambda: ms.retrieve_timesteps(None, [1.0, 0.5], 0, 1000), "steps must be in 1..10000; given 0"),
    (lambda: ms.retrieve_timesteps(None, [], 2, 1000), "at least one number"),
    (lambda: ms.noise.normal((), rng=0), "begins with the number of samples"),
    (lambda: ms.noise.normal((2,), rng=-1), "a whole number >= 0; given -1"),
    (lambda: ms.noise.normal((2,), rng="seed"), "rng must be a seed, a noise source or a numpy Generator"),
    (lambda: ms.Grid(np.ones(3), np.ones(3), np.ones(2)), "n [+] 1 timesteps, alphas, sigmas"),
    (lambda: ms.Grid(np.ones(2), np.ones(2), np.array([1.0, -1.0])), "sigmas must be finite and not negative"),
    (
        lambda: ms.Scheduler(*strided(vp("linspace")), "epsilon", ms.solvers.Heun()).plan(7),
        "steps of its grid must join",
    ),
]


@pytest.mark.host
@pytest.mark.parametrize(("make_it", "sentence"), CASES, ids=[f"{k}-{case[1]}" for k, case in enumerate(CASES)])
def test_bad_options_are_refused(make_it, sentence):
    with pytest.raises(ms.ScheduleError, match=sentence) as caught:
        make_it()
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 400


@pytest.mark.host
def test_a_schedule_error_is_a_value_error():
    assert issubclass(ms.ScheduleError, ValueError)


def test_bad_steps_are_refused(make):
    plan = ms.FlowMatchPingPong().plan(2)
    x, wrong = make(arrays(1)[0]), make(arrays(1, (2, 3, 5))[0])
    state = plan.start(x)
    with pytest.raises(ms.ScheduleError, match=r"output has shape \(2, 3, 5\), the sample \(2, 3, 4\)"):
        plan.step(state, wrong, x)
    with pytest.raises(ms.ScheduleError, match=r"noise has shape \(2, 3, 5\)"):
        plan.step(state, x, wrong)
    with pytest.raises(ms.ScheduleError, match="row 0 of FlowMatchPingPong adds noise"):
        plan.step(state, x)
    with pytest.raises(ms.ScheduleError, match=r"given 2"):
        plan.step(state, x, (x, x))
    with pytest.raises(ms.ScheduleError, match=r"x0 has shape \(2, 3, 5\)"):
        plan.start(x, x0=wrong)
    end = plan.step(plan.step(state, x, x), x)
    for call in (plan.step, plan.denoised, plan.transition):
        with pytest.raises(ms.ScheduleError, match=r"rows 0..1; there is no row 2"):
            call(end, x)
    with pytest.raises(ms.ScheduleError, match="no row 2"):
        plan.model_input(end)
    with pytest.raises(ms.ScheduleError, match="no row -1"):
        plan.step(state._replace(index=-1), x, x)
    with pytest.raises(ms.ScheduleError, match="index must be an int or an integer array; given float"):
        plan.step(state._replace(index=0.0), x, x)
    with pytest.raises(ms.ScheduleError, match="keeps 0 memory registers; the state has 1"):
        plan.step(state._replace(memory=(x,)), x, x)
    heun = ms.FlowMatchHeun().plan(2)
    with pytest.raises(ms.ScheduleError, match=r"memory has shape \(2, 3, 5\)"):
        heun.step(heun.start(x)._replace(memory=(wrong, x)), x)
    with pytest.raises(ms.ScheduleError, match=r"std must be a finite number of at least 0; given -1\.0"):
        ms.log_prob(x, x, -1.0)


def test_a_schedulers_state_survives_bad_calls(make, backend):
    scheduler = ms.FlowMatchHeun().on(backend)
    x, wrong = make(arrays(1)[0]), make(arrays(1, (2, 3, 5))[0])
    with pytest.raises(ms.ScheduleError, match="call set_timesteps"):
        scheduler.step(x, 1000.0, x)
    scheduler.set_timesteps(3)
    middle = scheduler.step(x, 1000.0, x)
    before = scheduler.plan, scheduler.step_index
    for bad in (
        lambda: scheduler.set_timesteps(0),
        lambda: scheduler.set_timesteps(5, sigmas=[0.1]),
        lambda: scheduler.step(wrong, 500.5, x),
        lambda: scheduler.step(x, 123.0, x),
        lambda: ms.FlowMatchHeun().on(_other(backend)).step(x, 1000.0, x),
        lambda: scheduler.step(x, 500.5, x, eta=0.5),
        lambda: scheduler.step(x, 500.5, x, omega=math.nan),
        lambda: scheduler.step(x, 500.5, x, noise=x, variance_noise=x),
        lambda: scheduler.add_noise(x, wrong, 10),
        lambda: scheduler.add_noise(x, x, 1e9),
        lambda: scheduler.add_noise(x, x, np.arange(3)),
    ):
        with pytest.raises(ms.ScheduleError):
            bad()
        assert (scheduler.plan, scheduler.step_index) == before
    reference = ms.FlowMatchHeun().plan(3)
    state = reference.step(reference.start(x), x)
    found = scheduler.step(x, 500.5, middle)
    np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(reference.step(state, x).sample))


def _other(backend):
    return "dask" if backend.name == "numpy" else "numpy"


def test_bad_sampling_is_refused(make):
    noise, plan = make(arrays(1)[0]), ms.FlowMatchEuler().plan(2)
    with pytest.raises(ms.ScheduleError, match="loop must be one of 'auto', 'python', 'compile', 'scan'; given 'fast'"):
        ms.sample(lambda x, t: x, plan, noise, loop="fast")
    with pytest.raises(ms.ScheduleError, match="rng must be"):
        ms.sample(lambda x, t: x, plan, noise, rng="seed")
    with pytest.raises(ms.ScheduleError, match="expected an array"):
        ms.sample(lambda x, t: x, plan, [1.0, 2.0])
    with pytest.raises(ms.ScheduleError, match="expected an array"):
        ms.sample(lambda x, t: None, plan, noise)


@pytest.mark.host
def test_extreme_settings_are_refused():
    for make_it, sentence in (
        (
            lambda: ms.Scheduler(*flow(), "flow_prediction", ms.solvers.PiFlow(n_grid=2, shift=1.0, eps=0.25)).plan(
                sigmas=[0.5, 0.25]
            ),
            "begin above eps = 0.25",
        ),
        (lambda: ms.EDMEuler(rho=1e-3), "rho must be a number of at least 0.1; given 0.001"),
        (lambda: ms.Euler(s_noise=math.inf), "s_noise must be finite"),
        (lambda: ms.Euler(use_karras_sigmas=True, beta_end=0.9).plan(5), "noise levels must run"),
    ):
        with pytest.raises(ms.ScheduleError, match=sentence):
            make_it()


def test_a_learned_variance_takes_twice_the_channels(make):
    plan = ms.DDPM(variance_type="learned_range").plan(3)
    x = make(np.ones((1, 4), np.float32))
    with pytest.raises(ms.ScheduleError, match=r"twice the channels of the sample; given \(1, 4\) for \(1, 4\)"):
        plan.step(plan.start(x), x, x)


def test_langevin_steps_of_no_size_leave_the_sample(make, backend):
    plan = ms.ScoreSdeVe(langevin_snr=0.0).plan(2)
    x = make(np.full((1, 4), 2.0, np.float32))
    corrected = plan.step(plan.start(x)._replace(sample=x), x, x).sample
    np.testing.assert_array_equal(backend.to_numpy(corrected), backend.to_numpy(x))
