"""Editing: what is known stays, runs are taken back, and two models share one run."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_invertible import CASES, _model
from test_readme import run_page
from zoo import composed

import multisched as ms
from multisched import editing
from multisched.analysis import Gaussian, Mixture, model_of
from multisched.solvers import BDIA, EDICT, Straightened

# What torch says of itself while it compiles.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:overflow encountered in cast")

DDIM = ms.DDIM(clip_sample=False, timestep_spacing="trailing")
FLOW = ms.FlowMatchEuler(shift=3.0)
PLANS = {
    "flow": FLOW.plan(6),
    "heun": ms.FlowMatchHeun().plan(5),
    "ddim": DDIM.plan(6),
    "ddim-eta": replace(DDIM, eta=1.0).plan(6),
    "dpm": ms.DPMSolverMultistep(use_karras_sigmas=True).plan(6),
    "euler": ms.Euler().plan(6),
    "ancestral": ms.EulerAncestral().plan(6),
    "edm": ms.EDMEuler().plan(6),
    "tcd": ms.TCD().plan(4),
}


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def _net(backend):
    return lambda x, t: backend.xp.tanh(x * 0.7 - 0.2) + 0.0002 * t


def _close(backend, found, wanted, atol=2e-5):
    wanted = backend.to_numpy(wanted) if not isinstance(wanted, np.ndarray) else wanted
    np.testing.assert_allclose(backend.to_numpy(found), wanted, atol=atol * max(1.0, np.abs(wanted).max()), rtol=0)


def _jitted(backend, function, *arrays):
    """What a function gives inside the library's compiler, where it has one that takes any function."""
    return backend.compile(function)(*arrays) if backend.name in ("jax", "mlx") else function(*arrays)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("fresh", [False, True])
def test_inpainting_keeps_what_is_known(name, fresh, make, backend):
    plan, image = PLANS[name], _random(2, 3, 4, seed=1)
    known = (np.arange(4) < 2) * 1.0
    noise, image = make(_random(2, 3, 4)), make(image)
    found = editing.inpaint(_net(backend), plan, noise, image, make(known), fresh=fresh)
    found, image = backend.to_numpy(found), backend.to_numpy(image)
    np.testing.assert_array_equal(found[..., :2], image[..., :2])
    assert np.all(np.isfinite(found)) and np.abs(found - image)[..., 2:].max() > 0.01
    free = ms.sample(_net(backend), plan, noise)
    nothing = editing.inpaint(_net(backend), plan, noise, make(image), make(0 * known))
    np.testing.assert_array_equal(backend.to_numpy(nothing), backend.to_numpy(free))


@pytest.mark.parametrize("name", ["flow", "ddim", "dpm", "edm"])
def test_inpainting_blends_at_the_level_that_a_step_leads_to(name, make, backend):
    """The loop of diffusers' pipelines: add_noise at the next timestep, the image itself after the last step."""
    plan, known = PLANS[name], np.linspace(0, 1, 4).astype(np.float32)
    noise, image = make(_random(2, 4)), make(_random(2, 4, seed=1))
    state, mask = plan.start(noise), make(known)
    for row in range(len(plan)):
        state = plan.step(state, _net(backend)(plan.model_input(state), float(plan.timesteps[row])))
        last = row + 1 == len(plan)
        there = image if last else float(plan.alphas[row + 1]) * image + float(plan.sigmas[row + 1]) * noise
        state = state._replace(sample=mask * there + (1 - mask) * state.sample)
    for loop in ("python", *(("compile",) if backend.name in ("torch", "jax", "mlx") else ())):
        _close(backend, editing.inpaint(_net(backend), plan, noise, image, mask, loop=loop), state.sample)
    inside = _jitted(backend, lambda n, i, m: editing.inpaint(_net(backend), plan, n, i, m), noise, image, mask)
    _close(backend, inside, state.sample)


def test_inpainting_part_of_the_way_begins_with_the_image(make, backend):
    plan = FLOW.plan(10, strength=0.4)
    noise, image = make(_random(2, 4)), make(_random(2, 4, seed=1))
    none = make(np.zeros((2, 4)))
    found = editing.inpaint(_net(backend), plan, noise, image, none)
    _close(backend, found, ms.sample(_net(backend), plan, noise, x0=image), 0)
    other = make(_random(2, 4, seed=2))
    found = editing.inpaint(_net(backend), plan, noise, image, none, x0=other)
    _close(backend, found, ms.sample(_net(backend), plan, noise, x0=other), 0)


