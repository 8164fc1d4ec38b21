"""The command: names, list, show, completion, and what it says when it cannot."""

import json
import re
import shlex
from pathlib import Path

import pytest

import multisched as ms
from multisched import cli
from multisched.cli import names
from multisched.cli.curves import Curves
from multisched.interop import samplers
from multisched.interop.diffusers import PEERS
from multisched.options import options_of

CONFIG = str(Path(__file__).parent / "configs" / "sdxl-base-1.0.json")
pytestmark = pytest.mark.host


@pytest.fixture
def run(capsys):
    """run("show ddim"): what is printed."""

    def printed(line):
        assert cli.main(shlex.split(line)) == 0
        return capsys.readouterr().out

    return printed


@pytest.fixture
def refuse(capsys):
    """refuse("show nope"): the sentence that the command ends with, and the usage before it."""

    def said(line):
        with pytest.raises(SystemExit) as stop:
            cli.main(shlex.split(line))
        assert stop.value.code == 2
        usage, *_, last = capsys.readouterr().err.splitlines()
        command = line.split()[0]
        assert last.startswith((f"multisched {command}: error: ", "multisched: error: ")) and last.endswith(".")
        assert usage.startswith("usage: multisched")
        return f"{usage}\n{last}"

    return said


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *(
            (name, "flow-match-heun")
            for name in ("flow-match-heun", "FlowMatchHeun", "flowmatchheun", "FLOW-MATCH-HEUN")
        ),
        ("unipc", "unipc-multistep"),
        ("UniPCMultistepScheduler", "unipc-multistep"),
        ("uni-pc-multistep", "unipc-multistep"),
        ("edm-dpm", "edm-dpm-solver-multistep"),
        ("cogvideox-ddim", "cogvideox-ddim"),
        ("dpm++", "dpm-solver-multistep"),
        ("FlowMatchEulerDiscreteScheduler", "flow-match-euler"),
        ("DDIMParallelScheduler", "ddim"),
        ("deis-multistep", "deis-multistep"),
    ],
)
def test_a_scheduler_by_the_names_that_people_use(name, found):
    key, recipe = cli.recipe_of(name)
    assert key == found and type(recipe) is cli.recipes()[found]


def test_every_class_of_diffusers_and_of_ours_has_its_name():
    assert set(names.NAMES.values()) == set(ms.schedulers.named())
    for name, peer in PEERS.items():
        assert cli.recipe_of(name) == (names.named(peer.recipe.__name__), peer.recipe())
    for name in ms.schedulers.named():
        assert cli.recipe_of(name)[1] == getattr(ms.schedulers, name)()


@pytest.mark.parametrize("name", ["dpmpp_2m_sde", "deis", "sample_dpmpp_2m", "DPM++ 2M SDE Karras", "Euler a", "rk4"])
def test_a_sampler_by_the_names_of_comfyui_k_diffusion_and_a1111(name):
    assert cli.recipe_of(name) == (name, ms.sampler(name))


def test_settings_are_the_options_of_a_scheduler_or_of_a_samplers_solver():
    assert cli.recipe_of("flow-match-heun", ["shift=3"])[1] == ms.FlowMatchHeun(shift=3.0)
    assert cli.recipe_of("dpmpp_2m_sde", ["eta=0.5"])[1] == ms.sampler("dpmpp_2m_sde", eta=0.5)
    assert cli.recipe_of("euler_cfg_pp", ["s_churn=1.5"])[1] == ms.sampler("euler_cfg_pp", s_churn=1.5)


def test_the_list_has_a_line_for_each_scheduler_and_the_names_of_the_samplers(run):
    lines = run("list").splitlines()
    for name, kind in cli.recipes().items():
        assert sum(line.split()[:2] == [name, kind.__name__] for line in lines) == 1
    assert any(line.split() == ["flow-match-heun", "FlowMatchHeun", "2", "1", "to", "2", "no"] for line in lines)
    assert any(re.fullmatch(r" +ddpm +DDPM +- +1 +yes, weak order 1", line) for line in lines)
    told = " ".join(lines).split("--family samplers")[1]
    assert set(re.findall(r"\w+", told)) > set(samplers.NAMES)
    assert max(map(len, lines)) <= 100


def test_a_family_alone_and_as_json(run):
    one = run("list --family score")
    assert "score-sde-ve" in one and "ddim" not in one
    assert len(run("list --family samplers").splitlines()) == 2 + len(samplers.NAMES)
    listed = json.loads(run("list --json"))
    assert [one["name"] for one in listed] == [*names.NAMES, *samplers.NAMES]
    by_name = {one["name"]: one for one in listed if one["family"] != "samplers"}
    assert by_name["flow-match-heun"] == {
        "name": "flow-match-heun",
        "class": "FlowMatchHeun",
        "family": "flow",
        "order": 2,
        "weak_order": 2,
        "calls_a_step": [1, 2],
        "stochastic": False,
        "noise_draws_a_call": 0,
    }
    assert by_name["ddpm"]["stochastic"]


@pytest.mark.parametrize("name", cli.recipes())
def test_show_prints_options_table_and_levels(run, name):
    text = run(f"show {name} --steps 5")
    recipe = cli.recipe_of(name)[1]
    assert text.startswith(f"{name}: {type(recipe).__name__}, ")
    assert f"\ntable\n{recipe.plan(5)}\n\nlevels\n  from sigma " in text
    listed = text.split("\ntable\n")[0]
    for option in options_of(type(recipe)):
        assert option in ("quirks", "report", "strict") or re.search(rf"^[ *] +{option} ", listed, re.MULTILINE)


