"""Inpainting by blending against diffusers' pipeline, on a small network of random weights."""

import diffusers
import numpy as np
import pipelines
import pytest
import torch

import multisched as ms

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of the pipeline, about its image

SCHEDULERS = {
    "ddim": (diffusers.DDIMScheduler, {"clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False}),
    "euler": (diffusers.EulerDiscreteScheduler, {"timestep_spacing": "leading", "steps_offset": 1}),
    "dpm": (diffusers.DPMSolverMultistepScheduler, {"steps_offset": 1}),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("strength", [1.0, 0.8])
def test_inpainting(name, strength):
    kind, options = SCHEDULERS[name]
    scheduler = kind(**pipelines.STABLE, **options)
    pipe, given = pipelines.built(pipelines.inpaint, scheduler)
    kept = {}

    def keeping(part, method, **more):
        def keep(*args, **named):
            kept[part] = method(*args, **{**named, **more})
            return kept[part]

        setattr(pipe, part, keep)

    keeping("prepare_latents", pipe.prepare_latents, return_noise=True, return_image_latents=True)
    keeping("prepare_mask_latents", pipe.prepare_mask_latents)
    theirs = pipelines.latents(pipe, {**given, "strength": strength}, steps=8)
    _, noise, image = kept["prepare_latents"]
    mask = kept["prepare_mask_latents"][0].chunk(2)[0]
    words = torch.cat([given["negative_prompt_embeds"], given["prompt_embeds"]])

    @torch.no_grad()
    def model(x, t):
        without, with_words = pipe.unet(torch.cat([x, x]), t, encoder_hidden_states=words).sample.chunk(2)
        return without + given["guidance_scale"] * (with_words - without)

    plan = ms.from_diffusers(scheduler).plan(8, strength=strength)
    ours = ms.editing.inpaint(model, plan, noise, image, 1 - mask)
    assert 0 < mask.mean() < 1
    np.testing.assert_allclose(ours, theirs, atol=2e-4 * float(theirs.abs().max()))
