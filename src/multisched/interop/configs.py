"""Recipes from the configurations of other programs than diffusers, each with a report of its keys."""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from multisched.errors import ScheduleError
from multisched.interop.diffusers import Report, from_diffusers, source
from multisched.interop.samplers import SCHEDULES, sampler
from multisched.schedulers import Recipe

LEROBOT = (
    "num_train_timesteps",
    "beta_schedule",
    "beta_start",
    "beta_end",
    "prediction_type",
    "clip_sample",
    "clip_sample_range",
)
ROBOMIMIC = ("ddpm", "ddim")
MONAI_SCHEDULES = {"linear_beta": "linear", "scaled_linear_beta": "scaled_linear"}
MONAI_DEFAULTS = {"schedule": "linear_beta", "beta_start": 1e-4, "beta_end": 2e-2}
WIDGETS = {
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": ("add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler"),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
}
"""What ComfyUI keeps of a node in the order of its widgets."""
_RUN = "is of a run, not of the sampler: give it to plan, or to what calls the model"
_ELSE = "does not change the sampler"


def from_config(config: Any, like: Any = None) -> Recipe:
    """The recipe that a configuration says.

        diffusers      as `from_diffusers` takes it
        Hydra          a node with `_target_`, of a scheduler class of diffusers or MONAI
        LeRobot        a policy's config: noise_scheduler_type and its keys
        robomimic      algo.ddpm or algo.ddim, the one that is enabled, or the config that has them
        maxdiffusion   diffusion_scheduler_config, or the config that has it
        ComfyUI        a KSampler node, or a workflow with one, in either of its formats; KSamplerSelect and
                       BasicScheduler too
        A1111          the text that it writes into pictures, or its line "Steps: 20, Sampler: DPM++ 2M, ..."

    Args:
        config: a mapping, a path or a text.
        like: for ComfyUI and A1111, what the model was trained on, see `sampler`; None for Stable Diffusion.

    Raises:
        ScheduleError: if it is none of these, or says what multisched does not have.

    Example:
        >>> recipe = ms.from_config("Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7")
        >>> recipe.plan(20)
        <Scheduler: 20 steps, 20 model calls, order 2, deterministic>
        >>> dict(recipe.report.ignored)["Steps"]
        'is of a run, not of the sampler: give it to plan, or to what calls the model'
    """
    if isinstance(config, str) and "Sampler:" in config:
        return _a1111(config, like)
    if not isinstance(config, Mapping):
        return from_diffusers(config)
    if isinstance(config.get("diffusion_scheduler_config"), Mapping):
        config = config["diffusion_scheduler_config"]
    if "rescale_zero_terminal_snr" in config:
        renamed = {"rescale_zero_terminal_snr": "rescale_betas_zero_snr"}
        config = {renamed.get(key, key): value for key, value in config.items()}
    if "_class_name" in config:
        return from_diffusers(config)
    if isinstance(config.get("_target_"), str):
        return from_diffusers(_monai(config) if "schedule" in config or "monai" in config["_target_"] else config)
    if "noise_scheduler_type" in config:
        used = {key: config[key] for key in LEROBOT if key in config}
        return _noting(
            from_diffusers({"_class_name": f"{config['noise_scheduler_type']}Scheduler", **used}), config, used
        )
    if (found := _robomimic(config)) is not None:
        return found
    if (node := _ksampler(config)) is not None:
        return _comfy(node, like)
    raise ScheduleError(
        "this is no configuration of diffusers, Hydra, LeRobot, robomimic, MONAI, maxdiffusion, ComfyUI or A1111; "
        f"given {source.brief(config)}."
    )


def _monai(config: Mapping[str, Any]) -> dict[str, Any]:
    """MONAI's keys as diffusers': its betas have other names.

    Raises:
        ScheduleError: if they are of a kind that diffusers does not have.
    """
    given = {**MONAI_DEFAULTS, **{key: value for key, value in config.items() if key[0] != "_"}}
    schedule = given.pop("schedule")
    if schedule not in MONAI_SCHEDULES:
        raise ScheduleError(
            f"of MONAI's schedules {', '.join(MONAI_SCHEDULES)} are read; given {source.brief(schedule)}."
        )
    name = config["_target_"].rpartition(".")[2]
    return {"_class_name": name, "beta_schedule": MONAI_SCHEDULES[schedule], **given}


