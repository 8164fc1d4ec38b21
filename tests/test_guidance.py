"""Guidance against closed forms and identities, in a custom loop and through `ms.sample`."""

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
import pytest
from test_readme import ROOT, run_page

import multisched as ms
from multisched.guidance import (
    Level,
    apg,
    apg_mix,
    autoguidance,
    cfg,
    cfg_plus_plus,
    cfg_zero_star,
    dynamic,
    interval,
    levels,
    magnitude_aware,
    perp_neg,
    perturbed_attention,
    rescale,
    tangential,
)

SHAPE = (3, 2, 4)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
FLOW = ms.FlowMatchEuler(shift=3.0)
VP = ms.DDIM(clip_sample=False, timestep_spacing="trailing")
RECIPES = {
    "flow": FLOW,
    "eps": VP,
    "v": replace(VP, prediction_type="v_prediction"),
    "x0": replace(VP, prediction_type="sample"),
    "edm": ms.EDMEuler(),
    "scaled": ms.Euler(prediction_type="v_prediction"),
}
EACH = [
    cfg(3.5),
    cfg(2.5, original=True),
    cfg([1.0, 2.0, 5.0]),
    cfg(dynamic(3.0, "cosine", least=1.0)),
    interval(cfg(3.5), 0.2, 0.8) | rescale(0.7),
    interval(apg(4.0), 0.3, 0.9) | rescale(0.5),
    apg(4.0, eta=0.3, threshold=2.0, momentum=-0.75),
    apg(4.0, momentum=0.0, on="output", base="unconditional"),
    apg_mix(4.0, threshold=2.0, first=2.0, steps=3),
    cfg_zero_star(3.0, zeros=2),
    perp_neg(3.0, {"negative": 0.5, "weak": 0.25}),
    autoguidance(2.0),
    cfg(3.0) | perturbed_attention(1.5),
    tangential(3.0),
    magnitude_aware(3.0, damping=1.0),
]
NAMES = ("conditional", "unconditional", "negative", "weak", "perturbed")
each_guidance = pytest.mark.parametrize("guidance", EACH, ids=repr)
each_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())


def _draws(count, seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]


def _outputs(make, guidance, seed=0):
    draws = dict(zip(NAMES, _draws(len(NAMES), seed), strict=True))
    return {name: make(draws[name]) for name in guidance.branches}


def _moved(x, t, condition):
    """A model that is not linear in x, of one row per sample in the condition."""
    xp = ms.backends.of(x).xp
    return x * 0.3 - xp.reshape(condition, (-1, 1, 1)) * xp.exp(-0.1 * x * x) + 0.0 * t


def _conditions(make):
    rng = np.random.default_rng(5)
    return {name: make(rng.standard_normal((3, 1)).astype(np.float32)) for name in NAMES}


def _gaussians(recipe, *means, std=0.5):
    """A model whose condition is the number of a Gaussian."""
    models = [ms.analysis.model_of(recipe, ms.analysis.Gaussian(mean, std)) for mean in means]
    return lambda x, t, k: models[k](x, t)


def _loops(backend, guidance=None):
    if backend.name == "torch" and guidance in EACH and guidance not in EACH[4:8]:
        return ["python"]  # its compiler takes long; those four have all that is compiled
    return ["python", *["compile"] * (backend.name in ("torch", "jax", "mlx")), *["scan"] * (backend.name == "jax")]


@each_recipe
def test_cfg_of_two_gaussians_is_the_gaussian_of_the_guided_mean(recipe, make, backend):
    """Their denoisers differ by a multiple of the means' difference, so the guided one is a Gaussian's again."""
    wanted = ms.analysis.model_of(recipe, ms.analysis.Gaussian(0.2 + 3.0 * (0.7 - 0.2), 0.5))
    plan, noise = recipe.plan(6), make(_draws(1)[0])
    model = _gaussians(recipe, 0.2, 0.7)
    conditions = {"conditional": 1, "unconditional": 0}
    found = ms.sample(model, plan, noise, guidance=cfg(3.0), conditions=conditions)
    np.testing.assert_allclose(
        backend.to_numpy(found), backend.to_numpy(ms.sample(wanted, plan, noise)), atol=2e-4, rtol=2e-4
    )


QUANTITIES = [
    *(rescale(0.7, on=on) for on in ("x0", "velocity")),
    *(replace(apg(4.0, threshold=3.0), on=on) for on in ("x0", "velocity")),
    *(replace(one, on="x0") for one in (tangential(3.0), magnitude_aware(3.0), cfg_zero_star(2.0, zeros=0))),
]


@pytest.mark.parametrize("guidance", QUANTITIES, ids=repr)
def test_a_quantity_is_the_same_whatever_the_model_predicts(guidance, make, backend):
    guidance = cfg(3.0) | guidance if isinstance(guidance, rescale) else guidance
    conditions, runs = {"conditional": 1, "unconditional": 0}, []
    for kind in ("epsilon", "v_prediction", "sample"):
        recipe = replace(VP, prediction_type=kind)
        model, plan = _gaussians(recipe, 0.2, 0.7), recipe.plan(5, start=1)
        noise = make(_draws(1)[0])
        found = ms.sample(model, plan, noise, guidance=guidance, conditions=conditions, x0=make(_draws(2)[1]))
        runs.append(backend.to_numpy(found))
    np.testing.assert_allclose(runs[1], runs[0], atol=1e-3)
    np.testing.assert_allclose(runs[2], runs[0], atol=1e-3)


