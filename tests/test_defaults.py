"""The numbers that options have by default, as their sources state them. Those of the named recipes are compared with
diffusers' signatures in tests/peers/test_configs.py."""

import inspect
import math
import pkgutil
from dataclasses import fields, is_dataclass
from importlib import import_module

import numpy as np
import pytest

import multisched as ms
from multisched import recommended, solvers, spacings
from multisched.interop import samplers
from multisched.interop.summed import SummedDEIS
from multisched.paths import discrete, exploding, staged, straight
from multisched.schedulers import options
from multisched.solvers import adams, euler, exponential_rk
from multisched.spacings import distilled, gits, laws, levels, rules, trained

pytestmark = pytest.mark.host

# What changes nothing, or is the whole of something, by the name of the option: no noise is added, or all of it is...
NEUTRAL = {
    "bottom": 0.0,
    "falling": math.inf,
    "far": math.inf,
    "lambda_min": -math.inf,
    "limit": 1.0,
    "maximum": 1.0,
    "mean": 0.0,
    "mu": 0.0,
    "s_churn": 0.0,
    "s_noise": 1.0,
    "s_tmax": math.inf,
    "s_tmin": 0.0,
    "scaler": 1.0,
    "snr_shift_scale": 1.0,
    "strength": 1.0,
    "t_max": 1.0,
    "t_min": 0.0,
    "tau_end": math.inf,
    "to": 0.0,
    "top": 1.0,
    "tsr_k": 1.0,
    "tsr_sigma": 1.0,
}
THIRDS = (0.0, 1 / 3, 2 / 3, 1.0)
STAGES = {"shift": 1.0, "stage_range": THIRDS, "gamma": 1 / 3}
PUBLISHED = {
    # Probability flows unless their name says otherwise; with eta = 1 as much noise as the process has taken away.
    "DDIM": {"eta": 0.0},
    "RePaint": {"eta": 0.0},
    "Midpoint": {"eta": 0.0},
    "ExponentialRK": {"eta": 0.0},
    "RESMultistep": {"eta": 0.0},
    "AncestralRF": {"eta": 1.0},
    "DPMMultistepSDE": {"eta": 1.0},
    "ExponentialAdams": {"tau": 0.0, "tau_start": 0.0},
    "StochasticAdams": {"tau": 1.0, "tau_start": -math.inf},  # arXiv 2309.05019
    # As diffusers has them.
    "RescaledSDE": {"t_from": 0.02, "t_to": 0.95},
    "PredictorCorrector": {"snr": 0.15},
    "Betas": {"beta_start": 0.0001, "beta_end": 0.02},  # arXiv 2006.11239, section 4
    "DynamicThreshold": {"ratio": 0.995},  # arXiv 2205.11487
    # By their papers, or the papers' code.
    "BDIA": {"gamma": 1.0},  # arXiv 2307.10829
    "EDICT": {"p": 0.93},  # arXiv 2211.12446
    "FlowSDE": {"noise_level": 0.7},  # arXiv 2505.05470
    "GradientEstimation": {"gamma": 2.0},  # arXiv 2306.04848
    "LCM": {"timestep_scaling": 10.0},  # arXiv 2310.04378, its code
    "Consistency": {"sigma_min": 0.002, "sigma_data": 0.5},  # arXiv 2303.01469
    "PiFlow": {"shift": 5.0, "eps": 1e-6},  # arXiv 2510.14974, its code
    "EulerMaruyama": {"beta_min": 0.1, "beta_max": 20.0},  # arXiv 2011.13456, appendix C
    "LinearVP": {"beta_min": 0.1, "beta_max": 20.0},
    "DEIS": {"beta_d": 19.9, "beta_min": 0.1},
    "VP": {"beta_d": 19.9, "beta_min": 0.1, "eps_s": 1e-3},  # arXiv 2206.00364, table 1
    "VarianceExploding": {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5},
    "Karras": {"rho": 7.0},
    "Ramp": {"rho": 7.0},
    "Cosine": {"s": 0.008},  # arXiv 2102.09672, section 3.2
    "TrigFlow": {"sigma_data": 0.5},  # arXiv 2410.11081
    "Prediction": {"sigma_data": 1.0},
    "Descent": {"sampling_eps": 1e-5},  # arXiv 2011.13456, its code
    "Renoised": {"eta": 0.3},  # arXiv 2402.19159
    "Staged": STAGES,  # arXiv 2410.05954
    "Shift": {"factor": 1.0},
    "Even": {"last_step": 1.0},
    "LinearQuadratic": {"threshold": 0.025},  # ComfyUI's
    "Laplace": {"beta": 0.5},  # arXiv 2407.03297
    "LogitNormal": {"std": 1.75},  # stable-diffusion.cpp's
    "GITS": {"coefficient": 1.2},  # arXiv 2405.11326, as ComfyUI's node has it
    "LTX2": {"terminal": 0.1},
    # Our own, settled on trained networks.
    "AngleAdams": {"data": 1.0, "damping": 2.0, "reach": 15.0},
    "SoftLog": {"low": 0.1, "high": 3.0},
}
# Of functions, and of what classes share.
FUNCTIONS = {
    # arXiv 2206.00927, appendix C, with k-diffusion's controller.
    ms.sample_adaptive: {
        "rtol": 0.05,
        "atol": 0.0078,
        "first": 0.05,
        "longest": 1.0,
        "pid": (0.0, 1.0, 0.0),
        "safety": 0.81,
        "order": 3,
        "most": 1000,
    },
    ms.betas_for_alpha_bar: {"max_beta": 0.999},  # arXiv 2102.09672, section 3.2
    levels.karras: {"rho": 7.0},
    levels.polyexponential: {"rho": 1.0},
    levels.lu: {"rho": 1.0},
    levels.beta: {"a": 0.6, "b": 0.6},  # arXiv 2407.12173
    levels.soft_log: {"low": 0.1, "high": 3.0},
    rules._beta: {"a": 0.6, "b": 0.6},
    spacings.Named.placed: {"factor": 1.0, "finer": 1},
    rules.model_of: {"factor": 1.0, "finer": 1},
    trained.linear_quadratic: {"threshold": 0.025},
    euler.renoise: {"s_noise": 1.0},
}


