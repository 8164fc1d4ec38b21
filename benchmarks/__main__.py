"""All benchmarks, in one process on one machine.

    python -m benchmarks [--quick] [--only NAME ...] [--out benchmarks/results/NAME]

Prints a page of Markdown, and keeps it with its figures as NAME.md and NAME.json. A quick or partial run is kept only
where --out says so.
"""

import argparse
import json
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.machine import facts
from benchmarks.page import Section

NAMES = ("steps", "large", "plans", "compiled", "memory", "growth")
PACKAGES = ("multisched-diffusion", "numpy", "torch", "jax", "jaxlib", "mlx", "diffusers", "scipy")
DEFAULT = Path("benchmarks/results/cpu")


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds and small arrays, to see that all works")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, help="file to write, less its ending")
    given = parser.parse_args()
    out = given.out or (None if given.quick or given.only else DEFAULT)
    sections, machine, text = {}, facts(PACKAGES), ""
    for name in given.only or NAMES:
        began = time.perf_counter()
        sections[name] = measure(name, given.quick)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
        text = write(sections, machine, given.quick, out)  # so that nothing measured is lost
    print(text)


def measure(name: str, quick: bool) -> Section:
    """A benchmark by its name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what diffusers deprecates
        section: Section = import_module(f"benchmarks.{name}").measure(quick)
    return section


def write(sections: dict[str, Section], machine: dict[str, str], quick: bool, out: Path | None) -> str:
    """The page, kept with its figures where there is a place for it."""
    text = page(sections, machine, quick)
    if out is None:
        return text
    data: dict[str, Any] = {"machine": machine, "quick": quick}
    data |= {name: section.data for name, section in sections.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    out.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return text


def page(sections: dict[str, Section], machine: dict[str, str], quick: bool) -> str:
    """The whole page."""
    parts = ["# Benchmarks", ", ".join(f"{key} {value}" for key, value in machine.items()) + "."]
    parts.append("Times on another machine differ; the ratios, all taken in this one run, are what it says.")
    if quick:
        parts.append("A quick run: few rounds and small arrays, whose figures mean little.")
    return "\n\n".join([*parts, *(section.markdown() for section in sections.values())])


if __name__ == "__main__":
    main()