@pytest.mark.host
@pytest.mark.parametrize(
    "kind", ["epsilon", "v_prediction", "sample", "flow_prediction", "flow_to_data", "edm", "score"]
)
def test_the_weights_of_a_quantity_are_the_predictions_two_equations(kind):
    prediction, (x0, noise) = ms.Prediction(kind, 0.5), (0.3, -1.1)
    level = Level(0.8, 0.6, prediction=prediction)
    x, output = 0.8 * x0 + 0.6 * noise, prediction.target(x0, noise, 0.8, 0.6)
    for on, wanted in {"x0": x0, "noise": noise, "velocity": noise - x0, "output": output}.items():
        u, v = level.weights(on)
        assert u * x + v * output == pytest.approx(wanted, abs=1e-12)


@each_guidance
def test_every_loop_and_both_ways_of_calling_agree(guidance, make, backend):
    plan, noise, conditions = FLOW.plan(6), make(_draws(1)[0]), _conditions(make)
    runs = {
        (loop, batched): backend.to_numpy(
            ms.sample(_moved, plan, noise, guidance=guidance, conditions=conditions, loop=loop, batched=batched)
        )
        for loop in _loops(backend, guidance)
        for batched in (False, True)
    }
    wanted = runs["python", False]
    assert np.all(np.isfinite(wanted))
    for key, found in runs.items():
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4, err_msg=str(key))


@each_guidance
def test_sample_is_the_loop_written_out(guidance, make, backend):
    plan, conditions = FLOW.plan(6), _conditions(make)
    state, where = plan.start(make(_draws(1)[0])), levels(plan)
    memory = guidance.start(state.sample)
    for row, level in enumerate(where):
        x, t = plan.model_input(state), plan.timestep(state)
        outputs = {name: _moved(x, t, conditions[name]) for name in guidance.at(level).branches}
        output, memory = guidance.step(outputs, where[row], state.sample, memory)
        state = plan.step(state, output)
    found = ms.sample(_moved, plan, make(_draws(1)[0]), guidance=guidance, conditions=conditions)
    np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(state.sample), rtol=1e-5, atol=1e-5)


@each_guidance
def test_rows_of_the_device_are_those_of_the_host(guidance, make, backend):
    """A row for each sample, whose numbers are looked up and not read; with the memory of a call before."""
    plan = FLOW.plan(6)
    where, sample = levels(plan), make(_draws(1, 9)[0])
    outputs, index = _outputs(make, guidance), make(np.array([0, 3, 5]), "int32")
    memory = guidance.start(sample)
    if memory:
        _, memory = guidance.step(_outputs(make, guidance, 3), where[3], sample, memory)
    together, kept = guidance.step(outputs, where.at(ms.State(sample, (), index)), sample, memory)
    for k, row in enumerate((0, 3, 5)):
        alone, after = guidance.step(outputs, where[row], sample, memory)
        np.testing.assert_allclose(
            backend.to_numpy(together)[k], backend.to_numpy(alone)[k], rtol=2e-4, atol=2e-5, err_msg=str(row)
        )
        for one, other in zip(_flat(kept), _flat(after), strict=True):
            np.testing.assert_allclose(backend.to_numpy(one)[k], backend.to_numpy(other)[k], rtol=1e-5, atol=1e-5)


def _flat(memory):
    return [one for part in memory for one in _flat(part)] if isinstance(memory, tuple) else [memory]


@each_guidance
def test_a_step_is_compiled_with_rows_that_are_not_known(guidance, make, backend):
    if backend.name not in ("torch", "jax", "mlx"):
        pytest.skip(f"{backend.name} has no compiler")
    where, sample, names = levels(FLOW.plan(6)), make(_draws(1, 9)[0]), guidance.branches
    outputs, index = _outputs(make, guidance), make(np.array([1, 3, 5]), "int32")
    memory = guidance.start(sample)

    def step(arrays, sample, index, memory):
        level = where.at(ms.State(sample, (), index))
        return guidance.step(dict(zip(names, arrays, strict=True)), level, sample, memory)

    given = (tuple(outputs.values()), sample, index, memory)
    if backend.name == "torch":
        import torch

        torch._dynamo.reset()
        compiled = torch.compile(step, fullgraph=True, backend="eager")
    else:
        compiled = backend.compile(step)
    found, wanted = compiled(*given)[0], step(*given)[0]
    np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(wanted), rtol=1e-4, atol=1e-4)


