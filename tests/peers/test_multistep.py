"""DEIS, UniPC and SA-Solver against diffusers', coefficient by coefficient, and their integrals in 50 digits."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import draws
import mpmath
import numpy as np
import pytest
import torch
from diffusers.schedulers import scheduling_deis_multistep, scheduling_sasolver, scheduling_unipc_multistep
from impulse import DOUBLE_TOLERANCE, Tally, drawn
from made import grid, vp
from parity import ABOVE_THE_LAST, Case, Loose, compare, exact_roots, levels, ratios
from runs import Run, our_rows as our_rows_on_data, rows

import multisched as ms
from multisched.solvers.polynomial import integrals
from multisched.table.tableau import tabulate

FLOW = "use_flow_sigmas"


def multistep(rng: np.random.Generator) -> dict[str, Any]:
    """Options that the three classes share."""
    config = {**draws.trained(rng), **draws.spaced(rng), **draws.respaced(rng, FLOW, FLOW)}
    config["flow_shift"] = float(rng.choice((1.0, 3.0, float(rng.uniform(0.5, 8)))))
    path = "flow_prediction" if FLOW in config else "v_prediction"
    config["prediction_type"] = str(rng.choice(("epsilon", "sample", path)))
    config["lower_order_final"] = bool(rng.integers(2))
    config["thresholding"] = bool(rng.random() < 0.15)
    config["dynamic_thresholding_ratio"] = float(rng.choice((0.9, 0.995, 1.0)))
    config["sample_max_value"] = float(rng.uniform(1, 6))
    return config


def shifted(rng: np.random.Generator, config: dict[str, Any], *kinds: str) -> dict[str, Any]:
    """Arguments of a run; `config` gets what a dynamic shift needs."""
    run: dict[str, Any] = {"n": draws.steps(rng, config["num_train_timesteps"])}
    if FLOW in config and rng.random() < 0.4:
        config["use_dynamic_shifting"], config["time_shift_type"] = True, str(rng.choice(kinds))
        run["mu"] = float(rng.uniform(0.2, 2))
    return run


def stepping(give: Callable[[Any], None] = lambda _: None) -> Callable[[Any], Any]:
    """Steps that begin at the first sigma, whatever timestep it is told as."""

    def step_with(scheduler: Any) -> Any:
        scheduler.set_begin_index(0)

        def step_once(output: Any, timestep: Any, sample: Any, noise: Any) -> Any:
            give(noise[..., None])
            return scheduler.step(output[..., None], timestep, sample[..., None]).prev_sample[..., 0]

        return step_once

    return step_with


def widened(config: dict[str, Any]) -> dict[str, Any]:
    """What diffusers calls sigmas, and how it gets ours."""
    of = levels if FLOW in config else ratios
    return {"of": of, "widen": lambda scheduler, plan: setattr(scheduler, "sigmas", torch.from_numpy(of(plan)))}


def lost(order: int) -> Loose:
    """Error of diffusers' coefficients in float64. Where the differences of lam are small, as in runs of 999 steps,
    13 digits of 16 are left at order 2, and 3 at order 4. From alpha = 1e-6 on, the last bit of sigma is the tenth
    digit of a coefficient."""

    def tolerance(plan: ms.Plan) -> float:
        lam = np.log(plan.alphas[:-1] / plan.sigmas[:-1])
        least = np.min(np.abs(np.diff(lam)), initial=1.0)
        cancelled = (np.abs(lam).max() / least) ** (order - 1) if least < 0.02 else 0.0
        return max(DOUBLE_TOLERANCE, 1e-14 / plan.alphas[0], 1e3 * np.finfo(np.float64).eps * cancelled)

    return Loose(tolerance, "powers of lam are summed and divided by powers of its differences")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_deis():
    module = scheduling_deis_multistep
    rng = np.random.default_rng(41)
    tally = Tally("DEISMultistepScheduler")
    for _ in range(125):
        config = multistep(rng)
        config["solver_order"] = int(rng.choice((1, 2, 3, 3)))
        config["solver_type"], config["algorithm_type"] = "logrho", "deis"
        run = shifted(rng, config, "exponential")
        double = lost(config["solver_order"])
        compare(tally, Case(config, run, stepping(), module, double=double, **widened(config)))
    tally.verify(100, "timesteps that do not fall")


def test_unipc():
    module = scheduling_unipc_multistep
    rng, tally = np.random.default_rng(42), Tally("UniPCMultistepScheduler")
    for _ in range(175):
        config = multistep(rng)
        config["solver_order"] = int(rng.choice((1, 2, 2, 3, 3, 4)))
        config["solver_type"] = str(rng.choice(("bh1", "bh2", "bh2", "midpoint")))
        config["disable_corrector"] = [[], [], [0], [1, 3]][rng.integers(4)]
        config["predict_x0"] = bool(config["prediction_type"] == "flow_prediction" or rng.random() < 0.7)
        config["final_sigmas_type"] = str(rng.choice(("zero", "sigma_min"))) if config["predict_x0"] else "sigma_min"
        config["lower_order_final"] |= bool(rng.random() < 0.7)
        config["rescale_betas_zero_snr"] = bool(rng.random() < 0.2)
        run = shifted(rng, config, "exponential", "linear")
        theirs, more = dict(run), {"double": lost(config["solver_order"])}
        respaced = any(config.get(f"use_{kind}_sigmas") for kind in ("karras", "exponential", "beta"))
        if FLOW in config:
            config["shift_terminal"] = [None, None, float(rng.uniform(0.02, 0.4))][rng.integers(3)]
            if rng.random() < 0.3:
                given = draws.falling(rng, min(run.pop("n"), 50), 0.01, 1.0)
                run, theirs = {**run, "sigmas": given}, {**run, "sigmas": np.array(given)}
            elif "mu" not in run and config["shift_terminal"] is None and rng.random() < 0.3:
                config["use_karras_sigmas"] = True
        elif config["rescale_betas_zero_snr"]:
            config["beta_end"] = 0.02
            more |= {"times": ABOVE_THE_LAST} if respaced else {}
        elif respaced and rng.random() < 0.4:
            config["sigma_min"], config["sigma_max"] = float(rng.uniform(0.01, 0.5)), float(rng.uniform(5, 80))
        compare(tally, Case(config, run, stepping(), module, their_run=theirs, **widened(config), **more))
    # bh1 ends at lam = inf, and so do two and more values where the order does not fall; a last step of no length makes
    # a singular matrix.
    tally.verify(100, "not a number", "raises _LinAlgError")


def test_sasolver():
    module = scheduling_sasolver
    rng = np.random.default_rng(43)
    tally = Tally("SASolverScheduler")
    with drawn(module) as give:
        for _ in range(125):
            config = multistep(rng)
            config["predictor_order"], config["corrector_order"] = (int(rng.integers(1, 5)) for _ in range(2))
            noise = config["prediction_type"] != "flow_prediction" and rng.random() < 0.4
            config["algorithm_type"] = "noise_prediction" if noise else "data_prediction"
            if rng.random() < 0.2:
                config["lambda_min_clipped"] = float(rng.uniform(-5.5, -2))
            options: dict[str, Any] = {}
            if rng.random() < 0.5:
                tau, low, high = float(rng.uniform(0, 1.5)), float(rng.uniform(0, 300)), float(rng.uniform(500, 999))
                options = {"tau": tau, "tau_start": low, "tau_end": high}
                config["tau_func"] = lambda t, tau=tau, low=low, high=high: tau if low <= t <= high else 0.0
            run = {"n": draws.steps(rng, config["num_train_timesteps"])}
            double = lost(max(config["predictor_order"], config["corrector_order"]))
            compare(tally, Case(config, run, stepping(give), module, options, double=double, **widened(config)))
    # Thresholding of the noise's form looks a level up by a timestep that is none.
    tally.verify(100, "raises RuntimeError", "timesteps that do not fall")


@pytest.mark.parametrize("rate", [1.0, -1.0, 3.25])
@pytest.mark.parametrize("span", [1e-6, 4e-3, 0.3, 6.0, 20.0])
def test_the_integrals_in_fifty_digits(rate, span):
    """Of Lagrange's polynomials through 2 to 5 nodes, of the sizes that steps of 1 to 999 have."""
    before = [-gap for gap in np.cumsum(span * np.random.default_rng(7).uniform(0.3, 1.5, 3))]
    for nodes in ([0.0, *before], [span, 0.0, *before]):
        for count in range(2, len(nodes) + 1):
            some = [np.float64(node) for node in nodes[:count]]
            ours = integrals(np.float64(span), rate, some, np.asarray(count), "exact")
            wanted = [_integral(span, rate, some, j) for j in range(1, count)]
            np.testing.assert_allclose(np.concatenate(ours), wanted, rtol=1e-12)


