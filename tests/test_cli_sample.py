"""`multisched sample`: pictures on every backend, the same as NumPy's, and what it says when it cannot."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import multisched as ms
from multisched import cli, digits, pictures
from multisched.analysis import DataSet

# Part of the sentence that says why an exact denoiser alone does not draw images with it.
NOT_DRAWN = {
    "ddim-inverse": "leads from images to noise",
    "dpm-solver-multistep-inverse": "leads from images to noise",
    "piflow": "asks its model for more than flow_prediction",
    "repaint": "needs the arrays original, mask too",
}
DRAWN = [name for name in cli.recipes() if name not in NOT_DRAWN]
each_scheduler = pytest.mark.parametrize("name", DRAWN)


@pytest.fixture(scope="module")
def points():
    return digits.images()


def _draw(run, points):
    """What a run makes of the exact denoiser of the points."""
    place = ms.backends.get(run.backend)
    return run.draw_by(DataSet(place.asarray(points, "float32", run.device)), points.shape[1:])


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
        assert last.startswith(f"multisched {command}: error: ")
        assert last.endswith(".")
        return last

    return sample


@each_scheduler
def test_picture_and_report(run, name):
    steps = "200" if name == "score-sde-vp" else "8"
    picture, text = run("--model", "exact", "--scheduler", name, "--steps", steps, "--count", "5")
    assert picture.size == (3 * 102 + 6, 2 * 102 + 6)
    assert picture.mode == "L"
    report = re.fullmatch(
        rf"{name}: \d+ steps, (\d+) model calls, ([\d.]+) s, ([\d.]+) s in the scheduler alone\n"
        r"an exact denoiser knows its 1797 images by heart and draws them again; [^\n]*\n"
        r"mean distance to the nearest of them (\S+) \(RMS per pixel\)\n"
        r"wrote \S*grid.png: 5 images of 8 x 8 pixels, enlarged to 312 x 210\n",
        text,
    )
    calls, seconds, in_scheduler, distance = map(float, report.groups())
    assert calls == len(cli.recipe_of(name)[1].plan(int(steps)))
    assert 0 <= in_scheduler <= seconds
    assert distance < (1e-4 if name in ("ddim", "euler", "flow-match-euler", "flow-match-heun") else 0.3)


@each_scheduler
@pytest.mark.parametrize("seed", [0, 1])
def test_images_and_their_way_are_those_of_numpy(backend, device, points, name, seed):
    _, recipe = cli.recipe_of(name)
    here = _draw(cli.Run(recipe, 28, backend.name, device, seed, count=8, frames=10), points)
    numpy = _draw(cli.Run(recipe, 28, "numpy", None, seed, count=8, frames=10), points)
    # Of the range of the images, which Euler and Maruyama's few steps leave far behind them.
    assert np.abs(here.images - numpy.images).max() < 1e-4 * max(2, np.abs(numpy.images).max())
    assert len(here.frames) == len(numpy.frames) == 10
    for one, other in zip(here.frames, numpy.frames, strict=True):
        # Where a sample is between two images rounding grows a thousandfold, to vanish at the image that it goes to.
        assert np.abs(one - other).max() < 1e-2 * 2


@pytest.mark.host
@each_scheduler
def test_frames_begin_with_the_noise_and_end_with_the_images(points, name):
    _, recipe = cli.recipe_of(name)
    drawn = _draw(cli.Run(recipe, steps=3, count=2, frames=10), points)
    assert len(drawn.frames) >= 3
    np.testing.assert_allclose(drawn.frames[0], ms.noise.normal((2, 1, 8, 8), 0), rtol=0.01)
    np.testing.assert_allclose(drawn.frames[-1], drawn.images, rtol=0.01)


@pytest.mark.host
def test_seeds_give_other_images(points):
    first, second = (_draw(cli.Run(ms.FlowMatchEuler(), 4, seed=seed, count=2), points).images for seed in (0, 1))
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize(("steps", "rows"), [(1, 2), (4, 5), (9, 10), (28, 10)])
def test_trajectory_has_levels_in_rows_with_their_labels(run, steps, rows):
    picture, text = run("--trajectory", "--model", "exact", "--steps", str(steps), "--count", "3")
    left = picture.width - (3 * 102 + 6)
    assert 50 < left < 150 and picture.height == rows * 102 + 6
    assert f"{rows} levels in rows, 3 images in columns of 8 x 8 pixels" in text
    labels = np.asarray(picture)[:, :left]
    for row in range(rows):
        assert labels[6 + row * 102 : 102 + row * 102].min() < 100  # a label beside each
    assert all(labels[row * 102 : row * 102 + 6].min() == 255 for row in range(rows))


def test_trajectory_of_two_calls_a_step_shows_steps(run):
    picture, _ = run("--trajectory", "--scheduler", "flow-match-heun", "--steps", "4", "--count", "2")
    assert picture.height == 5 * 102 + 6


@pytest.mark.host
def test_rows_of_a_trajectory_are_even_where_images_form():
    run = cli.Run(ms.FlowMatchEuler(), 200, frames=10)
    calls = [0, *(row + 1 for row in sorted(run._rows_shown))]
    assert len(calls) == 10 and calls[-1] == 200
    lam = np.log(run.plan.alphas[calls[1:-1]] / run.plan.sigmas[calls[1:-1]])
    assert lam[0] < -1.5 and lam[-1] > 3 and np.ptp(np.diff(lam[1:-1])) < 0.5
    assert run.label(0) == "t = 1000\nsigma 1"
    assert run.label(100) == f"t = {run.plan.timesteps[100]:.4g}\nsigma {run.plan.sigmas[100]:.3g}"
    assert run.label(200) == "end\nsigma 0"
    heun = cli.Run(ms.FlowMatchHeun(), 4, frames=10)
    assert sorted(heun._rows_shown) == [1, 3, 5, 6] and heun.label(2).startswith(f"t = {heun.plan.timesteps[2]:.4g}")


def test_blur_draws_what_is_not_in_the_data(run, points):
    _, text = run("--blur", "0.2", "--count", "4", "--steps", "10")
    assert "1797 images with noise of deviation 0.2 on them, which the model knows by heart" in text
    distance = float(re.search(r"nearest of them (\S+) ", text)[1])
    assert distance == pytest.approx(0.2, rel=0.2)


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
    assert picture.size == (2 * 102 + 6, 2 * 102 + 6)
    assert picture.mode == "RGB"
    middles = {picture.getpixel((6 + 102 * column + 48, 6 + 102 * row + 48)) for column in range(2) for row in range(2)}
    assert middles <= {(255, 0, 0), (0, 0, 0), (0, 0, 255)}


@pytest.mark.host
def test_folder_is_square_rgb_in_the_order_of_names(photographs):
    images = pictures.folder(photographs, 12)
    assert images.shape == (3, 3, 12, 12)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[:, :, 6, 6], [[-1, -1, -1], [-1, -1, 1], [1, -1, -1]])


def test_sample_from_a_configuration(run):
    path = str(Path(__file__).parent / "configs" / "sdxl-base-1.0.json")
    assert run("--from-config", path, "--count", "2")[1].startswith("euler: 28 steps")


@pytest.mark.host
@pytest.mark.parametrize("name", NOT_DRAWN)
def test_what_cannot_be_drawn_says_why(refuse, name, tmp_path):
    assert re.search(NOT_DRAWN[name], refuse("--scheduler", name, "--steps", "8", "--out", tmp_path / "grid.png"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.host
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scheduler", "nope"], "there is no scheduler or sampler 'nope'"),
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
        (["--model", "exact", "--class", "7"], "--class is for the network; leave it out, or take --model digits"),
        (["--data", ".", "--guidance", "2"], "--guidance is for the network; leave it out, or take --model digits"),
        (["--model", "digit"], "--model must be one of 'digits', 'exact'; given 'digit' .did you mean 'digits'"),
        (["--class", "10"], "--class must be a digit, 0 to 9; given 10"),
        (["--guidance", "-1"], r"--guidance must be a number in 0\.\.100; given -1"),
        (["--guidance", "nan"], r"--guidance must be a number in 0\.\.100; given nan"),
        (["--blur", "-1"], r"--blur must be a number in 0\.\.10, where pixels are in -1\.\.1; given -1"),
        (["--model", "digits", "--data", "."], "--data is for the exact model of a data set"),
        (["--model", "digits", "--blur", "1"], "--blur is for the exact model of a data set"),
        (["--size", "9"], "--size is for the images of --data"),
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


def test_the_network_draws_the_digit_that_is_asked_for(run, points):
    asked = ("--steps", "8", "--count", "5", "--sampler", "auto")
    picture, text = run(*asked, "--class", "7", "--guidance", "3")
    assert picture.size == (3 * 102 + 6, 2 * 102 + 6)
    times = r"[\d.]+ s, [\d.]+ s in the scheduler alone"
    assert re.match(rf"auto: 8 steps, 8 model calls, {times}\ndigit 7, guidance 3\nwrote ", text)
    tile = np.asarray(picture, dtype=np.float32)[6:102:12, 6:102:12] / 127.5 - 1
    means = {digit: points[digits.labels() == digit].mean(axis=(0, 1)) for digit in range(10)}
    assert min(means, key=lambda digit: np.mean((means[digit] - tile) ** 2)) == 7
    assert "\ndigits 0 to 9 in turn, guidance 1.5\n" in run(*asked, "--force")[1]
    assert "\ndigits of any class\n" in run(*asked, "--force", "--guidance", "0")[1]


def test_a_sampler_takes_the_path_of_the_scheduler(run):
    assert run("--sampler", "dpmpp_2m", "--steps", "6", "--count", "2")[1].startswith(
        "dpmpp_2m: 6 steps, 6 model calls"
    )
    line = run("--scheduler", "edm-euler", "--sampler", "auto", "--steps", "6", "--count", "2", "--force")[1]
    assert line.startswith("auto: 6 steps, 6 model calls")


@pytest.mark.host
def test_folders_without_images_are_refused(refuse, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    assert "has no images" in refuse("--data", tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image either")
    assert "broken.png' is not an image that can be read" in refuse("--data", tmp_path)


@pytest.mark.host
def test_without_pillow_it_says_so(refuse, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert "Pillow is missing: install multisched-diffusion[cli]." in refuse("--out", tmp_path / "grid.png")


@pytest.mark.host
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


@pytest.mark.host
def test_a_decompression_bomb_is_refused(refuse, photographs, monkeypatch):
    for most in (500, 1000):  # an error from twice the limit on, before that a warning
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        assert "more pixels than Pillow takes for safe" in refuse("--data", photographs)


@pytest.mark.host
def test_bad_folders_sizes_and_options_are_refused(refuse, photographs, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no images" in refuse("--data", tmp_path / "empty")
    assert "does not exist" in refuse("--data", photographs / "red.png")
    assert "--size must be in 1..2048" in refuse("--data", photographs, "--size", 10**9)
    assert "--count must be in 1..10000" in refuse("--count", 10**9)


@pytest.mark.host
def test_no_bar_where_there_is_no_terminal(tmp_path, capsys):
    assert cli.main(["sample", "--steps", "2", "--count", "1", "--out", str(tmp_path / "grid.png")]) == 0
    assert capsys.readouterr().err == ""
