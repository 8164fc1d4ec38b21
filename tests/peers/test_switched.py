"""Configurations of one class of diffusers given to another, as users switch schedulers: B.from_config(A.config) for
every pair of classes, against the recipe that `from_diffusers` makes of them.

A configuration holds every key of A; some are drawn, some are those that A's class does not list. Both libraries run on
the same data, and every sample that comes back is compared.
"""

import inspect
import random
import warnings
from dataclasses import fields, replace
from typing import Any

import diffusers
import numpy as np
import pytest
from classes import class_of, defaults_of
from parity import exact_roots
from runs import SHAPE, Run, our_rows, rows

import multisched as ms
from multisched.interop.diffusers import PEERS

NAMES = sorted(PEERS)
SPACED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
NEEDED = {"schedule_mode": "log", "noise_mode": "1/t", "tsr_k": 1.0, "tsr_sigma": 1.0}  # keys without a default
STEPS = {"ConsistencyDecoderScheduler": 2, "SCMScheduler": 2, "RFD4ProteinaScheduler": 60}  # 5 of any other
TWO_CALLS = ("Heun", "KDPM2", "DPMSolverSDE", "FlowMatchHeun", "KarrasVe")

# Rows are compared in float32 on diffusers' side. What is worth less there: 1 - exp(-t) at t = 1e-5, and alpha = 1e-6
# as 1 - sigma.
TOLERANCE = {"ScoreSdeVpScheduler": 1e-2, "UniPCMultistepScheduler": 5e-2}
TIMES = 1e-5  # of the largest timestep, where they are no whole numbers

DRAWN: dict[str, tuple[Any, ...]] = {
    "prediction_type": ("epsilon", "sample", "v_prediction", "flow_prediction"),
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "beta_start": (0.0001, 0.00085),
    "beta_end": (0.012, 0.02),
    "num_train_timesteps": (500, 1000),
    "timestep_spacing": ("linspace", "leading", "trailing"),
    "steps_offset": (0, 1),
    "final_sigmas_type": ("zero", "sigma_min"),
    "set_alpha_to_one": (True, False),
    "rescale_betas_zero_snr": (True, False),
    "snr_shift_scale": (1.0, 3.0),
    "shift": (1.0, 3.0),
    "flow_shift": (1.0, 3.0),
    "shift_terminal": (0.1,),
    "use_dynamic_shifting": (True,),
    "time_shift_type": ("exponential", "linear"),
    "invert_sigmas": (True,),
    "stochastic_sampling": (True,),
    "solver_order": (1, 2, 3),
    "predictor_order": (1, 3),
    "corrector_order": (0, 1, 3),
    "solver_type": ("midpoint", "heun", "bh1", "bh2", "logrho"),
    "algorithm_type": ("dpmsolver", "dpmsolver++", "sde-dpmsolver++", "deis", "data_prediction", "noise_prediction"),
    "predict_x0": (True, False),
    "disable_corrector": ([0], [1, 2]),
    "lower_order_final": (True, False),
    "euler_at_final": (True, False),
    "lambda_min_clipped": (-5.1,),
    "variance_type": ("learned_range", "fixed_small", "fixed_large", None),
    "thresholding": (True,),
    "clip_sample": (True, False),
    "sigma_min": (0.002, 0.03, 0.5, None),
    "sigma_max": (80.0, 10.0, 0.9, 1.0, None),
    "sigma_data": (0.5, 1.0),
    "sigma_schedule": ("karras", "exponential"),
    "rho": (5.0,),
    "timestep_type": ("continuous", "discrete"),
    "interpolation_type": ("linear", "log_linear"),
    "skip_prk_steps": (True, False),
    "s_noise": (0.5, 1.0),
    "eta": (0.0, 0.5),
    "scheduler_type": ("euler", "unipc"),
    "stages": (1, 2),
}


