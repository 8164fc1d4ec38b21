"""The programs of the pages that need diffusers or k-diffusion."""

import pytest
import test_docs

PAGES = [page for page in test_docs.PAGES if test_docs.needs(page) in ("diffusers", "k_diffusion")]


@pytest.mark.filterwarnings("ignore")  # diffusers warns of much
@pytest.mark.parametrize("page", PAGES, ids=test_docs.shown)
def test_the_programs_of_a_page(page, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    test_docs.run(page, "torch", capsys)
