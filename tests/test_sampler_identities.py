"""What the docstrings of solvers say of each other, and DPM2 with churn by hand."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from made import flow, ve, vp

import multisched as ms
from multisched.solvers import (
    Adams,
    CFGPlusPlus,
    DPMFast,
    DPMMultistep,
    DPMMultistepSDE,
    DPMSinglestep,
    Euler,
    ExponentialAdams,
    ExponentialRK,
    GradientEstimation,
    Heun,
    Midpoint,
    RESMultistep,
    Straightened,
)

PATHS = {
    "vp": (vp("trailing"), "v_prediction"),
    "edm": (ve(), "edm"),
    "flow": (flow(3.0, 0.99), "flow_prediction"),
}
TWO_M_SDE = DPMMultistep(2, "sde-dpmsolver++", "heun", lower_order_final=False)
SAME = {
    "Midpoint by velocity": (Midpoint("velocity"), Straightened(Midpoint())),
    "DPM++ 2M SDE": (DPMMultistepSDE(2), TWO_M_SDE),
    "DPM++ 2M SDE, midpoint": (
        DPMMultistepSDE(2, solver_type="midpoint"),
        replace(TWO_M_SDE, solver_type="midpoint"),
    ),
    "DPM++ 2M SDE without noise": (
        DPMMultistepSDE(2, 0.0, solver_type="midpoint"),
        DPMMultistep(lower_order_final=False),
    ),
    "RES multistep": (RESMultistep(), ExponentialAdams(True, 2)),
    "gamma of 1": (GradientEstimation(1.0), Euler()),
    "gamma of 3/2": (GradientEstimation(1.5), Adams("even", most=2, denoised_end=True)),
    "SEEDS-2 without noise": (ExponentialRK("seeds_2"), Midpoint("x0")),
    "groups of two": (DPMFast(2), DPMSinglestep(2, "dpmsolver", lower_order_final=True)),
}


def _end(solver, path, n):
    """The sample at the end of a run with a model that is not linear, and drawn noise."""
    parts, prediction = PATHS[path]
    recipe = ms.Scheduler(*parts, prediction, solver)
    plan, rng = recipe.plan(n), np.random.default_rng(2)
    state = plan.start(rng.standard_normal(6))
    for row in range(len(plan)):
        scale, alpha, sigma = (float(one[row, 0]) for one in (plan.rows.scale, *plan.rows.here))
        x0 = 0.3 + 0.4 * np.tanh(state.sample / (alpha + sigma))
        output = recipe.prediction.target(x0, (state.sample - alpha * x0) / sigma, scale * alpha, scale * sigma)
        z = rng.standard_normal((plan.noise_draws, 6)) if plan.needs_noise(row) else None
        state = plan.step(state, output, None if z is None else tuple(z))
    return state.sample


@pytest.mark.host
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_solvers_that_are_the_same(pair, path):
    one, other = (_end(solver, path, 9) for solver in pair)
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.host
@pytest.mark.parametrize("method", ["heun", "heun_phi_1"])
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("path", PATHS)
def test_exponential_heun_by_hand(path, eta, method):
    """A step of DPM-Solver++ with noise to where the step ends, another x0 there, and the weights of phi_1 and phi_2,
    by numerical integrals."""
    parts, prediction = PATHS[path]
    recipe = ms.Scheduler(*parts, prediction, ExponentialRK(method, eta))
    plan, rng = recipe.plan(7), np.random.default_rng(2)
    x = first = plan.start(rng.standard_normal(6)).sample
    draws = rng.standard_normal((len(plan), 6))
    nodes, weights = np.polynomial.legendre.leggauss(40)

    def estimate(x, alpha, sigma):
        return 0.3 + 0.4 * np.tanh(x / (alpha + sigma))

    row = 0
    for (a, s), (b, t) in itertools.pairwise(zip(plan.alphas, plan.sigmas, strict=True)):
        x0 = estimate(x, a, s)
        if t == 0:
            x, row = b * x0 + t * (x - a * x0) / s, row + 1
            continue
        h = math.log(b / t) - math.log(a / s)
        noise = t * math.sqrt(1 - math.exp(-2 * eta * h)) * draws[row]
        u = (nodes + 1) / 2  # place in the step
        density = weights / 2 * (1 + eta) * h * np.exp(-(1 + eta) * h * (1 - u))
        kept = t / s * math.exp(-eta * h) * x
        again = estimate(kept + b * np.sum(density) * x0 + noise, b, t)
        late = np.sum(density * u) if method == "heun" else np.sum(density) / 2
        x, row = kept + b * ((np.sum(density) - late) * x0 + late * again) + noise, row + 2
    state = plan.start(first)._replace(sample=first)
    for number in range(len(plan)):
        scale, alpha, sigma = (float(one[number, 0]) for one in (plan.rows.scale, *plan.rows.here))
        x0 = estimate(state.sample, alpha, sigma)
        output = recipe.prediction.target(x0, (state.sample - alpha * x0) / sigma, scale * alpha, scale * sigma)
        state = plan.step(state, output, (draws[number],) if plan.needs_noise(number) else None)
    assert row == len(plan) and sum(map(plan.needs_noise, range(row))) == (eta > 0) * (len(plan.sigmas) - 2)
    np.testing.assert_allclose(state.sample, x, rtol=1e-9, atol=1e-9)


@pytest.mark.host
def test_on_a_flow_heun_is_the_same_straightened():
    np.testing.assert_allclose(_end(Straightened(Heun()), "flow", 9), _end(Heun(), "flow", 9), rtol=1e-12)


@pytest.mark.host
@pytest.mark.parametrize("solver", [TWO_M_SDE, Midpoint(eta=0.5), "euler"])
def test_only_deterministic_solvers_are_straightened(solver):
    with pytest.raises(ms.ScheduleError, match=r"^solver must be a deterministic solver of one output; given .*\.$"):
        Straightened(solver)


@pytest.mark.host
@pytest.mark.parametrize("s_churn", [0.0, 0.7, 3.0, 50.0])
def test_dpm2_with_churn_by_hand(s_churn):
    """k-diffusion's loop, on x = x0 + sigma * noise."""
    s_tmin, s_tmax, s_noise, n = 0.05, 20.0, 1.05, 9
    solver = ms.solvers.ChurnedMidpoint(s_churn, s_tmin, s_tmax, s_noise)
    recipe = ms.Scheduler(*ve(), "edm", solver)
    levels, plan = recipe.parts().grid(n).sigmas, recipe.plan(n)
    gamma = min(s_churn / n, math.sqrt(2) - 1)
    draws = np.random.default_rng(1).standard_normal((n + 1, 4))

    def denoise(x, sigma):
        return 0.3 + 0.2 * np.tanh(x / (1 + sigma))

    def slope(x, sigma):
        return (x - denoise(x, sigma)) / sigma

    x = start = draws[0] * plan.sigmas[0]
    for i, (sigma, after) in enumerate(itertools.pairwise(levels)):
        hat = sigma * (1 + gamma) if s_tmin <= sigma <= s_tmax else sigma
        if i:
            x = x + s_noise * math.sqrt(hat**2 - sigma**2) * draws[i]
        d = slope(x, hat)
        if after > 0:
            middle = math.sqrt(hat * after)
            d = slope(x + (middle - hat) * d, middle)
        x = x + (after - hat) * d

    state = plan.start(start)._replace(sample=start)
    for row in range(len(plan)):
        scale, alpha, sigma = (float(one[row, 0]) for one in (plan.rows.scale, *plan.rows.here))
        x0 = denoise(state.sample, sigma)
        output = recipe.prediction.target(x0, (state.sample - x0) / sigma, scale * alpha, scale * sigma)
        z = (draws[int(plan.rows.step[row, 0]) + 1],) if plan.needs_noise(row) else None
        state = plan.step(state, output, z)
    np.testing.assert_allclose(state.sample, x, rtol=1e-9, atol=1e-9)