def test_a_run_cut_short_ends_noised(make, backend):
    plan, one = FLOW.plan(6, stop=3), make(np.ones((2, 4)))
    noise, image = make(_random(2, 4)), make(_random(2, 4, seed=1))
    _close(backend, editing.inpaint(_net(backend), plan, noise, image, one), plan.add_noise(image, noise, 3), 0)


@pytest.mark.host
def test_the_noise_of_an_edit_is_not_that_of_the_steps():
    plan, source = replace(DDIM, eta=1.0).plan(6, stop=3), ms.noise.HostNoise(5)
    found = editing.inpaint(lambda x, t: x, plan, _random(2, 4), np.zeros((2, 4)), np.ones(4), 5, fresh=True)
    drawn = [source.normal(range(2), 2, draw, (4,)) * plan.sigmas[3] for draw in (0, 1)]
    np.testing.assert_allclose(found, drawn[1], rtol=1e-6)
    assert np.abs(found - drawn[0]).max() > 0.1


def test_half_precision_is_given_back(backend, make):
    try:
        noise = make(_random(2, 4), "float16")
    except ms.ScheduleError:
        pytest.skip(f"{backend.name} has no half precision")
    seen = []

    def model(x, t):
        seen.append(x.dtype)
        return 0.5 * x

    known = make(np.array([1.0, 0, 0, 0]))
    for found in (
        editing.inpaint(model, PLANS["flow"], noise, noise, known),
        editing.invert(model, PLANS["flow"], noise),
        editing.flow_edit(model, model, PLANS["flow"], noise),
        editing.handover(model, model, PLANS["flow"], noise, 500.0),
    ):
        assert found.dtype == noise.dtype
    assert set(map(str, seen)) == {str(noise.dtype)}


@pytest.mark.host
def test_the_law_of_repaint():
    """Four pixels that are alike: the one that is known tells the others. By blending alone they follow it in 6 cases
    of 10, with jumps nearly always."""
    recipe, sign = replace(DDIM, eta=1.0), np.where(np.arange(256)[:, None] % 2 == 0, 1.0, -1.0)
    model = model_of(recipe, Mixture(np.array([[1.0] * 4, [-1.0] * 4]), 0.1))
    given = (model, recipe.plan(20), _random(256, 4), sign * np.ones((256, 4)), np.array([1.0, 0.0, 0.0, 0.0]))

    def alike(found):
        np.testing.assert_array_equal(found[:, :1], sign)
        return np.mean((found * sign)[:, 1:] > 0)

    plain, jumped = editing.inpaint(*given, fresh=True), editing.repaint(*given, 0, 5, 8)
    assert alike(plain) < 0.8 and alike(jumped) > 0.93
    assert np.median(np.abs(jumped * sign - 1)[:, 1:]) < 0.1


@pytest.mark.parametrize(("length", "times"), [(3, 2), (2, 3), (10, 10)])
def test_repaint_is_the_recipe(length, times, make, backend):
    """With DDIM's steps and the same noise it is `ms.RePaint`."""
    recipe = ms.RePaint(clip_sample=False, jump_length=length, jump_n_sample=times)
    noise, image = make(_random(2, 4)), make(_random(2, 4, seed=1))
    mask = make(np.broadcast_to([1.0, 0.5, 0.0, 0.0], (2, 4)).copy())
    inputs = {"original": image, "mask": mask}
    wanted = ms.sample(_net(backend), recipe.plan(9), noise, inputs=inputs, rng=3)
    plan = ms.DDIM(clip_sample=False, beta_schedule=recipe.beta_schedule).plan(9)
    found = editing.repaint(_net(backend), plan, noise, image, mask, 3, length, times)
    # The recipe does not put the image itself back at the end, but its last level has no noise.
    _close(backend, found, wanted, 1e-4)