def test_the_scale_that_is_no_guidance_calls_one_branch(make, backend):
    plan, noise, calls = FLOW.plan(4), make(_draws(1)[0]), []

    def model(x, t, condition):
        calls.append(condition)
        return x * 0.5

    for guidance in (cfg(1.0), cfg(0.0, original=True), apg(1.0), autoguidance(1.0), perturbed_attention(0.0)):
        calls.clear()
        conditions = {name: name for name in NAMES}
        found = ms.sample(model, plan, noise, guidance=guidance, conditions=conditions)
        assert calls == ["conditional"] * 4
        plain = ms.sample(lambda x, t: x * 0.5, plan, noise)
        np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(plain))
    calls.clear()
    ms.sample(model, plan, noise, conditions={"conditional": "alone"})
    assert calls == ["alone"] * 4


@pytest.mark.parametrize("loop", ["python", "scan"])
def test_an_interval_calls_the_other_branch_inside_it_alone(loop, make, backend):
    if loop not in _loops(backend):
        pytest.skip(f"{backend.name} has no scan")
    plan, noise = FLOW.plan(8), make(_draws(1)[0])
    inside = (plan.sigmas[:-1] > 0.3) & (plan.sigmas[:-1] <= 0.9)
    assert 0 < inside.sum() < 8
    calls = []

    def model(x, t, condition):
        calls.append(condition)
        return x * (0.5 if condition else 0.25)

    guidance, conditions = interval(cfg(3.0), 0.3, 0.9), {"conditional": 1, "unconditional": 0}
    found = ms.sample(model, plan, noise, guidance=guidance, conditions=conditions, loop=loop)
    if loop == "python":
        assert calls.count(1) == 8 and calls.count(0) == inside.sum()
    else:  # one graph for each part of the rows, the two outer ones without the other branch
        assert calls.count(0) == 1 and calls.count(1) == 2
    state = plan.start(noise)
    for row in range(8):
        x = state.sample
        state = plan.step(state, x * (0.25 + 3.0 * 0.25) if inside[row] else x * 0.5)
    np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(state.sample), rtol=2e-5, atol=2e-5)


@pytest.mark.host
def test_an_interval_in_each_of_its_three_numbers():
    plan = VP.plan(10)
    ratio = plan.sigmas[:-1] / plan.alphas[:-1]
    for of, low, high, wanted in (
        ("sigma", 0.4, 0.9, (plan.sigmas[:-1] > 0.4) & (plan.sigmas[:-1] <= 0.9)),
        ("ratio", 0.28, 5.42, (ratio > 0.28) & (ratio <= 5.42)),
        ("progress", 0.25, 0.85, np.isin(np.arange(10), range(2, 8))),
    ):
        guidance = interval(cfg(2.0), low, high, of)
        found = [len(guidance.at(level).branches) == 2 for level in levels(plan)]
        assert found == wanted.tolist() and 0 < sum(found) < 10, of


@pytest.mark.host
def test_an_interval_holds_its_high_end_and_not_its_low_one():
    for of in ("sigma", "ratio"):
        found = [len(interval(cfg(2.0), 0.25, 0.75, of).at(Level(1.0, sigma)).branches) for sigma in (0.25, 0.5, 0.75)]
        assert found == [1, 2, 2]


