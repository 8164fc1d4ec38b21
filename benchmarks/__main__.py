"""All benchmarks, in one process on one machine.

    python -m benchmarks [--quick] [--only NAME ...] [--out benchmarks/results/NAME] [--check]

Prints a page of Markdown, and keeps it with its figures and charts as NAME.md, NAME.json and NAME-*.svg. A quick or
partial run is kept only where --out says so. --check keeps nothing: it compares ratios, never times, with the results
that are kept, prints those that are worse by more than a quarter, and fails if there are any.
"""

import argparse
import json
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.check import worse
from benchmarks.figures import charts
from benchmarks.machine import facts
from benchmarks.page import Section

NAMES = ("steps", "faces", "large", "plans", "compiled", "memory", "growth")
PACKAGES = ("multisched-diffusion", "numpy", "torch", "jax", "jaxlib", "mlx", "numba", "diffusers", "scipy")
DEFAULT = Path("benchmarks/results/cpu")


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds and small arrays, to see that all works")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"some of {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, help="file to write, less its ending")
    parser.add_argument("--check", action="store_true", help="print what is worse than in the results that are kept")
    given = parser.parse_args()
    if given.check and given.quick:
        parser.error("a quick run measures too little to be compared; leave out --quick or --check")
    kept = json.loads((given.out or DEFAULT).with_suffix(".json").read_text()) if given.check else None
    out = None if given.check else given.out or (None if given.quick or given.only else DEFAULT)
    sections, machine, text = {}, facts(PACKAGES), ""
    for name in given.only or NAMES:
        began = time.perf_counter()
        sections[name] = measure(name, given.quick)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
        text = write(sections, machine, given.quick, out)  # so that nothing measured is lost
    print(text)
    if kept is not None:
        lines = worse(kept, {name: section.data for name, section in sections.items()})
        print("\nWorse than in the results that are kept:\n" if lines else "\nNothing is worse.", *lines, sep="\n")
        sys.exit(bool(lines))


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
    for name, chart in charts(data).items():
        out.with_name(f"{out.name}-{name}.svg").write_text(chart, encoding="utf-8")
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
