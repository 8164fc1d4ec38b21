"""Configurations of other programs, each with a report of what became of its keys.

python examples/faces/configs.py
"""

import multisched as ms

BETAS = {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2", "prediction_type": "epsilon"}
CONFIGS = {
    "diffusers": {"_class_name": "DDIMScheduler", **BETAS},
    "Hydra": {
        "_target_": "diffusers.schedulers.scheduling_ddpm.DDPMScheduler",
        "variance_type": "fixed_small",
        **BETAS,
    },
    "LeRobot": {"type": "diffusion", "noise_scheduler_type": "DDIM", "horizon": 16, **BETAS},
    "robomimic": {"algo": {"ddim": {"enabled": True, "num_inference_timesteps": 10, **BETAS}}},
    "MONAI": {"_target_": "monai.networks.schedulers.DDIMScheduler", "schedule": "scaled_linear_beta"},
    "maxdiffusion": {
        "diffusion_scheduler_config": {"_class_name": "FlaxDDIMScheduler", "timestep_spacing": "trailing"}
    },
    "ComfyUI": {
        "3": {
            "class_type": "KSampler",
            "inputs": {"seed": 1, "steps": 20, "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras"},
        }
    },
    "A1111": "a cat\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1",
}

recipes = {program: ms.from_config(config) for program, config in CONFIGS.items()}
for program, recipe in recipes.items():
    report = recipe.report
    print(f"{program:13} {recipe.plan(10)!r}  used: {', '.join(report.used)}; not: {', '.join(report.ignored) or '-'}")
print(f"the same sampler: {recipes['ComfyUI'].plan(20).tableau == recipes['A1111'].plan(20).tableau}")
