"""Our schedulers in a pipeline of diffusers: the same class with our steps, a sampler by name, and any recipe.

python examples/faces/diffusers_pipeline.py

The network is small and has random weights, so that nothing is downloaded: what counts is that the latents agree.
"""

import diffusers
import torch

import multisched as ms
from multisched.interop.diffusers import as_scheduler, patch

torch.manual_seed(0)
unet = diffusers.UNet2DConditionModel(
    block_out_channels=(4, 8),
    layers_per_block=1,
    sample_size=32,
    norm_num_groups=2,
    cross_attention_dim=32,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
)
vae = diffusers.AutoencoderKL(block_out_channels=[4], latent_channels=4, norm_num_groups=2)
pipe = diffusers.StableDiffusionPipeline(
    vae=vae,
    unet=unet,
    scheduler=diffusers.UniPCMultistepScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
    text_encoder=None,
    tokenizer=None,
    safety_checker=None,
    feature_extractor=None,
    requires_safety_checker=False,
)
pipe.set_progress_bar_config(disable=True)
words = torch.randn(1, 7, 32)


def draw() -> torch.Tensor:
    """What the pipeline gives, before its decoder."""
    given = {"prompt_embeds": words, "negative_prompt_embeds": 0 * words, "height": 32, "width": 32}
    generator = torch.Generator().manual_seed(0)
    return pipe(**given, num_inference_steps=10, generator=generator, output_type="latent").images


theirs = draw()
patch(pipe)  # the same class, with our steps
print(f"{type(pipe.scheduler).__name__}: differs by {float((draw() - theirs).abs().max() / theirs.abs().max()):.0e}")

patch(pipe, "DPM++ 2M Karras")  # a sampler by the name that people know it by
print(f"DPM++ 2M Karras: {draw().shape}")

pipe.scheduler = as_scheduler(ms.sampler("auto", like=ms.from_diffusers(pipe.scheduler.config.like), calls=10))
print(f"auto: {draw().shape}")
