"""The options of every public class: how many there are, the line that tells what each is, and the words it may be."""

import inspect
import re
from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from typing import get_args

import pytest

import multisched as ms
from multisched import cli, guidance, paths, predictions, schedulers, solvers, spacings, training, transforms
from multisched.options import options_of, words_of
from multisched.schedulers.base import SETTINGS

ROOMS = (schedulers, paths, spacings, solvers, transforms, predictions, guidance, training)


def _classes():
    """Every public class that has options."""
    for room in ROOMS:
        for name in getattr(room, "__all__", None) or dir(room):
            found = getattr(room, name)
            if isinstance(found, type) and is_dataclass(found) and not name.startswith("_"):
                yield found


# Not the columns of a table or the level of a row, nor a departure from a paper, which is no choice.
OTHERS = (solvers.Rows, schedulers.Quirk, guidance.Level, guidance.Levels)
CLASSES = [kind for kind in dict.fromkeys(_classes()) if kind not in OTHERS]


def _id(kind):
    return f"{kind.__module__.removeprefix('multisched.')}.{kind.__name__}"


each_class = pytest.mark.parametrize("kind", CLASSES, ids=_id)
NAMED = [kind for kind in CLASSES if issubclass(kind, ms.Recipe)]


def _own(kind):
    """The fields that a class itself adds."""
    before = {field.name for base in kind.__mro__[1:] if is_dataclass(base) for field in fields(base)}
    return [field.name for field in fields(kind) if field.name not in before] if is_dataclass(kind) else []


@pytest.mark.host
@each_class
def test_every_option_has_a_line(kind):
    lines = options_of(kind)
    missing = [field.name for field in fields(kind) if field.name not in lines]
    assert not missing, f"{kind.__name__} has no line for {missing}"
    for name, line in lines.items():
        assert line.endswith(".") and len(line) > 5, f"{name}: {line}"
        assert not line.startswith(("see `", "as for `")) or "," in line, f"{name} refers to another class: {line}"


@pytest.mark.host
@each_class
def test_no_line_is_of_an_option_that_is_not_there(kind):
    """One line, one option: the section of a class, as far as a reader of docstrings can see it."""
    doc = inspect.cleandoc(kind.__doc__)
    assert "Args: " not in doc
    section = doc.partition("\nArgs:\n")[2].partition("\n\n")[0]
    named = [line.partition(":")[0].strip() for line in section.splitlines() if line[4:5].strip()]
    assert set(named) <= {field.name for field in fields(kind)}


@pytest.mark.host
def test_lines_are_those_of_the_class_that_has_them():
    assert options_of(spacings.Karras) == {"rho": "levels are even in sigma^(1/rho), at least 0.1."}
    own = options_of(ms.DPMSolverMultistep)
    assert options_of(ms.Euler)["timestep_spacing"] == own["timestep_spacing"]  # "see `Spaced`"
    assert options_of(ms.DPMSolverSinglestep)["solver_type"] == own["solver_type"]  # "as for `DPMSolverMultistep`"
    assert options_of(ms.Helios)["predict_x0"] == options_of(ms.UniPCMultistep)["predict_x0"]  # in another module
    assert options_of(ms.EDMEuler)["sigma_min"] == "the lowest noise level that the model is trained on."
    assert list(options_of(ms.DDIM)) == [field.name for field in fields(ms.DDIM)]


@pytest.mark.host
@pytest.mark.parametrize("kind", [kind for kind in NAMED if kind.__name__ in schedulers.named()])
def test_the_command_tells_them(kind, capsys):
    assert cli.main(["show", kind.__name__, "--options"]) == 0
    lines, words = options_of(kind), words_of(kind)
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith(kind.__name__)
    for field in fields(kind):
        shown = f"{field.name}={field.default!r} {lines[field.name].removesuffix('.')}"
        assert (shown in told) == (field.name not in SETTINGS), shown
        assert all(word in told for word in words.get(field.name, ()) if word), field.name


@pytest.mark.host
@each_class
def test_classes_have_few_options(kind):
    """So many that a reader can hold them; what a recipe has beyond its own comes in at most two groups."""
    count = len(fields(kind))
    if issubclass(kind, paths.Path):
        assert count <= 8
    if issubclass(kind, spacings.Link):
        assert count <= 4
    if issubclass(kind, ms.Recipe):
        groups = [base.__name__ for base in kind.__mro__[1:] if base is not ms.Recipe and _own(base)]
        assert len(groups) <= 2, groups


@pytest.mark.host
@each_class
def test_words_are_literals(kind):
    """Whatever may be a string is one of a few words."""
    for field in fields(kind):
        assert field.type is not str and str not in get_args(field.type), f"{field.name} may be any string"
        if isinstance(field.default, str) and field.type is not Hashable:  # the name of a branch may be anything
            assert field.default in words_of(kind)[field.name]


@pytest.mark.host
@pytest.mark.parametrize("kind", [kind for kind in CLASSES if words_of(kind)], ids=_id)
def test_another_word_is_refused_with_all_of_them(kind):
    for name, words in words_of(kind).items():
        for given in ("?", words[0].upper() + "x", 3.5, None):
            types = get_args(_type(kind, name))
            if type(given) in types or (given is None and float in types):
                continue  # a number where a run ends, or None for no word
            with pytest.raises(ms.ScheduleError) as refused:
                kind(**{**NEEDED.get(kind.__name__, {}), name: given})
            told = str(refused.value)
            listed = [word for word in words if not word.startswith("align_your_steps_")]  # which are 11 more
            assert all(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", told) for word in listed), f"{name}: {told}"
            assert "\n" not in told
            assert told.endswith((".", "?).")) and (given != "?" or "given '?'" in told)


def _type(kind, name):
    return next(field.type for field in fields(kind) if field.name == name)


# What a class cannot be made without.
NEEDED = {
    "ExponentialAdams": {"data": True, "predictor": 2},
    "MeanShift": {"omega": 1.0},
    **{name: {"scale": 2.0} for name in ("AdaptiveProjected", "Dynamic", "MagnitudeAware", "Tangential", "ZeroStar")},
    "Interval": {"guidance": guidance.cfg(2.0), "low": 0.2, "high": 0.8},
    "Rescale": {"scale": 0.7},
    "Shifted": {"density": training.Uniform(), "factor": 2.0},
}


@pytest.mark.host
@pytest.mark.parametrize("kind", NAMED, ids=_id)
def test_no_word_is_refused_as_such(kind):
    """Each is taken by itself, or refused for what it does not go with."""
    for name, words in words_of(kind).items():
        for word in words:
            refusal = _refusal(kind, name, word)
            assert refusal is None or "must be one of" not in refusal, f"{name}={word!r}: {refusal}"


def _refusal(kind, name, word):
    try:
        assert getattr(kind(**{name: word}), name) == word
    except ms.ScheduleError as error:
        return str(error)
    return None
