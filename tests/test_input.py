"""What a user types: the name in a refusal is the option's own, values are shortened, near misses are named, and no
option lets a plan take minutes or gigabytes."""

import subprocess
import sys
import time
import tracemalloc
from dataclasses import fields, replace

import fuzz
import numpy as np
import pytest
import zoo

import multisched as ms
from multisched.schedulers.base import SETTINGS
from multisched.values import near, shown

pytestmark = pytest.mark.host

# Refused by what they do together, whichever is named first.
TOGETHER = ("sigma_min", "sigma_max", "beta_end", "num_train_timesteps", "beta_start")


@zoo.every_recipe
def test_a_refusal_names_the_option_as_it_was_typed(recipe):
    for field in (one for one in fields(recipe) if one.name not in SETTINGS):
        for value in fuzz.HOSTILE:
            said = _refusal(recipe, field.name, value)
            together = field.name in TOGETHER and "noise levels" in said
            assert said == "" or field.name in said or together, said
            assert len(said) < 400


def _refusal(recipe, name, value):
    """What is said of a value of an option; nothing where it is taken."""
    try:
        replace(recipe, **{name: value})
    except ms.ScheduleError as error:
        return str(error)
    return ""


LONG = [10**5000, "x" * 10**5, list(range(10**4)), np.arange(10**5), {"a": {"b": "c" * 999}}]


@pytest.mark.parametrize("value", LONG, ids=range(len(LONG)))
def test_long_values_are_shortened(value):
    assert len(shown(value)) <= 90 and "\n" not in shown(value)


@pytest.mark.parametrize(
    ("given", "allowed", "meant"),
    [
        ("cosine", ("linear", "squaredcos_cap_v2"), "squaredcos_cap_v2"),
        ("v-prediction", ("epsilon", "v_prediction"), "v_prediction"),
        ("Karras", ("karras", "exponential"), "karras"),
        ("trailling", ("leading", "trailing"), "trailing"),
        ("rescale_zero_terminal_snr", ("rescale_betas_zero_snr",), "rescale_betas_zero_snr"),
        ("nothing at all", ("karras",), None),
        (5, ("karras",), None),
    ],
)
def test_near_misses(given, allowed, meant):
    assert near(given, allowed) == meant


def test_near_misses_are_named():
    with pytest.raises(ms.ScheduleError, match=r"did you mean 'squaredcos_cap_v2'\?"):
        ms.DDIM(beta_schedule="cosine")
    with pytest.raises(AttributeError, match=r"did you mean 'Euler'\?"):
        _ = ms.EulerDiscreteScheduler
    with pytest.raises(AttributeError, match=r"did you mean 'Euler'\?"):
        _ = ms.Eulr


LARGE = [
    lambda: ms.DDIM(num_train_timesteps=10**9),
    lambda: ms.FlowMatchEuler(num_train_timesteps=10**9),
    lambda: ms.UniPCMultistep(solver_order=1000),
    lambda: ms.DEISMultistep(solver_order=1000),
    lambda: ms.SASolver(corrector_order=1000),
    lambda: ms.LMS(order=1000),
    lambda: ms.Piflow(n_grid=10**9),
    lambda: ms.Piflow(num_policy_substeps=10**9),
    lambda: ms.ScoreSdeVe(correct_steps=10**9),
    lambda: ms.ScoreSdeVe(correct_steps=1000).plan(10_000),
    lambda: ms.RePaint(jump_n_sample=10**9),
    lambda: ms.RePaint(jump_length=1, jump_n_sample=10_000).plan(1000),
    lambda: ms.RFD4Proteina(tail_steps=10**9),
    lambda: ms.Helios(stages=10**9, num_train_timesteps=100_000),
    lambda: ms.LCM(original_inference_steps=10**9),
    lambda: ms.DDIM(trained_betas=np.full(10**7, 0.01)),
    lambda: ms.EDMEuler().plan(10**9),
    lambda: ms.FlowMatchEuler().plan(sigmas=np.linspace(1, 0, 10**7)),
    lambda: ms.DPMSolverSinglestep(solver_order=4),
    lambda: ms.retrieve_timesteps(None, [1.0, 0.5], 10**9, 1000),
    lambda: ms.betas_for_alpha_bar(10**9),
]