@each_recipe
def test_levels_are_those_that_a_plan_estimates_x0_at(recipe, make, backend):
    plan = recipe.plan(4)
    state = plan.start(make(_draws(1)[0]))
    for level, output in zip(levels(plan), _draws(len(plan), 1), strict=True):
        u, v = level.weights("x0") if level.alpha else (0.0, 0.0)
        if level.alpha:
            x0 = u * backend.to_numpy(state.sample) + v * output
            wanted = backend.to_numpy(plan.denoised(state, make(output)))
            np.testing.assert_allclose(x0, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
        state = plan.step(state, make(output))


@pytest.mark.parametrize(
    "guidance",
    [
        interval(cfg(3.0), 0.25, 0.75, "progress"),
        cfg_zero_star(3.0, zeros=2),
        cfg(dynamic(3.0)),
        interval(cfg(3.0), 0.5, 0.9),
    ],
    ids=repr,
)
def test_a_guided_run_in_two_parts_is_the_whole_run(guidance, make, backend):
    conditions, noise = _conditions(make), make(_draws(1)[0])

    def run(x, **part):
        return ms.sample(_moved, FLOW.plan(6, **part), x, guidance=guidance, conditions=conditions)

    np.testing.assert_array_equal(
        backend.to_numpy(run(run(noise, stop=3), start=3)), backend.to_numpy(run(noise)), err_msg=repr(guidance)
    )


@pytest.mark.host
def test_progress_counts_steps_and_not_calls():
    found = [level.step for level in levels(ms.FlowMatchHeun().plan(3))]
    assert found == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("on", ["output", "x0", "velocity", "noise"])
def test_a_whole_rescale_keeps_the_deviation_of_the_conditional_branch(on, make, backend):
    level = levels(VP.plan(5))[2]
    outputs, sample = _outputs(make, cfg(2.0)), make(_draws(1, 9)[0])
    guidance = cfg(6.0) | rescale(1.0, on)
    found = backend.to_numpy(guidance(outputs, level, sample)).astype(np.float64)
    conditional = backend.to_numpy(outputs["conditional"]).astype(np.float64)
    u, v = level.weights(on)
    x = backend.to_numpy(sample)
    one, other = ((u * x + v * out).std(axis=(1, 2)) for out in (found, conditional))
    np.testing.assert_allclose(one, other, rtol=1e-4)
    half = backend.to_numpy((cfg(6.0) | rescale(0.5, on))(outputs, level, sample))
    plain = backend.to_numpy(cfg(6.0)(outputs))
    np.testing.assert_allclose(half, (found + plain) / 2, rtol=1e-3, atol=1e-3)


def test_perp_neg_takes_away_what_is_perpendicular(make, backend):
    outputs = _outputs(make, perp_neg(3.0))
    c, u, n = (backend.to_numpy(outputs[name]).astype(np.float64) for name in NAMES[:3])
    plain = u + 3.0 * (c - u)
    taken = plain - backend.to_numpy(perp_neg(3.0)(outputs))
    dots = (taken * (c - u)).sum(axis=(1, 2)) / np.linalg.norm((c - u).reshape(3, -1), axis=1)
    np.testing.assert_allclose(dots, 0, atol=1e-5)
    left = (n - u) - taken / 3.0  # what remains of the negative is parallel to the prompt
    cosine = (left * (c - u)).sum(axis=(1, 2)) / np.sqrt((left**2).sum((1, 2)) * ((c - u) ** 2).sum((1, 2)))
    np.testing.assert_allclose(np.abs(cosine), 1, atol=1e-5)
    same = backend.to_numpy(perp_neg(3.0)({**outputs, "negative": outputs["conditional"]}))
    np.testing.assert_allclose(same, plain, atol=1e-5)


def test_apg_without_its_three_changes_is_cfg(make, backend):
    outputs, sample = _outputs(make, cfg(4.0)), make(_draws(1, 9)[0])
    level = levels(VP.plan(5))[2]
    wanted = backend.to_numpy(cfg(4.0)(outputs))
    for on in ("output", "x0", "noise", "velocity"):
        for base in ("conditional", "unconditional"):
            guidance = apg(4.0, eta=1.0, momentum=0.0, on=on, base=base)
            found = backend.to_numpy(guidance(outputs, level, sample))
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_apg_by_hand(make, backend):
    """Three calls: what is parallel to the conditional x0 is taken out, the rest no longer than the threshold."""
    guidance, plan = apg(5.0, eta=0.25, threshold=1.5, momentum=-0.5), VP.plan(5)
    sample, before = _draws(1, 9)[0], np.zeros(SHAPE)
    memory = guidance.start(make(sample))
    for row in (1, 2, 3):
        level, outputs = levels(plan)[row], _outputs(make, guidance, seed=row)
        found, memory = guidance.step(outputs, level, make(sample), memory)
        c, u = (
            level.prediction.denoised(sample, backend.to_numpy(outputs[one]).astype(float), level.alpha, level.sigma)
            for one in NAMES[:2]
        )
        before = c - u - 0.5 * before
        change = before * np.minimum(1, 1.5 / np.linalg.norm(before.reshape(3, -1), axis=1))[:, None, None]
        unit = c / np.linalg.norm(c.reshape(3, -1), axis=1)[:, None, None]
        change = change - 0.75 * (change * unit).sum((1, 2), keepdims=True) * unit
        got = level.prediction.denoised(sample, backend.to_numpy(found).astype(float), level.alpha, level.sigma)
        np.testing.assert_allclose(got, c + 4.0 * change, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loop", ["python", "scan"])
def test_apg_mix_is_cfg_first_and_apg_with_the_memory_of_all_steps(loop, make, backend):
    if loop == "scan" and backend.name != "jax":
        pytest.skip(f"{backend.name} has no scan")
    plan, noise, conditions = FLOW.plan(6), make(_draws(1)[0]), _conditions(make)

    def run(guidance):
        return backend.to_numpy(ms.sample(_moved, plan, noise, guidance=guidance, conditions=conditions, loop=loop))

    late = apg(3.0, threshold=0.5, on="output", base="unconditional")
    mix = apg_mix(3.0, threshold=0.5, first=2.0, steps=0)
    np.testing.assert_allclose(run(mix), run(late), atol=1e-6)
    np.testing.assert_allclose(run(replace(mix, steps=6)), run(cfg(2.0)), atol=1e-5)
    memory, ours, level = late.start(noise), mix.start(noise), levels(plan)
    mix = replace(mix, steps=2)
    for row in range(4):
        outputs = _outputs(make, mix, row)
        wanted, memory = late.step(outputs, level[row], noise, memory)
        found, ours = mix.step(outputs, level[row], noise, ours)
        wanted = cfg(2.0)(outputs) if row < 2 else wanted
        np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(wanted), atol=1e-5)


def test_cfg_zero_star_projects_and_stands_still_first(make, backend):
    outputs = _outputs(make, cfg(3.0))
    guidance, where = cfg_zero_star(3.0), levels(FLOW.plan(5))
    found = backend.to_numpy(guidance(outputs, where[1], make(_draws(1)[0])))
    bent = {**outputs, "unconditional": outputs["unconditional"] * -7.0}
    np.testing.assert_allclose(backend.to_numpy(guidance(bent, where[1], make(_draws(1)[0]))), found, atol=1e-4)
    c, u = (backend.to_numpy(outputs[name]).astype(np.float64) for name in NAMES[:2])
    s = (c * u).sum((1, 2), keepdims=True) / (u * u).sum((1, 2), keepdims=True)
    np.testing.assert_allclose(found, s * u + 3.0 * (c - s * u), atol=1e-5)
    seen = []
    conditions = {"conditional": 1, "unconditional": 0}
    ms.sample(
        _gaussians(FLOW, 0.2, 0.7),
        FLOW.plan(5),
        make(_draws(1)[0]),
        guidance=cfg_zero_star(3.0, zeros=2),
        conditions=conditions,
        callback=lambda row, state, x0: seen.append(backend.to_numpy(state.sample)),
    )
    np.testing.assert_array_equal(seen[0], _draws(1)[0])
    np.testing.assert_array_equal(seen[1], seen[0])
    assert np.abs(seen[2] - seen[1]).max() > 0.01


def test_tangential_keeps_the_first_singular_vector(make, backend):
    outputs = _outputs(make, cfg(3.0))
    c, u = (backend.to_numpy(outputs[name]).reshape(3, -1).astype(np.float64) for name in NAMES[:2])
    first = np.linalg.svd(np.stack([c, u], axis=1), full_matrices=False)[2][:, 0]
    kept = (u * first).sum(1, keepdims=True) * first
    found = backend.to_numpy(tangential(3.0)(outputs)).reshape(3, -1)
    np.testing.assert_allclose(found, kept + 3.0 * (c - kept), atol=2e-5)


def test_magnitude_aware_lies_between_no_guidance_and_cfg(make, backend):
    outputs = _outputs(make, cfg(3.0))
    plain, none, small = (
        backend.to_numpy(magnitude_aware(3.0, damping=damping)(outputs)) for damping in (0.0, 1e4, 0.7)
    )
    np.testing.assert_allclose(plain, backend.to_numpy(cfg(3.0)(outputs)), atol=1e-5)
    np.testing.assert_allclose(none, backend.to_numpy(outputs["conditional"]), atol=1e-5)
    c, u = (backend.to_numpy(outputs[name]) for name in NAMES[:2])
    size = np.linalg.norm((c - u).reshape(3, -1), axis=1) / np.linalg.norm(u.reshape(3, -1), axis=1)
    w = (1 + 2 * np.exp(-0.7 * size))[:, None, None]
    np.testing.assert_allclose(small, u + w * (c - u), atol=1e-5)


@pytest.mark.parametrize(
    "make_guidance", [cfg, autoguidance, apg, apg_mix, tangential, perp_neg, cfg_zero_star, rescale]
)
def test_a_scale_for_each_sample_is_that_of_each_alone(make_guidance, make, backend):
    scales = [0.0, 0.5, 1.0] if make_guidance is rescale else [1.0, 2.5, 6.0]
    plan, conditions, noise = FLOW.plan(4), _conditions(make), make(_draws(1)[0])
    before = cfg(4.0)

    def run(scale, rows):
        guidance = before | rescale(scale) if make_guidance is rescale else make_guidance(scale)
        given = {name: one[rows, ...] for name, one in conditions.items()}
        return backend.to_numpy(ms.sample(_moved, plan, noise[rows, ...], guidance=guidance, conditions=given))

    for given in (scales, np.array(scales), make(scales)):
        together = run(given, slice(None))
        for k, scale in enumerate(scales):
            np.testing.assert_allclose(together[k : k + 1], run(scale, slice(k, k + 1)), rtol=1e-4, atol=1e-4)


@pytest.mark.host
def test_dynamic_scales_keep_their_mean_and_rise():
    where = levels(FLOW.plan(100))
    for shape in ("linear", "cosine"):
        found = [dynamic(4.0, shape)(level) for level in where]
        assert np.mean(found) == pytest.approx(4.0, rel=0.02) and np.all(np.diff(found) > 0)
        assert min(dynamic(4.0, shape, least=1.0)(level) for level in where) == 1.0


def test_a_function_of_the_level_is_a_scale(make, backend):
    plan, noise, conditions = FLOW.plan(5), make(_draws(1)[0]), _conditions(make)
    ours = cfg(lambda level: 1.0 + 2.0 * level.sigma)
    for loop in _loops(backend):
        found = ms.sample(_moved, plan, noise, guidance=ours, conditions=conditions, loop=loop)
        state = plan.start(noise)
        for t, sigma in zip(plan.timesteps, plan.sigmas, strict=False):
            c, u = (_moved(state.sample, make(t), conditions[name]) for name in NAMES[:2])
            state = plan.step(state, u + (1.0 + 2.0 * float(sigma)) * (c - u))
        np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(state.sample), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("inner", [0.6, interval(apg(2.0), 0.3, 0.8)], ids=repr)
def test_cfg_plus_plus_gives_the_plan_both_outputs(inner, make, backend):
    """Algorithm 2 of the paper by hand: the guided x0, renoised with the unconditional noise."""
    path, spacing = ms.paths.Discrete(), "karras"
    recipe = ms.Scheduler(path, spacing, "epsilon", ms.solvers.CFGPlusPlus())
    model = _gaussians(ms.Scheduler(path, spacing, "epsilon", ms.solvers.Euler()), 0.2, 0.7)
    plan, noise, guidance = recipe.plan(5), make(_draws(1)[0]), cfg_plus_plus(inner)
    conditions = {"conditional": 1, "unconditional": 0}
    for loop in _loops(backend):
        found = ms.sample(model, plan, noise, guidance=guidance, conditions=conditions, loop=loop)
        x, part = plan.start(noise).sample, guidance.guidance
        memory = part.start(x)
        for row, level in enumerate(levels(plan)):
            outputs = {name: model(x, make(plan.timesteps[row]), k) for name, k in conditions.items()}
            guided, memory = part.step(outputs, level, x, memory)
            x0 = (x - level.sigma * guided) / level.alpha
            x = float(plan.alphas[row + 1]) * x0 + float(plan.sigmas[row + 1]) * outputs["unconditional"]
        np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(x), rtol=2e-4, atol=2e-4)