@pytest.mark.host
@pytest.mark.parametrize(
    ("recipe", "order", "least"),
    [
        (FLOW, 1, 0.85),
        (DDIM, 1, 0.85),
        (ms.Euler(), 1, 0.85),
        (ms.FlowMatchHeun(shift=3.0), 2, 1.8),
        (ms.IPNDM(), 2, 1.8),
        (ms.DEISMultistep(), 2, 1.8),
        (ms.DPMSolverMultistep(final_sigmas_type="sigma_min"), 2, 1.5),
    ],
    ids=lambda one: type(one).__name__,
)
def test_inversion_has_the_order_of_the_solver(recipe, order, least):
    """On a Gaussian, whose flow is known: noise and image agree up to the solver's order, and so does the noise with
    the exact one."""
    model, errors = model_of(recipe, Gaussian(0.4, 0.6)), []
    x0 = 0.4 + 0.6 * _random(4, 3)
    for n in (40, 80):
        plan = recipe.plan(n)
        assert plan.order == order
        noise = editing.invert(model, plan, x0)
        errors.append(np.abs(ms.sample(model, plan, noise) - x0).max())
        end = [(float(plan.alphas[k]), float(plan.sigmas[k])) for k in (-1, 0)]
        exact = Gaussian(0.4, 0.6).flow_map(x0, *end) / plan.grid.init_noise_sigma
        assert np.abs(noise - exact).max() < (0.15 if order == 1 else 0.03)
    assert errors[1] < 0.06 and math.log2(errors[0] / errors[1]) > least


def test_inversion_runs_on_every_loop(make, backend):
    x0, plan = make(_random(2, 4)), PLANS["flow"]
    wanted = backend.to_numpy(editing.invert(_net(backend), plan, x0))
    again = plan.start(x0)  # by hand, from the cleanest step to the noisiest
    x = backend.to_numpy(again.sample).astype(np.float64)
    numpy = ms.backends.get("numpy")
    for k in reversed(range(len(plan))):
        x = x + (plan.sigmas[k] - plan.sigmas[k + 1]) * _net(numpy)(x, plan.timesteps[k])
    np.testing.assert_allclose(wanted, x, atol=2e-5)
    for loop in ("compile",) if backend.name in ("torch", "jax", "mlx") else ():
        _close(backend, editing.invert(_net(backend), plan, x0, loop=loop), wanted)
    _close(backend, _jitted(backend, lambda x: editing.invert(_net(backend), plan, x), x0), wanted)


@pytest.mark.host
def test_the_times_of_an_inverse_run():
    plan = DDIM.plan(5)
    np.testing.assert_array_equal(editing.inverse(plan).timesteps, plan.timesteps[::-1])
    own = editing.inverse(plan, "own").timesteps
    np.testing.assert_array_equal(own, [plan.timesteps[-1], *plan.timesteps[:0:-1]])
    ours = ms.DDIMInverse(clip_sample=False, timestep_spacing="trailing").plan(5)
    theirs = editing.inverse(plan)
    np.testing.assert_array_equal(theirs.timesteps, ours.timesteps)
    np.testing.assert_allclose(theirs.folded.weights, ours.folded.weights, atol=1e-12)
    heun = editing.inverse(ms.FlowMatchHeun().plan(3)).timesteps
    assert heun[0] == heun[1] > 0 and np.all(np.diff(heun) >= 0)


EXACT = [*CASES, ("vp", BDIA(0.7)), ("flow", BDIA(0.5)), ("edm", EDICT())]


@pytest.mark.parametrize("n", [3, 12])
@pytest.mark.parametrize(("path", "solver"), EXACT, ids=map(str, EXACT))
def test_exact_inversion(path, solver, n, make, backend, has_float64):
    """Whatever the model is: noise to image and back, and image to noise and back. It is `ms.sample` up to rounding."""
    plan, kind = composed(path, solver).plan(n), "float64" if has_float64 else "float32"
    x = make(_random(3, 6, seed=n), kind)

    def model(x, t):
        return _model(backend, x, t)

    image = editing.exact_sample(model, plan, x)
    _close(backend, image.sample, ms.sample(model, plan, x), 1e-11 if has_float64 else 1e-3)
    back = editing.exact_invert(model, plan, image)
    again = editing.exact_sample(model, plan, back)
    there = editing.exact_invert(model, plan, x)
    here = editing.exact_sample(model, plan, there)
    gained = isinstance(solver, BDIA) and solver.gamma < 1 and n == 12  # what the way back magnifies, gamma^-12
    limit = 1e-12 if has_float64 else 1e-2 if gained else 1e-6
    start = backend.to_numpy(plan.start(x).sample)
    for found, wanted in ((back.sample, start), (again.sample, image.sample), (here.sample, x)):
        _close(backend, found, wanted, limit)
    if isinstance(solver, EDICT):
        _close(backend, back.partner, start, limit)  # the two samples are one again


