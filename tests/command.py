"""docs/command.md made anew: what stands below a line "$ multisched ..." is what that command prints, and the pictures
of the page are those that its commands write.

python tests/command.py
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from multisched.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "command.md"
PICTURES = PAGE.with_suffix("")
BLOCK = re.compile(r"^```console\n\$ multisched (.*)\n((?:.*\n)*?)```$", re.MULTILINE)
TIME = re.compile(r"\d+\.\d{3} s\b")
WIDTH = "100"


def printed(line: str) -> str:
    """What a command prints, in the folder that one is in."""
    found = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = WIDTH
    try:
        with contextlib.redirect_stdout(found), contextlib.suppress(SystemExit):
            main(shlex.split(line))
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return found.getvalue()


def page() -> str:
    """The page with what its commands print now, where it has changed."""

    def again(block: re.Match[str]) -> str:
        line, old = block.groups()
        new = printed(line)
        same = _plain(line, old) == _plain(line, new)
        return f"```console\n$ multisched {line}\n{old if same else new}```"

    return BLOCK.sub(again, PAGE.read_text(encoding="utf-8"))


def _plain(line: str, text: str) -> str:
    """What must stay: no times, and not where a help text is broken and indented, which depends on the Python."""
    return " ".join(text.split()) if line.endswith("--help") else TIME.sub("", text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = page()
        for picture in Path(folder).iterdir():
            shutil.copy(picture, PICTURES / picture.name)
    PAGE.write_text(found, encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")