@pytest.mark.host
@pytest.mark.parametrize("calls", range(1, 12))
def test_the_points_of_dpm_fast_fill_its_groups(calls):
    ratios = DPMFast.ratios(calls, 10.0, 0.1)
    assert len(ratios) == calls + 1 and np.all(np.diff(ratios) < 0)
    np.testing.assert_allclose(ratios[[0, -1]], [10.0, 0.1], rtol=1e-12)
    rows = DPMFast().rows(ms.Grid(ratios, np.ones_like(ratios), ratios), None)
    begins = np.unique(rows.sigma_start)[::-1]
    np.testing.assert_allclose(np.diff(np.log(np.append(begins, 0.1)), 2), 0, atol=1e-12)  # groups even in lam


GUIDED = {
    "euler": ms.solvers.Euler(),
    "ancestral": ms.solvers.DDIM(1.0),
    "2m": ms.solvers.DPMMultistep(lower_order_final=False),
    "heun": ms.solvers.Heun(),
    "2s": Midpoint("x0", 1.0),
    "gradient": ms.solvers.GradientEstimation(),
}


@pytest.mark.parametrize("keeps", ["noise", "velocity"])
@pytest.mark.parametrize("guided", ["x0", "start", "end"])
@pytest.mark.parametrize("solver", GUIDED.values(), ids=GUIDED)
@pytest.mark.parametrize("path", ["vp", "flow"])
def test_cfg_plus_plus_without_guidance_is_the_solver(path, solver, guided, keeps, make, backend):
    """Both outputs are the same; a model returns them one behind the other along the second axis."""
    like = {"vp": ms.DDIM(clip_sample=False), "flow": ms.FlowMatchEuler(shift=3.0)}[path].parts()
    wanted, found = (
        ms.Scheduler(like.path, like.spacing, like.prediction, one).plan(6)
        for one in (solver, ms.solvers.CFGPlusPlus(solver, guided, keeps))
    )
    z = make(np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32))

    def model(x, t):
        return 0.3 * x

    def both(x, t):
        return backend.xp.concat([0.3 * x, 0.3 * x], axis=1)

    ours, theirs = (backend.to_numpy(ms.sample(*one, z)) for one in ((both, found), (model, wanted)))
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)


