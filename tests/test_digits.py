"""The network of digits, and the pipeline of examples/pipeline/: the same pictures on every backend, of the digit asked
for."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import multisched as ms
from multisched import cli, digits
from multisched.digits import network
from multisched.digits.model import WEIGHTS, shipped

ROOT = Path(__file__).parent.parent
PIPELINE = ROOT / "examples" / "pipeline"
COUNT, FEW = 100, 10  # pictures of a run; no other number, since JAX compiles anew for each
CLASSES = np.arange(COUNT) % 10


def _script(name):
    """A module of the examples."""
    sys.path.insert(0, str(PIPELINE))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(PIPELINE))


draw, judge = _script("draw"), _script("judge")


@pytest.fixture(scope="module")
def net(backend, device):
    return digits.load(backend, device)


def _drawn(net, count, name, steps, guidance, like, device=None):
    """Pictures of all digits, on the network's backend."""
    recipe = draw.recipe_of(name, steps, guidance)
    noise = ms.noise.normal((count, 1, 8, 8), rng=5, backend=like, device=device)
    model = digits.guided(net, digits.conditions(CLASSES[:count], like, device), guidance)
    return like.to_numpy(ms.sample(model, recipe.plan(steps), noise, rng=5))


@pytest.mark.parametrize(
    ("count", "name", "steps", "guidance"),
    [
        (COUNT, "auto", 10, 2.0),
        (FEW, "dpmpp_2m", 10, 2.0),
        (FEW, "heun", 6, 1.5),
        (FEW, "euler_ancestral", 10, 1.5),
        (COUNT, "uni_pc", 6, 0.0),
    ],
)
def test_pictures_are_those_of_numpy_and_of_the_digit(backend, device, net, count, name, steps, guidance):
    numpy = ms.backends.get("numpy")
    found = _drawn(net, count, name, steps, guidance, backend, device)
    expected = _drawn(digits.load(numpy), count, name, steps, guidance, numpy)
    assert np.abs(found - expected).max() < 1e-3
    if guidance:
        assert judge.accuracy(found, CLASSES[:count]) >= 0.95
    else:  # of no class, so of any
        seen = judge.classifier().predict(judge.flat(found))
        assert np.mean(seen == CLASSES) < 0.4 and len(set(seen.tolist())) >= 8


def test_img2img_and_inpainting(backend):
    here, numpy = (draw.draw(one, steps=8, count=FEW) for one in (backend, ms.backends.get("numpy")))
    threes, eights, completed = map(backend.to_numpy, here)
    for found, expected in zip((threes, eights, completed), numpy, strict=True):
        assert np.abs(found - expected).max() < 1e-3
    for found, digit in ((threes, 3), (eights, 8), (completed, 8)):
        assert judge.accuracy(found, digit) >= 0.9
    np.testing.assert_array_equal(completed[..., 4:], threes[..., 4:])
    others = np.roll(threes, 1, axis=0)  # each picture is nearer to the one that it was made from
    assert np.mean((eights - threes) ** 2) < 0.8 * np.mean((eights - others) ** 2)


@pytest.mark.parametrize("name", ["ddim", "euler", "edm-euler"])
def test_recipes_of_other_paths_draw_with_it(backend, device, net, name):
    """Samples scaled otherwise, other predictions: by the estimate of x0."""
    recipe = cli.recipe_of(name, ["clip_sample=false"] if name == "ddim" else [])[1]
    model = digits.Denoiser(digits.guided(net, digits.conditions(CLASSES[:FEW], backend, device), 1.0))
    found = cli.Run(recipe, 15, backend.name, device, count=FEW).draw_by(model, (1, 8, 8)).images
    assert judge.accuracy(found, CLASSES[:FEW]) >= 0.95


def test_the_estimate_of_x0_is_that_of_the_velocity(backend, make, net):
    x0, noise = (make(values) for values in np.random.default_rng(0).standard_normal((2, FEW, 1, 8, 8)))
    t = 300.0
    x = digits.RECIPE.add_noise(x0, noise, t)
    expected = x - 0.3 * net(x, t, 4)
    model = digits.Denoiser(digits.guided(net, 4))
    for scale in (1.0, 2.5):  # on a path whose samples are larger
        found = model.denoised(backend, scale * x, 0.7 * scale, 0.3 * scale)
        np.testing.assert_allclose(backend.to_numpy(found), backend.to_numpy(expected), atol=1e-5)