@pytest.mark.parametrize("make", LARGE, ids=range(len(LARGE)))
def test_what_would_take_minutes_or_gigabytes_is_refused_at_once(make):
    began = time.thread_time()
    with pytest.raises(ms.ScheduleError):
        make()
    assert time.thread_time() - began < 1


BOUNDS = [
    ms.DDIM(num_train_timesteps=100_000, beta_schedule="squaredcos_cap_v2"),
    ms.DDIM(num_train_timesteps=100_000, trained_betas=np.full(100_000, 1e-5)),
    ms.UniPCMultistep(num_train_timesteps=100_000, beta_end=2e-4, beta_start=1e-6),
    ms.FlowMatchHeun(num_train_timesteps=100_000),
    ms.FlowMatchEuler(num_train_timesteps=100_000, use_beta_sigmas=True),
    ms.DDPM(num_train_timesteps=100_000, beta_end=2e-4, beta_start=1e-6, variance_type="learned_range"),
    ms.EDMEuler(),
    ms.KDPM2(num_train_timesteps=100_000, beta_end=2e-4, beta_start=1e-6),
]


@pytest.mark.parametrize("recipe", BOUNDS, ids=range(len(BOUNDS)))
def test_plans_at_the_bounds_are_quick_and_small(recipe):
    tracemalloc.start()
    began = time.thread_time()
    recipe.plan(10_000)
    seconds, (_, peak) = time.thread_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 2  # of which tracing takes a part
    assert peak < 300e6


@pytest.mark.parametrize("snr", [1e39, 1e100])
def test_what_float32_cannot_hold_is_refused_at_the_cast(snr):
    plan = ms.ScoreSdeVe(langevin_snr=snr, sigma_max=20.0).plan(3)
    assert np.all(np.isfinite(plan.table("numpy", dtype="float64")))
    for use in (plan.table, lambda: plan.start(np.ones((1, 2), np.float32))):
        with pytest.raises(
            ms.ScheduleError, match=r"a parameter of the noise of row 0 of ScoreSdeVe .* float32 cannot"
        ):
            use()
    plan.start(np.ones((1, 2)))


def run(*arguments, **more):
    return subprocess.run([sys.executable, "-m", "multisched", *arguments], capture_output=True, text=True, **more)


def test_the_module_is_the_command():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"multisched {ms.__version__}\n")


def test_a_full_disk_and_a_closed_pipe_end_without_a_traceback():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "multisched", "list"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr == "multisched: error: No space left on device.\n"
    line = f"{sys.executable} -m multisched list | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.returncode in (0, 141) and done.stderr == "" and done.stdout.split()[:2] == ["name", "class"]


PLUGIN = {
    "raises": ("raise RuntimeError('no driver')", "fails: .*no driver"),
    "exits": ("import sys; sys.exit(3)", "fails: .*SystemExit"),
    "nothing": ("BACKEND = 5", "is no Backend; it is 5"),
}


@pytest.mark.parametrize("kind", PLUGIN)
def test_a_plugin_that_is_none_says_so(kind, tmp_path, monkeypatch):
    code, sentence = PLUGIN[kind]
    name = f"plugin_that_{kind}"
    (tmp_path / f"{name}.py").write_text(code)
    _distribution(tmp_path, name, f"{name} = {name}:BACKEND\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ms.ScheduleError, match=sentence):
        ms.backends.get(name)
    found = ms.backends.available()
    assert found["numpy"].reason is None and found[name].version is None and name in found[name].reason


def test_two_plugins_of_one_name_and_one_of_a_built_in(tmp_path, monkeypatch):
    for part in ("one", "two"):
        (tmp_path / f"plugin_{part}.py").write_text("BACKEND = 5")
        _distribution(tmp_path, part, f"twice = plugin_{part}:BACKEND\nnumpy = plugin_{part}:BACKEND\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ms.ScheduleError, match="several plug-ins are called 'twice'"):
        ms.backends.get("twice")
    assert ms.backends.get("numpy").name == "numpy"
    assert "several" in ms.backends.available()["twice"].reason


def _distribution(folder, name, points):
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[multisched.backends]\n{points}")
