"""Our schedulers inside diffusers' pipelines: the latents are diffusers' own; files are read by both."""

import doctest
import inspect
import json
import runpy
import subprocess
import sys
from pathlib import Path

import diffusers
import pipelines
import pytest
import torch
from pipelines import STABLE, built, latents
from test_docstrings import each_option_has_a_line, has_a_docstring, has_an_example

import multisched as ms
from multisched.interop import diffusers as ours
from multisched.interop.diffusers import composed, patch
from multisched.interop.diffusers.composed import RecipeScheduler, as_scheduler

pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers warns of much

NOISE = [
    ("DDIMScheduler", {"clip_sample": False, "steps_offset": 1}),
    ("DDPMScheduler", {}),
    ("DEISMultistepScheduler", {}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    ("DPMSolverSDEScheduler", {"noise_sampler_seed": 5}),
    ("DPMSolverSinglestepScheduler", {}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("EulerDiscreteScheduler", {"prediction_type": "v_prediction"}),
    ("HeunDiscreteScheduler", {}),
    ("IPNDMScheduler", {}),
    ("KDPM2AncestralDiscreteScheduler", {}),
    ("KDPM2DiscreteScheduler", {}),
    ("LCMScheduler", {"original_inference_steps": 50}),
    ("LMSDiscreteScheduler", {}),
    ("PNDMScheduler", {"skip_prk_steps": True}),
    ("SASolverScheduler", {}),
    ("TCDScheduler", {}),
    ("UniPCMultistepScheduler", {}),
]
FLOW = [
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}),
    ("FlowMatchLCMScheduler", {"shift": 3.0}),
    ("UniPCMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}),
]


def _takes(make, case):
    """Whether diffusers' pipeline takes diffusers' scheduler."""
    name, options = case
    begins = name != "IPNDMScheduler" or make not in ("image_to_image", "inpaint")  # it has no add_noise
    return begins and not (make == "wan" and options.get("use_dynamic_shifting"))  # which gives no mu


CASES = [
    *((make, *one) for make in ("text_to_image", "image_to_image", "inpaint") for one in NOISE if _takes(make, one)),
    *(("xl", *one) for one in NOISE[:8]),
    *((make, *one) for make in ("three", "flux", "wan", "ltx") for one in FLOW if _takes(make, one)),
    ("three", "FlowMatchHeunDiscreteScheduler", {"shift": 3.0}),
    ("ddpm", "DDPMScheduler", {"variance_type": "fixed_small"}),
    ("ddpm", "DDPMScheduler", {"variance_type": "fixed_large"}),
]


def scheduler_of(name, options):
    kind = getattr(diffusers, name)
    trained = STABLE if "beta_start" in inspect.signature(kind).parameters else {}
    return kind(**{**trained, **options})


def far(one, other):
    return float((one - other).abs().max() / other.abs().max())


def said(case):
    make, name, options = case
    return "-".join([make, name, *(f"{key}={value}" for key, value in options.items())])


@pytest.mark.parametrize(("make", "name", "options"), [pytest.param(*one, id=said(one)) for one in CASES])
def test_a_patched_pipeline_gives_what_it_gave(make, name, options):
    pipe, given = built(getattr(pipelines, make), scheduler_of(name, options))
    theirs = latents(pipe, given)
    made = patch(pipe)
    assert type(pipe.scheduler) is type(made) is getattr(ours, name)
    assert not made._refused
    assert far(latents(pipe, given), theirs) < 1e-5


NARROW = [
    ("text_to_image", "EulerDiscreteScheduler", {}),
    ("text_to_image", "DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    ("image_to_image", "DDIMScheduler", {"clip_sample": False}),
    ("inpaint", "UniPCMultistepScheduler", {}),
    ("xl", "HeunDiscreteScheduler", {}),
    ("three", *FLOW[0]),
    ("flux", *FLOW[0]),
    ("wan", *FLOW[0]),
    ("ltx", *FLOW[0]),
]


@pytest.mark.parametrize(("make", "name", "options"), [pytest.param(*one, id=said(one)) for one in NARROW])
def test_bfloat16_pipelines_are_as_near_as_theirs(make, name, options):
    """Runs of half precision differ by its roundings, theirs from those of float32 too."""
    pipe, given = built(getattr(pipelines, make), scheduler_of(name, options))
    exact = latents(pipe, given)
    pipe.to(torch.bfloat16)
    given = {
        key: one.to(torch.bfloat16) if isinstance(one, torch.Tensor) and one.is_floating_point() else one
        for key, one in given.items()
    }
    theirs = latents(pipe, given)
    patch(pipe)
    mine = latents(pipe, given)
    assert mine.dtype == theirs.dtype
    assert far(mine.float(), exact) < 1.5 * far(theirs.float(), exact) + 4e-3


def test_a_saved_pipeline_is_read_by_diffusers_alone(tmp_path):
    pipe, given = built(pipelines.text_to_image, scheduler_of("DDIMScheduler", {}))
    patch(pipe, "DPMSolverMultistepScheduler", use_karras_sigmas=True)
    mine = latents(pipe, given)
    pipe.save_pretrained(tmp_path)
    named = json.loads((tmp_path / "model_index.json").read_text())["scheduler"]
    assert named == ["diffusers", "DPMSolverMultistepScheduler"]
    none = dict.fromkeys(("text_encoder", "tokenizer", "safety_checker", "feature_extractor", "image_encoder"))
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path, **none)
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded.scheduler) is diffusers.DPMSolverMultistepScheduler
    assert loaded.scheduler.config.use_karras_sigmas
    assert far(latents(loaded, given), mine) < 1e-5
    own = ours.DPMSolverMultistepScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    assert own.config == loaded.scheduler.config


