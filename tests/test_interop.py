"""Configurations of diffusers: read, written, and read again; what is reported of them and what is refused."""

import dataclasses
import json
import pickle
import sys
import typing
from dataclasses import fields, replace

import numpy as np
import pytest
from made import flow, quirked
from zoo import others

import multisched as ms
from multisched.interop.diffusers import PEERS, TOKENS
from multisched.schedulers.base import SETTINGS

# The scheduler classes of diffusers 0.42.1, but for the five of discrete tokens.
CONTINUOUS = [
    "CMStochasticIterative",
    "CogVideoXDDIM",
    "CogVideoXDPM",
    "ConsistencyDecoder",
    "CosineDPMSolverMultistep",
    "DDIM",
    "DDIMInverse",
    "DDIMParallel",
    "DDPM",
    "DDPMParallel",
    "DDPMWuerstchen",
    "DEISMultistep",
    "DPMSolverMultistep",
    "DPMSolverMultistepInverse",
    "DPMSolverSDE",
    "DPMSolverSinglestep",
    "EDMDPMSolverMultistep",
    "EDMEuler",
    "EulerAncestralDiscrete",
    "EulerDiscrete",
    "FlowMapEulerDiscrete",
    "FlowMatchEulerDiscrete",
    "FlowMatchHeunDiscrete",
    "FlowMatchLCM",
    "Helios",
    "HeliosDMD",
    "HeunDiscrete",
    "IPNDM",
    "KDPM2AncestralDiscrete",
    "KDPM2Discrete",
    "KarrasVe",
    "LCM",
    "LMSDiscrete",
    "LTXEulerAncestralRF",
    "MiniMaxH3",
    "PNDM",
    "Piflow",
    "RFD4Proteina",
    "RePaint",
    "SASolver",
    "SCM",
    "ScoreSdeVe",
    "ScoreSdeVp",
    "TCD",
    "UnCLIP",
    "UniPCMultistep",
]

each_class = pytest.mark.parametrize("name", sorted(PEERS))


def varied(name):
    """A configuration of a class with another value than the default wherever one goes with the rest."""
    config = {"_class_name": name}
    for key, option in PEERS[name].keys.items():
        recipe = ms.from_diffusers(config)
        for value in others(recipe, option):
            if isinstance(value, ms.solvers.Solver):  # no part of a file
                continue
            given = {**config, key: list(value) if isinstance(value, tuple) else value}
            try:
                found = ms.from_diffusers(given)
            except ms.ScheduleError:
                continue
            if found != recipe:
                config = given
                break
    return config


@pytest.mark.host
def test_every_class_of_diffusers_that_is_a_table_is_here():
    assert len(CONTINUOUS) == 46
    assert set(PEERS) == {f"{name}Scheduler" for name in CONTINUOUS}


@pytest.mark.host
@each_class
def test_reading_what_was_written(name):
    """A configuration comes back completed by defaults, and from it the same recipe."""
    for config in ({"_class_name": name}, varied(name)):
        recipe = ms.from_diffusers(config)
        written = ms.to_diffusers(recipe)
        assert json.loads(json.dumps(written)) == written
        keys = {key: value for key, value in written.items() if not key.startswith("_")}
        assert set(keys) == set(PEERS[name].keys)
        assert written["_class_name"] == name
        for key, value in config.items():  # a value that diffusers takes for another may come back as that one
            assert written[key] == value or ms.from_diffusers({**config, key: written[key]}) == recipe
        for key, value in recipe.report.defaulted.items():
            assert written[key] == (list(value) if isinstance(value, tuple) else value)
        assert ms.from_diffusers(written) == recipe
        assert ms.to_diffusers(ms.from_diffusers(written)) == written