def _robomimic(config: Mapping[str, Any]) -> Recipe | None:
    algo = config.get("algo", config)
    parts = {name: algo.get(name) for name in ROBOMIMIC} if isinstance(algo, Mapping) else {}
    enabled = [name for name, one in parts.items() if isinstance(one, Mapping) and one.get("enabled")]
    if not any(isinstance(one, Mapping) and "enabled" in one for one in parts.values()):
        return None
    if len(enabled) != 1:
        raise ScheduleError(f"robomimic has one of algo.ddpm and algo.ddim enabled; here {enabled or 'none'} is.")
    given: Any = parts[enabled[0]]
    used = {key: value for key, value in given.items() if key not in ("enabled", "num_inference_timesteps")}
    return _noting(from_diffusers({"_class_name": f"{enabled[0].upper()}Scheduler", **used}), given, used)


def _ksampler(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """(class, inputs) of the first node that names a sampler; KSamplerSelect's with those of the BasicScheduler."""
    listed = config.get("nodes")
    nodes = listed if isinstance(listed, list) else [config, *(v for v in config.values() if isinstance(v, Mapping))]
    found: dict[str, Mapping[str, Any]] = {}
    for node in nodes:
        if not isinstance(node, Mapping):
            continue
        kind, inputs = node.get("class_type") or node.get("type"), node.get("inputs")
        if kind in WIDGETS and isinstance(node.get("widgets_values"), list):
            inputs = {name: v for name, v in zip(WIDGETS[kind], node["widgets_values"], strict=False) if name}
        if (
            kind in WIDGETS
            and isinstance(inputs, Mapping)
            and not inputs.keys().isdisjoint(("sampler_name", "scheduler"))
        ):
            found.setdefault(kind, inputs)
    for kind, inputs in found.items():
        if "sampler_name" in inputs:
            return kind, {**found.get("BasicScheduler", {}), **inputs}
    return None


def _comfy(node: tuple[str, Mapping[str, Any]], like: Any) -> Recipe:
    kind, inputs = node
    recipe = sampler(inputs["sampler_name"], like=like, spacing=inputs.get("scheduler"))
    used = {key: inputs[key] for key in ("sampler_name", "scheduler") if key in inputs}
    return _noting(recipe, inputs, used, f"ComfyUI's {kind}")


def _a1111(text: str, like: Any) -> Recipe:
    line = next(one for one in reversed(text.splitlines()) if "Sampler:" in one)
    found = dict(re.findall(r"\s*([\w /]+):\s*(\"[^\"]*\"|[^,]*)(?:,|$)", line))
    name, schedule = found.get("Sampler", "").strip(), found.get("Schedule type", "Automatic").strip()
    if schedule != "Automatic" and schedule.lower() not in SCHEDULES:
        raise ScheduleError(f"A1111's schedule type {source.brief(schedule)} is not known.")
    recipe = sampler(name if schedule == "Automatic" else f"{name} {schedule}", like=like)
    return _noting(recipe, found, {key: found[key] for key in ("Sampler", "Schedule type") if key in found}, "A1111")


def _noting(recipe: Recipe, given: Mapping[str, Any], used: Mapping[str, Any], name: str = "") -> Recipe:
    """A recipe whose report says what became of each key."""
    before = recipe.report
    runs = (
        "steps",
        "seed",
        "cfg",
        "denoise",
        "noise_seed",
        "add_noise",
        "num_inference_timesteps",
        "num_inference_steps",
    )
    ignored = {
        key: _RUN if key.lower() in (*runs, "cfg scale", "denoising strength") else _ELSE
        for key in given
        if key not in used
    }
    if isinstance(before, Report):
        return replace(recipe, report=replace(before, ignored=MappingProxyType({**before.ignored, **ignored})))
    return replace(recipe, report=Report(name, MappingProxyType(dict(used)), MappingProxyType(ignored), defaulted={}))
