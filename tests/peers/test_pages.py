"""The programs of the pages that need diffusers, and the solvers of the tables."""

import pytest
import test_docs

PAGES = [page for page in test_docs.PAGES if test_docs.needs(page) == "diffusers"]


@pytest.mark.filterwarnings("ignore")  # diffusers warns of much
@pytest.mark.parametrize("page", PAGES, ids=test_docs.shown)
def test_the_programs_of_a_page(page, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    test_docs.run(page, "torch", capsys)


def test_the_solvers_of_the_tables_are_those_that_were_measured():
    """Here, since the settings of the benchmark need torch."""
    from benchmarks.settings import SOLVERS

    names = {}
    for _, code, _ in test_docs.BLOCK.findall((test_docs.DOCS / "which_sampler.md").read_text()):
        exec(code, names)
    assert names["solvers"] == {name: SOLVERS[name] for name in names["solvers"]}