@pytest.mark.host
@each_class
def test_the_report_has_every_key_once(name):
    config = {**varied(name), "_diffusers_version": "0.42.1", "no_such_key": 1, **dict.fromkeys(PEERS[name].ignored)}
    recipe = ms.from_diffusers(config)
    report = recipe.report
    assert report.class_name == name
    assert not set(report.used) & set(report.ignored)
    assert {*report.used, *report.ignored} == set(config)
    assert {*report.used, *report.defaulted} == set(PEERS[name].keys)
    assert all(report.used[key] == config[key] for key in report.used)
    assert report.ignored["no_such_key"].startswith(f"{name} has no such key")
    assert all(report.ignored[key] == reason for key, reason in PEERS[name].ignored.items())
    assert all(line in str(report) for line in ("ignored no_such_key", f"{name}\n"))


@pytest.mark.host
@each_class
def test_a_peer_speaks_of_options_that_there_are(name):
    peer = PEERS[name]
    options = {one.name for one in fields(peer.recipe) if one.name not in SETTINGS}
    assert set(peer.ours) <= options
    assert set(peer.faithful) <= set(peer.ours)
    assert set(peer.renamed.values()) <= options
    assert not set(peer.ignored) & set(peer.keys)
    assert all(peer.ignored.values())


@pytest.mark.host
def test_recipes_of_ones_own_are_written_too():
    written = ms.to_diffusers(quirked(ms.FlowMatchEuler(shift=3.0), "double_shift"))
    assert (written["_class_name"], written["shift"]) == ("FlowMatchEulerDiscreteScheduler", 3.0)
    with pytest.raises(ms.ScheduleError, match="diffusers has no scheduler that is Scheduler"):
        ms.to_diffusers(ms.Scheduler(*flow(), "flow_prediction", ms.solvers.Euler()))


@pytest.mark.host
def test_files_and_folders_are_read(tmp_path):
    config = {"_class_name": "DDIMScheduler", "clip_sample": False}
    pipeline = tmp_path / "pipeline" / "scheduler"
    pipeline.mkdir(parents=True)
    file = pipeline / "scheduler_config.json"
    file.write_text(json.dumps(config))
    recipe = ms.from_diffusers(config)
    for place in (file, str(file), pipeline, pipeline.parent):
        assert ms.from_diffusers(place) == recipe
    for text, says in (("{", "is not JSON"), ("[1]", "must hold a JSON object; it holds a list")):
        file.write_text(text)
        with pytest.raises(ms.ScheduleError, match=says):
            ms.from_diffusers(file)
    with pytest.raises(ms.ScheduleError, match=r"there is no scheduler_config\.json at"):
        ms.from_diffusers(tmp_path)


@pytest.mark.host
def test_the_flax_classes_are_the_same():
    assert ms.from_diffusers({"_class_name": "FlaxDDIMScheduler"}) == ms.from_diffusers(
        {"_class_name": "DDIMScheduler"}
    )


@pytest.mark.host
@pytest.mark.parametrize("name", TOKENS)
def test_schedulers_of_tokens_are_refused_by_name(name):
    with pytest.raises(ms.ScheduleError, match=f"{name}Scheduler samples discrete tokens"):
        ms.from_diffusers({"_class_name": f"{name}Scheduler"})


@pytest.mark.host
def test_an_unknown_class_is_refused_with_those_that_are_known():
    for config in ({"_class_name": "NopeScheduler"}, {"shift": 1.0}):
        with pytest.raises(ms.ScheduleError, match=r"_class_name 'Nope.*' is not known; it must|names no class; add"):
            ms.from_diffusers(config)


@pytest.mark.host
@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"_class_name": "DDIMScheduler", "beta_schedule": "nope"}, "must be one of 'linear', .*; given 'nope'"),
        ({"_class_name": "DDIMScheduler", "clip_sample": "yes"}, "clip_sample must be True or False; given 'yes'"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": None}, "shift must be a number; given None"),
    ],
)
def test_unknown_values_are_refused(config, says):
    with pytest.raises(ms.ScheduleError, match=says):
        ms.from_diffusers(config)


COSMOS = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    "sigma_max": 80.0,
}


