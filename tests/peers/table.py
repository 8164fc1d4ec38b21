"""The table of docs/parity.md, from the figures that the peers session leaves.

PARITY_REPORT=folder python -m pytest tests/peers
python tests/peers/table.py folder > docs/parity.md
"""

import json
import sys
from pathlib import Path
from typing import Any

from multisched.interop.diffusers import PEERS

HEAD = """# Parity with diffusers 0.42.1

Written by `nox -s peers -- --write-table`; do not edit.

Random configurations of each class, every key varied, with 1 to 999 steps, and custom lists of timesteps and noise
levels where the class takes them. `multisched.from_diffusers` reads each. The coefficients of every model call are
compared, which one-hot vectors fed to both libraries show. Errors are the largest of a row, relative to its largest
coefficient, over all rows and configurations.

- *timesteps*: runs whose timesteps are all equal, bit for bit, and the largest difference of one in the others. All are
  equal where IEEE 754 fixes the operations. It does not fix logarithms, exponentials, sines and powers of float32: here
  PyTorch's differ from the correctly rounded ones for 1 to 5 values in 100, and on other machines for other values. For
  the comparison diffusers' square roots are rounded as IEEE 754 says; some builds of PyTorch round them otherwise.
- *rows*: our float64 rows against diffusers as it is, in float32.
- *its own*: diffusers in float32 against itself in float64, which shows what its rows are worth.
- *double*: our rows against diffusers made to compute in float64 from our noise levels.
- *set apart*: configurations for which diffusers has no answer; ours is a finite plan, or an error in one sentence.
- *defects reproduced*: those that recipes of the class may reproduce, as quirks; `recipe.report.reproduced` lists those
  of one recipe, and `replace(recipe, quirks=())` mends them.
"""
TAIL = """
## diffusers' own tests

Its 998 tests of schedulers (of August 2026, run on 0.42.1) with the classes of `multisched.interop.diffusers` in place
of diffusers' own: 977 pass, 15 are skipped, as with diffusers itself, and 6 fail. Two of these ask the Hub. The others:

- `test_full_loop_with_noise` of `DDPMScheduler` and `DDPMParallelScheduler` wants a sum of 387.9466 to 0.01. Ours is
  387.9677; diffusers computing in float64 has 387.9676.
- `test_full_loop_no_noise` of `IPNDMScheduler` sets `_step_index` to None between two runs and keeps the outputs of the
  first. Ours begins anew.
- `test_variance_type` of `UnCLIPScheduler` gives an output without the variance that "learned_range" is for. Ours
  refuses it.
"""
COLUMNS = ("class", "compared", "timesteps", "rows", "its own", "double", "set apart", "defects reproduced")


def line(name: str, figures: dict[str, Any]) -> str:
    """The row of one class."""
    worst = figures["worst"]
    apart = "; ".join(f"{count} {reason}" for reason, count in sorted(figures["apart"].items()))
    cells = (
        f"`{name}`",
        str(figures["configurations"]),
        _told(figures),
        _short(worst.get("rows")),
        _short(figures["own"] or None),
        _short(worst.get("double")),
        apart or "-",
        " ".join(quirk.says for quirk in PEERS[name].quirks) or "-",
    )
    return f"| {' | '.join(cells)} |"


def _told(figures: dict[str, Any]) -> str:
    if "timesteps" not in figures["worst"]:
        return "-"
    late = "" if figures["late"] == 0 else f", {figures['late']:.0e} at most"
    return f"{figures['told']} equal{late}"


def _short(error: float | None) -> str:
    return "-" if error is None else f"{error:.0e}"


def table(folder: Path) -> str:
    """The whole page."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    if not found:
        raise SystemExit(f"{folder} holds no figures: run the peers session with PARITY_REPORT={folder}.")
    rows = [line(name, figures) for name, figures in found.items()]
    total = sum(figures["configurations"] for figures in found.values())
    rule = f"| {' | '.join('---' for _ in COLUMNS)} |"
    closing = f"{len(found)} classes, {total:,} configurations."
    return "\n".join([HEAD, f"| {' | '.join(COLUMNS)} |", rule, *rows, "", closing, TAIL])


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1])))
