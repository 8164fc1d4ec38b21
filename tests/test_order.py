"""Order of convergence of every deterministic solver, measured on a mixture of Gaussians; the exact flow of a single
one."""

import contextlib
import itertools
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from made import flow, ve, vp
from zoo import SOLVERS, solver_name

import multisched as ms
from multisched import solvers
from multisched.analysis import Gaussian, Mixture
from multisched.analysis.exact import model_of
from multisched.interop.diffusers.solvers import FaintRF, HalfCurved
from multisched.interop.summed import SummedDEIS

# Three bumps, two of them close and narrow: the flow bends.
MIXTURE = Mixture(means=[[-1.2], [0.3], [1.0]], stds=[0.5, 0.35, 0.4], weights=[0.4, 0.25, 0.35])
X = np.linspace(-1.8, 1.9, 5)[:, None]
TOP, BOTTOM = 1.0, 0.4  # sigma / alpha, where runs begin and end
NOISE_FLOOR = 1e-11

# Options that an order may depend on, with all of their values; each is varied by itself, and some together.
OPTIONS = {
    "solver_order": (1, 2, 3),
    "algorithm_type": ("dpmsolver", "dpmsolver++"),
    "solver_type": ("midpoint", "heun"),
    "lower_order_final": (False, True),
    "most": (1, 2, 3, 4),
    "weights": ("exact", "even"),
    "start": ("euler", "heun", "runge_kutta"),
    "predictor": (1, 2, 3, 4),
    "corrector": (0, 1, 2, 3, 4),
    "data": (True, False),
    "rule": ("exact", "bh1", "bh2"),
    "eta": (0.0,),
    "variable": ("lam", "angle"),
    "even": (False, True),
    "damping": (0.0, 4.0),
    "phi": ("er_sde", "ode"),
    "terms": (0, 4),
    "held": ("noise", "x0", "velocity"),
    "calls": (1, 2),
    "solver": (solvers.RungeKutta(), solvers.RESMultistep(), solvers.Adams(most=2)),
    "gamma": (0.0, 0.5, 0.9, 1.0),
    "p": (0.8, 1.0),
    "alternate": (True, False),
    "method": ("res_2s", "res_3s", "seeds_2", "seeds_3", "heun", "heun_phi_1"),
}
TOGETHER = (
    {"predictor": (1, 2, 3), "corrector": (0, 1, 2, 3)},
    {"solver_order": (3,), "algorithm_type": ("dpmsolver", "dpmsolver++"), "lower_order_final": (False, True)},
    {"even": (False,), "damping": (0.0,), "variable": ("lam", "angle"), "predictor": (2, 3), "corrector": (0, 3, 4)},
    {"start": ("heun", "runge_kutta"), "most": (1, 2, 3)},
    {"most": (1, 2, 3), "eta": (0.0,), "halved": (True, False), "solver_type": ("midpoint", "heun")},
    {"most": (1, 2, 3), "phi": ("ode",), "rule": ("published", "interpolated")},
    {"most": (2, 3), "phi": ("ode",), "terms": (1,)},
    {"predictor": (1, 2, 3), "corrector": (1, 2, 3, 4), "calls": (1, 2), "tau": (0.0,)},
)