def test_a_learned_variance_is_that_of_the_conditional_branch(make, backend):
    recipe = ms.DDPM(variance_type="learned_range", clip_sample=False)
    plan, noise = recipe.plan(4), make(_draws(1)[0])

    def model(x, t, k):
        variance = 0.3 if k else -0.9
        return backend.xp.concat([x * (0.5 + 0.2 * k), 0.0 * x + variance], axis=1)

    found = ms.sample(model, plan, noise, guidance=cfg(3.0), conditions={"conditional": 1, "unconditional": 0})
    wanted = ms.sample(lambda x, t: backend.xp.concat([x * 1.1, 0.0 * x + 0.3], axis=1), plan, noise)
    np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(wanted), rtol=1e-4, atol=1e-4)


def test_conditions_are_passed_on_as_they_are(make, backend):
    given = {"text": make(np.ones((3, 2), np.float32)), "more": (make(np.zeros((3,), np.float32)), "words"), "n": None}
    other, seen = object(), []

    def model(x, t, condition):
        seen.append(condition)
        return x * 0.5

    conditions = {"conditional": given, "unconditional": other}
    ms.sample(model, FLOW.plan(2), make(_draws(1)[0]), guidance=cfg(2.0), conditions=conditions)
    assert seen[0].keys() == given.keys() and seen[0]["text"] is given["text"]
    assert seen[0]["more"][0] is given["more"][0] and seen[0]["more"][1] == "words"
    assert seen[1] is other and len(seen) == 4


