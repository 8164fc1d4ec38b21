"""What a notebook shows of plans, recipes and reports: well-formed, complete, and in no colour of its own."""

import re
from dataclasses import fields
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from zoo import every_recipe

import multisched as ms
from multisched.interop.diffusers import Report
from multisched.notebook import HEAD, TAIL, WHOLE
from multisched.schedulers.base import SETTINGS

pytestmark = pytest.mark.host


def parsed(value):
    """The tree, which has no colour but that of the page, so that it is legible on light and on dark ones."""
    text = value._repr_html_()
    assert not re.search(r"#[0-9a-f]{3}|color:|background|rgb", text)
    assert set(re.findall(r'(?:fill|stroke)="(\w+)"', text)) <= {"currentColor", "none"}
    return ET.fromstring(text)


def words(tree):
    return [" ".join("".join(cell.itertext()) for cell in row).strip() for row in tree.iter("tr")]


@every_recipe
def test_a_recipe_shows_its_parts_options_and_quirks(recipe):
    tree = parsed(recipe)
    rows = words(tree)
    shown = [one.text for one in tree.iter("th")]
    assert next(tree.iter("b")).text == repr(recipe)
    assert {"path", "spacing", "prediction", "solver"} <= set(shown)
    assert {field.name for field in fields(recipe) if field.name not in SETTINGS} <= set(shown)
    changed = {one.split(" ")[0] for one in rows if re.search(r" (no default|default \S+)$", one)}
    options = [field for field in fields(recipe) if field.name not in SETTINGS]
    assert changed == {one.name for one in options if repr(getattr(recipe, one.name)) != repr(one.default)}
    assert all(quirk.says in " ".join(rows) for quirk in recipe.quirks)


def test_a_chain_is_shown_link_by_link_without_defaults():
    rows = words(parsed(ms.DPMSolverMultistep(use_karras_sigmas=True)))
    (spacing,) = (one for one in rows if one.startswith("spacing"))
    link = r"Respace\(kind='karras', top=157.4\d*, bottom=0.01\d*\)"
    assert re.fullmatch(rf"spacing Linspace\(\) \| {link} \| End\(\) \| Round\(\)", spacing)


@pytest.mark.parametrize("n", [4, WHOLE, WHOLE + 1, 400])
def test_a_long_plan_shows_its_first_and_last_rows(n):
    plan = ms.DDIM().plan(n)
    first = [row.split(" ")[0] for row in words(parsed(plan))][1:-1]
    every = [str(row) for row in range(n)]
    assert first == (every if n <= WHOLE else [*every[:HEAD], "...", *every[-TAIL:]])


def test_the_levels_of_a_plan_are_drawn():
    """A point for each level from left to right, higher where there is less noise; rings where it is infinite."""
    plan = ms.FlowMatchEuler(shift=3.0).plan(6)
    tree = parsed(plan)
    marks = [(float(one.get("cx")), float(one.get("cy")), one.get("fill")) for one in tree.iter("circle")]
    across, down, fill = zip(*marks, strict=True)
    assert len(marks) == len(plan.sigmas) and list(across) == sorted(across)
    assert list(down) == sorted(down, reverse=True)
    assert fill == ("none", *["currentColor"] * 5, "none")
    lam = np.log(plan.alphas[1:-1] / plan.sigmas[1:-1])
    assert next(tree.iter("small")).text.endswith(f"{lam.min():.2f} to {lam.max():.2f}")


@every_recipe
def test_a_plan_of_every_recipe_is_shown(recipe):
    for n in (1, 4):
        try:
            plan = recipe.plan(n)
        except ms.ScheduleError:
            continue
        assert len(list(parsed(plan).iter("tr"))) >= 2


def test_a_report_shows_every_key_and_sentence():
    config = {"_class_name": "EulerDiscreteScheduler", "beta_start": 0.001, "foo": "<b>&"}
    report = ms.from_diffusers(config).report
    tree = parsed(report)
    rows = words(tree)
    assert next(tree.iter("b")).text == "EulerDiscreteScheduler"
    assert "beta_start 0.001 used" in rows and any(one.startswith("foo ") and one.endswith("ignored") for one in rows)
    assert {one.text for one in tree.iter("th")} >= {*report.used, *report.ignored, *report.defaulted}
    assert [one.removesuffix(" reproduced") for one in rows if one.endswith(" reproduced")] == list(report.reproduced)


def test_what_a_user_wrote_is_escaped():
    report = Report("<a>", {"<b>": "<c>"}, {"<d>": "<e>"}, {"<f>": "<g>"}, ("<h>",), ("<i>&",))
    assert words(parsed(report)) == [
        "<b> '<c>' used",
        "<d> <e> ignored",
        "<h> reproduced",
        "<i>& accepted",
        "<f> '<g>'",
    ]