@pytest.mark.host
def test_levels_above_1_are_those_of_an_exploding_path():
    """Karras et al. 2022, eq. 5, with rho = 7; each step is sample + (sigma_next - sigma) * output."""
    plan = ms.from_diffusers(COSMOS).plan(4)
    wanted = [(80 ** (1 / 7) + k / 3 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for k in range(4)]
    np.testing.assert_allclose(plan.sigmas, [*wanted, 0], rtol=1e-12)
    np.testing.assert_allclose(plan.timesteps, 1000 * np.array(wanted), rtol=1e-6)
    steps = np.stack([np.ones(4), np.diff(plan.sigmas)], axis=1)
    np.testing.assert_allclose(plan.tableau.fold().weights[:, 0], steps, rtol=1e-12)
    assert plan.grid.init_noise_sigma == pytest.approx(80)


@pytest.mark.host
@pytest.mark.parametrize("kind", ["karras", "exponential", "beta"])
def test_hidden_ends_count_in_every_class_that_reads_them(kind):
    """DPMSolverSDE's and LMS's form of Karras's sigmas does not."""
    flag = f"use_{kind}_sigmas"
    for name, peer in PEERS.items():
        if flag not in peer.keys or "sigma_max" not in peer.keys:
            continue
        config = {"_class_name": name, flag: True, "sigma_min": 0.05, "sigma_max": 0.9}
        plain = ms.from_diffusers({"_class_name": name, flag: True}).plan(5)
        found = ms.from_diffusers(config).plan(5)
        blind = kind == "karras" and name in ("DPMSolverSDEScheduler", "LMSDiscreteScheduler")
        assert np.array_equal(found.sigmas, plain.sigmas) == blind, name


@pytest.mark.host
def test_what_another_class_had_by_default_is_not_read():
    config = {"_class_name": "DDIMScheduler", "beta_end": 0.3, "_use_default_values": ["beta_end"]}
    recipe = ms.from_diffusers(config)
    assert recipe == ms.from_diffusers({"_class_name": "DDIMScheduler"})
    assert "beta_end" in recipe.report.defaulted


@pytest.mark.host
def test_a_report_cannot_be_written_to_and_pickles():
    report = ms.from_diffusers({"_class_name": "DDIMScheduler", "rescale_zero_terminal_snr": True}).report
    with pytest.raises(TypeError):
        report.used["eta"] = 1
    assert pickle.loads(pickle.dumps(report)) == report
    assert "did you mean rescale_betas_zero_snr?" in report.ignored["rescale_zero_terminal_snr"]


@pytest.mark.host
@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "a NoneType is no configuration"),
        (b"x", "a bytes is no configuration"),
        ([1], "a list is no configuration"),
        ({"_class_name": "DDIMScheduler", 5: 1}, "keys of a configuration are strings; given 5"),
        ({"_class_name": ["DDIMScheduler"]}, "must be one name"),
        ({"_class_name": "FluxPipeline"}, "is a pipeline's"),
        ({"_class_name": "EulerScheduler"}, "did you mean EulerDiscreteScheduler"),
        ({"_class_name": "DDIMScheduler", "beta_schedule": {"a": 1}}, "beta_schedule"),
        ({"_class_name": "DDIMScheduler", "beta_end": 10**400}, "DDIMScheduler|beta_end"),
        ({}, "names no class"),
    ],
)
def test_what_is_no_configuration_gets_a_sentence(config, says):
    with pytest.raises(ms.ScheduleError, match=says) as caught:
        ms.from_diffusers(config)
    assert len(str(caught.value)) < 400


@pytest.mark.host
def test_files_that_are_no_configuration_get_a_sentence(tmp_path):
    for content in (b"\xff\xfe", b"[" * 100_000, b" " * (17 * 2**20), b"[1]", b"{"):
        (tmp_path / "scheduler_config.json").write_bytes(content)
        with pytest.raises(ms.ScheduleError) as caught:
            ms.from_diffusers(tmp_path)
        assert len(str(caught.value)) < 400


