"""The programs of the documentation run, and print what stands below them; the programs of the gallery draw.

A page says below its title which backend its programs need, as `<!-- backend: torch -->`: one library, "any", "numpy"
where nothing is said, or "diffusers", which tests/peers runs. A block that is not to be run has a
line `<!-- not run: the reason -->` above it.
"""

import re
import runpy
from pathlib import Path

import pytest

import multisched as ms
from benchmarks import charts
from multisched.interop import samplers

ROOT = Path(__file__).parent.parent
DOCS, GALLERY = ROOT / "docs", ROOT / "examples" / "gallery"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts and "```python\n" in path.read_text())
# A reason in place of a run, a block of Python, and the indented lines that follow it: what it prints.
BLOCK = re.compile(
    r"(?:^<!-- not run: ([^\n]+) -->\n+)?^```python\n(.*?)^```$\n*((?:^ {4}[^\n]*\n)*)", re.MULTILINE | re.DOTALL
)
NEEDS = ("any", "numpy", "torch", "jax", "mlx", "diffusers")
ELSEWHERE = {"guidance": "test_guidance", "editing": "test_editing"}  # the tests that look at what a page leaves behind


def needs(page):
    """What the programs of a page need."""
    found = re.search(r"^<!-- backend: (\w+) -->$", page.read_text(), re.MULTILINE)
    name = found[1] if found else "numpy"
    assert name in NEEDS, page
    return name


def run(page, backend, capsys):
    """Run the programs of a page, one after another, in one room."""
    names = {"__name__": "a_page"}
    capsys.readouterr()
    for reason, code, output in BLOCK.findall(page.read_text()):
        if reason:
            assert len(reason.split()) > 1, code
            continue
        if needs(page) == "any":
            code = code.replace('"numpy"', f'"{backend}"')
        exec(compile(code, str(page), "exec"), names)
        printed = capsys.readouterr().out
        assert "".join(f"    {line}".rstrip() + "\n" for line in printed.splitlines()) == output, code


def shown(page):
    return str(page.relative_to(DOCS).with_suffix(""))


def pytest_generate_tests(metafunc):
    """The pages of the backend under test."""
    if "page" in metafunc.fixturenames:
        wanted = ("any", metafunc.config.getoption("--backend"))
        pages = [one for one in PAGES if needs(one) in wanted and shown(one) not in ELSEWHERE]
        metafunc.parametrize("page", pages, ids=shown)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what torch says of itself while it compiles
def test_the_programs_of_a_page(page, backend, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run(page, backend.name, capsys)


@pytest.mark.host
def test_what_the_pages_point_to_is_there():
    for page in DOCS.rglob("*.md"):
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if not target.startswith(("http", "auto_gallery", "../auto_gallery", "api/", "../api/")):
                assert (page.parent / target).exists(), (page, target)


PLOTS = sorted(GALLERY.glob("plot_*.py"))


@pytest.mark.host
@pytest.mark.parametrize("path", PLOTS, ids=lambda path: path.stem)
def test_a_program_of_the_gallery(path, monkeypatch):
    """Short, with a title, and with a picture."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.close("all")
    monkeypatch.setattr(plt, "show", lambda: None)
    assert len(path.read_text().splitlines()) <= 40
    names = runpy.run_path(str(path), run_name="__main__")
    title, line = names["__doc__"].strip().splitlines()[:2]
    assert len(line) == len(title) and set(line) == {"="}
    (number,) = plt.get_fignums()
    assert plt.figure(number).axes
    plt.close("all")


@pytest.mark.host
def test_the_table_of_names_is_the_code():
    """Every name of ComfyUI, and every other name of it, leads to the sampler that the table says."""
    page = (DOCS / "which_sampler.md").read_text()
    table = page.split("<!-- names -->")[1].split("<!-- end of names -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    listed = {}
    for cells in rows:
        (name,) = re.findall(r"`([^`]+)`", cells[0])
        listed[name] = cells
        words = [name, f"sample_{name}" if cells[2] else name, cells[3] or name]
        assert {cells[1], cells[2]} <= {"✓", ""}
        assert [samplers.read(word) for word in words] == 3 * [None if name == "dpm_adaptive" else (name, None)], words
        for word in re.findall(r"`([^`]+)`", cells[4]):
            made = word if word.endswith(")") else f"{word}()"
            assert isinstance(eval(f"ms.{made}", {"ms": ms}), ms.Recipe), word
        if name != "dpm_adaptive":
            plan = ms.sampler(name).plan(12)
            assert cells[5:] == [str(len(plan)), "yes" if plan.stochastic else "no"], name
    assert set(listed) == {*samplers.NAMES, "dpm_adaptive"}
    words = {samplers._plain(cells[3]) for cells in rows}
    assert {samplers._plain(word) for word in samplers.OTHERWISE} <= words


@pytest.mark.host
def test_the_table_of_schedule_types_is_the_code():
    page = (DOCS / "which_sampler.md").read_text()
    table = page.split("<!-- schedule types -->")[1].split("<!-- end of schedule types -->")[0]
    found = dict(re.findall(r"^\| ([^|]+?) \| `(\w+)` \|", table, re.MULTILINE))
    found.pop("---", None)
    assert {name.lower(): spacing for name, spacing in found.items()} == samplers.SCHEDULES


@pytest.mark.host
def test_tables_and_charts_are_those_of_the_benchmarks():
    """`python -m benchmarks.charts` would change nothing."""
    page = (DOCS / "which_sampler.md").read_text(encoding="utf-8")
    assert charts.which_page(page, charts.read("accuracy")) == page
    assert " auto**" in page
    for name, text in charts.charts(*map(charts.read, ("cpu", "skrample", "accuracy"))).items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, name


@pytest.mark.host
def test_the_page_of_speed_says_what_was_measured():
    page, results = (path.read_text(encoding="utf-8") for path in (DOCS / "speed.md", charts.RESULTS / "cpu.md"))
    machine = re.search(r"^python ([^,]+), .*numpy ([^,]+), torch ([^,+]+).*diffusers ([^,]+), ", results, re.MULTILINE)
    small, large = re.findall(r"diffusers takes (\S+) times as long as ours on torch.*?at least (\d\.\d)", results)
    plan = re.search(r"A plan of 50 steps takes (\S+) ms in the median, (\S+) times", results)
    figures = [*machine.groups(), f"{small[0]} times", f"{small[1]} times", f"{large[0]} times", *plan.groups()]
    assert [one for one in figures if one not in page] == []


@pytest.mark.host
def test_the_page_of_defects_has_every_quirk():
    """A row for each quirk of the classes, with the sentence that a report prints."""
    from multisched.interop.diffusers import PEERS

    page = (DOCS / "explanations" / "where_diffusers_is_wrong.md").read_text()
    quirks = {quirk.name: quirk.says for peer in PEERS.values() for quirk in peer.quirks}
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", page, re.MULTILINE))
    assert rows == quirks
