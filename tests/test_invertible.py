"""Runs that can be taken back: BDIA and EDICT, against their papers' equations and against themselves."""

from dataclasses import replace

import numpy as np
import pytest
from zoo import composed

import multisched as ms
from multisched.solvers import BDIA, EDICT, Euler, Straightened

MIX = np.random.default_rng(5).standard_normal((6, 6)) / 3


def _model(backend, x, t):
    """Of no particular form, and bounded."""
    xp = backend.xp
    mixed = xp.sum(x[:, :, None] * backend.asarray(MIX, x.dtype, backend.device(x))[None, :, :], axis=1)
    return xp.tanh(mixed + 0.001 * t) + 0.3 * xp.cos(2 * x)


def _run(plan, state, backend):
    for t in plan.timesteps.tolist():
        state = plan.step(state, _model(backend, plan.model_input(state), t))
    return state


CASES = [
    ("vp", EDICT()),
    ("vp", EDICT(1.0)),
    ("edm", EDICT(0.8, alternate=False)),
    ("flow", EDICT(held="velocity")),
    ("flow", EDICT(0.9, False, "velocity")),
    ("flow", Straightened(BDIA(0.9))),
    ("vp", BDIA()),
    ("edm", BDIA(0.5)),
    ("flow", BDIA(0.9)),
]


@pytest.mark.parametrize("n", [2, 5, 10])
@pytest.mark.parametrize(("path", "solver"), CASES, ids=map(str, CASES))
def test_a_run_and_its_inverse(path, solver, n, make, backend, has_float64):
    """Whatever the model is, the inverse run leads back to the start, and from there a run to the same end."""
    recipe, own = composed(path, solver), solver.solver if isinstance(solver, Straightened) else solver
    plan, history = recipe.plan(n), int(isinstance(own, BDIA))
    inverse, forth = (recipe.plan_over(grid, history=history) for grid in (plan.grid.mirrored(), plan.grid))
    x = np.random.default_rng(n).standard_normal((3, 6))
    start = plan.start(make(x, "float64" if has_float64 else "float32"))
    end = _run(plan, start, backend)
    back = _run(inverse, inverse.resume(own.turned(end)), backend)
    again = _run(forth, forth.resume(own.turned(back)), backend)
    accuracy = (1e-9 if own == BDIA(0.5) else 1e-10) if has_float64 else 1e-2
    for found, wanted in ((back, start), (again, end)):
        wanted = backend.to_numpy(wanted.sample)
        np.testing.assert_allclose(backend.to_numpy(found.sample), wanted, atol=accuracy * np.abs(wanted).max(), rtol=0)
    if not history:
        assert np.abs(backend.to_numpy(back.memory[0])).max() < accuracy  # the two samples are one again
    assert len(inverse) == len(plan) - history
    assert sorted(inverse.timesteps) == sorted(plan.timesteps[history:])


@pytest.mark.parametrize("solver", [EDICT(), EDICT(alternate=False), BDIA()], ids=str)
def test_an_image_to_its_noise_and_back(solver, make, backend, has_float64):
    recipe = composed("vp", solver)
    plan = recipe.plan(8)
    inverse = recipe.plan_over(plan.grid.mirrored())
    image = make(np.random.default_rng(2).standard_normal((2, 6)), "float64" if has_float64 else "float32")
    noise = _run(inverse, inverse.start(image), backend)
    plan = recipe.plan_over(plan.grid, history=int(isinstance(solver, BDIA)))
    again = backend.to_numpy(_run(plan, plan.resume(solver.turned(noise)), backend).sample)
    np.testing.assert_allclose(again, backend.to_numpy(image), atol=1e-10 if has_float64 else 3e-2, rtol=0)