@pytest.mark.host
def test_objects_and_hydra_targets_are_read():
    class DDIMScheduler:
        config: typing.ClassVar = {"clip_sample": False, "_class_name": "EulerDiscreteScheduler"}

    wanted = ms.from_diffusers({"_class_name": "DDIMScheduler", "clip_sample": False})
    assert ms.from_diffusers(DDIMScheduler()) == wanted
    assert ms.from_diffusers({"_target_": "diffusers.DDIMScheduler", "clip_sample": False}) == wanted


@pytest.mark.host
@pytest.mark.parametrize("name", sorted(PEERS))
def test_reproduced_defects_are_those_that_change_a_run(name):
    """One sentence for each, where the mended recipe is another; and the report outlives changes and pickles."""
    recipe = ms.from_diffusers({"_class_name": name})
    for quirk in recipe.quirks:
        mended = replace(recipe, quirks=tuple(one for one in recipe.quirks if one != quirk))
        if _plan(mended) != _plan(recipe):
            assert quirk.says in recipe.report.reproduced, quirk.name
        assert mended.report == recipe.report
    assert recipe.report.reproduced == pickle.loads(pickle.dumps(recipe)).report.reproduced
    assert recipe == dataclasses.replace(recipe, report=None)
    assert all(line in str(recipe.report) for line in recipe.report.reproduced)


def _plan(recipe):
    plan = recipe.plan(4)
    return plan.timesteps.tolist(), plan.sigmas.tolist(), plan.tableau, plan.noise_transform


