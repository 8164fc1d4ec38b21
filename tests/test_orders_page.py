"""docs/orders.md, which `nox -s orders` writes, has every solver and states what they do, and its figures hold."""

import inspect
import re
from pathlib import Path

import pytest
from orders import DRAWN, HEAD, LAW_HEAD, NEAR, ORDERS, REST_HEAD, SOLVERS, UNMEASURED, named, order_of, weak_order_of
from test_law import PATHS

import multisched as ms

PAGE = (Path(__file__).parents[1] / "docs" / "orders.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.host


def _rows(part):
    """Of each solver of a table what it states, and the cells."""
    lines = (line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| `"))
    return {name.strip("`"): (int(stated), cells) for name, stated, *cells in lines}


def _parts():
    orders, rest = PAGE.split(LAW_HEAD)
    laws, unmeasured = rest.split(REST_HEAD)
    return _rows(orders), _rows(laws), unmeasured


FOUND, LAWS, REST = _parts()


def test_the_page_has_each_case_and_what_it_states():
    assert PAGE.startswith(HEAD)
    assert {name: stated for name, (stated, _) in FOUND.items()} == {named(one): one.order for one in ORDERS}
    assert {name: stated for name, (stated, _) in LAWS.items()} == {named(one): weak for one, weak in DRAWN.items()}
    assert REST.split() == " ".join(f"- `{name}` {reason}." for name, reason in UNMEASURED.items()).split()


@pytest.mark.parametrize("name", [*FOUND, *LAWS])
def test_each_figure_is_near_to_what_is_stated(name):
    for stated, cells in (table[name] for table in (FOUND, LAWS) if name in table):
        slopes = [float(re.fullmatch(r"(\d\.\d\d) at \d+", cell)[1]) for cell in cells]
        assert len(slopes) == len(PATHS) and max(abs(slope - stated) for slope in slopes) < NEAR, cells


def test_every_solver_is_there():
    solvers = {getattr(ms.solvers, name) for name in ms.solvers.__all__}
    kinds = {one.__name__ for one in solvers if issubclass(one, ms.solvers.Solver) and not inspect.isabstract(one)}
    measured = {name.partition("(")[0] for name in (*FOUND, *LAWS)}
    assert measured | set(UNMEASURED) == kinds and not measured & set(UNMEASURED)
    for solver in SOLVERS:
        if solver.draws and type(solver) in solvers and type(solver).__name__ not in UNMEASURED:
            assert type(solver) in {type(one) for one in DRAWN}


AGAIN = (ms.solvers.Heun(), ms.solvers.DDIM(), ms.solvers.RungeKutta())
DRAWN_AGAIN = (ms.solvers.DPMMultistepSDE(), ms.solvers.DDIM(1.0), ms.solvers.EulerMaruyama())


@pytest.mark.parametrize("path", PATHS)
def test_figures_are_those_of_a_measurement(path):
    for table, cases, measure in ((FOUND, AGAIN, order_of), (LAWS, DRAWN_AGAIN, weak_order_of)):
        for solver in cases:
            found, cell = measure(solver, path), table[named(solver)][1][list(PATHS).index(path)]
            slope, steps = cell.split(" at ")
            assert abs(found.slope - float(slope)) < 0.02 and found.steps == int(steps)