@pytest.mark.host
def test_cfg_plus_plus_takes_the_guided_x0_and_the_unguided_noise():
    path, spacing = ms.paths.Straight(), ms.spacings.Even(0.8, 0.2)
    plan = ms.Scheduler(path, spacing, "flow_prediction", ms.solvers.CFGPlusPlus()).plan(3)
    x, guided, unguided = 0.7, -0.4, 0.9
    found = plan.tableau.fold().weights[0, 0] @ [x, guided, unguided]
    sigma, after = plan.sigmas[:2]
    assert abs(found - ((1 - after) * (x - sigma * guided) + after * (x + (1 - sigma) * unguided))) < 1e-12
    with pytest.raises(ms.ScheduleError, match="must be a solver of one output"):
        ms.solvers.CFGPlusPlus(ms.solvers.CFGPlusPlus())


def _both(path, solver, n):
    """(the samples of a run with a model of two outputs, the draws, its levels)."""
    parts, prediction = PATHS[path]
    recipe = ms.Scheduler(*parts, prediction, solver)
    plan, rng = recipe.plan(n), np.random.default_rng(4)
    state, draws = plan.start(rng.standard_normal((1, 6))), rng.standard_normal((len(plan), 1, 6))
    samples = [state.sample]
    for row in range(len(plan)):
        scale, alpha, sigma = (float(one[row, 0]) for one in (plan.rows.scale, *plan.rows.here))
        outputs = [
            recipe.prediction.target(x0, (state.sample - alpha * x0) / sigma, scale * alpha, scale * sigma)
            for x0 in _guided_and_not(state.sample, alpha, sigma)
        ]
        z = (draws[row],) if plan.needs_noise(row) else None
        state = plan.step(state, np.concatenate(outputs, axis=1), z)
        samples.append(state.sample)
    return samples, draws, plan