def _integral(span: float, rate: float, nodes: list[np.float64], j: int) -> float:
    """By the moments m_k of the exponential, m_k = (h^k - k * m_(k-1)) / rate."""
    with mpmath.workdps(50):
        h, r, exact = mpmath.mpf(span), mpmath.mpf(rate), [mpmath.mpf(float(node)) for node in nodes]
        moments = [(1 - mpmath.exp(-r * h)) / r]
        for k in range(1, len(nodes)):
            moments.append((h**k - k * moments[-1]) / r)
        powers = [mpmath.mpf(1)]
        for m, node in enumerate(exact):
            if m != j:
                gap = exact[j] - node
                powers = [(low - node * high) / gap for low, high in zip([0, *powers], [*powers, 0], strict=True)]
        return float(sum(power * moment for power, moment in zip(powers, moments, strict=True)))


def test_a_learned_variance_is_not_used():
    """Of an output of twice the channels the first half counts; diffusers draws noise for all of them and fails."""
    rng, plain = np.random.default_rng(9), ms.SASolver().plan(6)
    learned = ms.from_diffusers({"_class_name": "SASolverScheduler", "variance_type": "learned_range"})
    learned = replace(learned, final_sigmas_type="zero").plan(6)
    ours = theirs = plain.start(rng.standard_normal((2, 3, 4)))
    for _ in range(6):
        output, z = rng.standard_normal((2, 6, 4)), rng.standard_normal((2, 3, 4))
        ours, theirs = learned.step(ours, output, z), plain.step(theirs, output[:, :3], z)
    np.testing.assert_array_equal(ours.sample, theirs.sample)