def test_layers_are_their_formulas(backend, make):
    random = np.random.default_rng(1)
    names = {"first.inner": (288, 32), "query": (64, 192), "joined": (64, 64)}
    given = {name: random.standard_normal(shape) / 8 for name, shape in names.items()}
    given |= {f"{name}.bias": random.standard_normal(shape[1]) for name, shape in names.items()}
    layers = network._Layers(backend, {name: make(values) for name, values in given.items()})

    wide = random.standard_normal((2, 8, 8, 32))
    padded = np.pad(wide, ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = given["first.inner"].reshape(3, 3, 32, 32)
    places = [[np.einsum("nijc,ijcd->nd", padded[:, i : i + 3, j : j + 3], kernel) for j in range(8)] for i in range(8)]
    expected = np.stack([np.stack(row, 1) for row in places], 1) + given["first.inner.bias"]
    found = backend.to_numpy(layers.convolve("first.inner", make(wide), 8))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    deep = random.standard_normal((2, 4, 4, 64))
    groups = deep.reshape(2, 16, 8, 8)
    normal = (groups - groups.mean((1, 3), keepdims=True)) / np.sqrt(groups.var((1, 3), keepdims=True) + 1e-5)
    normal = normal.reshape(2, 16, 64)
    found = backend.to_numpy(layers.normal(make(deep), 4, 64)).reshape(2, 16, 64)
    np.testing.assert_allclose(found, normal, rtol=1e-4, atol=1e-4)

    q, k, v = np.moveaxis((normal @ given["query"] + given["query.bias"]).reshape(2, 16, 3, 4, 16), 2, 0)
    shares = np.exp(np.einsum("nahc,nbhc->nhab", q, k) / 4)
    seen = np.einsum("nhab,nbhc->nahc", shares / shares.sum(-1, keepdims=True), v).reshape(2, 16, 64)
    found = backend.to_numpy(layers.attention(make(deep))).reshape(2, 16, 64)
    np.testing.assert_allclose(found, seen @ given["joined"] + given["joined.bias"], rtol=1e-4, atol=1e-4)

    images = make(random.standard_normal((2, 8, 8, 32)))
    np.testing.assert_array_equal(backend.to_numpy(layers.scattered(layers.gathered(images))), backend.to_numpy(images))


def test_each_sample_has_its_class_and_time(backend, make, net):
    x = make(np.random.default_rng(2).standard_normal((FEW, 1, 8, 8)))
    times = np.linspace(0, 1000, FEW)
    whole = backend.to_numpy(net(x, make(times), CLASSES[:FEW]))
    for k in (0, 5, 9):
        alone = backend.to_numpy(net(x, float(times[k]), int(CLASSES[k])))
        np.testing.assert_allclose(whole[k], alone[k], atol=1e-5)
    assert np.abs(whole[5] - backend.to_numpy(net(x, make(times), digits.NONE))[5]).max() > 0.01


def test_half_precision_is_computed_in_float32(backend, make, net):
    values = np.random.default_rng(3).standard_normal((FEW, 1, 8, 8))
    half = make(values, "float16") if hasattr(backend.xp, "float16") else make(values)
    found = net(half, 500.0, 3)
    assert found.dtype == half.dtype
    expected = backend.to_numpy(net(backend.astype(half, backend.dtype("float32")), 500.0, 3))
    assert np.abs(backend.to_numpy(found).astype(np.float32) - expected).max() < 2e-3 * np.abs(expected).max()


def test_it_compiles(backend, make, net):
    if backend.name not in ("torch", "jax", "mlx"):
        pytest.skip(f"{backend.name} has no compiler")
    x, t = make(np.random.default_rng(4).standard_normal((FEW, 1, 8, 8))), make(400.0)
    chosen = digits.conditions([*range(1, 10), digits.NONE], x)
    compile_ = backend.compile
    if backend.name == "torch":  # the graph alone: building its kernels takes half a minute
        compile_ = lambda one: importlib.import_module("torch").compile(one, backend="eager", fullgraph=True)  # noqa: E731
    found = compile_(digits.guided(net, chosen, 2.0))(x, t)
    expected = backend.to_numpy(digits.guided(net, chosen, 2.0)(x, t))
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=1e-4)


@pytest.mark.host
def test_what_is_no_digit_is_refused():
    net, x = digits.load(), np.zeros((3, 1, 8, 8), np.float32)
    for given in (11, -1, [3, 12], 2.0, "7", [[1]], True, None):
        with pytest.raises(ms.ScheduleError, match=r"a class is a digit, 0 to 9, or 10 for none; given "):
            digits.conditions(given)
    for guidance in (float("nan"), -1, 101):
        with pytest.raises(ms.ScheduleError, match=r"guidance must be a number in 0..100; given "):
            digits.guided(net, 3, guidance)
    with pytest.raises(ms.ScheduleError, match="guidance must be a number; given 'x'"):
        digits.guided(net, 3, "x")
    with pytest.raises(ms.ScheduleError, match=r"one class, or one for each of 3 samples; given \(2,\)"):
        net(x, 1.0, [1, 2])
    with pytest.raises(ms.ScheduleError, match=r"the network sees samples \(samples, 1, 8, 8\); given the shape"):
        net(x[:, 0], 1.0, 3)


