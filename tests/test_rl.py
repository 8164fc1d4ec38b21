"""Roll-outs and their log-probabilities: on policy the ratio is 1, and gradients are those of the closed form."""

import math

import numpy as np
import pytest

import multisched as ms
from multisched.rl import advantages, kl, noisy_rows, plan, ppo_clip, ratio, rescore, rollout, window

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FLOW, VP = ms.FlowMatchEuler(shift=3.0), ms.DDIM(clip_sample=False)
PLANS = {
    "ddpo": lambda: plan("ddpo", VP, 5),
    "flow_grpo": lambda: plan("flow_grpo", FLOW, 5),
    "dance_grpo": lambda: plan("dance_grpo", FLOW, 5),
    "flow_cps": lambda: plan("flow_cps", FLOW, 5, noise_level=0.5),
    "mix_grpo": lambda: plan("flow_grpo", FLOW, 6, window=(1, 3)),
    "multistep": lambda: ms.sampler("dpmpp_2m_sde", like=FLOW).plan(5),
}
SHAPE = (3, 4, 2)


def _model(backend):
    """A model that is no sum of its input."""

    def model(x, t):
        return backend.xp.sin(x * 1.3) * 0.7 + x * backend.astype(t, x.dtype) * 1e-4

    return model


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", PLANS)
def test_on_policy_the_ratio_is_one(name, dtype, compile, backend, device):
    if compile and (backend.name not in ("torch", "jax", "mlx") or (name, dtype) != ("flow_grpo", "float32")):
        return  # one method shows what the compilers do
    chosen, model = PLANS[name](), _model(backend)
    noise = ms.noise.normal(SHAPE, rng=0, backend=backend, device=device)
    noise = backend.astype(noise, backend.dtype("float32"))
    if dtype == "float16" and backend.name != "array_api_strict":  # which has no half precision
        noise = backend.astype(noise, backend.dtype("float16"))
    for reduce in ("sum", "mean", "none"):
        run = rollout(model, chosen, noise, rng=1, reduce=reduce, compile=compile)
        again = rescore(model, chosen, run, reduce=reduce, compile=compile)
        np.testing.assert_array_equal(backend.to_numpy(ratio(again.log_probs, run.log_probs)), 1.0)
        for one, other in zip(again, (run.log_probs, run.means, run.stds), strict=True):
            np.testing.assert_array_equal(backend.to_numpy(one), backend.to_numpy(other))
    rows = noisy_rows(chosen)
    part = rescore(model, chosen, run, rows=rows[-1:], reduce="none", compile=compile)
    np.testing.assert_array_equal(backend.to_numpy(part.log_probs)[0], backend.to_numpy(run.log_probs)[-1])
    assert tuple(run.log_probs.shape) == (len(rows), *SHAPE) and tuple(run.states.shape) == (len(chosen) + 1, *SHAPE)
    assert run.sample.dtype == noise.dtype


@pytest.mark.parametrize("name", PLANS)
def test_a_rollout_is_the_run_with_its_densities(name, make, backend, device):
    """The same samples as ms.sample's, and log-probabilities by the closed form in float64."""
    chosen, model = PLANS[name](), _model(backend)
    noise = ms.noise.normal(SHAPE, rng=0, backend=backend, device=device)
    run = rollout(model, chosen, noise, rng=1)
    sampled = ms.sample(model, chosen, noise, rng=1)
    np.testing.assert_array_equal(backend.to_numpy(run.sample), backend.to_numpy(sampled))
    states, means = (backend.to_numpy(one).astype(np.float64) for one in (run.states, run.means))
    (noises,) = (backend.to_numpy(one) for one in run.noises)
    for k, row in enumerate(noisy_rows(chosen)):
        std = float(backend.to_numpy(run.stds)[k])
        apart = states[row + 1] - means[k]
        np.testing.assert_allclose(apart / std, noises[k], atol=2e-5 / std + 1e-5)
        each = -0.5 * (apart / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)
        found = backend.to_numpy(run.log_probs)[k]
        np.testing.assert_allclose(found, each.sum(axis=(1, 2)), rtol=1e-6, atol=1e-5)
    for reduce, wanted in (("none", each), ("mean", each.mean(axis=(1, 2)))):
        found = ms.log_prob(run.states[row + 1, ...], run.means[k, ...], std, reduce)
        np.testing.assert_allclose(backend.to_numpy(found), wanted, rtol=1e-6, atol=1e-6)
        array = ms.log_prob(run.states[row + 1, ...], run.means[k, ...], run.stds[k, ...], reduce)
        np.testing.assert_allclose(backend.to_numpy(array), wanted, rtol=1e-5, atol=1e-5)


