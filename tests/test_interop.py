"""Configurations of diffusers: read, written, and read again; what is reported of them and what is refused."""

import json
from dataclasses import fields

import pytest
from zoo import others

import multisched as ms
from multisched.interop.diffusers import PEERS, TOKENS

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


def test_every_class_of_diffusers_that_is_a_table_is_here():
    assert len(CONTINUOUS) == 46
    assert set(PEERS) == {f"{name}Scheduler" for name in CONTINUOUS}


@each_class
def test_reading_what_was_written(name):
    """A configuration comes back completed by defaults, and from it the same recipe."""
    for config in ({"_class_name": name}, varied(name)):
        recipe = ms.from_diffusers(config)
        written = recipe.to_diffusers()
        assert json.loads(json.dumps(written)) == written
        keys = {key: value for key, value in written.items() if not key.startswith("_")}
        assert set(keys) == set(PEERS[name].keys)
        assert written["_class_name"] == name
        for key, value in config.items():  # a value that diffusers takes for another may come back as that one
            assert written[key] == value or ms.from_diffusers({**config, key: written[key]}) == recipe
        for key, value in recipe.report.defaulted.items():
            assert written[key] == (list(value) if isinstance(value, tuple) else value)
        assert ms.from_diffusers(written) == recipe
        assert ms.from_diffusers(written).to_diffusers() == written


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
    assert report.ignored["no_such_key"] == f"{name} has no such key"
    assert all(report.ignored[key] == reason for key, reason in PEERS[name].ignored.items())
    assert all(line in str(report) for line in ("ignored no_such_key", f"{name}\n"))


@each_class
def test_a_peer_speaks_of_options_that_there_are(name):
    peer = PEERS[name]
    options = {one.name for one in fields(peer.recipe)}
    assert set(peer.ours) <= options
    assert set(peer.faithful) <= set(peer.ours)
    assert set(peer.renamed.values()) <= options
    assert not set(peer.ignored) & set(peer.keys)
    assert all(peer.ignored.values())


def test_recipes_of_ones_own_are_written_too():
    written = ms.FlowMatchEuler(shift=3.0, double_shift=True).to_diffusers()
    assert (written["_class_name"], written["shift"]) == ("FlowMatchEulerDiscreteScheduler", 3.0)
    with pytest.raises(ms.ScheduleError, match="diffusers has no scheduler that is Scheduler"):
        ms.Scheduler(ms.schedules.Flow(), "flow_prediction", ms.solvers.Euler()).to_diffusers()


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


def test_the_flax_classes_are_the_same():
    assert ms.from_diffusers({"_class_name": "FlaxDDIMScheduler"}) == ms.from_diffusers(
        {"_class_name": "DDIMScheduler"}
    )


@pytest.mark.parametrize("name", TOKENS)
def test_schedulers_of_tokens_are_refused_by_name(name):
    with pytest.raises(ms.ScheduleError, match=f"{name}Scheduler samples discrete tokens"):
        ms.from_diffusers({"_class_name": f"{name}Scheduler"})


def test_an_unknown_class_is_refused_with_those_that_are_known():
    for config in ({"_class_name": "NopeScheduler"}, {"shift": 1.0}):
        with pytest.raises(
            ms.ScheduleError, match=r"_class_name must be one of .*DDIMScheduler, .*; given '(Nope.*)?'"
        ):
            ms.from_diffusers(config)


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