def test_conditions_without_guidance_change_no_output(make, backend):
    """Of several parts too."""
    straight = ms.paths.Straight(), ms.spacings.Even(1.0, 0.001), "flow_prediction"
    plan, noise = ms.Scheduler(*straight, ms.solvers.PiFlow(4)).plan(3), make(_draws(1)[0])

    def model(x, t, condition=0.5):
        return backend.xp.concat([x * condition] * 4, axis=1)

    found = ms.sample(model, plan, noise, conditions={"conditional": 0.5})
    np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(ms.sample(model, plan, noise)))


def test_one_call_for_all_branches(make, backend):
    """Behind each other in the order of the branches, each array of the conditions too, and t as it is."""
    seen = []

    def model(x, t, condition):
        seen.append((tuple(x.shape), tuple(t.shape), backend.to_numpy(condition["text"])[:, 0].tolist()))
        return x * condition["text"][:, :1, None]

    text = {name: {"text": make(np.full((3, 2), k, np.float32)), "size": 7} for k, name in enumerate(NAMES)}
    guidance = cfg(2.0) | perturbed_attention(1.0)
    ms.sample(model, FLOW.plan(2), make(_draws(1)[0]), guidance=guidance, conditions=text, batched=True)
    assert seen == [((9, 2, 4), (), [0.0] * 3 + [1.0] * 3 + [4.0] * 3)] * 2


@pytest.mark.parametrize("batched", [False, True])
def test_a_weak_model_of_its_own(batched, make, backend):
    plan, noise = FLOW.plan(4), make(_draws(1)[0])
    strong, weak = (ms.analysis.model_of(FLOW, ms.analysis.Gaussian(mean, 0.5)) for mean in (0.7, 0.2))
    wanted = ms.sample(ms.analysis.model_of(FLOW, ms.analysis.Gaussian(0.2 + 2 * 0.5, 0.5)), plan, noise)
    for loop in _loops(backend):
        found = ms.sample(
            strong, plan, noise, guidance=autoguidance(2.0), models={"weak": weak}, loop=loop, batched=batched
        )
        np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(wanted), rtol=1e-4, atol=1e-4)
    seen = []

    def other(x, t, condition):
        seen.append(condition)
        return x

    conditions = {"conditional": "prompt"}
    ms.sample(lambda x, t, c: x, plan, noise, guidance=autoguidance(2.0), models={"weak": other}, conditions=conditions)
    assert seen == ["prompt"] * 4