def test_show_marks_what_differs_and_takes_options(run):
    text = run("show DDIM --steps 3 --set eta=0.5 clip_sample=false --set trained_betas=null")
    assert f"\n{ms.DDIM(eta=0.5, clip_sample=False).plan(3)}\n" in text
    assert re.search(r"^\* +eta +0.5 +\(default 0.0\) ", text, re.MULTILINE)
    assert len(re.findall(r"^\*", text, re.MULTILINE)) == 2
    text = run("show FlowMatchEuler --steps 3 --set use_dynamic_shifting=True --mu 1.1")
    assert f"\n{ms.FlowMatchEuler(use_dynamic_shifting=True).plan(3, mu=1.1)}\n" in text
    assert "sigma 1, pure noise by" in text and "to sigma 0, the clean sample" in text
    assert re.search(r"^\* +eta +0.25 ", run("show dpmpp_2m_sde --set eta=0.25 --steps 3"), re.MULTILINE)
    assert "AngleAdams: 4 steps" not in run("show auto --steps 4")


def test_show_from_a_configuration(run):
    recipe = ms.from_diffusers(CONFIG)
    text = run(f"show --steps 3 --from-config {CONFIG}")
    assert text.startswith("euler: Euler, ") and f"{recipe.report}\n" in text and f"{recipe.plan(3)}\n" in text


def test_show_as_json(run):
    found = json.loads(run("show euler --steps 4 --set use_karras_sigmas=true --json"))
    plan = ms.Euler(use_karras_sigmas=True).plan(4)
    assert found["levels"]["sigma"] == plan.sigmas.tolist()
    assert [row["timestep"] for row in found["table"]] == plan.timesteps.tolist()
    assert found["levels"]["lam"][-1] == "inf" and (found["calls"], found["order"]) == (4, 1)
    karras = next(one for one in found["options"] if one["name"] == "use_karras_sigmas")
    assert karras["value"] is True and karras["default"] is False and karras["line"] == "even in sigma^(1/7)"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("shwo ddim", r"there is no command 'shwo' \(did you mean 'show'\?\)"),
        ("show ddmi", r"there is no scheduler or sampler 'ddmi' \(did you mean ddpm or ddim"),
        ("show dpmpp_2n", r"did you mean dpmpp_2s or dpmpp_2m"),
        ("show flow-match", r"did you mean flow-match-euler or flow-match-heun"),
        ("show nothing-like-it", r"'nothing-like-it'; `multisched list` has all of them"),
        ("show", "give the name of a scheduler"),
        (
            "show ddim --stepz 3",
            r"usage: multisched show NAME(.|\n)*has no option '--stepz' \(did you mean '--steps'\?\)",
        ),
        ("show ddim ddpm", "multisched show has no argument 'ddpm'"),
        ("show ddim --step 3", "has no option '--step'"),
        ("show ddim --set clip_sampel=true", r"ddim has no option 'clip_sampel' \(did you mean 'clip_sample'\?\)"),
        ("show dpmpp_2m_sde --set etta=1", r"dpmpp_2m_sde has no option 'etta' \(did you mean 'eta'\?\); it has most"),
        ("show unipc --set solver_order=x", "solver_order must be an int; given 'x'"),
        ("show ddim --set beta_schedule=linaer", r"given 'linaer' \(did you mean 'linear'\?\)"),
        ("show ddim --set eta", "--set takes OPTION=VALUE; given 'eta'"),
        ("show ddim --spacing karas", r"did you mean 'karras'\?"),
        ("show ddim --options --json", "leave out --options"),
        ("show ddim --from-config nowhere", "--from-config says the scheduler and all of its options"),
        ("list --family flo", r"--family must be one of 'flow'.*did you mean 'flow'"),
        ("plot nope", "there is no scheduler or sampler 'nope'"),
        ("plot", "usage: multisched plot NAME(.|\n)*name 1 to 12 schedulers.*given 0"),
        ("plot --set eta=1", "name 1 to 12 schedulers.*given 0"),
        ("completion basch", r"the shell must be one of .*did you mean 'bash'"),
    ],
)
def test_what_is_refused_and_what_may_be_meant(refuse, line, says):
    assert re.search(says, refuse(line))


def test_the_command_needs_a_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    assert "multisched: error: the following arguments are required: command" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["", *cli.PLACES])
def test_every_help_has_examples(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([*command.split(), "--help"])
    assert (
        f"examples:\n  {'eval' if command == 'completion' else f'multisched {command}'.strip()}"
        in capsys.readouterr().out
    )


def test_what_stands_after_a_name_is_of_that_curve():
    curves = Curves(("--spacing",), ("--out",), ("--calls",))
    line = (
        "--set a=1 b=2 x --spacing karras --calls 5 10 y --set a=3 z --out f.svg --spacing=beta --from-config c --force"
    )
    everyone = ["--set", "a=1", "b=2"]
    assert curves.split(line.split()) == (
        [
            [*everyone, "x", "--spacing", "karras"],
            [*everyone, "y", "--set", "a=3"],
            [*everyone, "z", "--spacing=beta"],
            [*everyone, "--from-config", "c"],
        ],
        ["--calls", "5", "10", "--out", "f.svg", "--force"],
    )
    assert curves.split(["--spacing", "beta"]) == ([], [])
    usual = curves._replace(usual=("x", "y"))
    assert usual.split(["--spacing", "beta"]) == ([["--spacing", "beta", "x"], ["--spacing", "beta", "y"]], [])
