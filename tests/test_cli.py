"""The command line: pictures on every backend, the same as NumPy's, and what it says when it cannot."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import multisched as ms
from multisched import cli, pictures
from multisched.interop.diffusers import PEERS
from multisched.schedulers.base import SETTINGS

# Part of the sentence that says why an exact denoiser alone does not draw images with it.
NOT_DRAWN = {
    "ddim-inverse": "leads from images to noise",
    "dpm-solver-multistep-inverse": "leads from images to noise",
    "piflow": "asks its model for more than flow_prediction",
    "re-paint": "needs the arrays original, mask too",
}
DRAWN = [name for name in cli.recipes() if name not in NOT_DRAWN]
each_scheduler = pytest.mark.parametrize("name", DRAWN)


@pytest.fixture(scope="module")
def digits():
    return pictures.digits()


@pytest.fixture
def run(backend, device, tmp_path, capsys):
    """run(*arguments): the picture, and the line that was printed, of `multisched sample` on the backend under test."""

    def sample(*arguments):
        out = tmp_path / "grid.png"
        place = ["--backend", backend.name, *(["--device", str(device)] if device else [])]
        assert cli.main(["sample", *place, "--out", str(out), *arguments]) == 0
        with Image.open(out) as picture:
            return picture.copy(), capsys.readouterr().out

    return sample


@pytest.fixture
def refuse(capsys):
    """refuse(*arguments): the sentence that the command ends with, `sample` unless another is named."""

    def sample(*arguments, command="sample"):
        with pytest.raises(SystemExit) as stop:
            cli.main([command, *map(str, arguments)])
        assert stop.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("multisched: error: ")
        assert last.endswith(".")
        return last

    return sample


@each_scheduler
def test_picture_and_report(run, name):
    steps = "200" if name == "score-sde-vp" else "8"
    picture, line = run("--scheduler", name, "--steps", steps, "--count", "5")
    assert picture.size == (3 * 68 + 4, 2 * 68 + 4)
    assert picture.mode == "L"
    report = re.fullmatch(
        rf"{name}: \d+ steps, (\d+) model calls, ([\d.]+) s, ([\d.]+) s in the scheduler alone; "
        r"mean distance to the nearest training image (\S+) \(RMS per pixel\)\n",
        line,
    )
    calls, seconds, in_scheduler, distance = map(float, report.groups())
    assert calls == len(cli.recipe_of(name)[1].plan(int(steps)))
    assert 0 <= in_scheduler <= seconds
    assert distance < (1e-4 if name in ("ddim", "euler", "flow-match-euler", "flow-match-heun") else 0.3)


@each_scheduler
@pytest.mark.parametrize("seed", [0, 1])
def test_images_and_their_way_are_those_of_numpy(backend, device, digits, name, seed):
    _, recipe = cli.recipe_of(name)
    here = cli.Run(recipe, 28, backend.name, device, seed, count=8, frames=10).draw(digits)
    numpy = cli.Run(recipe, 28, "numpy", None, seed, count=8, frames=10).draw(digits)
    # Of the range of the images, which Euler and Maruyama's few steps leave far behind them.
    assert np.abs(here.images - numpy.images).max() < 1e-4 * max(2, np.abs(numpy.images).max())
    assert len(here.frames) == len(numpy.frames) == 10
    for one, other in zip(here.frames, numpy.frames, strict=True):
        # Where a sample is between two images rounding grows a thousandfold, to vanish at the image that it goes to.
        assert np.abs(one - other).max() < 1e-2 * 2


@each_scheduler
def test_frames_begin_with_the_noise_and_end_with_the_images(digits, name):
    _, recipe = cli.recipe_of(name)
    drawn = cli.Run(recipe, steps=3, count=2, frames=10).draw(digits)
    assert len(drawn.frames) >= 3
    np.testing.assert_allclose(drawn.frames[0], ms.noise.normal((2, 1, 8, 8), 0), rtol=0.01)
    np.testing.assert_allclose(drawn.frames[-1], drawn.images, rtol=0.01)


def test_seeds_give_other_images(digits):
    first, second = (cli.Run(ms.FlowMatchEuler(), 4, seed=seed, count=2).draw(digits).images for seed in (0, 1))
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize(("steps", "rows"), [(1, 2), (4, 5), (9, 10), (28, 10)])
def test_trajectory_has_steps_in_rows(run, steps, rows):
    picture, _ = run("--trajectory", "--steps", str(steps), "--count", "3")
    assert picture.size == (3 * 68 + 4, rows * 68 + 4)


def test_trajectory_of_two_calls_a_step_shows_steps(run):
    picture, _ = run("--trajectory", "--scheduler", "flow-match-heun", "--steps", "4", "--count", "2")
    assert picture.size == (2 * 68 + 4, 5 * 68 + 4)


@pytest.fixture
def photographs(tmp_path):
    """A folder of three images of one colour each, of other shapes and formats, and a file that is no image."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.new("RGB", (50, 30), (255, 0, 0)).save(folder / "red.png")
    Image.new("L", (20, 40), 0).save(folder / "black.jpg")
    Image.new("RGBA", (7, 7), (0, 0, 255, 255)).save(folder / "blue.PNG")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_images_of_ones_own(run, photographs):
    picture, _ = run("--data", str(photographs), "--size", "16", "--steps", "10", "--count", "4")
    assert picture.size == (2 * 68 + 4, 2 * 68 + 4)
    assert picture.mode == "RGB"
    middles = {picture.getpixel((4 + 68 * column + 32, 4 + 68 * row + 32)) for column in range(2) for row in range(2)}
    assert middles <= {(255, 0, 0), (0, 0, 0), (0, 0, 255)}