def test_a_sampler_by_name_is_saved_and_loaded(tmp_path):
    pipe, given = built(pipelines.text_to_image, scheduler_of("EulerDiscreteScheduler", {}))
    patch(pipe, "res_multistep", spacing="karras")
    mine = latents(pipe, given)
    pipe.save_pretrained(tmp_path)
    none = dict.fromkeys(("text_encoder", "tokenizer", "safety_checker", "feature_extractor", "image_encoder"))
    loaded = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path, **none)
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded.scheduler) is diffusers.EulerDiscreteScheduler
    assert isinstance(patch(loaded), RecipeScheduler) and loaded.scheduler.config.spacing == "karras"
    assert torch.equal(latents(loaded, given), mine)
    again = RecipeScheduler.from_pretrained(tmp_path, subfolder="scheduler")
    assert again.recipe == pipe.scheduler.recipe and again.config.like == pipe.scheduler.config.like
    loaded.scheduler = diffusers.DDIMScheduler.from_config(loaded.scheduler.config)  # another since then
    assert type(patch(loaded)) is ours.DDIMScheduler
    script = (
        "import sys, diffusers\n"
        "loaded = diffusers.DiffusionPipeline.from_pretrained(sys.argv[1], **dict.fromkeys(sys.argv[2:]))\n"
        "print(type(loaded.scheduler).__module__, 'multisched' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script, tmp_path, *none], capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["diffusers.schedulers.scheduling_euler_discrete", "False"], found.stderr


def test_a_recipe_of_a_class_is_saved_as_it(tmp_path):
    as_scheduler(ms.FlowMatchEuler(shift=3.0)).save_pretrained(tmp_path)
    found = diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path)
    assert found.config.shift == 3.0


@pytest.mark.parametrize("like", [None, "scheduler"])
def test_a_sampler_is_saved_whatever_it_is_like(like, tmp_path):
    given = scheduler_of("DDIMScheduler", {}) if like else None
    made = RecipeScheduler("dpmpp_2m", like=given, spacing="karras")
    made.save_pretrained(tmp_path)
    assert type(diffusers.DDIMScheduler.from_pretrained(tmp_path)).__name__ == "DDIMScheduler"
    assert RecipeScheduler.from_pretrained(tmp_path).recipe == made.recipe