def _classes():
    """The values of the rooms that have an option of floats."""
    rooms = [solvers, spacings, ms.paths, ms.predictions, ms.transforms]
    rooms += [
        import_module(f"{room.__name__}.{one.name}")
        for room in rooms
        if hasattr(room, "__path__")
        for one in pkgutil.iter_modules(room.__path__)
    ]
    found = {one for room in rooms for one in vars(room).values() if isinstance(one, type) and is_dataclass(one)}
    return {kind: numbers for kind in found if (numbers := _numbers(kind))}


def _numbers(kind):
    """The options of a class that are floats, or tuples of them, by default."""
    return {
        one.name: one.default for one in fields(kind) if isinstance(one.default, (float, tuple)) and one.default != ()
    }


CLASSES = _classes()


@pytest.mark.parametrize("kind", sorted(CLASSES, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_the_options_of_a_class(kind):
    """Every one of them is stated here, for the class or one that it comes from."""
    stated = dict(NEUTRAL)
    for one in reversed(kind.__mro__):
        stated |= PUBLISHED.get(one.__name__, {})
    for name, value in CLASSES[kind].items():
        assert value == stated[name], name


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_the_options_of_a_function(function):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in FUNCTIONS[function]} == FUNCTIONS[function]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_even_weights_are_those_of_adams_and_bashforth(order):
    """Integrals over [0, 1] of Lagrange's polynomials that are 1 at -j and 0 at the others of 0, -1 .. 1 - order."""
    for j in range(order):
        others = [-m for m in range(order) if m != j]
        wanted = np.polyval(np.polyint(np.atleast_1d(np.poly(others))), 1) / np.prod(
            [m - j for m in range(order) if m != j]
        )
        assert adams.EVEN[j][order - 1] == pytest.approx(wanted, rel=1e-12)
    assert all(adams.EVEN[j][order - 1] == 0 for j in range(order, 4))


def test_tables_of_runge_and_kutta():
    """The classical methods, and the nodes of exponential ones."""
    starts = {"euler": ((1.0,), 0), "heun": ((1 / 2, 1 / 2), 1), "runge_kutta": ((1 / 6, 2 / 6, 2 / 6, 1 / 6), 3)}
    assert starts == adams.STARTS
    nodes = {name: nodes for name, (nodes, _) in exponential_rk.METHODS.items()}
    assert nodes == {
        "res_2s": (0, 1 / 2),  # arXiv 2308.02157
        "res_3s": (0, 1 / 2, 1),
        "seeds_2": (0, 1 / 2),  # arXiv 2305.14267
        "seeds_3": (0, 1 / 3, 2 / 3),
        "heun": (0, 1),
        "heun_phi_1": (0, 1),
    }


def test_numbers_that_rooms_share():
    assert pytest.approx(0.9998766054, rel=1e-9) == laws.NOISIEST  # stable-diffusion.cpp's, the logistic of 9
    assert exploding.CLEAN == {"quarter_log": -200.0, "log_1000_4": -200_000.0}
    assert staged.TOP == 0.999  # arXiv 2410.05954, its code
    assert pytest.approx(np.linspace(0.8, 1.5, 15), abs=1e-12) == gits.COEFFICIENTS
    assert (recommended.UNKNOWN, recommended.HIGHEST, recommended.LOWEST) == (3.0, 0.4, 0.002)
    trig = (ms.paths.TrigFlow.top, distilled.TwoTimes.most)
    assert trig == pytest.approx((math.pi / 2, math.pi / 2), abs=4e-6)  # as diffusers writes it
    assert ms.paths.VarianceExploding(sigma_data=1.0, timestep="quarter_log") == discrete.CONTINUOUS
    assert options.FINITE == 2**-24  # alpha_bar in place of 0, as diffusers has it
    assert samplers.STABLE_DIFFUSION.betas == ms.paths.Betas(1000, 0.00085, 0.012, "scaled_linear")


def test_deviation_of_pure_noise():
    """Of sigma at alpha = 0 in units of the data's, None where a path has none."""
    paths = ms.paths
    priors = {kind: kind.prior for kind in (paths.LinearVP, paths.VarianceExploding, straight.Exploding)}
    assert priors == {paths.LinearVP: 1.0, paths.VarianceExploding: 1.0, straight.Exploding: 0.0}


def test_a_run_starts_at_its_level():
    """Runs of the models that take no data into account there start as sigma times noise, to the last bit."""
    for recipe in (ms.CMStochasticIterative(), ms.ConsistencyDecoder(), ms.ScoreSdeVe(), ms.KarrasVe()):
        plan = recipe.plan(2)
        np.testing.assert_allclose(plan.start(np.ones((1, 1))).sample[0, 0], plan.sigmas[0], rtol=1e-15)


def test_flow_of_a_multistep_solver_starts_below_pure_noise():
    """Where lambda is finite: diffusers' levels end 1e-6 below 1."""
    recipe = ms.UniPCMultistep(use_flow_sigmas=True, prediction_type="flow_prediction")
    np.testing.assert_allclose(recipe.plan(5).alphas[0], 1e-6, rtol=1e-9)


def test_helios_cuts_as_imagen_does():
    """It has no option for the share and the limit, which are those of the other recipes then."""
    found = ms.Helios(thresholding=True).parts().denoised_transform
    assert found == ms.DDPM(thresholding=True).parts().denoised_transform == ms.transforms.DynamicThreshold(0.995, 1.0)


def test_limits_of_spaced_levels():
    """Flow models have levels to 1, the wider path of those that begin above it has them to 1e6."""
    made = {"use_karras_sigmas": True}
    assert ms.FlowMatchEuler(**made, spaced_min=1.0).spaced_min == 1
    assert ms.FlowMatchEuler(**made, spaced_min=0.1, spaced_max=1e6).spaced_max == 1e6
    for given in ({"spaced_min": 1.0002}, {"spaced_min": 0.1, "spaced_max": 1.0002e6}):
        with pytest.raises(ms.ScheduleError, match="must be in"):
            ms.FlowMatchEuler(**made, **given)


def test_sa_solver_adds_noise_in_the_middle():
    """ComfyUI's: from 20 to 80 % of the run's times."""
    for name in ("sa_solver", "sa_solver_pece"):
        solver = ms.sampler(name).solver
        assert (solver.tau_start, solver.tau_end, solver.tau) == (200.0, 800.0, 1.0)


def test_the_process_of_published_deis():
    """k(0.001) = 0.002 and k(1) = 80, as diff-sampler has it."""
    made = SummedDEIS()
    for t, k in ((1e-3, 0.002), (1.0, 80.0)):
        assert math.expm1(made.beta_d * t**2 / 2 + made.beta_min * t) == pytest.approx(k**2, rel=1e-9)
    assert (made.most, made.terms) == (3, 10_000)


def test_names_with_numbers_of_their_own():
    assert ms.sampler("exp_heun_2_x0_sde").solver.eta == 1.0
    assert ms.sampler("dance_grpo", like=ms.FlowMatchEuler()).solver.noise_level == 0.3  # arXiv 2505.07818


def test_options_of_recipes_that_no_class_of_diffusers_has():
    """tests/peers/test_configs.py has the others."""
    for kind in (ms.FlowMatchEuler, ms.FlowMatchHeun, ms.FlowMatchLCM, ms.FlowMatchPingPong, ms.LTXEulerAncestralRF):
        assert (kind().shift, kind().sigma_max, kind().base_shift, kind().max_shift) == (1.0, 1.0, 0.5, 1.15)
    protein = ms.RFD4Proteina()
    assert (protein.tsr_k, protein.tsr_sigma) == (1.0, 1.0)  # the law as it is
    sa = ms.SASolver()  # the function of time in diffusers
    assert (sa.tau, sa.tau_start, sa.tau_end) == (1.0, 200.0, 800.0)


def test_where_the_best_sampler_has_no_corrector():
    assert {kind: rule.most for kind, rule in recommended.RULES.items()} == {"vp": 8.0, "flow": 10.0, "edm": 10.0}
