"""docs/command.md, which tests/command.py makes, is what the command prints, and has all of it."""

import re

import pytest
from command import BLOCK, PAGE, PICTURES, page

from multisched import cli

pytestmark = pytest.mark.host
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_is_what_the_command_prints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert page() == TEXT
    drawn = {file.name for file in tmp_path.iterdir()}
    assert drawn == {file.name for file in PICTURES.iterdir()} == set(re.findall(r"\]\(command/([\w.]+)\)", TEXT))


def test_the_page_has_the_help_of_every_command():
    lines = [line for line, _ in BLOCK.findall(TEXT)]
    assert {f"{name} --help" for name in cli.PLACES} <= set(lines)