ROBOT = {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2"}


def actions(scheduler, held, steps=10):
    """The loop of robot policies: the first actions are set before each call, timesteps are whole numbers."""
    generator = torch.Generator().manual_seed(0)
    chunk = torch.randn(2, 16, 7, generator=generator)
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        chunk[:, : held.shape[1]] = held
        times = torch.full(chunk.shape[:1], t, dtype=torch.long)
        output = torch.tanh(1.3 * chunk) + 0.001 * times[:, None, None]
        chunk = scheduler.step(output, t, chunk, generator=generator).prev_sample
    return chunk


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler"])
def test_robot_policies_act_as_they_did(name, prediction):
    config = {**ROBOT, "prediction_type": prediction}
    theirs, mine = getattr(diffusers, name)(**config), getattr(ours, name)(**config)
    for held in (torch.zeros(2, 0, 7), torch.ones(2, 3, 7)):
        assert far(actions(mine, held), actions(theirs, held)) < 1e-5
        assert mine.timesteps.dtype == theirs.timesteps.dtype == torch.int64
    other = as_scheduler(ms.sampler("angle-adams", like=mine))
    assert bool(torch.isfinite(actions(other, torch.ones(2, 3, 7))).all())


@pytest.mark.parametrize("make", ["text_to_image", "image_to_image", "inpaint", "flux", "three", "wan"])
@pytest.mark.parametrize(
    "name", ["auto", "angle-adams", "res_multistep", "er_sde", "DPM++ 2M Karras", "dpmpp_sde", "heun"]
)
def test_samplers_by_name_run_in_pipelines(make, name):
    flow = make in ("flux", "three", "wan")
    old = scheduler_of(*FLOW[0]) if flow else scheduler_of("DDIMScheduler", {})
    pipe, given = built(getattr(pipelines, make), old)
    made = patch(pipe, name)
    assert bool(torch.isfinite(latents(pipe, given)).all())
    assert made.config.num_train_timesteps == 1000
    assert type(patch(pipe)) is getattr(ours, type(old).__name__)  # what the model came with is not forgotten


def test_a_recipe_of_one_step_solver_equals_the_class_of_diffusers():
    """Euler by name on the spacing of the pipeline's scheduler, and that scheduler's own steps."""
    pipe, given = built(pipelines.text_to_image, scheduler_of("EulerDiscreteScheduler", {}))
    theirs = latents(pipe, given)
    pipe.scheduler = as_scheduler(ms.from_diffusers(pipe.scheduler))
    assert far(latents(pipe, given), theirs) < 1e-5


def test_a_recipe_in_flux_takes_its_own_spacing_for_the_list_of_the_pipeline():
    recipe = ms.sampler("auto", like=ms.FlowMatchEuler(shift=3.0), calls=6)
    pipe, given = built(pipelines.flux, as_scheduler(recipe))
    latents(pipe, given)
    assert pipe.scheduler.timesteps.tolist() == pytest.approx(recipe.plan(6).timesteps.tolist())


def test_bad_input_of_patch_is_refused(tmp_path):
    pipe, _ = built(pipelines.text_to_image, scheduler_of("DDIMScheduler", {}))
    with pytest.raises(ms.ScheduleError, match="the name of a sampler is one of"):
        patch(pipe, "dpmpp_2n")
    with pytest.raises(ms.ScheduleError, match="patch takes a pipeline that has a scheduler"):
        patch("pipe")
    with pytest.raises(ms.ScheduleError, match="as_scheduler takes a recipe"):
        as_scheduler("euler")
    pipe.scheduler = as_scheduler(ms.sampler("angle-adams"))
    with pytest.raises(ms.ScheduleError, match="does not say which class the model came with"):
        patch(pipe, "euler")
    pipe.scheduler = scheduler_of("DDIMScheduler", {})
    with pytest.raises(ms.ScheduleError, match="has no configuration to save"):
        as_scheduler(ms.sampler("angle-adams", like=ms.FlowMatchEuler())).save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert type(pipe.scheduler) is diffusers.DDIMScheduler


@pytest.mark.parametrize("name", ["RecipeScheduler", "as_scheduler", "patch"])
def test_what_a_reader_finds_under_a_name(name):
    """As of the names that need no diffusers."""
    found = getattr(ours, name)
    for asked in (has_a_docstring, has_an_example, each_option_has_a_line):
        asked(name, found)


def test_the_examples_run(capsys):
    found = doctest.testmod(composed, extraglobs={"ms": ms})
    assert found.attempted > 0 and found.failed == 0
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "faces" / "diffusers_pipeline.py"))
    said = capsys.readouterr().out.splitlines()
    assert float(said[0].rpartition(" ")[2]) < 1e-5
    assert [line.partition(":")[0] for line in said[1:]] == ["DPM++ 2M Karras", "auto"]
