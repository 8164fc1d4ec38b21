"""Pipelines of diffusers on small networks of random weights, built offline, without text encoders."""

import diffusers
import torch

STABLE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _vae(channels=4, **options):
    blocks = 2 if channels == 4 else 1
    return diffusers.AutoencoderKL(
        block_out_channels=[4, 8][:blocks],
        latent_channels=channels,
        norm_num_groups=2,
        down_block_types=["DownEncoderBlock2D"] * blocks,
        up_block_types=["UpDecoderBlock2D"] * blocks,
        **options,
    )


def _unet(channels=4, width=32, **options):
    return diffusers.UNet2DConditionModel(
        block_out_channels=(4, 8),
        layers_per_block=1,
        sample_size=32,
        in_channels=channels,
        out_channels=4,
        norm_num_groups=2,
        cross_attention_dim=width,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **options,
    )


def _stable(kind, scheduler):
    pipe = kind(
        vae=_vae(),
        text_encoder=None,
        tokenizer=None,
        unet=_unet(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    words = draw(1, 7, 32)
    return pipe, {"prompt_embeds": words, "negative_prompt_embeds": 0 * words, "guidance_scale": 5.0}


def text_to_image(scheduler):
    pipe, given = _stable(diffusers.StableDiffusionPipeline, scheduler)
    return pipe, {**given, "height": 32, "width": 32}


def image_to_image(scheduler):
    pipe, given = _stable(diffusers.StableDiffusionImg2ImgPipeline, scheduler)
    return pipe, {**given, "image": draw(1, 3, 32, 32).clamp(-1, 1), "strength": 0.6}


def inpaint(scheduler):
    pipe, given = _stable(diffusers.StableDiffusionInpaintPipeline, scheduler)
    mask = (torch.arange(32) > 12).float().expand(1, 1, 32, 32)
    image = draw(1, 3, 32, 32).clamp(-1, 1)
    return pipe, {**given, "image": image, "mask_image": mask, "strength": 0.8, "height": 32, "width": 32}


def xl(scheduler):
    unet = _unet(addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=80)
    parts = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    pipe = diffusers.StableDiffusionXLPipeline(vae=_vae(), unet=unet, scheduler=scheduler, **parts)
    words, pooled = draw(1, 7, 32), draw(1, 32)
    given = {"prompt_embeds": words, "negative_prompt_embeds": 0 * words, "pooled_prompt_embeds": pooled}
    return pipe, {**given, "negative_pooled_prompt_embeds": 0 * pooled, "height": 32, "width": 32}


def three(scheduler):
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=16,
        patch_size=1,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=32,
        pooled_projection_dim=64,
        out_channels=4,
    )
    names = ("text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")
    pipe = diffusers.StableDiffusion3Pipeline(
        transformer=transformer, vae=_vae(), scheduler=scheduler, **dict.fromkeys(names)
    )
    words, pooled = draw(1, 7, 32), draw(1, 64)
    given = {"prompt_embeds": words, "negative_prompt_embeds": 0 * words, "pooled_prompt_embeds": pooled}
    return pipe, {**given, "negative_pooled_prompt_embeds": 0 * pooled, "height": 32, "width": 32}


def flux(scheduler):
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 4, 8],
    )
    names = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    pipe = diffusers.FluxPipeline(transformer=transformer, vae=_vae(1), scheduler=scheduler, **dict.fromkeys(names))
    return pipe, {"prompt_embeds": draw(1, 7, 32), "pooled_prompt_embeds": draw(1, 32), "height": 32, "width": 32}


def wan(scheduler):
    vae = diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=16,
        out_channels=16,
        text_dim=32,
        freq_dim=256,
        ffn_dim=32,
        num_layers=1,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )
    pipe = diffusers.WanPipeline(
        tokenizer=None, text_encoder=None, transformer=transformer, vae=vae, scheduler=scheduler
    )
    words = draw(1, 7, 32)
    return pipe, {
        "prompt_embeds": words,
        "negative_prompt_embeds": 0 * words,
        "height": 32,
        "width": 32,
        "num_frames": 5,
    }


def ltx(scheduler):
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=32,
    )
    vae = diffusers.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False, False, False, False, False),
        upsample_residual=(False, False, False, False),
        upsample_factor=(1, 1, 1, 1),
        patch_size=1,
        patch_size_t=1,
    )
    pipe = diffusers.LTXPipeline(
        tokenizer=None, text_encoder=None, transformer=transformer, vae=vae, scheduler=scheduler
    )
    words, mask = draw(1, 7, 32), torch.ones(1, 7)
    given = {"prompt_embeds": words, "negative_prompt_embeds": 0 * words, "prompt_attention_mask": mask}
    return pipe, {**given, "negative_prompt_attention_mask": mask, "height": 32, "width": 32, "num_frames": 9}


def ddpm(scheduler):
    unet = diffusers.UNet2DModel(
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=8,
        in_channels=3,
        out_channels=3,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return diffusers.DDPMPipeline(unet, scheduler), {}


def built(make, scheduler):
    """A pipeline and what it is called with; the same weights each time."""
    torch.manual_seed(0)
    pipe, given = make(scheduler)
    pipe.set_progress_bar_config(disable=True)
    return pipe, given


def latents(pipe, given, steps=6):
    """What a pipeline gives, before the decoder."""
    torch.manual_seed(1)
    kind = "pil" if "DDPM" in type(pipe).__name__ else "latent"
    generator = torch.Generator().manual_seed(0)
    if kind == "pil":
        return torch.tensor(pipe(num_inference_steps=steps, generator=generator, output_type="np").images)
    return pipe(num_inference_steps=steps, generator=generator, output_type=kind, **given)[0]