def _guided_and_not(x, alpha, sigma):
    return 0.3 + 0.4 * np.tanh(x / (alpha + sigma)), 0.1 - 0.5 * np.tanh(x / (alpha + sigma))


@pytest.mark.host
@pytest.mark.parametrize("aim", ["ratio", "share"])
@pytest.mark.parametrize("path", PATHS)
def test_cfg_plus_plus_at_the_end_by_hand(path, aim):
    """ComfyUI's DPM++ 2S ancestral CFG++: the unguided model's step, and the first call's guidance where it ends."""
    (first, *samples), draws, plan = _both(path, CFGPlusPlus(Midpoint("x0", 1.0, aim=aim), "end"), 7)
    x, row = first, 0
    levels = zip(plan.alphas, plan.sigmas, strict=True)
    for (a, s), (a_next, s_next) in itertools.pairwise(levels):
        guided, unguided = _guided_and_not(x, a, s)
        if s_next == 0:
            x, row = guided, row + 1
        else:
            k, k_next = s / a, s_next / a_next
            if aim == "ratio":
                k_down = k_next**2 / k
            else:
                share = (s_next / (a_next + s_next)) ** 2 / (s / (a + s))
                k_down = share / (1 - share)
            a_mid, s_mid = (float(one[row + 1, 0]) for one in plan.rows.here)
            assert abs(s_mid / a_mid - math.sqrt(k * k_down)) < 1e-9 * k
            way = math.sqrt(k_down / k)
            middle = a_mid * (way * x / a + (1 - way) * unguided)
            _, again = _guided_and_not(middle, a_mid, s_mid)
            x = a_next * (k_down / k * x / a + (1 - k_down / k) * again)
            x = x + a_next * math.sqrt(k_next**2 - k_down**2) * draws[row + 1] + a_next * (guided - unguided)
            row += 2
        np.testing.assert_allclose(samples[row - 1], x, rtol=1e-9, atol=1e-9)
    assert row == len(plan)


@pytest.mark.host
@pytest.mark.parametrize("path", PATHS)
def test_ways_to_guide_an_euler_step(path):
    """ "end" is "x0"; "start" guides less from the second step on; what keeps the velocity is Euler's on the share."""
    (wanted, _, plan), (end, *_), (start, *_), (velocity, *_), (straight, *_) = (
        _both(path, solver, 5)
        for solver in (
            CFGPlusPlus(),
            CFGPlusPlus(guided="end"),
            CFGPlusPlus(guided="start"),
            CFGPlusPlus(keeps="velocity"),
            CFGPlusPlus(Straightened(Heun()), keeps="velocity"),
        )
    )
    for one, other in zip(wanted, end, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(start[1], wanted[1], rtol=1e-9, atol=1e-9)
    alpha, sigma = (one[1:3] for one in (plan.alphas, plan.sigmas))
    guided, unguided = _guided_and_not(start[1], alpha[0], sigma[0])
    noise = (start[1] - alpha[0] * unguided) / sigma[0]
    weight = alpha[0] * sigma[1] / sigma[0]
    np.testing.assert_allclose(
        start[2], alpha[1] * unguided + sigma[1] * noise + weight * (guided - unguided), rtol=1e-9, atol=1e-9
    )
    size = plan.alphas + plan.sigmas
    guided, unguided = _guided_and_not(velocity[0], plan.alphas[0], plan.sigmas[0])
    y, share = velocity[0] / size[0], plan.sigmas / size
    np.testing.assert_allclose(
        velocity[1] / size[1], guided + share[1] / share[0] * (y - unguided), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(straight[1], velocity[1], rtol=1e-9, atol=1e-9)