def test_exact_inversion_is_not_compiled(make, backend):
    """JAX's tracers are refused; a compiled model is not."""
    x, plan = make(_random(1, 6)), composed("flow", BDIA()).plan(2)
    if backend.name == "jax":
        with pytest.raises(ms.ScheduleError, match="call it outside jit; the model may be compiled"):
            backend.compile(lambda x: editing.exact_sample(_net(backend), plan, x).sample)(x)
    model = backend.compile(_net(backend)) if backend.name in ("jax", "mlx") else _net(backend)
    image = editing.exact_sample(model, plan, x)
    _close(backend, editing.exact_invert(model, plan, image).sample, x, 1e-7)


@pytest.mark.host
def test_exact_inversion_of_many_steps():
    """50 steps of a network at random: plain sums lose 1e-11 and more on the way back, in float64."""
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((6, 64)), rng.standard_normal((64, 6)) / 8

    def model(x, t):
        return np.tanh(x @ first + 0.003 * t) @ second

    x = rng.standard_normal((4, 6))
    for path, solver in (("vp", BDIA()), ("vp", BDIA(0.9)), ("vp", EDICT()), ("flow", BDIA(0.7))):
        plan = composed(path, solver).plan(50)
        back = editing.exact_invert(model, plan, editing.exact_sample(model, plan, x))
        noise = editing.exact_invert(model, plan, x)
        image = editing.exact_sample(model, plan, noise)
        assert max(np.abs(back.sample - x).max(), np.abs(image.sample - x).max()) < 1e-12


def test_flow_edit_of_one_model_gives_the_source(make, backend):
    x0, plan = make(1e-3 * _random(2, 64)), PLANS["flow"]
    found = editing.flow_edit(_net(backend), _net(backend), plan, x0, rng=5, n_avg=2)
    np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(x0))


def test_flow_edit_is_the_paper(make, backend):
    """Kulikov et al. 2024, algorithm 1, by the noise that the run draws."""
    plan, x0, source = FLOW.plan(7), _random(2, 4), ms.noise.HostNoise(3)
    numpy, t, s = ms.backends.get("numpy"), FLOW.plan(7).timesteps, FLOW.plan(7).sigmas

    def models(backend):
        bare, net = (lambda x, t: 0.1 * x), _net(backend)
        return bare, net, lambda x, t: net(0.5 * x, t) - 0.3

    none, one, two = models(numpy)

    def guided(model, scale, x, t):
        return none(x, t) + scale * (model(x, t) - none(x, t))

    z = x0.copy()
    for k in range(2, 5):
        change = 0
        for draw in range(2):
            noise = source.normal(range(2), k, draw, (4,))
            x = (1 - s[k]) * x0 + s[k] * noise
            change = change + guided(two, 5.0, x + z - x0, t[k]) / 2 - guided(one, 1.5, x, t[k]) / 2
        z = z + (s[k + 1] - s[k]) * change
    noise = source.normal(range(2), 5, 0, (4,))
    y = (1 - s[5]) * x0 + s[5] * noise + z - x0
    for k in (5, 6):
        y = y + (s[k + 1] - s[k]) * guided(two, 5.0, y, t[k])
    none, one, two = models(backend)
    options = {"n_avg": 2, "n_min": 2, "n_max": 5, "unconditional": none, "source_scale": 1.5, "target_scale": 5.0}

    def edit(x):
        return editing.flow_edit(one, two, plan, x, 3, **options)

    _close(backend, edit(make(x0)), y, 1e-4)
    _close(backend, _jitted(backend, edit, make(x0)), y, 1e-4)


