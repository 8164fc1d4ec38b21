"""What the docstring of each solver states: its order, its weak order, its calls a step and whose method it is."""

import inspect
import re

import numpy as np
import pytest
from test_law import PATHS, _grid
from zoo import SOLVER_KINDS

import multisched as ms
from multisched import solvers

pytestmark = pytest.mark.host

KINDS = [kind for kind in SOLVER_KINDS if getattr(solvers, kind.__name__, None) is kind]
each = pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])

STATED = re.compile(
    r"(?:With ((?:\w+=\S+)(?:, \w+=\S+)*): )?((?:[Nn]o order|[Oo]rder \d+);(?: (?:no weak order|weak order \d+);)? "
    r"\w+ calls? a step)\."
)
CALLS = ("no", "one", "two", "three", "four")


def _stated(kind):
    """The options, "" for the default ones, and what is stated for them."""
    text = " ".join(inspect.cleandoc(kind.__doc__).split())
    return {options: said[0].lower() + said[1:] for options, said in STATED.findall(text)}


def _calls(solver):
    """Model calls of a step in the middle of a run between two levels, where the first and the last have others."""
    (path, spacing), _ = PATHS["vp"]
    if isinstance(solver, solvers.EulerMaruyama):
        plan = ms.ScoreSdeVp().plan(12)
    else:
        plan = ms.Scheduler(path, spacing, "score", solver).plan_over(_grid("vp", 12))
    counts = np.bincount(np.asarray(solver.serves(plan.rows))[:, 0])[3:-3]
    assert set(counts) == {counts[0]}
    return int(counts[0])


def _sentence(solver):
    """The same, of a solver itself."""
    calls = _calls(solver)
    orders = {"order": solver.order, **({"weak order": solver.weak_order} if solver.draws else {})}
    words = [f"{name} {order}" if order else f"no {name}" for name, order in orders.items()]
    return "; ".join([*words, f"{CALLS[calls]} call{'s' * (calls > 1)} a step"])


@each
def test_its_numbers_are_those_of_the_solver(kind):
    stated = _stated(kind)
    assert stated
    for options, said in stated.items():
        assert said == _sentence(kind(**eval(f"dict({options})", vars(solvers)))), options


@each
def test_what_it_is_by_default_is_stated_first(kind):
    required = [one for one in inspect.signature(kind).parameters.values() if one.default is one.empty]
    assert next(iter(_stated(kind))) == "" or required


@each
def test_the_law_with_noise_is_stated(kind):
    """Of a solver that draws where an option says so."""
    options = {"s_churn": 4.0, "eta": 1.0, "tau": 1.0, "algorithm_type": "sde-dpmsolver++"}
    noisy = next((name for name in inspect.signature(kind).parameters if name in options), None)
    if noisy:
        assert any("weak order" in said for said in _stated(kind).values())


@each
def test_it_says_whose_method_it_is(kind):
    assert re.search(r"arXiv\s+\d{4}\.\d{4,5}|Hairer", kind.__doc__)
