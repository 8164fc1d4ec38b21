"""Recipes by the names of other programs."""

import numpy as np
import pytest
from test_comfy import CASES

import multisched as ms
from multisched import cli
from multisched.interop.samplers import NAMES, OTHERWISE, SCHEDULES, read

LIKE = {
    "stable diffusion": None,
    "vp": ms.DDIM(clip_sample=False),
    "v": ms.DDIM(clip_sample=False, prediction_type="v_prediction"),
    "edm": ms.EDMEuler(),
    "flow": ms.FlowMatchEuler(shift=3.0),
    "config": {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0},
    "path": ms.paths.Straight(),
}

pytestmark = pytest.mark.host


@pytest.mark.parametrize("like", LIKE.values(), ids=LIKE)
@pytest.mark.parametrize("name", NAMES)
def test_every_name_runs_on_every_path(name, like):
    plan = ms.sampler(name, like=like).plan(6)
    assert np.all(np.isfinite(plan.tableau.weights)) and (plan.sigmas[-1] == 0) == (name != "dpm_fast")
    assert np.all(np.diff(plan.sigmas) < 0)


@pytest.mark.parametrize("like", LIKE.values(), ids=LIKE)
def test_a_spacing_keeps_the_shift_of_the_recipe(like):
    if isinstance(like, ms.Recipe):
        wanted = like.plan(7, spacing="karras")
        found = ms.sampler("euler", like=like, spacing="karras").plan(7)
        np.testing.assert_array_equal(found.sigmas, wanted.sigmas)
        np.testing.assert_array_equal(found.timesteps, wanted.timesteps)
        own = ms.sampler("euler", like=like).plan(7)
        np.testing.assert_array_equal(own.sigmas, like.plan(7).sigmas)
    else:
        assert len(ms.sampler("euler", like=like, spacing="karras").plan(7)) == 7


@pytest.mark.parametrize(
    ("name", "key", "spacing"),
    [
        ("DPM++ 2M Karras", "dpmpp_2m", "karras"),
        ("DPM++ 2M SDE Heun Exponential", "dpmpp_2m_sde_heun", "exponential"),
        ("Euler a", "euler_ancestral", None),
        ("euler A SGM Uniform", "euler_ancestral", "sgm_uniform"),
        ("DPM2 a Beta", "dpm_2_ancestral", "beta_sigmas"),
        ("Heun Align Your Steps GITS", "heun", "align_your_steps_gits"),
        ("UniPC", "uni_pc", None),
        ("sample_dpmpp_2m_sde", "dpmpp_2m_sde", None),
        ("dpmpp_2m_sde_gpu", "dpmpp_2m_sde", None),
        ("Restart", "restart", None),
        ("Restart Exponential", "restart", "exponential"),
        ("DDIM", "ddim", None),
        ("DDIM DDIM", "ddim", "ddim_uniform"),
        ("PLMS", "plms", None),
        ("DDIM CFG++", "euler_cfg_pp", None),
        ("angle-adams", "angle_adams", None),
        ("AngleAdams", "angle_adams", None),
        ("Angle Adams Karras", "angle_adams", "karras"),
        ("Runge-Kutta", "rk4", None),
        ("DPM++ 3S", "dpmpp_3s", None),
        ("RES 2S SGM Uniform", "res_2s", "sgm_uniform"),
        ("uni-pc bh2", "uni_pc_bh2", None),
    ],
)
def test_names_as_people_write_them(name, key, spacing):
    assert ms.sampler(name) == ms.sampler(key, spacing=spacing)
    assert ms.sampler(name, spacing="simple") == ms.sampler(key, spacing="simple")


@pytest.mark.parametrize("schedule", ["", *SCHEDULES])
def test_a_name_with_a_schedule_type_means_one_thing(schedule):
    for word, key in {**OTHERWISE, **{name: name for name in NAMES}}.items():
        for written in (word, word.title(), word.replace("_", "-"), word.replace("pp", "++")):
            assert read(f"{written} {schedule}") == (key, SCHEDULES.get(schedule))


def test_names_of_our_own_are_those_solvers():
    assert ms.sampler("angle-adams").solver == ms.solvers.AngleAdams()
    auto = ms.sampler("auto", like=LIKE["flow"], calls=10, guidance=1.0).solver
    assert ms.sampler("angle-adams", like=LIKE["flow"], damping=auto.damping).solver == auto
    assert ms.sampler("plms", like=LIKE["vp"]).solver == ms.PNDM(skip_prk_steps=True).parts().solver
    assert ms.sampler("pndm", like=LIKE["vp"]).solver == ms.PNDM().parts().solver


def test_options_are_those_of_the_solver():
    assert ms.sampler("euler_ancestral", eta=0.5).solver == ms.solvers.DDIM(eta=0.5)
    assert ms.sampler("euler_ancestral", like=LIKE["flow"], eta=0.5).solver == ms.solvers.AncestralRF(eta=0.5)
    with pytest.raises(ms.ScheduleError, match="sampler 'heun' has no option 'eta'; it takes s_churn, s_tmin"):
        ms.sampler("heun", eta=1.0)
    with pytest.raises(ms.ScheduleError, match="eta must be"):
        ms.sampler("euler_ancestral", eta=-1.0)


@pytest.mark.parametrize("name", ["cubic", "", 3, None, "DPM++ 2M Cubic", "karras"])
def test_another_name_is_refused(name):
    with pytest.raises(ms.ScheduleError, match="the name of a sampler is one of ComfyUI's, k-diffusion's or A1111's"):
        ms.sampler(name)


def test_the_name_that_is_meant_is_told():
    with pytest.raises(ms.ScheduleError, match=r"did you mean 'dpmpp_2m_sde'\?"):
        ms.sampler("dpmpp_2m_sdf")
    with pytest.raises(ms.ScheduleError, match=r"did you mean 'angle_adams'\?"):
        ms.sampler("angel-adam")
    for given in ("karas", ""):
        with pytest.raises(ms.ScheduleError, match=r"spacing must be one of .*; given"):
            ms.sampler("euler", spacing=given)
    with pytest.raises(ms.ScheduleError, match="is no configuration"):
        ms.sampler("euler", like=3)


def test_lists_are_read_as_the_recipe_reads_them():
    recipe = ms.sampler("dpmpp_2m", like=ms.FlowMatchEuler(shift=3.0), spacing="karras")
    assert recipe.plan(sigmas=[0.9, 0.4]).sigmas.tolist() == [0.9, 0.4, 0.0]


def test_changes_of_x0_are_those_of_the_recipe():
    like = ms.DDIM(clip_sample_range=0.7)
    assert ms.sampler("heun", like=like).denoised_transform == like.parts().denoised_transform


def test_the_command_takes_the_names_too(capsys):
    assert cli.main(["show", "dpmpp_2m_sde", "--steps", "4", "--spacing", "karras"]) == 0
    assert "4 steps" in capsys.readouterr().out
    assert cli.main(["show", "DPM++ 2M Karras", "--steps", "4", "--set", "solver_order=3"]) == 0
    assert "before_that" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("sa_solver")])
def test_a_name_is_the_solver_that_comfyui_is_compared_with(name):
    """`test_comfy` compares the runs of these. SA-Solver's noise is on other timesteps there."""
    for like, case in zip((None, LIKE["flow"]), CASES[name], strict=True):
        if case is not None:
            assert ms.sampler(name, like=like).solver == (case[0] if isinstance(case, tuple) else case)


def test_dpm_adaptive_is_no_plan():
    with pytest.raises(ms.ScheduleError, match=r"run it by ms\.sample_adaptive"):
        ms.sampler("dpm_adaptive")