def test_a_scan_is_compiled_once_for_all_scales_and_conditions(make, backend):
    if backend.name != "jax":
        pytest.skip("a scan of JAX")
    count = []

    def model(x, t, condition):
        count.append(1)
        return x * condition

    def run(scale, value):
        conditions = {"conditional": make(value), "unconditional": make(0.0)}
        guidance = cfg(scale) | rescale(0.7)
        return ms.sample(model, FLOW.plan(5), make(_draws(1)[0]), guidance=guidance, conditions=conditions, loop="scan")

    one = run(2.0, 0.3)
    traced = len(count)
    two = run(3.0, 0.6)
    assert len(count) == traced
    conditions = {
        "conditional": np.float32(0.3),
        "unconditional": np.zeros((3, 1, 1), np.float32),
    }  # NumPy's arrays too
    three = ms.sample(
        model, FLOW.plan(5), make(_draws(1)[0]), guidance=cfg(2.0) | rescale(0.7), conditions=conditions, loop="scan"
    )
    np.testing.assert_allclose(backend.to_numpy(three), backend.to_numpy(one), rtol=1e-5)
    assert traced and np.abs(backend.to_numpy(one) - backend.to_numpy(two)).max() > 1e-3


def test_a_traced_scale_is_not_read(make, backend):
    if backend.name != "jax":
        pytest.skip("jit of JAX")
    import jax

    conditions, noise = _conditions(make), make(_draws(1)[0])

    def run(scale):
        return ms.sample(_moved, FLOW.plan(4), noise, guidance=cfg(scale) | rescale(0.5), conditions=conditions)

    for scale in (make(3.0), make([1.0, 2.0, 3.0])):
        np.testing.assert_allclose(np.asarray(jax.jit(run)(scale)), np.asarray(run(scale)), rtol=1e-4, atol=1e-4)
    assert np.all(np.isfinite(jax.grad(lambda scale: run(scale).sum())(make(3.0))))


@pytest.mark.parametrize(
    "guidance",
    [
        apg(4.0, threshold=1.0, momentum=0.0, on="output"),
        cfg(3.0) | rescale(0.7),
        tangential(3.0),
        magnitude_aware(3.0),
    ],
    ids=repr,
)
def test_gradients_are_finite_where_branches_agree_or_are_flat(guidance, make, backend):
    def loss(one):
        outputs = {"conditional": one, "unconditional": one * 1.0}
        return backend.xp.sum(guidance(outputs) ** 2)

    for value in (0.0, 1.5):
        x = make(np.full(SHAPE, value, np.float32))
        if backend.name == "torch":
            x.requires_grad_(True)
            loss(x).backward()
            found = x.grad
        elif backend.name in ("jax", "mlx"):
            import importlib

            library = importlib.import_module({"jax": "jax", "mlx": "mlx.core"}[backend.name])
            found = library.grad(loss)(x)
        else:
            pytest.skip(f"{backend.name} has no gradients")
        assert np.all(np.isfinite(backend.to_numpy(found)))


def test_half_precision_is_widened_for_the_sums(make, backend):
    try:
        outputs = {name: make(one, "float16") for name, one in zip(NAMES[:2], _draws(2), strict=True)}
    except (ms.ScheduleError, TypeError):
        pytest.skip(f"{backend.name} has no float16")
    found = (cfg(7.5) | rescale(0.7))(outputs)
    assert str(found.dtype).endswith("float16")
    wide = {name: make(backend.to_numpy(one).astype(np.float32)) for name, one in outputs.items()}
    wanted = backend.to_numpy((cfg(7.5) | rescale(0.7))(wide)).astype(np.float16)
    np.testing.assert_array_equal(backend.to_numpy(found), wanted)


@pytest.mark.host
@each_guidance
def test_guidance_is_a_value(guidance):
    same = replace(guidance)
    assert same == guidance and hash(same) == hash(guidance) and same is not guidance
    assert guidance != cfg(3.25) and guidance.branches[0] == "conditional"
    assert eval(repr(cfg(3.5) | interval(apg(2.0, eta=0.5), 0.1, 0.5, "ratio"))) == cfg(3.5) | interval(
        apg(2.0, eta=0.5), 0.1, 0.5, "ratio"
    )


@pytest.mark.host
def test_names_of_branches_may_be_anything_that_hashes():
    assert isinstance("skipped", Hashable)
    both = cfg(5.0) | perturbed_attention(3.0) | perturbed_attention(2.0, branch="skipped")
    assert both.branches == ("conditional", "unconditional", "perturbed", "skipped")