@pytest.fixture(autouse=True)
def quiet():
    """diffusers logs every key that a class does not know."""
    before = diffusers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity(50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    diffusers.utils.logging.set_verbosity(before)


def whole(name: str) -> dict[str, Any]:
    """A configuration of a class with every key, as `save_pretrained` writes it."""
    found = {key: one for key, one in defaults_of(name).items() if key != "tau_func"}
    return {key: NEEDED.get(key, one) for key, one in found.items()}


def drawn(given: str, made: str, seed: int) -> dict[str, Any]:
    """A configuration of a class with some values of its own, for another."""
    draw = random.Random(f"{given} {made} {seed}")
    config = {key: one for key, one in whole(given).items() if key not in SPACED}
    for key in config:
        if key in DRAWN and draw.random() < 0.25:
            config[key] = draw.choice(DRAWN[key])
    if draw.random() < 0.3:
        config |= {key: draw.choice(DRAWN[key]) for key in ("sigma_min", "sigma_max")}
    spaced = [flag for flag in SPACED if flag in PEERS[made].keys]
    if spaced and draw.random() < 0.5:
        config[draw.choice(spaced)] = True
    if "use_flow_sigmas" in PEERS[made].keys and draw.random() < 0.2:
        config["use_flow_sigmas"] = True
    if config.get("use_flow_sigmas") and draw.random() < 0.7:
        config["prediction_type"] = "flow_prediction"
    return config


def configurations(made: str) -> list[dict[str, Any]]:
    """Of every class for one: as it is, with each spacing of sigmas that the one knows, and drawn."""
    spaced = [{flag: True} for flag in SPACED if flag in PEERS[made].keys]
    plain = [{**whole(given), **more} for given in NAMES for more in ({}, *spaced)]
    return plain + [drawn(given, made, seed) for given in NAMES for seed in range(3)]


def mu_of(name: str, config: dict[str, Any]) -> float | None:
    """The dynamic shift that a run needs."""
    straight = "use_flow_sigmas" not in PEERS[name].keys or name.startswith("Helios") or config.get("use_flow_sigmas")
    takes = "mu" in inspect.signature(class_of(name).set_timesteps).parameters
    return 0.8 if straight and takes and config.get("use_dynamic_shifting") else None


def their_run(name: str, config: dict[str, Any]) -> Run | None:
    """diffusers' run; None if it makes none."""
    more: dict[str, Any] = {"stage_index": 0} if name.startswith("Helios") else {}
    if (mu := mu_of(name, config)) is not None:
        more["mu"] = mu
    try:
        with exact_roots():
            return Run(name, config, num_inference_steps=STEPS.get(name, 5), **more)
    except Exception:
        return None


def their_rows(run: Run | None, stages: tuple[int, ...] | None) -> list[np.ndarray] | None:
    """diffusers' samples; None if they are not finite."""
    if run is None:
        return None
    pairs = 2 if run.name.startswith(TWO_CALLS) or run.name == "ScoreSdeVe" else 1
    guessed = tuple(k % pairs for k in range(len(run.timesteps)))
    try:
        found = list(rows(run, guessed if stages is None or len(stages) != len(guessed) else stages))
    except Exception:
        return None
    return found if np.all(np.isfinite(found)) else None


def judged(name: str, config: dict[str, Any]) -> str:
    """What became of a configuration: "equal", "neither" or "ours" (no finite run of diffusers), "singular", or what
    is wrong."""
    run = their_run(name, config)
    try:
        plan = ms.from_diffusers({**config, "_class_name": name}).plan(STEPS.get(name, 5), mu=mu_of(name, config))
    except ms.ScheduleError as error:
        if their_rows(run, None) is None:
            return "neither"
        # diffusers divides by alpha = 0, and cuts the infinity.
        return "singular" if "says nothing of x0" in str(error) else f"refused: {error}"
    if not np.all(np.isfinite(plan.tableau.weights)):
        return "not finite"
    theirs = their_rows(run, plan.stages)
    if run is None or theirs is None:
        return "ours"
    ours = list(our_rows(plan, run.parts))
    if len(theirs) != len(ours):
        return f"{len(theirs)} timesteps, ours {len(ours)}"
    # Where there is no such attribute, pipelines scale the noise themselves.
    start = getattr(run.scheduler, "init_noise_sigma", None) if name != "SCMScheduler" else None
    if start is not None and abs(float(start) - plan.grid.init_noise_sigma) > 1e-4 * float(start):
        return f"a run starts from {plan.grid.init_noise_sigma}, theirs from {start}"
    told = np.asarray(run.timesteps, dtype=np.float64)
    apart = np.max(np.abs(told - plan.timesteps)) / max(1.0, np.max(np.abs(told)))
    if apart > (0 if not run.timesteps.dtype.is_floating_point else TIMES):
        return f"timesteps off by {apart:.1e}"
    error = max(np.max(np.abs(a - b)) / np.max(np.abs(a)) for a, b in zip(theirs, ours, strict=True))
    return "equal" if error < TOLERANCE.get(name, 1e-3) else f"rows off by {error:.1e}"


@pytest.mark.parametrize("made", NAMES)
def test_configurations_of_every_class(made):
    """Equal, or refused (or right by the papers) where diffusers makes no finite run."""
    given = configurations(made)
    found = [judged(made, config) for config in given]
    fine = ("equal", "neither", "ours", "singular")
    wrong = [f"{what}: {config}" for what, config in zip(found, given, strict=True) if what not in fine]
    assert not wrong, f"{len(wrong)} of {len(given)}, such as\n" + "\n".join(wrong[:4])
    # RFD4's four keys without a default are its own; the others limit T or its betas.
    few = {"RFD4ProteinaScheduler": 1, "ConsistencyDecoderScheduler": 20, "SCMScheduler": 50, "UnCLIPScheduler": 40}
    least = few.get(made, 92)
    assert found.count("equal") >= least, {what: found.count(what) for what in set(found)}


ASTRAY = {
    "CMStochasticIterativeScheduler": "its function is the identity at sigma_min",
    "LCMScheduler": "its function is the identity at timestep 0",
    "PiflowScheduler": "its policy divides by eps",
    "RePaintScheduler": "it is started with an image and a mask",
    "ScoreSdeVeScheduler": "Langevin steps are scaled by the noise that is drawn",
    "ScoreSdeVpScheduler": "Euler and Maruyama's steps have an error of their own",
}
OUTSIDE = ("says nothing of x0", "timesteps must lie in", "takes no step to a higher noise level")


def distance(name: str, config: dict[str, Any]) -> float:
    """How far a run without the defects of diffusers is from the path of one clean sample and one noise, on which every
    consistent solver stays; where it adds noise, from that of the clean sample alone. 0 where there is no run."""
    try:
        recipe = ms.from_diffusers({**config, "_class_name": name})
    except ms.ScheduleError:
        return 0.0
    mended = {one.name: one.default for one in fields(recipe) if one.name in PEERS[name].faithful}
    recipe = replace(recipe, quirks=(), **mended)
    try:
        plan = recipe.plan(STEPS.get(name, 5), mu=mu_of(name, config))
    except ms.ScheduleError as error:
        if any(why in str(error) for why in OUTSIDE):
            return 0.0
        raise
    clean, noise = 0.1 * np.random.default_rng(3).standard_normal((2, *SHAPE))
    noise = 0.0 * noise if plan.noise_draws else noise
    prediction, rows = recipe.parts().prediction, plan.rows
    state = plan.start(clean)._replace(sample=plan.alphas[0] * clean + plan.sigmas[0] * noise)
    for scale, alpha, sigma in zip(*(one[:, 0] for one in (rows.scale, rows.alpha, rows.sigma)), strict=True):
        output = prediction.target(clean, noise, scale * alpha, scale * sigma)
        parts = max(plan.tableau.outputs, 1 + (plan.noise_transform is not None))
        state = plan.step(state, np.concatenate([output] * parts, axis=1), (0.0 * noise,) * plan.noise_draws or None)
    wanted = plan.alphas[-1] * clean + plan.sigmas[-1] * noise
    return float(np.max(np.abs(state.sample - wanted)) / max(1.0, np.max(np.abs(wanted))))


@pytest.mark.parametrize("made", [name for name in NAMES if name not in ASTRAY])
def test_mended_runs_are_consistent(made):
    """Those too that diffusers has no answer to."""
    wrong = [config for config in configurations(made) if not distance(made, config) < 1e-9]
    assert not wrong, f"{len(wrong)}, such as {wrong[0]}"