def _variants(solver):
    names = {one.name for one in fields(solver)}
    changes = [{name: value} for name in sorted(names & set(OPTIONS)) for value in OPTIONS[name]]
    for options in TOGETHER:
        if set(options) <= names:
            changes += [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
    for change in changes:
        with contextlib.suppress(ms.ScheduleError):
            yield replace(solver, **change)


# Multistep methods with first steps of others.
RES_2, RES_3, RUNGE_KUTTA = solvers.ExponentialRK("res_2s"), solvers.ExponentialRK("res_3s"), solvers.RungeKutta()
STARTED = [
    *(
        solvers.Started(solvers.DPMMultistep(3), one)
        for one in (solvers.Euler(), solvers.Heun(), solvers.Midpoint(), RES_2, RES_3, RUNGE_KUTTA)
    ),
    *(solvers.Started(solvers.DPMMultistep(most, "dpmsolver"), RES_2) for most in (1, 2, 3)),
    solvers.Started(solvers.DPMMultistep(3, euler_at_final=True)),
    *(solvers.Started(solvers.DPMMultistepSDE(3, 0.0, halved=halved), RES_2) for halved in (True, False)),
    *(solvers.Started(solvers.ERSDE(3, "ode", rule=rule), RES_2) for rule in ("published", "interpolated")),
    *(solvers.Started(solvers.Adams(most=most), RES_3, steps) for most in (2, 3, 4) for steps in (1, 2)),
    solvers.Started(solvers.Adams("even"), RES_3, 2),
    solvers.Started(solvers.RESMultistep(), RES_2),
    solvers.Started(solvers.ExponentialAdams(False, 3), RES_2),
    solvers.Started(solvers.ExponentialAdams(False, 3, falling=15.0), RES_2),
    *(solvers.Started(solvers.DEIS(most), RES_3, 2) for most in (3, 4)),
    solvers.Started(SummedDEIS(3, terms=2), RES_3, 2),
    SummedDEIS(terms=2),
    solvers.Started(solvers.ExponentialAdams(True, 4, falling=15.0), RES_3, 2),
    *(solvers.Started(solvers.ExponentialAdams(True, 3, 4, rule, 15.0), RES_3) for rule in ("exact", "bh1", "bh2")),
    *(solvers.Started(solvers.ExponentialAdams(data, 4, 5, "bh2", 15.0), RUNGE_KUTTA, 2) for data in (True, False)),
    solvers.Started(solvers.StochasticAdams(4, 5, 1, 0.0), RUNGE_KUTTA, 2),
    *(solvers.Started(solvers.AngleAdams(3, 4, even=False, damping=damping), RES_3) for damping in (0.0, 1.0)),
    solvers.Started(solvers.AngleAdams(3, 0, even=False), RES_2),
    solvers.Started(solvers.Straightened(solvers.Adams()), solvers.Straightened(RUNGE_KUTTA), 2),
    solvers.Straightened(solvers.Started(solvers.Adams(), RUNGE_KUTTA, 2)),
    solvers.Started(HalfCurved(3), RES_2),
]
# Started solvers have their solvers in common with others, and not each goes with each.
FIRST = {type(solver): solver for solver in reversed(SOLVERS) if not isinstance(solver, solvers.Started)}.values()
EVERY = dict.fromkeys([*SOLVERS, *itertools.chain.from_iterable(map(_variants, FIRST)), *STARTED])
DETERMINISTIC = [one for one in EVERY if one.draws == 0 and one.order and one.outputs == 1 and not one.inputs]
each_solver = pytest.mark.parametrize("solver", DETERMINISTIC, ids=map(solver_name, DETERMINISTIC))

PATHS = {
    # So many training timesteps that what lies between two of them does not matter.
    "vp": (vp(num_train_timesteps=20_000, beta_start=5e-6, beta_end=1e-3), "v_prediction"),
    "edm": (ve(), "edm"),
    "flow": (flow(), "flow_prediction"),
}


@cache
def _end():
    """y = x / alpha at BOTTOM, from y = X at TOP, along dy / dlog(k) = y - x0(y, k): Runge and Kutta's fourth-order
    method in 4,000 steps, written out here on its own, exact to about 1e-13."""
    numpy = ms.backends.get("numpy")

    def slope(y, u):
        return y - MIXTURE.denoised(numpy, y, 1.0, np.exp(u))

    y, steps = X * TOP, 4000
    h = (np.log(BOTTOM) - np.log(TOP)) / steps
    for k in range(steps):
        u = np.log(TOP) + k * h
        k1 = slope(y, u)
        k2 = slope(y + h / 2 * k1, u + h / 2)
        k3 = slope(y + h / 2 * k2, u + h / 2)
        k4 = slope(y + h * k3, u + h)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def _grid(path, n):
    """n steps from TOP to BOTTOM: even in log(sigma / alpha) and a little in its square; on a flow even in sigma."""
    if path == "flow":
        sigma = np.linspace(TOP / (1 + TOP), BOTTOM / (1 + BOTTOM), n + 1)
        ratio = sigma / (1 - sigma)
    else:
        even = np.linspace(0, 1, n + 1)
        ratio = TOP * (BOTTOM / TOP) ** (even + 0.2 * even * (1 - even))
    timestep, alpha, sigma, scale = PATHS[path][0][0].point(ratio)
    return ms.Grid(timestep, alpha, sigma, scales=scale)


def _run(solver, path, n, make, backend, dtype):
    """y at the end of n steps, the model asked at the level of each row."""
    schedule, prediction = PATHS[path]
    recipe = ms.Scheduler(*schedule, prediction, solver)
    plan = recipe.plan_over(_grid(path, n))
    state = plan.start(make(X * TOP * plan.alphas[0], dtype))
    for scale, alpha, sigma in zip(plan.rows.scale[:, 0], *(level[:, 0] for level in plan.rows.here), strict=True):
        x0 = MIXTURE.denoised(backend, state.sample, float(alpha), float(sigma))
        a, b = recipe.prediction.weights(float(scale * alpha), float(scale * sigma))
        output = a * x0 + b * ((state.sample - float(alpha) * x0) / float(sigma))
        state = plan.step(state, output)
    return backend.to_numpy(state.sample) / plan.alphas[-1]


@pytest.mark.parametrize("path", PATHS)
@each_solver
def test_order_of_convergence(solver, path, make, backend, has_float64):
    """The slope between the finest grids whose error is above the rounding is the order that the solver states, within
    0.15. Elsewhere than on NumPy and torch, the run in float32 is that of NumPy."""
    if backend.name not in ("numpy", "torch") or not has_float64:
        numpy = ms.backends.get("numpy")
        wanted = _run(solver, path, 8, numpy.asarray, numpy, "float64")
        np.testing.assert_allclose(_run(solver, path, 8, make, backend, "float32"), wanted, atol=2e-4, rtol=0)
        return
    # Multiples of 2 and 3, so that the groups of singlestep solvers are full.
    steps = (24, 48, 96, 192)[: 4 if backend.name == "numpy" else 3]
    errors = [np.abs(_run(solver, path, n, make, backend, "float64") - _end()).max() for n in steps]
    slopes = -np.diff(np.log(errors)) / np.diff(np.log(steps))
    measured = slopes[np.array(errors[1:]) > NOISE_FLOOR][-1]
    assert abs(measured - solver.order) < (0.15 if backend.name == "numpy" else 0.3), (errors, slopes)


@pytest.mark.host
@pytest.mark.parametrize("rescaled", [True, False])
def test_noise_that_is_not_put_back_leaves_no_order(rescaled):
    """Ancestral steps without their noise are deterministic, and lead elsewhere however many there are."""
    solver, numpy = (solvers.AncestralRF if rescaled else FaintRF)(0.5, s_noise=0.0), ms.backends.get("numpy")
    errors = [np.abs(_run(solver, "flow", n, numpy.asarray, numpy, "float64") - _end()).max() for n in (48, 192)]
    assert (solver.draws, solver.order) == (0, 0) and min(errors) > 0.05


def test_ddim_has_order_one_on_a_variance_preserving_grid(make, backend, has_float64):
    """On custom timesteps, against the closed-form flow of a Gaussian."""
    gaussian = Gaussian(0.3, 0.5)
    recipe = ms.DDIM(clip_sample=False)
    dtype = "float64" if has_float64 else "float32"
    schedule = recipe.parts().path
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


@pytest.mark.host
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
