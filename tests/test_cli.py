"""The command line: pictures on every backend, the same as NumPy's, and what it says when it cannot."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import multisched as ms
from multisched import cli, pictures

each_scheduler = pytest.mark.parametrize("name", cli.recipes())


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
    """refuse(*arguments): the sentence that the command ends with."""

    def sample(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main(["sample", *map(str, arguments)])
        assert stop.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("multisched: error: ")
        assert last.endswith(".")
        return last

    return sample


@each_scheduler
def test_picture_and_report(run, name):
    picture, line = run("--scheduler", name, "--steps", "8", "--count", "5")
    assert picture.size == (3 * 68 + 4, 2 * 68 + 4)
    assert picture.mode == "L"
    report = re.fullmatch(
        rf"{name}: 8 steps, (\d+) model calls, ([\d.]+) s, ([\d.]+) s in the scheduler alone; "
        r"mean distance to the nearest training image (\S+) \(RMS per pixel\)\n",
        line,
    )
    calls, seconds, in_scheduler, distance = map(float, report.groups())
    assert calls == (15 if name == "flow-match-heun" else 8)
    assert 0 <= in_scheduler <= seconds
    assert distance < 1e-4


@each_scheduler
@pytest.mark.parametrize("seed", [0, 1])
def test_images_and_their_way_are_those_of_numpy(backend, device, digits, name, seed):
    _, recipe = cli.recipe_of(name)
    here = cli.Run(recipe, 28, backend.name, device, seed, count=8, frames=10).draw(digits)
    numpy = cli.Run(recipe, 28, "numpy", None, seed, count=8, frames=10).draw(digits)
    assert np.abs(here.images - numpy.images).max() < 1e-4 * 2
    assert len(here.frames) == len(numpy.frames) == 10
    for one, other in zip(here.frames, numpy.frames, strict=True):
        # Where a sample is between two images rounding grows a thousandfold, to vanish at the image that it goes to.
        assert np.abs(one - other).max() < 1e-2 * 2


@each_scheduler
def test_frames_begin_with_the_noise_and_end_with_the_images(digits, name):
    _, recipe = cli.recipe_of(name)
    drawn = cli.Run(recipe, steps=3, count=2, frames=10).draw(digits)
    assert len(drawn.frames) == 4
    np.testing.assert_array_equal(drawn.frames[0], ms.noise.normal((2, 1, 8, 8), 0))
    np.testing.assert_array_equal(drawn.frames[-1], drawn.images)


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
    assert cli.recipe_of(name, shift=3.0) == ("flow-match-heun", ms.FlowMatchHeun(shift=3.0))


def test_every_named_recipe_is_offered():
    assert {"flow-match-euler", "flow-match-heun", "flow-match-ping-pong", "ddim"} <= set(cli.recipes())
    assert not {"recipe", "scheduler"} & set(cli.recipes())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scheduler", "nope"], "--scheduler must be one of .*ddim.*; given 'nope'"),
        (["--scheduler", "ddim", "--shift", "3"], "ddim has no shift"),
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
    ],
)
def test_refusals(refuse, arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert re.search(says, refuse(*arguments))
    assert list(tmp_path.iterdir()) == []


def test_folders_without_images_are_refused(refuse, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    assert "has no images" in refuse("--data", tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image either")
    assert "broken.png' is not an image that can be read" in refuse("--data", tmp_path)


@pytest.mark.parametrize(
    ("module", "package"), [("PIL.Image", "Pillow"), ("sklearn.datasets", "scikit-learn"), ("tqdm", "tqdm")]
)
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
    code = "import sys, multisched.cli; print(*{'PIL', 'sklearn', 'tqdm', 'torch', 'jax', 'mlx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
