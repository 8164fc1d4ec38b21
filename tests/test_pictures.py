"""Figures of plans and errors, in notebooks and by `multisched plot` and `multisched compare`."""

import json
import re
import shlex
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

import multisched as ms
from multisched import cli, pictures
from multisched.pictures import figures

CONFIG = str(Path(__file__).parent / "configs" / "sdxl-base-1.0.json")
pytestmark = pytest.mark.host


def _lines(axes):
    """The curves that have names, by these."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """run("plot ddim"): what is printed, and the figure that is written."""
    drawn = []
    write = pictures.save
    monkeypatch.setattr(pictures, "save", lambda figure, *rest: (drawn.append(figure), write(figure, *rest)))
    monkeypatch.chdir(tmp_path)

    def done(line):
        assert cli.main(shlex.split(line)) == 0
        return capsys.readouterr().out, (drawn or [None])[-1]

    return done


def test_levels_of_all_paths_are_on_one_axis_with_their_ends():
    plans = [ms.DDIM().plan(6), ms.EDMEuler().plan(6), ms.TCD().plan(6)]
    left, right = pictures.plot(plans).axes
    for plan, line in zip(plans, _lines(left).values(), strict=True):
        with np.errstate(divide="ignore"):
            lam = np.log(plan.alphas / plan.sigmas)
        finite = np.isfinite(lam)
        np.testing.assert_allclose(line.get_xydata(), np.stack([np.arange(7), lam], axis=1)[finite])
    for plan, line in zip(plans, _lines(right).values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), plan.timesteps)
    assert "SNR" in left.get_ylabel() and all(axes.get_title() and axes.get_xlabel() for axes in (left, right))


@pytest.mark.parametrize(("axis", "times"), [("lam", 1), ("log-snr", 2), ("sigma", None)])
def test_an_end_that_is_infinite_on_the_axis_is_said(axis, times):
    plan = ms.FlowMatchEuler().plan(4)
    left, _ = pictures.plot([plan], axis).axes
    said = {text.get_text() for text in left.texts}
    assert said == ({"▼ $\\sigma = 0$: the clean sample"} if times is None else
                    {"▲ $\\sigma = 0$: the clean sample", "▼ $\\alpha = 0$: pure noise"})  # fmt: skip
    (line,) = _lines(left).values()
    inner = slice(1, -1)
    wanted = plan.sigmas[:-1] if times is None else times * np.log(plan.alphas[inner] / plan.sigmas[inner])
    np.testing.assert_allclose(line.get_ydata(), wanted)
    low, high = left.get_ylim()
    edges = {float(line.get_ydata()[-1]) for line in left.lines if line.get_label().startswith("_")}
    assert edges == ({low} if times is None else {low, high})
    left, _ = pictures.plot([ms.TCD().plan(4)], axis).axes
    assert {text.get_text() for text in left.texts} == {"end"}


def test_twelve_curves_can_be_told_apart_and_one_under_another_one():
    figure = pictures.plot([ms.DDIM().plan(12)] * 12, labels=[str(k) for k in range(12)], title="Twelve")
    lines = list(_lines(figure.axes[0]).values())
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 12
    widths = [line.get_linewidth() for line in lines]
    assert widths == sorted(widths, reverse=True) and widths[0] > 2 * widths[-1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [str(k) for k in range(12)]
    assert figure.get_suptitle() == "Twelve"
    for plans in ([], [ms.DDIM().plan(2)] * 13):
        with pytest.raises(ms.ScheduleError, match="a figure has 1 to 12 curves"):
            pictures.plot(plans)
    with pytest.raises(ms.ScheduleError, match="a label for each of 1 curves"):
        pictures.plot([ms.DDIM().plan(2)], labels=["a", "b"])


def test_errors_are_on_logarithmic_axes_without_what_is_no_number():
    figure = pictures.compare({"a": ([5, 10, 20], [0.1, np.nan, 0.01]), "b": ([9, 19], [0.2, 0.0])})
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    lines = _lines(axes)
    np.testing.assert_array_equal(lines["a"].get_xydata(), [[5, 0.1], [20, 0.01]])
    np.testing.assert_array_equal(lines["b"].get_xydata(), [[9, 0.2]])
    assert axes.get_xticks().tolist() == [5, 9, 20]


def test_no_setting_of_matplotlib_is_changed_and_the_same_picture_is_the_same_file(tmp_path):
    before = dict(mpl.rcParams)
    for ending in ("svg", "pdf", "png"):
        for name in ("one", "other"):
            pictures.save(pictures.plot([ms.DDIM().plan(5)]), tmp_path / f"{name}.{ending}")
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"other.{ending}").read_bytes()
    assert dict(mpl.rcParams) == before
    assert pictures.plot([ms.DDIM().plan(5)])._repr_svg_() == (tmp_path / "one.svg").read_text()  # in notebooks
    with pytest.raises(ms.ScheduleError, match="--force writes over it"):
        pictures.save(pictures.plot([ms.DDIM().plan(6)]), tmp_path / "one.svg")
    pictures.save(pictures.plot([ms.DDIM().plan(6)]), tmp_path / "one.svg", force=True)
    with pytest.raises(ms.ScheduleError, match=r"no picture .* ends in '\.foo'"):
        pictures.save(pictures.plot([ms.DDIM().plan(6)]), tmp_path / "one.foo")


def test_a_figure_of_pyplot_can_be_drawn_into():
    figure = mpl.figure.Figure(layout="constrained")
    assert pictures.plot([ms.DDIM().plan(5)], figure=figure) is figure and len(figure.axes) == 2
    figure = mpl.figure.Figure(layout="constrained")
    assert pictures.compare({"a": ([5, 10], [0.1, 0.01])}, figure=figure) is figure and len(figure.axes) == 1


def test_plot_takes_options_of_each_curve(run):
    said, figure = run(
        f"plot --steps 7 euler euler --spacing karras --steps 9 ddim --set eta=1 --from-config {CONFIG} --out p.svg"
    )
    assert said == "wrote p.svg: 4 curves\n" and Path("p.svg").read_text().startswith("<?xml")
    plans = [
        ms.Euler().plan(7),
        ms.Euler().plan(9, spacing="karras"),
        ms.DDIM(eta=1.0).plan(7),
        ms.from_diffusers(CONFIG).plan(7),
    ]
    lines = _lines(figure.axes[1])
    assert list(lines) == [
        "euler, 7 steps",
        "euler, karras, 9 steps",
        "ddim, eta=1, 7 steps",
        "euler, sdxl-base-1.0.json, 7 steps",
    ]
    for plan, line in zip(plans, lines.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), plan.timesteps)
    assert figure.get_suptitle() == "Runs of 7 and 9 steps"


def test_plot_draws_every_scheduler(run):
    names = list(cli.recipes())
    for k in range(0, len(names), figures.MOST):
        run(f"plot {' '.join(names[k : k + figures.MOST])} --steps 8 --axis log-snr --out p{k}.png")
        with Image.open(f"p{k}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 10


def test_compare_prints_the_errors_and_draws_them(run):
    said, figure = run("compare euler heun deis --spacing beta --calls 5 10 20 --out e.svg --path vp")
    head, numbers, *rows, wrote = said.splitlines()
    assert "vp path" in head and numbers.split() == ["5", "10", "20"] and wrote == "wrote e.svg"
    euler, _, deis = (row.split() for row in rows)
    assert euler[0] == "euler" and deis[:2] == ["deis,", "beta"]
    lines = _lines(figure.axes[0])
    assert lines["heun"].get_xdata().tolist() == [5, 9, 19]
    like = ms.sampler("euler").parts().path
    wanted = [ms.analysis.error(ms.sampler("euler", like=like).plan(n, spacing="karras")) for n in (5, 10, 20)]
    np.testing.assert_allclose(lines["euler"].get_ydata(), wanted)
    assert euler[1:] == [f"{one:.2g}" for one in wanted]
    assert ms.analysis.error(ms.sampler("heun").plan(3, spacing="karras")) == lines["heun"].get_ydata()[0]


def test_compare_as_json_by_steps_and_with_what_chooses_by_the_calls(run):
    said, figure = run("compare heun auto euler --from-config " + CONFIG + " --steps 4 8 --json --path edm")
    found = json.loads(said)
    assert figure is None and found["path"] == "edm"
    heun, auto, euler, config = found["curves"].values()
    assert heun["calls"] == [7, 15] and auto["calls"] == euler["calls"] == config["calls"] == [4, 8]
    edm = ms.paths.VarianceExploding()
    wanted = [ms.analysis.error(ms.sampler("auto", edm, calls=n).plan(n)) for n in (4, 8)]
    np.testing.assert_allclose(auto["errors"], wanted)
    np.testing.assert_allclose(config["errors"], [ms.analysis.error(ms.from_diffusers(CONFIG).plan(n)) for n in (4, 8)])
    assert list(found["curves"]) == ["heun", "auto", "euler", "euler, sdxl-base-1.0.json"]
    dashed = run("compare restart --calls 2 30")[0].splitlines()[2].split()
    assert dashed[0] == "restart" and float(dashed[2]) > 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("plot ddim --out p.foo", r"--out must end in \.png, \.svg, \.pdf or .*; given 'p\.foo'"),
        ("plot ddim --out nowhere/p.svg", "folder 'nowhere' of --out does not exist"),
        ("plot ddim --axis snr", r"--axis must be one of 'lam', 'log-snr', 'sigma'; given 'snr'"),
        (f"plot {'ddim ' * 13}", "name 1 to 12 schedulers.*given 13"),
        ("plot ddim --steps 0", r"number of steps must be in 1\.\.1000; given 0"),
        ("compare euler_ancestral", "adds noise, so its samples follow no flow"),
        ("compare DDIM", "changes the model's outputs, by clipping or the like"),
        ("compare ddim-inverse", "does not lead from noise to samples|changes the model's outputs"),
        ("compare euler --calls 0", "--calls must be a whole number in 1..1000|--calls must be in 1..1000; given 0"),
        ("compare euler --calls 5 --steps 5", "give --calls or --steps, not both"),
        ("compare euler --path vpp", r"--path must be one of .*; given 'vpp' \(did you mean 'vp'\?\)"),
        ("compare euler --out e.txt", r"--out must end in"),
        ("compare euler --cals 5", r"compare has no option '--cals' \(did you mean '--calls'\?\)"),
    ],
)
def test_what_is_refused(line, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        cli.main(line.split())
    assert re.search(says, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_missing_matplotlib_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    with pytest.raises(SystemExit, match="2"):
        cli.main(["plot", "ddim"])
    assert "Matplotlib is missing: install multisched-diffusion[cli]." in capsys.readouterr().err


# The exact end of a run on a line, by quantiles.


def test_the_error_of_a_gaussian_is_that_of_its_flow_map():
    """On one component the map between quantiles is linear, and known."""
    gaussian = ms.analysis.Gaussian(mean=0.4, std=0.6)
    target = ms.analysis.Mixture(means=[[0.4]], stds=[0.6])
    for recipe in (ms.FlowMatchHeun(), ms.EDMEuler(), ms.DDIM(clip_sample=False), ms.TCD(eta=0.0)):
        plan = recipe.plan(7)
        normal = np.sort(np.random.default_rng(0).standard_normal(50))
        begun = plan.start(normal[:, None])
        state = begun
        model = ms.analysis.model_of(recipe, target)
        for t in plan.timesteps:
            state = plan.step(state, model(plan.model_input(state), t))
        ends = [(float(plan.rows.start.alpha[0, 0]), float(plan.rows.start.sigma[0, 0]))]
        wanted = gaussian.flow_map(begun.sample, ends[0], (plan.alphas[-1], plan.sigmas[-1]))
        apart = float(np.sqrt(np.mean((state.sample - wanted) ** 2)) / plan.alphas[-1])
        assert apart == pytest.approx(ms.analysis.error(plan, target, samples=2000), rel=0.3)


def test_the_error_goes_to_zero_at_the_order_of_the_solver():
    for name, order in (("euler", 1), ("heun", 2)):
        recipe = ms.sampler(name, ms.paths.VarianceExploding())
        fine, finer = (ms.analysis.error(recipe.plan(n)) for n in (100, 200))
        assert np.log2(fine / finer) == pytest.approx(order, abs=0.3)


def test_error_refuses_what_follows_no_flow():
    for plan, says in (
        (ms.DDPM(clip_sample=False).plan(5), "adds noise"),
        (ms.DDIM().plan(5), "changes the model's outputs"),
        (ms.DDIMInverse(clip_sample=False).plan(5), "does not lead from noise"),
        ("plan", "takes the plan of a recipe"),
    ):
        with pytest.raises(ms.ScheduleError, match=says):
            ms.analysis.error(plan)
    with pytest.raises(ms.ScheduleError, match="on a line"):
        ms.analysis.error(ms.EDMEuler().plan(3), ms.analysis.Mixture(means=[[0.0, 1.0]], stds=[1.0]))