@pytest.mark.host
@pytest.mark.parametrize("alternate", [True, False])
def test_edict_is_the_paper(alternate):
    """Wallace et al. 2022, section 4, with a_t = alpha_next / alpha and b_t the weight of the noise. With an
    odd number of steps the first to move is x in the first step as well as in the last."""
    p, n, rng = 0.9, 7, np.random.default_rng(1)
    recipe = composed("vp", EDICT(p, alternate))
    plan, numpy = recipe.plan(n), ms.backends.get("numpy")
    x = y = rng.standard_normal((2, 6))
    for i in range(n):
        t, a = plan.timesteps[2 * i], plan.alphas[i + 1] / plan.alphas[i]
        b = plan.sigmas[i + 1] - a * plan.sigmas[i]
        if alternate and i % 2:
            y = a * y + b * _model(numpy, x, t)
            x = a * x + b * _model(numpy, y, t)
        else:
            x = a * x + b * _model(numpy, y, t)
            y = a * y + b * _model(numpy, x, t)
        if i < n - 1:
            x = p * x + (1 - p) * y
            y = p * y + (1 - p) * x
    end = _run(plan, plan.start(np.random.default_rng(1).standard_normal((2, 6))), numpy)
    np.testing.assert_allclose(end.sample, y, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(end.sample + end.memory[0], x, rtol=1e-10, atol=1e-10)


@pytest.mark.host
@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_bdia_is_the_paper(gamma):
    """Zhang et al. 2023: z_(i-1) = z_(i+1) - (1 - gamma) (z_(i+1) - z_i) - gamma D(t_i -> t_(i+1)) + D(t_i -> t_(i-1)),
    where D is what DDIM's step adds."""
    plan, numpy = composed("vp", BDIA(gamma)).plan(6), ms.backends.get("numpy")
    x = np.random.default_rng(1).standard_normal((2, 6))
    z = before = x

    def step(noise, start, end):
        grow = plan.alphas[end] / plan.alphas[start]
        return (grow - 1) * z + (plan.sigmas[end] - grow * plan.sigmas[start]) * noise

    for i in range(6):
        noise = _model(numpy, z, plan.timesteps[i])
        after = z + step(noise, i, i + 1)
        if i:
            back = -(1 - gamma) * (before - z) - gamma * step(noise, i, i - 1)
            after = before + back + step(noise, i, i + 1)
        before, z = z, after
    np.testing.assert_allclose(_run(plan, plan.start(x), numpy).sample, z, rtol=1e-9, atol=1e-9)


@pytest.mark.host
@pytest.mark.parametrize("path", ["vp", "edm", "flow"])
def test_the_limits_are_ddim(path):
    """Without its correction BDIA is Euler's method, without mixing half a step of EDICT has DDIM's weights, and
    the first inverse step of BDIA is DDIM inversion's."""
    euler = composed(path, Euler()).plan(6).tableau.fold()
    found = composed(path, BDIA(0.0)).plan(6).tableau.fold()
    np.testing.assert_allclose(found.weights[:, 0, [0, 2]], euler.weights[:, 0], atol=1e-12)
    assert np.all(found.weights[:, 0, 1] == 0)
    held = "velocity" if path == "flow" else "noise"
    coupled = composed(path, EDICT(1.0, held=held)).plan(6)
    first = coupled.tableau.fold().weights[0::2, 0]
    np.testing.assert_allclose(first[:, [0, 2]], euler.weights[:, 0], atol=1e-9)
    if path == "vp":
        recipe = composed(path, BDIA())
        down = recipe.plan(6)
        turned = recipe.plan_over(down.grid.mirrored())
        ddim = ms.Scheduler(*replace(recipe, solver=Euler()).parts()[:4])
        wanted = ddim.plan(6, spacing=ddim.spacing | ms.spacings.Reversed())
        assert turned.timesteps[0] == wanted.timesteps[0] == down.timesteps[-1]
        np.testing.assert_allclose(
            turned.tableau.fold().weights[0, 0, [0, 2]], wanted.tableau.fold().weights[0, 0], atol=1e-12
        )


@pytest.mark.host
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: BDIA(1.5), r"gamma must be in \[0, 1\]; given 1.5"),
        (lambda: EDICT(0.0), r"p must be in \(0, 1\]; given 0.0"),
        (lambda: composed("flow", EDICT()).plan(4), "give held = 'velocity'"),
        (lambda: _inverse(BDIA(0.0)), "with gamma = 0 a run has no inverse"),
        (lambda: _zigzag(), "a run that can be taken back goes one way"),
        (lambda: _aiming_elsewhere(), "steps that do not join"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_cannot_be_taken_back_is_refused(make, said):
    with pytest.raises(ms.ScheduleError, match=said):
        make()


def _inverse(solver):
    recipe = composed("vp", solver)
    return recipe.plan_over(recipe.plan(4).grid.mirrored())


def _zigzag():
    recipe = composed("vp", BDIA())
    return recipe.plan_over(ms.Grid([500, 300, 400], [0.5, 0.7, 0.6], [0.8, 0.7, 0.75]))


def _aiming_elsewhere():
    grid = ms.DDIM().plan(4).grid
    return replace(grid, next_sigmas=grid.next_sigmas + 0.1, next_alphas=grid.next_alphas).mirrored()


@pytest.mark.host
def test_a_grid_the_other_way_round():
    grid = ms.Euler().plan(5).grid
    turned = grid.mirrored()
    np.testing.assert_array_equal(turned.sigmas, grid.sigmas[::-1])
    np.testing.assert_array_equal(turned.scales, grid.scales[::-1])
    assert (turned.first, turned.total, turned.prior) == (0, 5, None)
    part = grid.part(1, 3).mirrored()
    assert (part.first, part.total) == (2, 5) and part.mirrored().timesteps.tolist() == grid.timesteps[1:4].tolist()
