"""20,000 random recipes, configurations and arguments: each ends in a finite plan or in one short sentence, within a
second and without a warning. `nox -s fuzz` tries more."""

import fuzz
import pytest

PARTS, SIZE = 10, 2_000


@pytest.mark.host
@pytest.mark.parametrize("part", range(PARTS))
def test_everything_ends_in_a_finite_plan_or_a_sentence(part):
    found = fuzz.run(range(part * SIZE, (part + 1) * SIZE))
    assert found.faults == (), str(found)
    # It is neither all refused nor all let through.
    assert min(found.plans, found.errors) > SIZE / 10


@pytest.mark.host
def test_a_fault_is_found(monkeypatch):
    monkeypatch.setattr(fuzz, "case", lambda seed: fuzz.Case("fails", lambda: {}["key"] if seed == 3 else None))
    found = fuzz.run(range(5))
    assert len(found.faults) == 1 and "KeyError" in found.faults[0] and "seed 3" in found.faults[0]
