"""Is anything slower, beside what it is measured against, than in the results that are kept?

Ratios alone are compared, each ours over its peer or floor of the same run: times differ between machines.
"""

from typing import Any

ALLOWED = 1.25


def worse(kept: dict[str, Any], now: dict[str, Any], allowed: float = ALLOWED) -> list[str]:
    """A line for each ratio of both that has grown by more than is allowed, the worst first.

    Args:
        kept, now: figures as a run writes them, see `python -m benchmarks`.
        allowed: by how much a ratio may grow.
    """
    before, after = ratios(kept), ratios(now)
    grown = {name: after[name] / before[name] for name in before.keys() & after.keys()}
    names = sorted((name for name in grown if grown[name] > allowed), key=lambda name: -grown[name])
    return [f"{name}: {after[name]:.3g}, was {before[name]:.3g} ({grown[name]:.2f} times)" for name in names]


def ratios(data: dict[str, Any]) -> dict[str, float]:
    """The ratios of a run by their place in it; a smaller one is better."""
    found: dict[str, float] = {}
    for shape, table in data.get("steps", {}).items():
        for name, row in table["us_per_step"].items():
            found[f"steps, {shape}, {name}, torch / diffusers"] = row["torch"] / row["diffusers"]
    for name, row in data.get("plans", {}).get("ms", {}).items():
        for n in (50, 1000):
            if {f"plan({n})", f"set({n})"} <= set(row):
                found[f"plans, {name}, plan({n}) / set({n})"] = row[f"plan({n})"] / row[f"set({n})"]
    if "import_s" in data.get("plans", {}):
        found["import, multisched / numpy"] = (
            data["plans"]["import_s"]["multisched"] / data["plans"]["import_s"]["numpy"]
        )
    for dtype, table in data.get("large", {}).items():
        for name, row in table["over_floor"].items():
            found |= {f"large, {dtype}, {name}, {column}": value for column, value in row.items()}
    for backend, rows in data.get("faces", {}).items():
        for name, row in rows.items():
            found |= {f"faces, {backend}, {name}, {column}": value for column, value in row.items()}
    for kind, rows in data.get("growth", {}).items():
        for name, row in rows.items():
            if "diffusers" in row:
                found[f"growth, {kind} {name}, torch / diffusers"] = row["torch"] / row["diffusers"]
    return found
