"""Charts of the results, as SVG for the documentation."""

import math
from typing import Any

COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
ROW, LEFT, WIDE = 15, 190, 420


def charts(data: dict[str, Any]) -> dict[str, str]:
    """SVG by the name of the chart, of what was measured."""
    found: dict[str, str] = {}
    if data.get("steps"):
        shape = list(data["steps"])[-1]
        rows = data["steps"][shape]["us_per_step"]
        found["steps"] = bars(
            f"Times as long as ours on torch, {shape}: diffusers",
            {name.removesuffix("Scheduler"): row["diffusers / torch"] for name, row in rows.items()},
        )
    if data.get("growth", {}).get("sample"):
        found["growth"] = lines("Microseconds per step by the size of a sample", data["growth"]["sample"])
    return found


def bars(title: str, values: dict[str, float]) -> str:
    """A bar a name on a logarithmic axis from 1, the longest first."""
    most = math.log(max(*values.values(), 2.0))
    body = [f'<text x="10" y="18" font-weight="bold">{title}</text>']
    for k, (name, value) in enumerate(sorted(values.items(), key=lambda pair: -pair[1])):
        y, long = 30 + ROW * k, max(1.0, WIDE * math.log(max(value, 1.0)) / most)
        body.append(f'<text x="{LEFT - 6}" y="{y + 10}" text-anchor="end">{name}</text>')
        body.append(f'<rect x="{LEFT}" y="{y}" width="{long:.1f}" height="{ROW - 4}" fill="{COLORS[0]}"/>')
        body.append(f'<text x="{LEFT + long + 4:.1f}" y="{y + 10}">{value:.1f}</text>')
    return svg(LEFT + WIDE + 60, 40 + ROW * len(values), body)


def lines(title: str, rows: dict[str, dict[str, float]]) -> str:
    """A line a column over the rows in order, its values on a logarithmic axis."""
    columns = [name for name in next(iter(rows.values())) if "/" not in name]
    values = [row[name] for row in rows.values() for name in columns if name in row]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    top, left, tall = 36, 60, 260

    def place(k: int, value: float) -> str:
        x = left + WIDE * k / max(1, len(rows) - 1)
        return f"{x:.1f} {top + tall * (high - math.log10(value)) / max(1, high - low):.1f}"

    body = [f'<text x="10" y="18" font-weight="bold">{title}</text>']
    for power in range(low, high + 1):
        x, y = place(0, 10.0**power).split()
        body.append(f'<path d="M{x} {y}h{WIDE}" stroke="#ddd"/>')
        body.append(f'<text x="{left - 6}" y="{float(y) + 4:.1f}" text-anchor="end">1e{power}</text>')
    for k, name in enumerate(rows):
        body.append(
            f'<text x="{place(k, 10.0**low).split()[0]}" y="{top + tall + 16}" text-anchor="middle">{name}</text>'
        )
    for column, color in zip(columns, COLORS, strict=False):
        points = "L".join(place(k, row[column]) for k, row in enumerate(rows.values()) if column in row)
        body.append(f'<path d="M{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        y = top + 16 * columns.index(column) + 10
        body.append(f'<text x="{left + WIDE + 10}" y="{y}" fill="{color}">{column}</text>')
    return svg(left + WIDE + 100, top + tall + 30, body)


def svg(width: float, height: float, body: list[str]) -> str:
    """A picture of these parts."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#333">\n<rect width="{width}" height="{height}" fill="#fff"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )
