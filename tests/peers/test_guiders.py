"""Guidance against diffusers' guiders, on random outputs in float64 and random options."""

import numpy as np
import pytest
import torch
from diffusers import guiders as theirs

import multisched as ms
from multisched.guidance import (
    Level,
    apg,
    apg_mix,
    autoguidance,
    cfg,
    cfg_zero_star,
    interval,
    levels,
    magnitude_aware,
    perturbed_attention,
    rescale,
    tangential,
)

COUNT, STEPS = 25, 20


def _outputs(rng, count=3):
    shape = (int(rng.integers(1, 4)), *rng.integers(1, 6, rng.integers(1, 4)).tolist(), 5)
    shared = rng.standard_normal(shape)
    return [torch.tensor(shared + 0.5 * rng.standard_normal(shape)) for _ in range(count)]


def _scale(rng, original):
    return float(rng.uniform(0.2, 12.0)) + (0.0 if original else 0.1)


def _theirs(kind, step, *outputs, state=None, **options):
    guider = state or kind(**options)
    guider.set_state(step, STEPS, torch.tensor(0))
    if state is None or step == 0:
        with torch.no_grad():
            guider.prepare_inputs({})
    return guider(*[]) if not outputs else guider.forward(*outputs).pred


def _level(step):
    return Level(0.6, 0.8, step, STEPS)


def _rescaled(guidance, share):
    return guidance | rescale(share) if share else guidance


def _check(guidance, level, outputs, wanted, names=("conditional", "unconditional", "perturbed"), memory=()):
    given = dict(zip(names, outputs, strict=False))
    found, memory = guidance.step(given, level, None, memory)
    size = float(wanted.abs().max())
    np.testing.assert_allclose(
        found.numpy(), wanted.numpy(), rtol=0, atol=1e-6 * max(size, 1.0), err_msg=repr(guidance)
    )
    return memory


@pytest.fixture(params=range(COUNT))
def rng(request):
    return np.random.default_rng(request.param)


def _common(rng):
    """(scale, whether it is the paper's, rescale): options that all of them have."""
    original = bool(rng.integers(2))
    return _scale(rng, original), original, float(rng.choice([0.0, 0.7, 1.0]))


def test_classifier_free_guidance(rng):
    scale, original, share = _common(rng)
    start, stop = sorted(rng.uniform(0, 1, 2).tolist())
    options = {"guidance_scale": scale, "guidance_rescale": share, "use_original_formulation": original}
    outputs, step = _outputs(rng), int(rng.integers(STEPS))
    wanted = _theirs(theirs.ClassifierFreeGuidance, step, *outputs[:2], start=start, stop=stop, **options)
    _check(_rescaled(interval(cfg(scale, original), start, stop, "progress"), share), _level(step), outputs, wanted)


def test_no_guidance_is_none_there_too(rng):
    outputs = _outputs(rng)
    for scale, original in ((1.0, False), (0.0, True)):
        wanted = _theirs(
            theirs.ClassifierFreeGuidance, 3, *outputs[:2], guidance_scale=scale, use_original_formulation=original
        )
        _check(cfg(scale, original), _level(3), outputs, wanted)
        assert cfg(scale, original).at(_level(3)).branches == ("conditional",)


def test_zero_star(rng):
    """Their sums are in float32, whatever the outputs."""
    scale, _, share = _common(rng)
    zeros, step = int(rng.integers(3)), int(rng.integers(6))
    share = share if step >= zeros else 0.0  # theirs divides by the deviation 0
    outputs = _outputs(rng)
    wanted = _theirs(
        theirs.ClassifierFreeZeroStarGuidance,
        step,
        *outputs[:2],
        guidance_scale=scale,
        zero_init_steps=zeros,
        guidance_rescale=share,
    )
    _check(_rescaled(cfg_zero_star(scale, zeros, on="output"), share), _level(step), outputs, wanted)