@pytest.mark.host
def test_the_weights_are_those_of_the_network_and_small():
    assert {name: values.shape for name, values in shipped().items()} == network.shapes()
    assert WEIGHTS.stat().st_size < 1e6
    assert all(values.dtype == np.float32 and np.all(np.isfinite(values)) for values in shipped().values())


def test_a_short_training_is_that_of_its_seed(backend, monkeypatch):
    if backend.name != "torch":
        pytest.skip("the network is trained with torch")
    train = _script("train")
    monkeypatch.setattr(train, "ROUNDS", 1)
    first, again, other = (train.train(30, seed, batch=32) for seed in (0, 0, 1))
    assert first.last < 0.75 * first.first
    assert first.hash == again.hash != other.hash and first == again._replace(weights=first.weights)
    assert first.first == pytest.approx(1.6, rel=0.2)  # at first the output is 0: the loss is E|x0|^2 + 1


def test_the_script_that_trains_says_how_it_went(backend, monkeypatch, capsys, tmp_path):
    if backend.name != "torch":
        pytest.skip("the network is trained with torch")
    out = tmp_path / "weights.npz"
    monkeypatch.setattr(sys, "argv", ["train.py", "--steps", "3", "--out", str(out)])
    train = _script("train")
    monkeypatch.setattr(train, "ROUNDS", 1)
    train.main()
    assert re.search(r"3 steps in \d+ s: .* held out [\d.]+; hash \w{16}\n", capsys.readouterr().out)
    with np.load(out) as file:
        assert {name: file[name].shape for name in file.files} == network.shapes()


def test_the_example(backend, monkeypatch, capsys, tmp_path):
    out = tmp_path / "digits.png"
    monkeypatch.setattr(sys, "argv", ["draw.py", backend.name, "--steps", "4", "--out", str(out)])
    draw.main()
    assert capsys.readouterr().out.endswith("with their right halves, kept: True\n")
    assert out.stat().st_size > 1000


@pytest.mark.host
def test_frechets_distance_of_gaussians():
    random = np.random.default_rng(6)
    one = random.standard_normal((200, 5)) @ random.standard_normal((5, 5))
    assert judge.frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert judge.frechet(one, one + 2.0) == pytest.approx(5 * 4.0)
    assert judge.frechet(one, one.mean(0) + 3 * (one - one.mean(0))) == pytest.approx(4 * np.trace(np.cov(one.T)))


PAGE = (ROOT / "docs" / "digits.md").read_text(encoding="utf-8")


def _table(title):
    lines = PAGE.split(title)[1].split("\n\n")[1].splitlines()[2:]
    return {name.strip(): [float(cell) for cell in cells] for name, *cells in (x.strip("| ").split("|") for x in lines)}


@pytest.mark.host
def test_the_page_is_what_the_script_writes():
    measure = _script("measure")
    assert measure.PAGE.partition("{size")[0] in PAGE
    for guidance in measure.GUIDANCE:
        shares, distances = (
            _table(f"{what}, guidance {guidance:g}:") for what in ("Accuracy in per cent", "Frechet's distance")
        )
        assert list(shares) == list(distances) == list(measure.SAMPLERS.values())
        assert min(shares["auto"]) >= 95
        assert distances["auto"][2] < distances["Euler"][2]
    images = measure.drawn(ms.backends.get("numpy"), "auto", 5, 1.0, 500)
    place = measure.CALLS.index(5)
    assert judge.accuracy(images, np.arange(500) % 10) == pytest.approx(
        _table("Accuracy in per cent, guidance 1:")["auto"][place] / 100, abs=0.011
    )
    distance = judge.frechet(judge.flat(images), judge.real()[0])
    assert distance == pytest.approx(_table("Frechet's distance, guidance 1:")["auto"][place], abs=0.03)


@pytest.mark.host
def test_the_network_generalises():
    """By the page's figures: the loss on digits held out, and how near pictures come to the digits trained on."""
    seen, held = map(float, re.search(r"(0\.\d+) on\s+digits\s+trained on, (0\.\d+)", PAGE).groups())
    assert seen < held < 1.15 * seen
    drawn, between = map(float, re.search(r"held out: (0\.\d+) and (0\.\d+)", PAGE).groups())
    assert drawn > 0.9 * between