BAD = {
    "scale must be a number; given 'high'": lambda: cfg("high"),
    "scale must be finite; given nan": lambda: cfg(float("nan")),
    "scale must have a number for each sample; given none": lambda: cfg([]),
    "low < high; given low=0.8 and high=0.2": lambda: interval(cfg(2.0), 0.8, 0.2),
    "progress lies in \\[0, 1\\]": lambda: interval(cfg(2.0), 0.0, 2.0, "progress"),
    "an interval limits guidance, such as ms.guidance.cfg\\(3.5\\); given 3.5": lambda: interval(3.5, 0.2, 0.8),
    "must be in \\[0, 1\\]; given 1.5": lambda: rescale(1.5),
    "threshold must be positive": lambda: apg(3.0, threshold=0.0),
    "eta and momentum must be finite": lambda: apg(3.0, eta=float("inf")),
    "steps must be at least 0": lambda: apg_mix(steps=-1),
    "first must be finite": lambda: apg_mix(first=float("nan")),
    "depends on the step: give level=": lambda: apg_mix(momentum=0.0)({"conditional": np.ones((1, 2))}),
    "zeros must be a number of steps from 0 on": lambda: cfg_zero_star(3.0, zeros=-1),
    "damping must be a finite number >= 0": lambda: magnitude_aware(3.0, damping=-1.0),
    "negative must be a finite weight": lambda: perp_neg(3.0, {}),
    "goes around other guidance": lambda: cfg_plus_plus(0.5) | rescale(0.7),
    "on must be one of 'output', 'x0', 'noise', 'velocity'; given 'eps'": lambda: rescale(0.7, "eps"),
    "scale and least must be finite": lambda: dynamic(float("inf")),
}


@pytest.mark.host
@pytest.mark.parametrize("message", BAD)
def test_bad_options(message):
    with pytest.raises(ms.ScheduleError, match=message):
        BAD[message]()


def test_bad_calls(make, backend):
    noise, plan, x = make(_draws(1)[0]), FLOW.plan(3), make(_draws(1)[0])

    def run(guidance, conditions=None, model=lambda x, t, c: x, plan=plan, **more):
        return ms.sample(model, plan, noise, guidance=guidance, conditions=conditions, **more)

    both = {"conditional": x, "unconditional": x}
    vp = VP.plan(3)
    for message, call in {
        "guidance is a value of ms.guidance": lambda: run(3.5, both),
        r"cfg\(2.0\) needs a condition for the branch 'unconditional'": lambda: run(cfg(2.0), {"conditional": x}),
        "needs a condition for the branch 'unconditional': give .*; given None": lambda: run(cfg(2.0)),
        "conditions is a mapping of branches to theirs": lambda: run(cfg(2.0), [x, x]),
        "models has 'weaker'": lambda: run(autoguidance(2.0), both, models={"weaker": x}),
        "scale has 2 numbers for 3 samples": lambda: run(cfg([2.0, 3.0]), both),
        "the plan whose solver|plan whose solver is ms.solvers.CFGPlusPlus": lambda: run(cfg_plus_plus(0.5), both),
        "one row for each of the 3 samples; given an array of shape": lambda: run(
            cfg(2.0), {"conditional": x[:2, ...], "unconditional": x}, batched=True
        ),
        "that differ in their arrays alone; given": lambda: run(
            cfg(2.0), {"conditional": "a", "unconditional": "b"}, batched=True
        ),
        "is to give 6": lambda: run(cfg(2.0), both, model=lambda x, t, c: x[:3, ...], batched=True),
        "the outputs of all branches are arrays of": lambda: run(
            cfg(2.0), {"conditional": 1, "unconditional": 0}, model=lambda x, t, c: x if c else x[:2, ...]
        ),
        "needs the output of the branch 'unconditional'": lambda: cfg(2.0)({"conditional": x}),
        "depends on the level: give level=": lambda: interval(cfg(2.0), 0.1, 0.5)(both),
        "is a function of the level: give level=": lambda: cfg(dynamic(3.0))(both),
        "on='x0' depends on the level": lambda: (cfg(2.0) | rescale(0.7, "x0"))(both),
        "needs the state's sample: give sample=": lambda: (cfg(2.0) | rescale(0.7, "x0"))(both, levels(vp)[1]),
        "has a memory: begin with": lambda: apg(3.0)(both, levels(vp)[1], x),
        "on='noise' says nothing of the model's output at alpha = 0": lambda: run(
            cfg(2.0) | rescale(0.7, "noise"), both
        ),
        "takes guidance=cfg_plus_plus": lambda: run(
            cfg(2.0),
            both,
            plan=ms.Scheduler(ms.paths.Discrete(), "karras", "epsilon", ms.solvers.CFGPlusPlus()).plan(3),
        ),
        "levels are those of a plan": lambda: levels(3),
        "takes outputs of 10 parts": lambda: run(
            cfg(2.0),
            both,
            plan=ms.Scheduler(
                ms.paths.Straight(), ms.spacings.Even(1.0, 0.001), "flow_prediction", ms.solvers.PiFlow()
            ).plan(3),
        ),
    }.items():
        with pytest.raises(ms.ScheduleError, match=message):
            call()


def test_the_page_of_guidance_runs(backend, capsys):
    names = run_page((ROOT / "docs" / "guidance.md").read_text(encoding="utf-8"), backend, capsys)
    assert np.all(np.isfinite(backend.to_numpy(names["image"])))