@pytest.mark.parametrize("momentum", [None, -0.75, 0.4])
def test_adaptive_projected_guidance(rng, momentum):
    """Several calls, with the memory of those before."""
    scale, original, share = _common(rng)
    eta, threshold = float(rng.uniform(0, 1.2)), float(rng.choice([0.0, 0.5, 3.0, 15.0]))
    guider = theirs.AdaptiveProjectedGuidance(
        guidance_scale=scale,
        adaptive_projected_guidance_momentum=momentum,
        adaptive_projected_guidance_rescale=threshold,
        eta=eta,
        guidance_rescale=share,
        use_original_formulation=original,
    )
    # From the conditional output, theirs has the whole scale as its weight, ours what it is beyond 1.
    ours = apg(
        scale + original,
        eta,
        threshold or np.inf,
        momentum or 0.0,
        on="output",
        base="conditional" if original else "unconditional",
    )
    guidance = _rescaled(ours, share)
    shape = _outputs(rng, 1)[0].shape
    memory = guidance.start(torch.zeros(shape, dtype=torch.float64))
    for step in range(3):
        outputs = [torch.tensor(rng.standard_normal(shape)) for _ in range(2)]
        guider.set_state(step, STEPS, torch.tensor(0))
        guider.prepare_inputs({})
        memory = _check(guidance, _level(step), outputs, guider.forward(*outputs).pred, memory=memory)


@pytest.mark.parametrize("momentum", [None, -0.75])
def test_adaptive_projected_mix(rng, momentum):
    """Through the step at which its halves change places, and both ends of its interval."""
    scale, original, share = _common(rng)
    first, eta = _scale(rng, original), float(rng.uniform(0, 1.2))
    threshold, start_step = float(rng.choice([0.0, 0.5, 3.0, 15.0])), int(rng.integers(-1, 5))
    start, stop = 0.1, 0.4
    guider = theirs.AdaptiveProjectedMixGuidance(
        guidance_scale=first,
        guidance_rescale=share,
        adaptive_projected_guidance_scale=scale,
        adaptive_projected_guidance_momentum=momentum,
        adaptive_projected_guidance_rescale=threshold,
        eta=eta,
        use_original_formulation=original,
        start=start,
        stop=stop,
        adaptive_projected_guidance_start_step=start_step,
    )
    ours = apg_mix(
        scale + original,
        eta,
        threshold or np.inf,
        momentum or 0.0,
        base="conditional" if original else "unconditional",
        first=first + original,
        steps=start_step + 1,
    )
    guidance = _rescaled(interval(ours, start, stop, "progress"), share)
    shape = _outputs(rng, 1)[0].shape
    memory = guidance.start(torch.zeros(shape, dtype=torch.float64))
    for step in range(10):
        outputs = [torch.tensor(rng.standard_normal(shape)) for _ in range(2)]
        guider.set_state(step, STEPS, torch.tensor(0))
        guider.prepare_inputs({})
        memory = _check(guidance, _level(step), outputs, guider.forward(*outputs).pred, memory=memory)


def test_what_the_mix_is_by_default():
    guider = theirs.AdaptiveProjectedMixGuidance()
    found = apg_mix()
    assert (found.scale, found.first, found.threshold) == (
        guider.adaptive_projected_guidance_scale,
        guider.guidance_scale,
        guider.adaptive_projected_guidance_rescale,
    )
    assert (found.eta, found.momentum) == (guider.eta, guider.adaptive_projected_guidance_momentum)
    assert found.steps == guider.adaptive_projected_guidance_start_step + 1


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        (theirs.PerturbedAttentionGuidance, "perturbed_guidance"),
        (theirs.SkipLayerGuidance, "skip_layer_guidance"),
        (theirs.SmoothedEnergyGuidance, "seg_guidance"),
    ],
)
def test_perturbed_branches(rng, kind, prefix):
    scale, original, share = _common(rng)
    other, outputs = float(rng.uniform(0.5, 4.0)), _outputs(rng)
    step, (start, stop) = int(rng.integers(STEPS)), sorted(rng.uniform(0, 1, 2).tolist())
    wanted = _theirs(
        kind,
        step,
        *outputs,
        guidance_scale=scale,
        guidance_rescale=share,
        use_original_formulation=original,
        **{f"{prefix}_scale": other, f"{prefix}_start": start, f"{prefix}_stop": stop, f"{prefix}_layers": [0]},
    )
    first = int(start * STEPS) + 1  # theirs leaves out the first step of the interval too
    perturbed = perturbed_attention(other)
    last = int(stop * STEPS)
    guidance = cfg(scale, original)
    if first < last:
        guidance = guidance | interval(perturbed, (first + 0.5) / STEPS, (last + 0.5) / STEPS, "progress")
    _check(_rescaled(guidance, share), _level(step), outputs, wanted)


