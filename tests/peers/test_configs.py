"""Keys and defaults of configurations against the signatures of diffusers' classes."""

import ast
import inspect
import json
from dataclasses import fields
from pathlib import Path

import pytest
from classes import class_of, defaults_of

import multisched as ms
from multisched.interop.diffusers import PEERS

# Keys that are not of the class itself, but count where a configuration of another class was left behind.
INHERITED = {
    "DDIMInverseScheduler": {"set_alpha_to_zero"},  # an old name
    "LTXEulerAncestralRFScheduler": {  # those of FlowMatchEuler
        "shift", "use_dynamic_shifting", "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len",
        "invert_sigmas", "shift_terminal", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
        "time_shift_type", "sigma_min", "sigma_max",
    },
}  # fmt: skip
HIDDEN = {"sigma_min", "sigma_max"}  # of a class with Karras's sigmas, which reads them and does not list them
CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.json"))


def reads(name):
    """Every attribute of `self.config` that the code of a class asks for."""
    tree = ast.parse(Path(inspect.getfile(class_of(name).set_timesteps)).read_text())
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "config"
    }


@pytest.mark.parametrize("name", sorted(PEERS))
def test_every_key_that_a_class_reads_is_one_of_its_peer(name):
    """Those too that it does not list."""
    unused = {"num_train_timesteps"} if name == "DDPMWuerstchenScheduler" else set()  # in its length alone
    assert reads(name) <= {*PEERS[name].keys, *PEERS[name].ignored} | unused


def plain(value):
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", sorted(PEERS))
def test_keys_and_defaults(name):
    """Every key is an option or ignored with a reason, and an option's default is the class's."""
    peer, theirs = PEERS[name], defaults_of(name)
    inherited = INHERITED.get(name, set())
    hidden = HIDDEN - inherited if "use_karras_sigmas" in peer.keys else set()
    assert {*peer.keys, *peer.ignored} == set(theirs) | inherited | hidden
    assert hidden <= set(theirs) | reads(name)
    ours = {one.name: one.default for one in fields(peer.recipe) if one.compare}
    for key, option in peer.keys.items():
        if theirs.get(key, inspect.Parameter.empty) is not inspect.Parameter.empty:
            assert plain(theirs[key]) == plain(ours[option]), key


@pytest.mark.parametrize("name", sorted(PEERS))
def test_defaults_of_what_diffusers_is_given_in_a_call(name):
    """Options of ours that are arguments of `step` or `set_timesteps` there."""
    given = {}
    for method in ("step", "set_timesteps"):
        if called := getattr(class_of(name), method, None):
            given |= {key: one.default for key, one in inspect.signature(called).parameters.items()}
    for one in fields(PEERS[name].recipe):
        theirs = given.get(one.name)
        if one.compare and one.name not in PEERS[name].keys.values() and isinstance(theirs, (int, float)):
            assert one.default == theirs, one.name


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_published_configuration_means_what_diffusers_reads_in_it(path):
    config = json.loads(path.read_text())
    name = config["_class_name"].removeprefix("Flax")
    theirs = class_of(name).from_config(config).config
    written = ms.to_diffusers(ms.from_diffusers(config))
    for key in defaults_of(name):
        if key in PEERS[name].keys:
            assert plain(written[key]) == plain(theirs[key]), key