def test_log_probabilities_in_float64(make, backend, has_float64):
    """To 1e-12 of the closed form."""
    if not has_float64 or backend.name == "mlx":  # whose functions of float64 are those of float32
        return
    x, mean = np.random.default_rng(0).standard_normal((2, *SHAPE))
    each = -0.5 * ((x - mean) / 0.3) ** 2 - math.log(0.3) - 0.5 * math.log(2 * math.pi)
    for reduce, wanted in (("sum", each.sum((1, 2))), ("mean", each.mean((1, 2))), ("none", each)):
        found = backend.to_numpy(ms.log_prob(make(x, "float64"), make(mean, "float64"), 0.3, reduce))
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["ddpo", "flow_grpo", "mix_grpo"])
def test_gradients_are_the_closed_forms(name, make, backend, device):
    """d log p / d scale of a model scale * x, by (x' - mean) / std^2 * d mean / d output * x."""
    if backend.name not in ("torch", "jax"):
        return
    chosen = PLANS[name]()
    noise = ms.noise.normal(SHAPE, rng=0, backend=backend, device=device)
    run = rollout(lambda x, t: 0.7 * x, chosen, noise, rng=1)

    def total(scale):
        return backend.xp.sum(rescore(lambda x, t: scale * x, chosen, run).log_probs)

    if backend.name == "torch":
        scale = make(0.7).requires_grad_()
        total(scale).backward()
        found = float(scale.grad)
    else:
        found = float(__import__("jax").grad(total)(make(0.7)))
    states, means, stds = (backend.to_numpy(one).astype(np.float64) for one in (run.states, run.means, run.stds))
    wanted = 0.0
    for k, row in enumerate(noisy_rows(chosen)):
        weight = chosen.folded.weights[row, 0, len(chosen.tableau.registers)]
        wanted += np.sum((states[row + 1] - means[k]) / stds[k] ** 2 * weight * states[row])
    assert found == pytest.approx(wanted, rel=2e-4)


@pytest.mark.host
def test_plans_are_the_papers():
    ddpo, ddim = PLANS["ddpo"](), ms.DDIM(clip_sample=False, eta=1.0).plan(5)
    np.testing.assert_array_equal(ddpo.tableau.weights, ddim.tableau.weights)
    for name in ("flow_grpo", "dance_grpo", "flow_cps"):
        like = ms.sampler(name, like=FLOW).plan(5)
        np.testing.assert_array_equal(plan(name, FLOW, 5).tableau.weights, like.tableau.weights)
    for start, stop in ((0, 2), (2, 5), (4, 6), (0, 6), (5, 6)):
        mixed, whole = plan("flow_grpo", FLOW, 6, window=(start, stop)), plan("flow_grpo", FLOW, 6)
        assert noisy_rows(mixed) == tuple(range(start, stop))
        rows, euler = list(range(start, stop)), FLOW.plan(6).tableau.weights
        np.testing.assert_array_equal(mixed.tableau.weights[rows], whole.tableau.weights[rows])
        calm = [row for row in range(6) if row not in rows]
        np.testing.assert_allclose(mixed.tableau.weights[calm][:, :, :-1], euler[calm], rtol=1e-12, atol=1e-14)
    assert [window(k, 10) for k in (0, 24, 25, 50, 10**6)] == [(0, 4), (0, 4), (1, 5), (2, 6), (6, 10)]


def test_advantages_and_losses(make, backend):
    rng = np.random.default_rng(0)
    rewards = rng.standard_normal(12)
    groups = rewards.reshape(3, 4)
    wanted = ((groups - groups.mean(1, keepdims=True)) / (groups.std(1, keepdims=True) + 1e-4)).ravel()
    found = advantages(make(rewards), 4)
    np.testing.assert_allclose(backend.to_numpy(found), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(backend.to_numpy(advantages(make(np.full(4, 0.3)), 4)), 0.0)
    new, old = 0.3 * rng.standard_normal((2, 5, 12))
    r = np.exp(new - old)
    loss = -np.minimum(r * wanted, np.clip(r, 0.9, 1.1) * wanted)
    np.testing.assert_allclose(backend.to_numpy(ppo_clip(make(new), make(old), found, 0.1)), loss, rtol=1e-4, atol=1e-4)
    mean, other = rng.standard_normal((2, *SHAPE))
    for reduce, taken in (("sum", np.sum), ("mean", np.mean)):
        divergence = taken((mean - other) ** 2 / (2 * 0.4**2), axis=(1, 2))
        np.testing.assert_allclose(backend.to_numpy(kl(make(mean), make(other), 0.4, reduce)), divergence, rtol=1e-5)


def test_what_is_refused(make, backend):
    x, sde = make(np.ones(SHAPE)), PLANS["flow_grpo"]()
    model = _model(backend)
    run = rollout(model, sde, x)
    calls = [
        (lambda: rollout(model, FLOW.plan(4), x), "no step of FlowMatchEuler adds noise"),
        (lambda: rollout(model, FLOW, x), "a roll-out follows a plan"),
        (lambda: rollout(model, sde, x, reduce="median"), "reduce must be one of"),
        (lambda: ms.log_prob(x, x, 1.0, "all"), "reduce must be one of"),
        (lambda: rescore(model, plan("flow_grpo", FLOW, 6), run), "the roll-out has 5 rows, the plan 6"),
        (lambda: rescore(model, sde, run, rows=(9,)), "rows to score are some of those that add noise"),
        (lambda: plan("ppo", FLOW, 4), "method must be one of"),
        (lambda: plan("ddpo", VP, 4, window=(0, 2)), "'ddpo' has noise in every step"),
        (lambda: plan("flow_grpo", FLOW, 4, window=(2, 2)), "start < stop"),
        (lambda: plan("flow_grpo", FLOW, 4, window=(2, 9)), "a step of the window must be in 0..4"),
        (lambda: plan("flow_grpo", FLOW, 4, window=3), r"a window is \(start, stop\)"),
        (lambda: plan("flow_grpo", "sd3", 4), "like must be a recipe"),
        (lambda: window(0, 3, size=4), "size must be in 1..3"),
        (lambda: advantages(make(np.ones(5)), 2), "a whole number of groups of 2"),
        (lambda: ppo_clip(make([1.0]), make([1.0]), make([1.0]), 0.0), "clip must be a positive number"),
        (lambda: kl(x, x, 0.0), "std must be a positive number"),
    ]
    for call, message in calls:
        with pytest.raises(ms.ScheduleError, match=message):
            call()
