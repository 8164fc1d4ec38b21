"""The code of the README and of CONTRIBUTING runs, on every backend, and prints what stands below it."""

import importlib.util
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import multisched as ms
from multisched.interop.diffusers import PEERS

ROOT = Path(__file__).parent.parent
README, CONTRIBUTING, BURN = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md", "docs/faces/burn.md")
)
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
SOURCE, SITE = URLS["Source"], URLS["Documentation"].rstrip("/")
MADE = ("auto_gallery", "api")  # pages that the build of the site writes
# A block of Python, and the indented lines that follow it: what it prints.
BLOCK = re.compile(r"^```python\n(.*?)^```$\n*((?:^ {4}[^\n]*\n)*)", re.MULTILINE | re.DOTALL)


def run_page(page, backend, capsys):
    """The names that the blocks of a page leave behind; each block prints what the page says."""
    names = {}
    capsys.readouterr()
    for code, output in BLOCK.findall(page):
        exec(compile(code.replace('"numpy"', f'"{backend.name}"'), "a page", "exec"), names)
        printed = capsys.readouterr().out
        assert "".join(f"    {line}\n" for line in printed.splitlines()) == output, code
    return names


def test_the_readmes_code_runs(backend, capsys):
    names = run_page(README, backend, capsys)
    image = backend.to_numpy(names["image"])
    assert image.shape == (4, 3, 8, 8) and np.all(np.isfinite(image))
    assert names["mended"] == ms.FlowMatchEuler(shift=3.0)


def test_the_rust_examples_twin(backend, capsys):
    """Each line of the Rust example does in Python what it does there."""
    names = run_page(BURN, backend, capsys)
    sigmas, steps = (backend.to_numpy(names[name]) for name in ("sigmas", "t"))
    np.testing.assert_allclose(sigmas, np.append(np.linspace(1, 0.001, 50), 0), rtol=1e-6)
    np.testing.assert_allclose(steps, np.linspace(1000, 1, 50), rtol=1e-6)
    assert names["t0"] == 1000.0
    assert ms.backends.of(names["next_sample"]) is backend
    assert tuple(names["next_sample"].shape) == (1, 8, 16, 16)
    assert np.all(backend.to_numpy(names["next_sample"]) == 0)
    assert names["count"] == 10 and tuple(names["timesteps"].shape) == (10,)


@pytest.mark.host
def test_the_code_of_contributing_runs(backend, capsys):
    """Its solver is the one of the package that has the same name in the paper."""
    names = run_page(CONTRIBUTING, backend, capsys)
    parts = ms.paths.Discrete(), "karras", "epsilon"
    solvers = names["TwoStep"](), ms.solvers.DPMMultistep(2, lower_order_final=False)
    ours, theirs = (ms.Scheduler(*parts, solver).plan(9).folded.weights for solver in solvers)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def targets(page):
    return re.findall(r"\]\(([^)#]+)[^)]*\)", page)


@pytest.mark.host
def test_what_contributing_points_to_is_there():
    for target in targets(CONTRIBUTING):
        assert target.startswith(SITE) or (ROOT / target).exists(), target


@pytest.mark.host
def test_what_the_readme_points_to_is_there():
    """PyPI shows it too, so each link is whole: a file of the repository, or a page of the site and its source."""
    raw = SOURCE.replace("github.com", "raw.githubusercontent.com") + "/main/"
    for target in targets(README):
        if target.startswith(SITE + "/"):
            page = target.removeprefix(SITE + "/").removesuffix(".html")
            made = page.split("/")[0] in MADE or not (ROOT / "docs/conf.py").exists()
            assert made or (ROOT / f"docs/{page}.md").exists(), target
        else:
            file = target.removeprefix(SOURCE + "/blob/main/").removeprefix(raw)
            assert file != target and (ROOT / file).is_file(), target


@pytest.mark.host
def test_the_citation_is_of_this_version():
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert {f"version: {ms.__version__}", f"repository-code: {SOURCE}", f"url: {SITE}/"} <= set(lines)


@pytest.mark.host
def test_the_readme_is_short():
    assert len(README.splitlines()) < 200


@pytest.mark.host
def test_the_claims_are_those_of_the_results():
    results = ROOT / "benchmarks" / "results"
    cpu, accuracy = ((results / name).read_text(encoding="utf-8") for name in ("cpu.md", "accuracy.md"))
    speed = re.search(r"46 classes\. diffusers takes ([\d.]+) times as long", cpu)
    assert f"**{speed[1]} times less host time a step than diffusers**" in README
    cells = re.search(r"best setting of (7 common) solvers .* in (\d+ of \d+) cells", accuracy)
    assert f"best of {cells[1]} samplers" in README and f"in {cells[2]} cells" in README
    quirks = {quirk.name for peer in PEERS.values() for quirk in peer.quirks}
    assert f"of all {len(PEERS)} classes" in README and f"Its {len(quirks)} departures" in README


@pytest.mark.host
def test_the_picture_is_that_of_the_results():
    """Its lines are drawn from the file of errors as it is now. The digits are not compared."""
    spec = importlib.util.spec_from_file_location("headline", ROOT / "benchmarks" / "headline.py")
    headline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(headline)
    picture = (ROOT / "docs" / "_static" / "headline.svg").read_text(encoding="utf-8")
    assert all(part in picture for part in headline.chart(headline.cells()))
    assert picture.count("<image ") == 20 and len(picture) < 150_000


@pytest.mark.host
def test_the_table_has_every_recipe():
    table = README.split("| family | recipes |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(ms.schedulers.named())
