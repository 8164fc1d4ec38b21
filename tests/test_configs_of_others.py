"""`from_config` against the recipe that each configuration stands for."""

import pytest

import multisched as ms

pytestmark = pytest.mark.host

BETAS = {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2", "beta_start": 1e-4, "beta_end": 0.02}
ROBOT = {**BETAS, "prediction_type": "epsilon", "clip_sample": True}
INFOTEXT = (
    "a photo of a cat, detailed\nNegative prompt: blurry\n"
    "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x512, Model hash: abc"
)
NODE = {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 20, "cfg": 7.0, "sampler_name": "dpmpp_2m"}}
NODE["inputs"] |= {"scheduler": "karras", "denoise": 1.0, "model": ["4", 0]}
SHOWN = {"nodes": [{"type": "KSampler", "widgets_values": [1, "fixed", 20, 7.0, "dpmpp_2m", "karras", 1.0]}]}
PARTS = {
    "7": {
        "class_type": "BasicScheduler",
        "inputs": {"model": ["1", 0], "scheduler": "karras", "steps": 20, "denoise": 1.0},
    },
    "8": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "dpmpp_2m"}},
    "9": {"class_type": "SamplerCustomAdvanced", "inputs": {"sampler": ["8", 0], "sigmas": ["7", 0]}},
}
PARTS_SHOWN = {
    "nodes": [
        {"type": "KSamplerSelect", "widgets_values": ["dpmpp_2m"]},
        {"type": "BasicScheduler", "widgets_values": ["karras", 20, 1.0]},
    ]
}
KARRAS = ms.sampler("dpmpp_2m", spacing="karras")
DDIM = {"_class_name": "DDIMScheduler", **ROBOT}
MONAI = {"_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "clip_sample": False, "beta_start": 0.0015}
CASES = {
    "diffusers": (DDIM, DDIM),
    "hydra": ({"_target_": "diffusers.schedulers.scheduling_ddim.DDIMScheduler", **ROBOT}, DDIM),
    "lerobot": (
        {"type": "diffusion", "noise_scheduler_type": "DDIM", "horizon": 16, **ROBOT, "clip_sample_range": 1.0},
        DDIM,
    ),
    "robomimic": (
        {
            "algo": {
                "ddpm": {"enabled": False, "num_train_timesteps": 100},
                "ddim": {"enabled": True, "num_inference_timesteps": 10, **ROBOT, "set_alpha_to_one": True},
            }
        },
        DDIM,
    ),
    "monai": (
        {
            "_target_": "monai.networks.schedulers.DDIMScheduler",
            "num_train_timesteps": 1000,
            "schedule": "scaled_linear_beta",
            "beta_start": 0.0015,
            "beta_end": 0.0195,
            "clip_sample": False,
        },
        {**MONAI, "beta_end": 0.0195, "beta_schedule": "scaled_linear"},
    ),
    "monai's defaults": (
        {"_target_": "monai.networks.schedulers.ddpm.DDPMScheduler"},
        {"_class_name": "DDPMScheduler", "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"},
    ),
    "maxdiffusion": (
        {
            "pretrained_model_name_or_path": "org/model",
            "diffusion_scheduler_config": {
                "_class_name": "FlaxDDIMScheduler",
                "prediction_type": "v_prediction",
                "rescale_zero_terminal_snr": True,
                "timestep_spacing": "trailing",
            },
        },
        {
            "_class_name": "DDIMScheduler",
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": True,
            "timestep_spacing": "trailing",
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_configuration_is_that_of_diffusers(name):
    given, wanted = CASES[name]
    assert ms.from_config(given) == ms.from_diffusers(wanted)
    assert ms.from_config(given).report.class_name == wanted["_class_name"]


@pytest.mark.parametrize(
    "given", [INFOTEXT, INFOTEXT.splitlines()[-1], NODE, {"3": NODE, "4": {}}, SHOWN, PARTS, PARTS_SHOWN]
)
def test_a_sampler_of_a_program(given):
    recipe = ms.from_config(given)
    assert recipe.plan(20).tableau == KARRAS.plan(20).tableau
    assert any(key.lower() == "steps" for key in recipe.report.ignored)
    flow = ms.from_config(given, like=ms.FlowMatchEuler(shift=3.0))
    assert flow.parts().path == ms.paths.Straight()


def test_what_a_run_is_given_is_named():
    report = ms.from_config(INFOTEXT).report
    assert report.used == {"Sampler": "DPM++ 2M", "Schedule type": "Karras"}
    assert "is of a run" in report.ignored["CFG scale"] and "does not change" in report.ignored["Model hash"]
    robot = ms.from_config(CASES["lerobot"][0]).report
    assert "does not change" in robot.ignored["horizon"] and robot.used["beta_schedule"] == "squaredcos_cap_v2"
    assert "is of a run" in ms.from_config(CASES["robomimic"][0]).report.ignored["num_inference_timesteps"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"7": PARTS["7"]}, "this is no configuration of diffusers, Hydra"),
        ({"a": 1}, "this is no configuration of diffusers, Hydra"),
        ({"_target_": "monai.networks.schedulers.DDIMScheduler", "schedule": "sigmoid_beta"}, "of MONAI's schedules"),
        ({"algo": {"ddpm": {"enabled": False}, "ddim": {"enabled": False}}}, "robomimic has one of"),
        ("Steps: 20, Sampler: DPM++ 9M", "the name of a sampler is one of"),
        ("Steps: 20, Sampler: Euler, Schedule type: Curly", "A1111's schedule type 'Curly' is not known"),
        ({"class_type": "KSampler", "inputs": {"sampler_name": "eular"}}, "the name of a sampler is one of"),
        ({"noise_scheduler_type": "DDQM"}, "_class_name 'DDQMScheduler' is not known"),
        (3, "no configuration"),
    ],
)
def test_what_is_not_known_is_refused(given, said):
    with pytest.raises(ms.ScheduleError, match=said):
        ms.from_config(given)
