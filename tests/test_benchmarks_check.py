"""The guard against drift compares ratios of runs, and its charts are whole."""

from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are not part of the source distribution")
from benchmarks.check import ratios, worse
from benchmarks.figures import charts

pytestmark = pytest.mark.host


def run(torch=10.0, floor=1.2, scale=1.0):
    row = {"diffusers": 50.0 * scale, "torch": torch * scale}
    return {
        "steps": {"1x4x8x8": {"us_per_step": {"DDIMScheduler": {**row, "diffusers / torch": 50.0 / torch}}}},
        "plans": {"ms": {"DDIMScheduler": {"plan(50)": scale, "set(50)": 0.5 * scale}}},
        "large": {"float32": {"over_floor": {"Euler": {"torch": floor}}}},
        "growth": {"sample": {"1 kB": row, "1 MB": row}},
    }


def test_times_alone_are_no_drift():
    assert len(ratios(run())) == 5
    assert worse(run(), run(scale=3.0)) == []
    assert worse(run(), run(torch=12.0, floor=1.4)) == []


def test_what_is_worse_by_more_than_a_quarter_is_named_the_worst_first():
    lines = worse(run(), run(torch=13.0, floor=2.4))
    assert [line.partition(":")[0] for line in lines][:1] == ["large, float32, Euler, torch"]
    assert len(lines) == 4
    assert worse(run(torch=13.0), run()) == []


def test_what_one_run_lacks_is_not_compared():
    assert worse({}, run()) == worse(run(), {}) == []


def test_charts_are_pictures():
    made = charts(run())
    assert set(made) == {"steps", "growth"}
    for text in made.values():
        assert ET.fromstring(text).tag.endswith("svg")
    assert charts({}) == {}
