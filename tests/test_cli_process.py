"""The command as a process: what it imports, pipes and full disks, colour, completion, and life without the extra."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from multisched import cli

pytestmark = pytest.mark.host


@pytest.fixture
def run(capsys):
    """run("show ddim"): what is printed."""

    def printed(line):
        assert cli.main(shlex.split(line)) == 0
        return capsys.readouterr().out

    return printed


def _python(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **options)


def test_importing_the_command_imports_nothing_heavy():
    heavy = {"PIL", "matplotlib", "sklearn", "tqdm", "argcomplete", "torch", "jax", "mlx"}
    code = f"import sys, multisched.cli.listing, multisched.cli.sampling; print(*{heavy} & set(sys.modules))"
    assert _python("-c", code).stdout.split() == []
    code = "import sys; from multisched.cli import main\ntry: main(['--help'])\nfinally: print('numpy' in sys.modules)"
    assert _python("-c", code).stdout.endswith("False\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is full, of Linux")
@pytest.mark.parametrize("line", ["list", "--help", "show --help", "list --json"])
def test_a_full_disk_and_a_closed_pipe_are_no_traceback(line):
    for unbuffered in ("", "1"):
        env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        with open("/dev/full", "w") as full:
            done = subprocess.run([sys.executable, "-m", "multisched", *line.split()], stdout=full,
                                  stderr=subprocess.PIPE, text=True, check=False, env=env)  # fmt: skip
        assert (done.returncode, done.stderr) == (1, "multisched: error: No space left on device.\n")
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run([sys.executable, "-m", "multisched", *line.split()], stdout=write,
                              stderr=subprocess.PIPE, text=True, check=False, env=env)  # fmt: skip
        os.close(write)
        assert (done.returncode, done.stderr) == (141, "")


def test_there_is_no_colour_in_pipes_and_none_with_no_color(run, monkeypatch):
    assert "\x1b" not in run("list --family flow")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[1mflow matching" in run("list --family flow")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("list --family flow")


def test_an_interrupt_ends_without_a_traceback(monkeypatch, capsys):
    from multisched.cli import listing

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.os, "dup2", lambda *both: None)
    monkeypatch.setattr(listing, "act", interrupted)
    assert cli.main(["list"]) == 130
    assert capsys.readouterr().err == ""


def test_list_show_and_compare_need_no_extra():
    code = (
        "import sys\nfor name in ('PIL', 'matplotlib', 'tqdm', 'argcomplete'): sys.modules[name] = None\n"
        "from multisched.cli import main\n"
        "assert [main(line.split()) for line in ('list', 'show ddim', 'compare euler --calls 5')] == [0, 0, 0]"
    )
    assert _python("-c", code).returncode == 0
    for line, package in (("plot ddim", "Matplotlib"), ("sample", "Pillow"), ("completion bash", "argcomplete")):
        blocked = "'PIL', 'matplotlib', 'tqdm', 'argcomplete', 'PIL.Image', 'matplotlib.backend_bases'"
        code = (
            f"import sys\nfor name in ({blocked}): sys.modules[name] = None\n"
            f"from multisched.cli import main\nmain({line.split()})"
        )
        done = _python("-c", code)
        assert done.returncode == 2
        assert f"{package} is missing: install multisched-diffusion[cli]." in done.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("multisched co", {"compare", "completion"}),
        ("multisched show edm", {"edm-dpm-solver-multistep", "edm-euler"}),
        ("multisched show ddim --set et", {"eta="}),
        ("multisched show dpmpp_2m_sde --set solver_", {"solver_type="}),
        ("multisched list --family sc", {"score"}),
        ("multisched plot ddim --spacing karr", {"karras"}),
        ("multisched sample --model ", {"digits", "exact"}),
    ],
)
def test_a_shell_is_offered_what_may_follow(line, offered, tmp_path):
    pytest.importorskip("argcomplete")
    answer = tmp_path / "answer"
    env = {**os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9",
           "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": "\n",
           "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}  # fmt: skip
    _python("-m", "multisched", env=env)
    assert set(answer.read_text().split("\n")) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_for_a_shell(run, shell):
    pytest.importorskip("argcomplete")
    assert "multisched" in run(f"completion {shell}")
