"""The recipes that the common tests run through: every scheduler, with each option that changes the arithmetic."""

import inspect
import math
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
import pytest
from made import flow, quirked, ve, vp

import multisched as ms
from multisched.interop.diffusers import PEERS, solvers as own
from multisched.options import words_of
from multisched.solvers import (
    BDIA,
    DEIS,
    EDICT,
    ERSDE,
    Adams,
    ChurnedMidpoint,
    DPMFast,
    DPMMultistep,
    DPMMultistepSDE,
    ExponentialAdams,
    ExponentialRK,
    FlowSDE,
    GradientEstimation,
    HeunPlus,
    Midpoint,
    RESMultistep,
    Restarted,
    RungeKutta,
    Started,
    StochasticAdams,
    Straightened,
)


def composed(path: str, solver: ms.solvers.Solver) -> ms.Recipe:
    """A solver that no named recipe has, on a path that it is used on."""
    (where, spacing), prediction = {
        "vp": (vp("trailing"), "epsilon"),
        "edm": (ve(), "edm"),
        "flow": (flow(3.0), "flow_prediction"),
    }[path]
    return ms.Scheduler(where, spacing, prediction, solver)


RECIPES: dict[str, ms.Recipe] = {
    "flow-euler": ms.FlowMatchEuler(),
    "flow-euler-shift": ms.FlowMatchEuler(shift=3.0, sigma_max=0.9, shift_terminal=0.02),
    "flow-euler-double": quirked(ms.FlowMatchEuler(shift=3.0), "double_shift"),
    "flow-euler-stochastic": ms.FlowMatchEuler(shift=2.0, stochastic_sampling=True),
    "flow-heun": ms.FlowMatchHeun(shift=3.0),
    "flow-heun-churn": ms.FlowMatchHeun(s_churn=4.0, s_tmin=0.2, s_tmax=0.8, s_noise=1.1),
    "flow-heun-churn-late": quirked(ms.FlowMatchHeun(s_churn=4.0, s_tmin=0.2, s_tmax=0.8, s_noise=1.1), "late_churn"),
    "flow-ping-pong": ms.FlowMatchPingPong(shift=3.0),
    "flow-euler-inverted": ms.FlowMatchEuler(shift=3.0, invert_sigmas=True),
    "flow-euler-karras": ms.FlowMatchEuler(use_karras_sigmas=True, shift_terminal=0.1),
    "flow-euler-stochastic-inverted": ms.FlowMatchEuler(stochastic_sampling=True, invert_sigmas=True),
    "flow-lcm": ms.FlowMatchLCM(use_beta_sigmas=True),
    "flow-map": ms.FlowMapEuler(shift=5.0),
    "ltx": quirked(ms.LTXEulerAncestralRF(shift=2.0), "shifted_ends"),
    "ltx-eta": ms.LTXEulerAncestralRF(eta=0.3, s_noise=1.1),
    "minimax-h3": ms.MiniMaxH3(),
    "rfd4-proteina": ms.RFD4Proteina(),
    "rfd4-proteina-tan": ms.RFD4Proteina(schedule_mode="power", noise_mode="tan", tail_steps=2),
    "ddim": ms.DDIM(clip_sample=False),
    "ddim-clip": ms.DDIM(prediction_type="sample", clip_sample_range=0.7),
    "ddim-clip-direction": ms.DDIM(use_clipped_model_output=True, eta=0.3),
    "ddim-threshold": ms.DDIM(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=1.7),
    "ddim-eta": ms.DDIM(eta=1.0, clip_sample=False, timestep_spacing="trailing", prediction_type="v_prediction"),
    "ddim-zero-snr": ms.DDIM(
        rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=False
    ),
    "ddim-stride": quirked(ms.DDIM(timestep_spacing="linspace", set_alpha_to_one=False), "stride"),
    "ddim-cosine": ms.DDIM(beta_schedule="squaredcos_cap_v2", steps_offset=1, clip_sample=False),
    "euler": ms.Euler(timestep_spacing="leading", steps_offset=1),
    "euler-continuous": ms.Euler(use_karras_sigmas=True, timestep_type="continuous", prediction_type="v_prediction"),
    "euler-log-linear": ms.Euler(interpolation_type="log_linear", final_sigmas_type="sigma_min"),
    "euler-churn": ms.Euler(s_churn=3.0, s_tmin=0.1, s_tmax=40.0, s_noise=1.01, prediction_type="sample"),
    "euler-churn-late": quirked(ms.Euler(s_churn=3.0, s_tmin=0.1, s_tmax=40.0, s_noise=1.01), "late_churn"),
    "euler-churn-late-v": quirked(ms.Euler(s_churn=3.0, s_tmin=0.1, prediction_type="v_prediction"), "late_churn"),
    "euler-ancestral": ms.EulerAncestral(timestep_spacing="trailing", rescale_betas_zero_snr=True),
    "heun": ms.Heun(use_exponential_sigmas=True),
    "heun-clip": ms.Heun(clip_sample=True, prediction_type="sample"),
    "kdpm2": ms.KDPM2(),
    "kdpm2-karras": ms.KDPM2(use_karras_sigmas=True, prediction_type="v_prediction"),
    "kdpm2-ancestral": ms.KDPM2Ancestral(use_beta_sigmas=True),
    "dpm-sde": ms.DPMSolverSDE(use_karras_sigmas=True, s_noise=1.02),
    "dpm": ms.DPMSolverMultistep(),
    "dpm-heun": ms.DPMSolverMultistep(solver_type="heun", use_lu_lambdas=True, euler_at_final=True),
    "dpm-3": ms.DPMSolverMultistep(solver_order=3, lower_order_final=False, use_karras_sigmas=True),
    "dpm-3-published": quirked(ms.DPMSolverMultistep(solver_order=3, lower_order_final=False), "third_order"),
    "dpm-noise": ms.DPMSolverMultistep(algorithm_type="dpmsolver", solver_order=3, final_sigmas_type="sigma_min"),
    "dpm-flow": ms.DPMSolverMultistep(use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction"),
    "dpm-threshold": ms.DPMSolverMultistep(thresholding=True, sample_max_value=1.5, timestep_spacing="trailing"),
    "dpm-multi-sde": ms.DPMSolverMultistep(algorithm_type="sde-dpmsolver++", lambda_min_clipped=-5.1),
    "dpm-multi-sde-3": quirked(
        ms.DPMSolverMultistep(algorithm_type="sde-dpmsolver++", solver_order=3, lower_order_final=False), "third_order"
    ),
    "dpm-multi-sde-noise": ms.DPMSolverMultistep(algorithm_type="sde-dpmsolver", solver_type="heun"),
    "dpm-single": ms.DPMSolverSinglestep(),
    "dpm-single-heun": ms.DPMSolverSinglestep(solver_type="heun", algorithm_type="dpmsolver"),
    "dpm-single-3": ms.DPMSolverSinglestep(solver_order=3, use_exponential_sigmas=True),
    "dpm-single-3-heun": ms.DPMSolverSinglestep(
        solver_order=3, solver_type="heun", final_sigmas_type="sigma_min", prediction_type="sample"
    ),
    "dpm-single-sde-3": quirked(
        ms.DPMSolverSinglestep(algorithm_type="sde-dpmsolver++", solver_order=3, solver_type="heun"), "third_order"
    ),
    "dpm-single-sde": ms.DPMSolverSinglestep(algorithm_type="sde-dpmsolver++"),
    "dpm-single-sde-independent": quirked(
        ms.DPMSolverSinglestep(algorithm_type="sde-dpmsolver++", solver_order=3, solver_type="heun"),
        "independent_noise",
    ),
    "dpm-inverse": ms.DPMSolverMultistepInverse(),
    "dpm-inverse-flow": ms.DPMSolverMultistepInverse(use_flow_sigmas=True, algorithm_type="dpmsolver"),
    "cogvideox-dpm": ms.CogVideoXDPM(set_alpha_to_one=False),
    "edm-dpm": ms.EDMDPMSolverMultistep(),
    "cosine-dpm": ms.CosineDPMSolverMultistep(),
    "cosine-dpm-min": ms.CosineDPMSolverMultistep(
        sigma_min=0.05, final_sigmas_type="sigma_min", lower_order_final=False
    ),
    "edm-euler": ms.EDMEuler(),
    "edm-euler-churn": ms.EDMEuler(
        sigma_schedule="exponential", prediction_type="v_prediction", s_churn=2.0, s_tmin=1.0
    ),
    "edm-euler-churn-late": quirked(ms.EDMEuler(s_churn=2.0, s_tmin=1.0), "late_churn"),
    "ddim-inverse": ms.DDIMInverse(),
    "ddim-inverse-stride": quirked(
        ms.DDIMInverse(timestep_spacing="trailing", set_alpha_to_one=False, prediction_type="sample"), "stride"
    ),
    "cogvideox-ddim": ms.CogVideoXDDIM(
        rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"
    ),
    "ddpm": ms.DDPM(),
    "ddpm-large": ms.DDPM(variance_type="fixed_large", timestep_spacing="trailing", clip_sample=False),
    "unclip": ms.UnCLIP(prediction_type="sample"),
    "wuerstchen": ms.DDPMWuerstchen(scaler=1.5),
    "lms": ms.LMS(prediction_type="v_prediction"),
    "lms-2-karras": ms.LMS(order=2, use_karras_sigmas=True, timestep_spacing="trailing"),
    "pndm": ms.PNDM(),
    "pndm-linspace-v": ms.PNDM(timestep_spacing="linspace", prediction_type="v_prediction", set_alpha_to_one=True),
    "pndm-stride": quirked(
        ms.PNDM(timestep_spacing="trailing", prediction_type="v_prediction"), "stride", "average_velocity"
    ),
    "plms": ms.PNDM(skip_prk_steps=True, steps_offset=1),
    "plms-stride": quirked(ms.PNDM(skip_prk_steps=True, timestep_spacing="linspace"), "stride"),
    "ipndm": ms.IPNDM(),
    "ipndm-blind": quirked(ms.IPNDM(), "blind_start"),
    "lcm": ms.LCM(),
    "lcm-threshold": ms.LCM(thresholding=True, sample_max_value=2.0, timestep_scaling=5.0, strength=0.8),
    "tcd": ms.TCD(),
    "tcd-0": ms.TCD(eta=0.0, prediction_type="v_prediction", rescale_betas_zero_snr=True),
    "scm": ms.SCM(),
    "consistency": ms.CMStochasticIterative(),
    "consistency-decoder": ms.ConsistencyDecoder(),
    "score-ve-predictor": ms.ScoreSdeVe(sigma_max=20.0, correct_steps=0, sampling_eps=0.3),
    "score-vp": ms.ScoreSdeVp(),
    "karras-ve": ms.KarrasVe(s_max=200.0),
    "karras-ve-0": ms.KarrasVe(s_churn=0.0),
    "dpm-single-flow": ms.DPMSolverSinglestep(use_flow_sigmas=True, prediction_type="flow_prediction"),
    "deis": ms.DEISMultistep(),
    "deis-3": ms.DEISMultistep(solver_order=3, lower_order_final=False, final_sigmas_type="sigma_min"),
    "deis-karras": ms.DEISMultistep(use_karras_sigmas=True, prediction_type="sample"),
    "deis-flow": ms.DEISMultistep(use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction"),
    "unipc": ms.UniPCMultistep(),
    "unipc-1": ms.UniPCMultistep(solver_order=1, use_exponential_sigmas=True, sigma_max=30.0),
    "unipc-3-bh1": ms.UniPCMultistep(solver_order=3, solver_type="bh1", lower_order_final=False),
    "unipc-4": ms.UniPCMultistep(solver_order=4, disable_corrector=(0, 2), timestep_spacing="trailing"),
    "unipc-noise": ms.UniPCMultistep(predict_x0=False, final_sigmas_type="sigma_min", prediction_type="v_prediction"),
    "unipc-flow": ms.UniPCMultistep(
        use_flow_sigmas=True, use_karras_sigmas=True, prediction_type="flow_prediction", solver_order=3
    ),
    "unipc-flow-shift": ms.UniPCMultistep(use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction"),
    "unipc-dpm": ms.UniPCMultistep(solver_p=ms.solvers.DPMMultistep()),
    "unipc-euler-noise": ms.UniPCMultistep(
        solver_p=ms.solvers.Euler(), predict_x0=False, final_sigmas_type="sigma_min", thresholding=True
    ),
    "sa": ms.SASolver(),
    "sa-4": ms.SASolver(predictor_order=3, corrector_order=4, tau=0.6, tau_start=0.0, tau_end=999.0),
    "sa-noise": ms.SASolver(algorithm_type="noise_prediction", corrector_order=1, final_sigmas_type="sigma_min"),
    "sa-predictor": ms.SASolver(predictor_order=3, corrector_order=0, use_flow_sigmas=True),
    "sa-0": ms.SASolver(tau=0.0, corrector_order=3, use_beta_sigmas=True),
    "angle": ms.Scheduler(
        ms.paths.Discrete(), ms.spacings.SoftLog(0.0, math.inf, 0.08), "epsilon", ms.solvers.AngleAdams()
    ),
    "angle-clean": ms.Scheduler(ms.paths.Discrete(), "karras", "v_prediction", ms.solvers.AngleAdams(clean=True)),
    "angle-flow": ms.Scheduler(
        ms.paths.Straight(),
        ms.spacings.SoftLog(),
        "flow_prediction",
        ms.solvers.AngleAdams(even=False, damping=0.0, reach=1.0, far=50.0),
    ),
    "angle-edm": ms.Scheduler(
        ms.paths.VarianceExploding(), ms.spacings.SoftLog(), "edm", ms.solvers.AngleAdams(3, 0, 0.5, "angle")
    ),
    "helios": ms.Helios(stage=1),
    "helios-euler": ms.Helios(stages=1, shift=3.0, time_shift_type="linear", scheduler_type="euler"),
    "helios-dmd": ms.HeliosDMD(stage=2),
    "dpmpp-2s-ancestral": composed("vp", Midpoint("x0", 1.0)),
    "dpmpp-2s-ancestral-flow": composed("flow", Midpoint("x0", 1.0, aim="share")),
    "dpm2-ancestral-flow": composed("flow", Midpoint("velocity", 1.0, aim="share")),
    "dpm2-churn": composed("edm", ChurnedMidpoint(4.0, s_tmin=0.1, s_tmax=40.0)),
    "dpmpp-3m-sde": composed("edm", DPMMultistepSDE(s_noise=1.01)),
    "dpmpp-3m-sde-flow": composed("flow", DPMMultistepSDE(halved=False)),
    "gradient-estimation": composed("vp", GradientEstimation()),
    "res-multistep-ancestral": composed("vp", RESMultistep(1.0)),
    "res-2s": composed("flow", ExponentialRK()),
    "res-3s": composed("vp", ExponentialRK("res_3s")),
    "seeds-2": composed("flow", ExponentialRK("seeds_2", 1.0)),
    "seeds-3": composed("edm", ExponentialRK("seeds_3", 1.0)),
    "exp-heun": composed("vp", ExponentialRK("heun")),
    "exp-heun-sde": composed("edm", ExponentialRK("heun", 1.0)),
    "exp-heun-phi-1": composed("flow", ExponentialRK("heun_phi_1", 0.5)),
    "flow-grpo": composed("flow", FlowSDE()),
    "flow-grpo-window": composed("vp", FlowSDE(clean=True, t_min=0.2, t_max=0.8)),
    "flow-cps": composed("flow", FlowSDE("flow_cps")),
    "dance-grpo": composed("flow", FlowSDE("dance_grpo", 0.3)),
    "restart": ms.Scheduler(
        vp("trailing")[0], vp("trailing")[1] | ms.spacings.Restart(((0.3, 2.0, 2, 1),)), "epsilon", Restarted()
    ),
    "restart-edm": ms.Scheduler(
        ve()[0],
        ve()[1] | ms.spacings.Restart(((0.0, 3.0, 2, 1),)),
        "edm",
        Restarted(ms.solvers.DPMMultistep(lower_order_final=False), 0.9),
    ),
    "heunpp2": composed("edm", HeunPlus()),
    "dpm-fast": composed("vp", DPMFast()),
    "runge-kutta": composed("edm", RungeKutta()),
    "runge-kutta-flow": composed("flow", Straightened(RungeKutta())),
    "res-multistep-flow": composed("flow", Straightened(RESMultistep())),
    "lms-flow": composed("flow", Straightened(Adams(denoised_end=True))),
    "er-sde": composed("flow", ERSDE()),
    "er-sde-interpolated": composed("vp", ERSDE(rule="interpolated")),
    "er-sde-sums": composed("edm", ERSDE(terms=20)),
    "deis-time": composed("edm", DEIS()),
    "deis-time-flow": composed("flow", DEIS(4, 17.0, 0.2)),
    "sa-pece": composed("flow", StochasticAdams()),
    "bdia": composed("vp", BDIA()),
    "bdia-flow": composed("flow", BDIA(0.9)),
    "edict": composed("vp", EDICT()),
    "edict-edm": composed("edm", EDICT(0.8, alternate=False)),
    "edict-flow": composed("flow", EDICT(held="velocity")),
    "dpm-3-started": composed("vp", Started()),
    "dpm-3-started-noise": composed("edm", Started(DPMMultistep(3, "dpmsolver"), ExponentialRK())),
    "lms-started": composed("edm", Started(Adams(), steps=2)),
    "unipc-4-started": composed("vp", Started(ExponentialAdams(True, 4, 5, "bh2", falling=15.0), RungeKutta(), 2)),
    "unipc-3-started-flow": composed("flow", Started(ExponentialAdams(True, 3, 4, "bh2"), Straightened(RungeKutta()))),
}

ARITHMETIC_ONLY = {name: recipe for name, recipe in RECIPES.items() if recipe.parts().output_transform is None}
OMEGA: dict[str, ms.Recipe] = {
    "flow-euler-omega": ms.FlowMatchEuler(shift=3.0, omega=10.0),
    "flow-heun-omega": ms.FlowMatchHeun(omega=-20.0),
    "flow-euler-omega-batch": ms.FlowMatchEuler(omega=10.0, omega_mean="batch"),
}
EVERY = {**RECIPES, **OMEGA, "score-ve": ms.ScoreSdeVe(sigma_max=20.0, correct_steps=2)}

NAMED = {name: recipe for name, recipe in EVERY.items() if type(recipe) is not ms.Scheduler}
every_recipe = pytest.mark.parametrize("recipe", EVERY.values(), ids=EVERY.keys())
named_recipe = pytest.mark.parametrize("recipe", NAMED.values(), ids=NAMED.keys())
arithmetic_recipe = pytest.mark.parametrize("recipe", ARITHMETIC_ONLY.values(), ids=ARITHMETIC_ONLY.keys())


def arrays(count: int, shape: tuple[int, ...] = (2, 3, 4), seed: int = 0) -> np.ndarray:
    """`count` float32 arrays of normals, on the host."""
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def run(
    plan: ms.Plan, make: Any, noise: np.ndarray, outputs: np.ndarray, draws: np.ndarray, dtype: str = "float32"
) -> Any:
    """All states of a run with given outputs and draws."""
    states = [plan.start(make(noise, dtype))]
    for row in range(len(plan)):
        z = tuple(make(draws[row], dtype) for _ in range(plan.noise_draws)) if plan.needs_noise(row) else None
        states.append(plan.step(states[-1], make(outputs[row], dtype), z))
    return states


def _kinds() -> list[type[ms.solvers.Solver]]:
    """Every solver class."""
    found = [*(getattr(ms.solvers, name) for name in ms.solvers.__all__), *vars(own).values()]
    kinds = (kind for kind in found if isinstance(kind, type) and issubclass(kind, ms.solvers.Solver))
    return list(dict.fromkeys(kind for kind in kinds if not inspect.isabstract(kind)))


def _by_default(kind: type[ms.solvers.Solver]) -> list[ms.solvers.Solver]:
    return [kind()] if all(one.default is not MISSING for one in fields(kind)) else []


def solver_name(solver: ms.solvers.Solver) -> str:
    """A solver's class and the options that are not the default ones."""
    changed = (one for one in fields(solver) if getattr(solver, one.name) != one.default)
    return "-".join([type(solver).__name__, *(f"{one.name}={getattr(solver, one.name)}" for one in changed)])


# What common tests leave out: under the name of what is tested, the classes and the reason for each.
EXEMPT: dict[str, dict[str, str]] = {
    "leads to x0, with an exact model": {
        "OwnAdams": "disregards the first output, or reads a mean of velocities as that of one level",
        "TableDDPM": "takes betas that are rounded apart from the levels, as diffusers' UnCLIP does",
        "SwappedPingPong": "keeps the noise and replaces the data, as diffusers does under invert_sigmas",
        "AngleAdams": "discretises the angle, which is exact in the limit of small steps only",
        "EulerMaruyama": "discretises the drift, which is exact in the limit of small steps only",
        "FlowSDE": "discretises the drift, which is exact in the limit of small steps only",
        "PredictorCorrector": "takes Langevin steps, which are scaled by what is no part of the table",
        "LateRePaint": "takes the sample to be where its timestep is, as diffusers' RePaint does",
        "NoisyDDPM": "adds noise in the last step, as diffusers' DDPM does in short runs",
        "NoisySDE": "adds noise in the last step, as diffusers' RFD4Proteina does in short runs",
        "FaintRF": "keeps the signal of a lower level, as diffusers' LTX does without noise",
        "EDICT": "asks the model at the step's start about a sample that has taken the step",
    },
    "reads no register before it is written": {
        "EDICT": "its memory is the difference of its two samples, which is 0 where they begin alike",
    },
    "ends at the estimate of x0": {
        "AngleAdams": "its last step goes along F and not to x0, unless `clean` is on",
        "FlowSDE": "it noises its last step like the others, unless `clean` is on",
        "ScoreSdeVp": "its last step is one of many, of 1 / n",
        "LMS": "earlier calls have a part in its last step",
        "PNDM": "earlier calls have a part in its last step",
        "IPNDM": "earlier calls have a part in its last step",
        "BDIA": "its last step corrects the one before",
        "EDICT": "each of its two samples ends at what the model says of the other",
    },
    "has derivatives by the levels inside jit": {
        "Heun": "whether its last step has a second call depends on the levels",
        "DPMSinglestep": "how its calls are grouped depends on the levels",
    },
    "needs no more than 5 steps": {"RePaint": "the jumps back are of 10 steps"},
}


def exempt(rule: str, value: Any) -> bool:
    """Whether the class of a recipe or a solver, or that of the recipe's solver, is left out of a test."""
    solver = value.parts().solver if isinstance(value, ms.Recipe) else value
    return not EXEMPT[rule].keys().isdisjoint({type(value).__name__, type(solver).__name__})


SOLVER_KINDS = _kinds()
# Every solver class as it is by default, and as the recipes set it.
SOLVERS = list(
    dict.fromkeys(
        [
            *(solver for kind in SOLVER_KINDS for solver in _by_default(kind)),
            *(recipe.parts().solver for recipe in RECIPES.values()),
        ]
    )
)


NUMBERS = (0.5, 2.0, 0.3, 0.9, 1.1, 0.0, 5.0, 0.99, 40.0, -5.0)
BETAS = [tuple(np.linspace(0.03, 1e-3, total)) for total in (6, 40, 1000)]


def others(recipe: ms.Recipe, name: str) -> list[Any]:
    """Values to try of an option instead of its own."""
    value = getattr(recipe, name)
    if name == "quirks":
        return [peer.quirks for peer in PEERS.values() if peer.recipe is type(recipe) and peer.quirks][:1]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, 2 * value + 1, 3, 4, 10, 500]
    if isinstance(value, float):
        near = [value * 0.9, value * 1.1]
        return near if 0 < value < 0.1 else [*near, *NUMBERS]
    if isinstance(value, str):
        return _words(recipe, name)
    if name == "trained_betas":
        return BETAS
    if isinstance(value, tuple):
        return [value[:-1], value[1:], (0,), (1,), (0, 1), tuple(v / 2 for v in value if not isinstance(v, str))]
    return [*_words(recipe, name), *NUMBERS, 3, 10, (0,), (0, 1), ms.solvers.Euler()]


def _words(recipe: ms.Recipe, name: str) -> list[str]:
    """The words that an option may be."""
    return list(words_of(type(recipe)).get(name, ()))