def test_folder_is_square_rgb_in_the_order_of_names(photographs):
    images = pictures.folder(photographs, 12)
    assert images.shape == (3, 3, 12, 12)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[:, :, 6, 6], [[-1, -1, -1], [-1, -1, 1], [1, -1, -1]])


def test_digits_span_the_range(digits):
    assert digits.shape == (1797, 1, 8, 8)
    assert (digits.min(), digits.max()) == (-1, 1)


def test_nearest_distance(digits):
    assert pictures.nearest_distance(digits[:3], digits) == 0
    assert pictures.nearest_distance(digits[:1] + np.float32(0.01), digits[:1]) == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("name", ["flow-match-heun", "FlowMatchHeun", "flowmatchheun", "FLOW-MATCH-HEUN"])
def test_scheduler_names(name):
    assert cli.recipe_of(name, ["shift=3"]) == ("flow-match-heun", ms.FlowMatchHeun(shift=3.0))


def test_every_named_recipe_is_offered():
    offered = {kind.__name__ for kind in cli.recipes().values()}
    named = set(ms.schedulers.named())
    assert offered == named >= {peer.recipe.__name__ for peer in PEERS.values()} | {"FlowMatchPingPong"}
    for name in named:
        assert cli.recipe_of(name)[1] == getattr(ms.schedulers, name)()