def test_perturbed_alone_counts_from_the_perturbed_branch_there(rng):
    """Without classifier-free guidance theirs is perturbed + scale * (conditional - perturbed): ours with one less."""
    outputs, scale = _outputs(rng), float(rng.uniform(1.5, 4.0))
    wanted = _theirs(
        theirs.SkipLayerGuidance,
        5,
        outputs[0],
        None,
        outputs[2],
        guidance_scale=1.0,
        skip_layer_guidance_scale=scale,
        skip_layer_guidance_start=0.0,
        skip_layer_guidance_stop=1.0,
        skip_layer_guidance_layers=[0],
    )
    _check(perturbed_attention(scale - 1.0), _level(5), outputs, wanted)


def test_auto_guidance(rng):
    scale, original, share = _common(rng)
    outputs = _outputs(rng, 2)
    wanted = _theirs(
        theirs.AutoGuidance,
        3,
        *outputs,
        guidance_scale=scale,
        auto_guidance_layers=[0],
        dropout=0.1,
        guidance_rescale=share,
        use_original_formulation=original,
    )
    guidance = _rescaled(autoguidance(scale + original), share)
    _check(guidance, _level(3), outputs, wanted, names=("conditional", "weak"))


def test_tangential(rng):
    """Theirs takes the singular vectors in float32; as its scale is the original one's, so is the kept part's."""
    scale, _, share = _common(rng)
    outputs = _outputs(rng, 2)
    wanted = _theirs(theirs.TangentialClassifierFreeGuidance, 3, *outputs, guidance_scale=scale, guidance_rescale=share)
    found = _rescaled(tangential(scale), share)(dict(zip(("conditional", "unconditional"), outputs, strict=True)))
    size = float(wanted.abs().max())
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=2e-5 * max(size, 1.0))


def test_magnitude_aware(rng):
    """Of flat samples: theirs takes no norm over three axes."""
    scale, original, share = _common(rng)
    damping, outputs = float(rng.uniform(0.0, 9.0)), _outputs(rng, 2)
    wanted = _theirs(
        theirs.MagnitudeAwareGuidance,
        3,
        *(one.flatten(1) for one in outputs),
        guidance_scale=scale,
        alpha=damping,
        guidance_rescale=share,
        use_original_formulation=original,
    )
    wanted = wanted.reshape(outputs[0].shape)
    _check(_rescaled(magnitude_aware(scale + original, damping), share), _level(3), outputs, wanted)


def test_ltx_2_joins_three_branches(rng):
    """On x0, which LTX-2's loop makes of the velocity before it calls the guider."""
    outputs = _outputs(rng, 4)
    scale, stg, modality = rng.uniform(1.5, 6.0, 3).tolist()
    share = float(rng.choice([0.0, 0.7]))
    wanted = _theirs(
        theirs.LTX2Guidance,
        3,
        *outputs,
        guidance_scale=scale,
        stg_scale=stg,
        modality_scale=modality,
        guidance_rescale=share,
    )
    ours = cfg(scale) | perturbed_attention(stg) | autoguidance(modality, branch="isolated")
    names = ("conditional", "unconditional", "perturbed", "isolated")
    _check(_rescaled(ours, share), _level(3), outputs, wanted, names=names)


def test_in_a_run_of_theirs():
    """Twenty steps of their scheduler with their guider, and ours through ms.sample."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(STEPS)
    noise = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    conditions = {"conditional": torch.tensor(0.7), "unconditional": torch.tensor(-0.2)}

    def model(x, t, condition):
        return x * 0.3 - condition * torch.exp(-0.1 * x * x)

    guider = theirs.AdaptiveProjectedGuidance(5.0, -0.5, 2.0, eta=0.3, guidance_rescale=0.5, start=0.2, stop=0.8)
    x = noise
    for step, t in enumerate(scheduler.timesteps):
        guider.set_state(step, STEPS, t)
        guider.prepare_inputs({})
        outputs = [model(x, t, one) for one in conditions.values()][: guider.num_conditions]
        x = scheduler.step(guider.forward(*outputs).pred, t, x, return_dict=False)[0]
    ours = interval(apg(5.0, 0.3, 2.0, -0.5, on="output", base="unconditional"), 0.2, 0.8, "progress") | rescale(0.5)
    plan = ms.from_diffusers(scheduler).plan(STEPS)
    assert len(levels(plan)) == STEPS
    found = ms.sample(model, plan, noise, guidance=ours, conditions=conditions)
    np.testing.assert_allclose(found.numpy(), x.numpy(), atol=1e-5)