def test_members_of_the_family_are_others():
    """A corrected first order with Euler for its predictor is itself; SA-Solver without noise and rules is UniPC from
    three values on; a first order of DEIS is Euler; bh1 is finite where diffusers has no number."""
    unipc = ms.UniPCMultistep(solver_order=1)
    _same(replace(unipc, solver_p=ms.solvers.Euler()), unipc)
    noise = replace(unipc, predict_x0=False)
    _same(replace(noise, solver_p=ms.solvers.Euler()), noise)
    for data in (True, False):
        exact = ms.solvers.ExponentialAdams(data, 3, 4)
        published = replace(exact, rule="bh2")
        late = [
            tabulate(one, grid(vp(), 9), ms.Prediction("epsilon"), None)[1].weights[3:-2] for one in (exact, published)
        ]
        np.testing.assert_allclose(*late, rtol=1e-9, atol=1e-12)
    path, spacing, *_ = ms.DEISMultistep().parts()
    _same(ms.DEISMultistep(solver_order=1), ms.Scheduler(path, spacing, "epsilon", ms.solvers.Euler()))
    assert np.all(np.isfinite(ms.UniPCMultistep(solver_type="bh1").plan(5).tableau.weights))


def _same(one: ms.Recipe, other: ms.Recipe) -> None:
    one, other = (recipe.plan(9).tableau.fold().weights[:, 0] for recipe in (one, other))
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


NEAR_ALL = ["DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep", "DEISMultistep", "SASolver"]


def runs_near_all(name):
    """Runs that visit almost every timestep, in each spacing that a class has."""
    spaced = [{"timestep_spacing": one} for one in ("linspace", "leading", "trailing")]
    spaced = [{}] if name == "DPMSolverSinglestep" else [*spaced, {**spaced[1], "steps_offset": 1}]
    for total in (10, 50, 100, 1000):
        for n in range(total - 3, total + 1):
            yield from ({"num_train_timesteps": total, **more} | {"n": n} for more in spaced)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*NEAR_ALL, "DPMSolverMultistepInverse"])
def test_runs_of_almost_every_timestep(name):
    """Timesteps that come twice after rounding have one level: such a run is refused by the one that does."""
    found = [judged(name, dict(config)) for config in runs_near_all(name)]
    assert not [one for one in found if one not in ("equal", "refused", "no answer")]
    assert found.count("equal") >= (45 if name != "DPMSolverSinglestep" else 12)


def judged(name, config):
    """ "equal", "refused", "no answer" of diffusers, or what is wrong."""
    n = config.pop("n")
    try:
        plan = ms.from_diffusers({"_class_name": f"{name}Scheduler", **config}).plan(n)
    except ms.ScheduleError as error:
        said = str(error)
        named = (f"{n} steps" in said and "twice" in said) or f"given {n}." in said
        beyond = "must fall strictly within 0.." in said and config.get("steps_offset")
        whole = n == config["num_train_timesteps"]
        return "refused" if (named and whole) or beyond else f"{said} {n} {config}"
    try:
        with exact_roots():
            run = Run(f"{name}Scheduler", config, num_inference_steps=n)
        theirs = np.stack(list(rows(run, plan.stages)))
    except Exception:
        return "no answer"
    told = run.timesteps.double().numpy()
    if told[-1] < 0 or not np.all(np.isfinite(theirs)):  # another rounding of the stride may leave an end below 0
        return "no answer"
    ours = np.stack(list(our_rows_on_data(plan, 1)))
    apart = np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
    return "equal" if np.array_equal(told, plan.timesteps) and apart < 2e-3 else f"{apart:.1e} {n} {config}"