@pytest.mark.host
@pytest.mark.parametrize("prediction", ["flow_prediction", "sample", "epsilon"])
def test_flow_edit_between_gaussians(prediction):
    """Two Gaussians of one deviation are carried into each other by a shift, whatever the noise."""
    recipe = ms.Scheduler(ms.paths.Straight(), ms.spacings.Even(0.999, None), prediction, ms.solvers.Euler())
    low, high = (model_of(recipe, Gaussian(mean, 0.3)) for mean in (-0.5, 1.0))
    x0 = -0.5 + 0.3 * _random(3, 2)
    found = editing.flow_edit(low, high, recipe.plan(20), x0, rng=1)
    np.testing.assert_allclose(found, x0 + 1.5, atol=2e-3)


@pytest.mark.parametrize("name", PLANS)
def test_one_model_twice_is_one_run(name, make, backend):
    plan, noise = PLANS[name], make(_random(2, 4))
    wanted = backend.to_numpy(ms.sample(_net(backend), plan, noise, rng=4))
    for boundary in (0.0, 400.0, 1e9):
        found = editing.handover(_net(backend), _net(backend), plan, noise, boundary, rng=4)
        np.testing.assert_array_equal(backend.to_numpy(found), wanted)


def test_handover_at_a_time(make, backend):
    """Each model is given its times, and a step of two calls is one model's."""
    noise, asked = make(_random(2, 4)), []
    inverted = ms.FlowMatchEuler(invert_sigmas=True)

    def model(name):
        return lambda x, t: asked.append((name, float(t))) or 0.5 * x

    for plan, boundary in ((DDIM.plan(10), 200.0), (ms.FlowMatchHeun().plan(6), 500.0), (inverted.plan(6), 500.0)):
        asked.clear()
        editing.handover(model("base"), model("refiner"), plan, noise, boundary)
        up = plan.timesteps[-1] > plan.timesteps[0]
        starts = [plan.grid.timesteps[k] for k in plan.rows.step[:, 0]]
        assert [name for name, _ in asked] == [
            "base" if (t <= boundary if up else t >= boundary) else "refiner" for t in starts
        ]
        np.testing.assert_allclose([t for _, t in asked], plan.timesteps, rtol=1e-6)
        assert {name for name, _ in asked} == {"base", "refiner"}


def test_upscaling_renoises_the_estimate(make, backend):
    plan, finer, noise = FLOW.plan(8, stop=4), FLOW.plan(8, start=3), make(_random(2, 4))

    def resize(x):
        return backend.xp.concat([x, x], axis=1)

    kept = []
    ms.sample(_net(backend), plan, noise, callback=lambda row, state, x0: kept.append(x0))
    z = make(ms.noise.HostNoise(6).normal(range(2), 4, 0, (8,)))
    wanted = ms.sample(_net(backend), finer, z, x0=resize(kept[-1]))
    found = editing.upscale(_net(backend), _net(backend), plan, finer, noise, resize, rng=6)
    assert found.shape == (2, 8)
    _close(backend, found, wanted)
    whole = editing.upscale(_net(backend), _net(backend), FLOW.plan(8), finer, noise, resize, rng=6)
    z = make(ms.noise.HostNoise(6).normal(range(2), 8, 0, (8,)))
    end = resize(ms.sample(_net(backend), FLOW.plan(8), noise))
    _close(backend, whole, ms.sample(_net(backend), finer, z, x0=end))


@pytest.mark.host
def test_the_noise_of_a_finer_picture_is_new():
    """The sample of the finer plan's first step has its level's variance, pixel by pixel and between pixels."""
    recipe, seen = FLOW, []
    model = model_of(recipe, Gaussian(0.0, 1e-3))
    noise = _random(4000, 2)
    finer = recipe.plan(8, start=3)

    def refiner(x, t):
        seen.append(x)
        return model(x, t)

    editing.upscale(model, refiner, recipe.plan(8, stop=4), finer, noise, lambda x: np.repeat(x, 2, 1))
    covariance = np.cov(seen[0].T) / finer.sigmas[0] ** 2
    np.testing.assert_allclose(covariance, np.eye(4), atol=0.08)
    assert abs(np.corrcoef(seen[0][:, 0], noise[:, 0])[0, 1]) < 0.06


