"""The program of the site's first page, which has a tab for each library: it runs, and all draw the same pictures."""

import re
from pathlib import Path

import numpy as np
import pytest

HOME = Path(__file__).parent.parent / "docs" / "index.md"
TABS = dict(re.findall(r"^:sync: (\w+)\n\n.*?^```python\n(.*?)^```$", HOME.read_text(), re.MULTILINE | re.DOTALL))


def _images(program):
    names = {"__name__": "home"}
    exec(compile(program, str(HOME), "exec"), names)
    return names["images"]


def test_the_program_draws_the_same_pictures_on_every_library(backend):
    program = TABS.get(backend.name) or TABS["numpy"].replace('"numpy"', f'"{backend.name}"')
    images = _images(program)
    assert type(images).__module__.partition(".")[0] in (backend.name, "jaxlib")
    np.testing.assert_allclose(backend.to_numpy(images), _images(TABS["numpy"]), atol=1e-3)


@pytest.mark.host
def test_there_is_a_tab_for_each_library():
    assert list(TABS) == ["numpy", "torch", "jax", "mlx"]


@pytest.mark.host
@pytest.mark.parametrize(
    ("claim", "page", "line"),
    [
        ("59 of 60", "accuracy", r"best setting of 7 common solvers .*? in (\d+ of \d+) cells"),
        ("6.7 times", "cpu", r"diffusers takes ([\d.]+ times) as long as ours on torch in the geometric mean"),
    ],
)
def test_a_claim_is_what_was_measured(claim, page, line):
    measured = re.search(line, (HOME.parents[1] / "benchmarks" / "results" / f"{page}.md").read_text())
    assert measured is not None
    assert measured[1] == claim
    assert f"{{grid-item-card}} {claim}\n" in HOME.read_text()