@pytest.mark.host
def test_defects_are_told_where_they_matter():
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    twice = "The shift is applied twice, and to given sigmas too."
    assert twice not in ms.from_diffusers(config).report.reproduced
    assert twice in ms.from_diffusers(config | {"shift": 3.0}).report.reproduced
    assert ms.from_diffusers({"_class_name": "TCDScheduler"}).report.reproduced == ()
    dpm = {"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3}
    assert "third order" in ms.from_diffusers(dpm).report.reproduced[0]


@pytest.mark.host
def test_levels_above_one_are_no_straight_path():
    recipe = ms.from_diffusers(
        {
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "use_karras_sigmas": True,
            "sigma_min": 0.002,
            "sigma_max": 80.0,
        }
    )
    x = np.ones((1, 2), np.float32)
    with pytest.raises(ms.ScheduleError, match="neither straight nor variance preserving"):
        recipe.get_velocity(x, x, 500.0)
    np.testing.assert_allclose(recipe.add_noise(x, x, 500.0), x + 0.5 * x)


CROSSED = [
    ({"prediction_type": "v_prediction", "use_flow_sigmas": True}, "read by the other's formula"),
    ({"prediction_type": "flow_prediction"}, "read by the other's formula"),
    (
        {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "use_karras_sigmas": True, "sigma_max": 0.9},
        "taken for sigmas as they are",
    ),
]


@pytest.mark.host
@pytest.mark.parametrize("name", ["DPMSolverMultistep", "DPMSolverSinglestep", "DEISMultistep", "SASolver"])
@pytest.mark.parametrize(("config", "says"), CROSSED)
def test_keys_of_two_paths(name, config, says):
    """They are a quirk of the recipe, said in its report; without it the recipe is that of the papers."""
    recipe = ms.from_diffusers({"_class_name": f"{name}Scheduler", **config})
    (mixed,) = (quirk for quirk in recipe.quirks if quirk.name in ("misread", "unconverted"))
    assert says in mixed.says and mixed.says in recipe.report.reproduced
    mended = replace(recipe, quirks=tuple(quirk for quirk in recipe.quirks if quirk != mixed))
    assert mended != recipe and _plan(mended) != _plan(recipe)
    assert pickle.loads(pickle.dumps(recipe)) == recipe and hash(recipe) == hash(dataclasses.replace(recipe))


@pytest.mark.host
def test_ratios_above_one_are_converted():
    """diffusers takes them for sigmas too, and computes NaN: ours is sigma / alpha of the straight path."""
    config = {"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True, "use_karras_sigmas": True}
    recipe = ms.from_diffusers({**config, "prediction_type": "flow_prediction"})
    assert "unconverted" not in map(repr, recipe.quirks) and np.all(np.isfinite(recipe.plan(5).tableau.weights))


@pytest.mark.host
@pytest.mark.parametrize("quirks", [None, "misread", ["misread"], ("misread",)])
def test_quirks_are_a_tuple_of_them(quirks):
    with pytest.raises(ms.ScheduleError, match="quirks must be a tuple of"):
        ms.DDIM(quirks=quirks)


BETAS = np.linspace(1e-4, 0.02, 1100).tolist()
LENIENT = [
    ("DDIM", {"sample_max_value": 0.5}, "sample_max_value must be at least 1; given 0.5."),
    ("DDIM", {"sample_max_value": 0.5, "thresholding": True}, "sample_max_value must be at least 1; given 0.5."),
    ("DDIM", {"sample_max_value": -1.0}, "sample_max_value must be at least 1; given -1.0."),
    ("DEISMultistep", {"dynamic_thresholding_ratio": 0.0}, "dynamic_thresholding_ratio must be in (0, 1]; given 0.0."),
    ("DDIM", {"trained_betas": BETAS}, "trained_betas must be 1000 numbers in (0, 1)"),
    ("EulerDiscrete", {"trained_betas": BETAS[:900]}, "trained_betas must be 1000 numbers in (0, 1)"),
    ("DDIM", {"trained_betas": [*BETAS[:999], 1.0]}, "trained_betas must be 1000 numbers in (0, 1)"),
    (
        "DDIM",
        {"beta_end": 1.0, "num_train_timesteps": 20},
        "beta_start and beta_end must obey 0 < beta_start <= beta_end < 1",
    ),
    ("DPMSolverMultistep", {"beta_start": 0.03}, "beta_start and beta_end must obey 0 < beta_start <= beta_end < 1"),
    ("DDPM", {"clip_sample": False, "clip_sample_range": 0.0}, "clip_sample_range must be positive; given 0.0."),
    ("DDIM", {"clip_sample": 1}, "clip_sample 1 counts as True."),
    ("EulerDiscrete", {"steps_offset": 1.0}, "steps_offset 1.0 counts as 1."),
    ("DPMSolverMultistep", {"solver_order": 5}, "solver_order 5 counts as 3."),
    ("SASolver", {"variance_type": "other"}, "variance_type 'other' counts as None."),
    ("FlowMatchEulerDiscrete", {"shift_terminal": 0.0}, "shift_terminal 0.0 counts as None."),
]


@pytest.mark.host
@pytest.mark.parametrize(("name", "config", "says"), LENIENT)
def test_what_is_accepted_only_if_not_strict(name, config, says):
    """tests/peers/test_lenient.py compares the runs with diffusers'."""
    config = {"_class_name": f"{name}Scheduler", **config}
    with pytest.raises(ms.ScheduleError):
        ms.from_diffusers(config)
    recipe = ms.from_diffusers(config, strict=False)
    assert [one for one in recipe.report.accepted if "alpha is 0" not in one] == [recipe.report.accepted[0]]
    assert recipe.report.accepted[0].startswith(says)
    assert f"accepted {recipe.report.accepted[0]}" in str(recipe.report)
    assert pickle.loads(pickle.dumps(recipe)).report == recipe.report
    assert np.all(np.isfinite(recipe.plan(5, start=1).tableau.weights))
    with pytest.raises(ms.ScheduleError):
        dataclasses.replace(recipe, strict=True).plan(5) if "counts" not in says else ms.from_diffusers(config)


@pytest.mark.host
def test_several_values_are_each_told():
    config = {"_class_name": "DDIMScheduler", "sample_max_value": 0.5, "beta_start": 0.03, "clip_sample": 1}
    accepted = ms.from_diffusers(config, strict=False).report.accepted
    assert sorted(one.split(" ")[0] for one in accepted) == ["beta_start", "clip_sample", "sample_max_value"]
    assert ms.from_diffusers({"_class_name": "DDIMScheduler"}, strict=False).report.accepted == ()


@pytest.mark.host
def test_a_run_is_refused_where_it_cannot_be_stepped():
    """Nothing is known of x0 at alpha = 0; the rest of the run is."""
    config = {"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    recipe = ms.from_diffusers(config, strict=False)
    assert recipe.report.accepted == (
        "A run that visits timestep 999 is refused, where the output says nothing of x0: alpha is 0.",
    )
    with pytest.raises(ms.ScheduleError, match=r"says nothing of x0 at timestep 999.*or begin after it, with start=1"):
        recipe.plan(5)
    assert np.all(np.isfinite(recipe.plan(5, start=1).tableau.weights))


@pytest.mark.host
def test_timesteps_beyond_the_betas_have_their_last_level():
    recipe = ms.DPMSolverMultistep(trained_betas=BETAS[:900], strict=False)
    assert recipe.plan(5).sigmas[0] == recipe.levels(899)[1]
    with pytest.raises(ms.ScheduleError, match="timesteps 999 and 949 have one noise level"):
        recipe.plan(20)


@pytest.mark.host
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DDIM", "DDIMScheduler"),
        ("DDIMSchedular", "DDIMScheduler"),
        ("Euler", "EulerDiscreteScheduler"),
        ("EulerAncestralScheduler", "EulerAncestralDiscreteScheduler"),
        ("UniPC", "UniPCMultistepScheduler"),
        ("FlowMatchEulerScheduler", "FlowMatchEulerDiscreteScheduler"),
    ],
)
def test_the_class_that_is_meant_is_named(name, meant):
    with pytest.raises(ms.ScheduleError, match=rf"did you mean {meant}\?"):
        ms.from_diffusers({"_class_name": name})


@pytest.mark.host
@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if any(q.name == "told" for q in peer.quirks)])
def test_a_part_of_a_run_has_the_timesteps_of_the_whole(name):
    recipe = ms.from_diffusers({"_class_name": name})
    if name == "EulerDiscreteScheduler":
        recipe = replace(recipe, timestep_type="continuous", prediction_type="v_prediction", quirks=PEERS[name].quirks)
    whole = recipe.plan(9)
    after = np.asarray(whole.rows.step)[:, 0] >= 4
    np.testing.assert_array_equal(recipe.plan(9, start=4).timesteps, whole.timesteps[after])
    exact = replace(recipe, quirks=tuple(one for one in recipe.quirks if one.name != "told")).plan(9).timesteps
    np.testing.assert_allclose(whole.timesteps, exact, rtol=2e-4, atol=1e-4)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the Hub as huggingface_hub keeps it, with one repository, and no network."""
    from huggingface_hub import constants

    commit = "a" * 40
    home = tmp_path / "models--org--model"
    for folder, name in (("scheduler", "EulerDiscreteScheduler"), ("other", "DDIMScheduler")):
        place = home / "snapshots" / commit / folder
        place.mkdir(parents=True)
        (place / "scheduler_config.json").write_text(json.dumps({"_class_name": name, "steps_offset": 1}))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return commit


@pytest.mark.host
def test_a_repository_of_the_hub_is_read_from_its_cache(hub):
    assert ms.from_diffusers("org/model").report.class_name == "EulerDiscreteScheduler"
    assert ms.from_diffusers("org/model", subfolder="other").report.class_name == "DDIMScheduler"
    assert ms.from_diffusers("org/model", revision=hub).steps_offset == 1


@pytest.mark.host
def test_what_the_hub_does_not_have_is_said(hub):
    with pytest.raises(ms.ScheduleError, match="'org/other'"):
        ms.from_diffusers("org/other")
    with pytest.raises(ms.ScheduleError, match="'org/model'"):
        ms.from_diffusers("org/model", subfolder="nowhere")
    with pytest.raises(ms.ScheduleError, match="subfolder= is for a folder or a repository of the Hub; given a dict"):
        ms.from_diffusers({"_class_name": "DDIMScheduler"}, subfolder="scheduler")


@pytest.mark.host
def test_without_huggingface_hub_the_way_to_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ms.ScheduleError, match="there is no folder 'org/model'; to read it from the Hub, pip install"):
        ms.from_diffusers("org/model")