def _ask(**given):
    defaults = {"plan": PLANS["flow"], "noise": _random(2, 4), "image": _random(2, 4), "known": np.ones(4)}
    return editing.inpaint(lambda x, t: x, **{**defaults, **given})


@pytest.mark.host
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: _ask(plan=FLOW), r"an edit runs a plan, which recipe.plan\(n\) makes; given FlowMatchEuler"),
        (lambda: _ask(loop="scan"), "loop must be one of 'python', 'compile'; given 'scan'"),
        (lambda: _ask(known=1.0), "known must be an array; given float"),
        (lambda: _ask(known=np.ones(3)), r"known has shape \(3,\), which does not broadcast against .* \(2, 4\)"),
        (lambda: _ask(image=np.ones((2, 5))), r"image has shape \(2, 5\), which does not broadcast"),
        (lambda: _ask(image=np.ones((2, 4), int)), "int"),
        (
            lambda: editing.repaint(lambda x, t: x, PLANS["dpm"], *[np.ones((2, 4))] * 3),
            "looks back to the steps before: a run that jumps needs a solver of one step",
        ),
        (
            lambda: editing.repaint(
                lambda x, t: x, PLANS["ddim-eta"], *[np.ones((2, 4))] * 3, ms.noise.BrownianNoise(1)
            ),
            "new each time",
        ),
        (lambda: editing.inverse(PLANS["ddim-eta"]), "adds noise, so that no run leads back"),
        (lambda: editing.inverse(ms.DDIMInverse().plan(4)), "goes to the noise; give the plan of the run to the data"),
        (lambda: editing.inverse(PLANS["dpm"]), r"if it ends with noise left, as with spacings.End\('sigma_min'\)"),
        (lambda: editing.inverse(replace(PLANS["flow"], solver=None)), "does not say which solver made it"),
        (lambda: editing.inverse(PLANS["flow"], "now"), "times must be one of"),
        (lambda: editing.inverse(FLOW), r"a plan is inverted, which recipe.plan\(n\) makes"),
        (lambda: editing.inverse(ms.RePaint(eta=0.0).plan(4)), "adds noise"),
        (
            lambda: editing.invert(None, composed("vp", EDICT()).plan(4), np.ones((1, 2))),
            "couples two samples, and the noise is both: use editing.exact_invert",
        ),
        (
            lambda: editing.exact_invert(None, composed("flow", Straightened(BDIA(0.0))).plan(4), np.ones((1, 2))),
            "exact inversion is that of solvers.BDIA and solvers.EDICT",
        ),
        (lambda: editing.exact_sample(None, PLANS["flow"], np.ones((1, 2))), "exact inversion is that of"),
        (lambda: editing.flow_edit(None, None, PLANS["ddim"], np.ones((1, 2))), "needs a flow, alpha = 1 - sigma"),
        (
            lambda: editing.flow_edit(None, None, PLANS["flow"], np.ones((1, 2)), n_min=3, n_max=2),
            "0 <= n_min <= n_max <= 6; given 3 and 2",
        ),
        (lambda: editing.flow_edit(None, None, PLANS["flow"], np.ones((1, 2)), n_avg=0), "n_avg must be at least 1"),
        (
            lambda: editing.flow_edit(None, None, PLANS["flow"], np.ones((1, 2)), target_scale=5.0),
            "give unconditional=, or scales of 1",
        ),
        (lambda: editing.handover(None, None, PLANS["flow"], np.ones((1, 2)), "low"), "boundary must be a number"),
        (
            lambda: editing.upscale(None, None, PLANS["flow"], PLANS["flow"], np.ones((1, 2)), None),
            "give it strength=, start= or ratios=",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_cannot_be_edited_is_refused(make, said):
    with pytest.raises(ms.ScheduleError, match=said):
        make()


@pytest.mark.host
def test_the_page_runs(capsys):
    page = Path(__file__).parent.parent / "docs" / "editing.md"
    names = run_page(page.read_text(encoding="utf-8"), ms.backends.get("numpy"), capsys)
    np.testing.assert_array_equal(names["filled"][..., :4], names["image"][..., :4])
    assert names["large"].shape == (4, 1, 16, 16) and np.abs(names["back"] - names["image"]).max() < 0.02
    assert abs(names["edited"].mean() - 0.75) < 0.05