def test_list_names_every_scheduler_and_option(capsys):
    assert cli.main(["list"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    for kind in cli.recipes().values():
        assert f"{kind.__name__}: order {kind().parts().solver.order}, model calls a step: " in listed
        for option in (one for one in dataclasses.fields(kind) if one.name not in SETTINGS):
            assert f"{option.name}={option.default!r}" in listed
    assert "FlowMatchHeun: order 2, model calls a step: 1 to 2, deterministic" in listed
    assert "FlowMatchPingPong: order 0, model calls a step: 1, noise draws a call: 1" in listed


@pytest.mark.parametrize("name", cli.recipes())
def test_show_prints_the_table(capsys, name):
    assert cli.main(["show", name, "--steps", "5"]) == 0
    assert capsys.readouterr().out == f"{cli.recipe_of(name)[1].plan(5)}\n"


def test_show_takes_options(capsys):
    cli.main(["show", "DDIM", "--steps", "3", "--set", "eta=0.5", "clip_sample=false", "--set", "trained_betas=null"])
    assert capsys.readouterr().out == f"{ms.DDIM(eta=0.5, clip_sample=False).plan(3)}\n"
    cli.main(["show", "FlowMatchEuler", "--steps", "3", "--set", "use_dynamic_shifting=True", "--mu", "1.1"])
    assert capsys.readouterr().out == f"{ms.FlowMatchEuler(use_dynamic_shifting=True).plan(3, mu=1.1)}\n"


def test_show_and_sample_from_a_configuration(run, capsys):
    path = str(Path(__file__).parent / "configs" / "sdxl-base-1.0.json")
    recipe = ms.from_diffusers(path)
    cli.main(["show", "--steps", "3", "--from-config", path])
    assert capsys.readouterr().out == f"{recipe.report}\n{recipe.plan(3)}\n"
    assert run("--from-config", path, "--count", "2")[1].startswith("euler: 28 steps")


@pytest.mark.parametrize("name", NOT_DRAWN)
def test_what_cannot_be_drawn_says_why(refuse, name, tmp_path):
    assert re.search(NOT_DRAWN[name], refuse("--scheduler", name, "--steps", "8", "--out", tmp_path / "grid.png"))
    assert list(tmp_path.iterdir()) == []


def test_plot_draws_every_scheduler(tmp_path):
    out = tmp_path / "plot.png"
    assert cli.main(["plot", *cli.recipes(), "--steps", "8", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert np.asarray(picture.convert("L")).std() > 10


def test_plot_shows_noise_levels_and_timesteps():
    plan = ms.DDIM().plan(6)
    left, right = pictures.plot([plan]).axes
    assert left.get_yscale() == "log"
    np.testing.assert_array_equal(left.lines[0].get_xydata(), np.stack([np.arange(6), plan.sigmas[:-1]], axis=1))
    np.testing.assert_array_equal(right.lines[0].get_ydata(), plan.timesteps)


def test_plot_refuses(refuse, tmp_path, monkeypatch):
    assert "given 'nope'" in refuse("nope", command="plot")
    assert "--out must end in .png" in refuse("ddim", "--out", tmp_path / "plot.foo", command="plot")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "Matplotlib is missing: install" in refuse("ddim", "--out", tmp_path / "plot.png", command="plot")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scheduler", "nope"], "the scheduler must be one of .*ddim.*; given 'nope'"),
        (["--scheduler", "ddim", "--shift", "3"], "ddim has no option 'shift'; it has .*num_train_timesteps, .*eta"),
        (["--set", "shift"], "--set takes OPTION=VALUE; given 'shift'"),
        (["--set", "use_dynamic_shifting=true"], "give mu="),
        (["--from-config", "nowhere"], "there is no scheduler_config.json at 'nowhere'"),
        (["--from-config", "nowhere", "--shift", "2"], "--from-config says the scheduler and all of its options"),
        (["--shift", "-1"], "shift must be a positive number"),
        (["--steps", "0"], "number of steps must be in 1..1000; given 0"),
        (["--count", "0"], "--count must be at least 1"),
        (["--seed", "-1"], "a seed is a whole number >= 0"),
        (["--backend", "no_such_library"], "unknown backend 'no_such_library'"),
        (["--device", "no_such_device"], "no device 'no_such_device'"),
        (["--out", "grid.foo"], "--out must end in .png"),
        (["--out", "no_such_folder/grid.png"], "folder 'no_such_folder' of --out does not exist"),
        (["--data", "no_such_folder"], "the folder 'no_such_folder' does not exist"),
        (["--data", ".", "--size", "0"], "--size must be at least 1"),
        (["--class", "7"], "--class is for a network; give --model digits too"),
        (["--guidance", "2"], "--guidance is for a network; give --model digits too"),
        (["--model", "digit"], "--model must be one of 'digits'; given 'digit'"),
        (["--model", "digits", "--class", "10"], "--class must be a digit, 0 to 9; given 10"),
        (["--model", "digits", "--guidance", "-1"], r"--guidance must be a number in 0\.\.100; given -1"),
        (["--model", "digits", "--guidance", "nan"], r"--guidance must be a number in 0\.\.100; given nan"),
        (["--model", "digits", "--data", "."], "--data is for a data set of your own"),
        (["--model", "digits", "--size", "9"], "--size is for a data set of your own"),
        (["--model", "digits", "--scheduler", "piflow"], "asks its model for more than flow_prediction"),
        (["--model", "digits", "--backend", "no_such_library"], "unknown backend 'no_such_library'"),
        (["--sampler", "nope"], "the name of a sampler is one of .*; given 'nope'"),
        (["--sampler", "auto", "--spacing", "karras"], "--sampler auto chooses its spacing itself"),
    ],
)
def test_refusals(refuse, arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.search(says, refuse(*arguments))
    assert list(tmp_path.iterdir()) == []


def test_the_network_draws_the_digit_that_is_asked_for(run, digits, monkeypatch):
    """Without scikit-learn."""
    classes = load_digits().target
    pictures_of = {digit: digits[classes == digit] for digit in range(10)}
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    asked = ("--model", "digits", "--steps", "8", "--count", "5", "--sampler", "auto")
    picture, line = run(*asked, "--class", "7", "--guidance", "3")
    assert picture.size == (3 * 68 + 4, 2 * 68 + 4)
    times = r"[\d.]+ s, [\d.]+ s in the scheduler alone"
    assert re.fullmatch(rf"auto: 8 steps, 8 model calls, {times}; digit 7, guidance 3\n", line)
    tile = np.asarray(picture, dtype=np.float32)[4:68, 4:68] / 127.5 - 1
    means = {digit: pictures_of[digit].mean(axis=(0, 1)) for digit in range(10)}
    assert min(means, key=lambda digit: np.mean((means[digit] - tile[::8, ::8]) ** 2)) == 7
    assert run(*asked, "--force")[1].endswith("digits 0 to 9 in turn, guidance 1.5\n")
    assert run(*asked, "--force", "--guidance", "0")[1].endswith("digits of any class\n")


def test_a_sampler_takes_the_path_of_the_scheduler(run):
    assert run("--sampler", "dpmpp_2m", "--steps", "6", "--count", "2")[1].startswith(
        "dpmpp_2m: 6 steps, 6 model calls"
    )
    line = run("--scheduler", "edm-euler", "--sampler", "auto", "--steps", "6", "--count", "2", "--force")[1]
    assert line.startswith("auto: 6 steps, 6 model calls")


def test_folders_without_images_are_refused(refuse, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    assert "has no images" in refuse("--data", tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image either")
    assert "broken.png' is not an image that can be read" in refuse("--data", tmp_path)


@pytest.mark.parametrize(("module", "package"), [("PIL.Image", "Pillow"), ("sklearn.datasets", "scikit-learn")])
def test_missing_extras_are_named(refuse, monkeypatch, tmp_path, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    said = refuse("--out", tmp_path / "grid.png")
    assert package in said
    assert "install multisched-diffusion[cli]" in said


def test_the_command_needs_a_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    assert "multisched: error: the following arguments are required: command" in capsys.readouterr().err


def test_importing_the_command_imports_nothing_heavy():
    heavy = {"PIL", "matplotlib", "sklearn", "tqdm", "torch", "jax", "mlx"}
    code = f"import sys, multisched.cli; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_another_file_is_written_over_only_by_force(refuse, tmp_path):
    out = tmp_path / "grid.png"
    arguments = ("--steps", "2", "--count", "1", "--out", out)
    out.write_bytes(b"mine")
    assert "--force writes over it" in refuse(*arguments)
    assert out.read_bytes() == b"mine"
    assert cli.main(["sample", *map(str, arguments), "--force"]) == 0
    written = out.read_bytes()
    assert cli.main(["sample", *map(str, arguments)]) == 0  # the same again
    assert out.read_bytes() == written != b"mine"


def test_a_decompression_bomb_is_refused(refuse, photographs, monkeypatch):
    for most in (500, 1000):  # an error from twice the limit on, before that a warning
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        assert "more pixels than Pillow takes for safe" in refuse("--data", photographs)


def test_bad_folders_sizes_and_options_are_refused(refuse, photographs, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no images" in refuse("--data", tmp_path / "empty")
    assert "does not exist" in refuse("--data", photographs / "red.png")
    assert "--size must be in 1..2048" in refuse("--data", photographs, "--size", 10**9)
    assert "--count must be in 1..10000" in refuse("--count", 10**9)
    assert "solver_order must be an int; given 'x'" in refuse(
        "unipc-multistep", "--set", "solver_order=x", command="show"
    )
    assert "did you mean 'clip_sample'" in refuse("ddim", "--set", "clip_sampel=true", command="show")
    assert "did you mean ddim?" in refuse("DDIMScheduler", command="show")


def test_no_bar_where_there_is_no_terminal(tmp_path, capsys):
    assert cli.main(["sample", "--steps", "2", "--count", "1", "--out", str(tmp_path / "grid.png")]) == 0
    assert capsys.readouterr().err == ""


def test_an_interrupt_ends_without_a_traceback(monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.os, "dup2", lambda *both: None)
    monkeypatch.setattr(cli, "described", interrupted)
    assert cli.main(["list"]) == 130
    assert capsys.readouterr().err == ""
