"""What the pages of the documentation show of the benchmarks: charts of speed, and tables of the best sampler.

python -m benchmarks.charts          # from benchmarks/results, nothing is measured
"""

import json
import math
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS, DOCS = ROOT / "benchmarks" / "results", ROOT / "docs"
KINDS = ("vp", "flow", "edm")
OURS, PEER, PALE = "#c0392b", "#8795a1", "#d8dee3"
LINES = {"auto": OURS, "best of the others": "#2c3e50", "DPM++ 2M": "#2980b9", "Euler": PEER}
USUAL = {"vp": "karras", "flow": "shift 1", "edm": "karras"}
TITLES = {"vp": "Noise prediction", "flow": "Flow", "edm": "EDM"}
PANEL = (204, 170)
WIDE, LEFT, LINE = 760, 190, 19


def choice_table(cells: dict[str, Any], kind: str) -> str:
    """Who is nearest to the flow of a kind of network: a row for a number of calls, a column for a guidance."""
    guidances = [key.partition("@")[2] for key in cells if key.partition("@")[0] == kind]
    lines = [
        f"| calls | {' | '.join(f'guidance {g}' for g in guidances)} |",
        "| ---: |" + " --- |" * len(guidances),
    ]
    for calls in cells[f"{kind}@{guidances[0]}"]:
        found = [_cell(cells[f"{kind}@{g}"][calls]) for g in guidances]
        lines.append(f"| {calls} | {' | '.join(found)} |")
    return "\n".join(lines)


def _cell(cell: dict[str, Any]) -> str:
    """The winner and its error, then the other: "auto", or the best of all named settings."""
    names = sorted(("auto", cell["best"]["rms"]), key=lambda name: cell["settings"][name]["rms"])
    first, second = (f"{cell['settings'][name]['rms']:.1e} {name}".replace("e-0", "e-") for name in names)
    return f"**{first}**<br>{second}"


def between(text: str, mark: str, content: str) -> str:
    """A page with what stands between two comments replaced."""
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(\n<!-- end of {mark} -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{content}\n{found[2]}", text)


def which_page(text: str, data: dict[str, Any]) -> str:
    """The page "Which sampler?" with its tables made anew."""
    for kind in KINDS:
        text = between(text, kind, choice_table(data["cells"], kind))
    return text


def bars(title: str, unit: str, rows: Iterable[tuple[str, float, float]], names: tuple[str, str]) -> str:
    """Two bars for each row, on a scale that ends at the longest; as SVG."""
    rows = list(rows)
    longest = max(max(first, second) for _, first, second in rows)
    top, each = 58, 2 * LINE - 4
    body = [f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>']
    for number, (name, colour) in enumerate(zip(names, (PEER, OURS), strict=True)):
        x = LEFT + 200 * number
        body.append(f'<rect x="{x}" y="36" width="12" height="10" fill="{colour}"/>')
        body.append(f'<text x="{x + 18}" y="45">{escape(name)}</text>')
    for number, (name, first, second) in enumerate(rows):
        y = top + number * (each + 8)
        body.append(f'<text x="{LEFT - 10}" y="{y + LINE + 1}" text-anchor="end">{escape(name)}</text>')
        for row, (value, colour) in enumerate(((first, PEER), (second, OURS))):
            wide = (WIDE - LEFT - 110) * value / longest
            at = y + row * (LINE - 4)
            body.append(f'<rect x="{LEFT}" y="{at + 2}" width="{wide:.1f}" height="12" fill="{colour}"/>')
            body.append(f'<text x="{LEFT + wide + 6:.1f}" y="{at + 12}" font-size="11">{_short(value)} {unit}</text>')
    return _svg(body, top + len(rows) * (each + 8) + 6)


def dots(title: str, axis: str, rows: Iterable[tuple[str, float]], ticks: Iterable[float]) -> str:
    """A dot for each row on a logarithmic axis, with a line where both are alike; as SVG."""
    rows, ticks = sorted(rows, key=lambda row: row[1]), list(ticks)
    low, high, top = math.log(ticks[0]), math.log(ticks[-1]), 60
    bottom = top + LINE * len(rows)

    def place(value: float) -> float:
        return LEFT + (WIDE - LEFT - 40) * (math.log(value) - low) / (high - low)

    body = [f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>']
    body.append(f'<text x="{LEFT}" y="42" font-size="11">{escape(axis)}</text>')
    for tick in ticks:
        stroke = "#555" if tick == 1 else PALE
        body.append(f'<path d="M{place(tick):.1f} {top - 6}V{bottom}" stroke="{stroke}"/>')
        body.append(
            f'<text x="{place(tick):.1f}" y="{bottom + 15}" text-anchor="middle" font-size="11">{tick:g}</text>'
        )
    for number, (name, value) in enumerate(rows):
        y = top + LINE * number + 8
        body.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end" font-size="11">{escape(name)}</text>')
        body.append(f'<path d="M{place(1):.1f} {y}H{place(value):.1f}" stroke="{OURS}" stroke-width="2"/>')
        body.append(f'<circle cx="{place(value):.1f}" cy="{y}" r="4" fill="{OURS}"/>')
        body.append(f'<text x="{place(value) + 9:.1f}" y="{y + 4}" font-size="11">{_short(value)}</text>')
    return _svg(body, bottom + 26)


def panels(cells: dict[str, Any]) -> str:
    """Error over calls, both logarithmic: a column for a kind of network, a row for a guidance; as SVG."""
    (wide, high), body = PANEL, []
    for number, (kind, guidance) in enumerate((kind, g) for g in ("1", "3") for kind in KINDS):
        left, top = 44 + (number % 3) * (wide + 42), 34 + (number // 3) * (high + 58)
        body.append(f'<text x="{left}" y="{top - 10}" font-weight="bold">{TITLES[kind]}, guidance {guidance}</text>')
        body += _panel(cells[f"{kind}@{guidance}"], USUAL[kind], left, top)
    height = 34 + 2 * (high + 58)
    for number, (name, colour) in enumerate(LINES.items()):
        x = 44 + 170 * number
        body.append(f'<path d="M{x} {height - 4}h26" stroke="{colour}" stroke-width="3"/>')
        body.append(f'<text x="{x + 32}" y="{height}">{name}</text>')
    return _svg(body, height + 12)


def _panel(cells: dict[str, Any], spacing: str, left: float, top: float) -> list[str]:
    (wide, high), body = PANEL, []
    calls = sorted(map(int, cells))
    low, span = math.log(calls[0]), math.log(calls[-1] / calls[0])

    def place(n: int, power: float) -> str:
        return f"{left + wide * (math.log(n) - low) / span:.1f} {top + high * -power / 5:.1f}"

    for power in range(-5, 1):
        x, y = place(calls[0], power).split()
        body.append(f'<path d="M{x} {y}h{wide}" stroke="{PALE}"/>')
        body.append(f'<text x="{left - 6}" y="{float(y) + 4:.1f}" text-anchor="end" font-size="10">1e{power}</text>')
    for n in (5, 10, 20, 50):
        x, y = place(n, -5).split()
        body.append(f'<text x="{x}" y="{float(y) + 15:.1f}" text-anchor="middle" font-size="11">{n}</text>')
    names = {"auto": "auto", "DPM++ 2M": f"DPM++ 2M, {spacing}", "Euler": f"Euler, {spacing}"}
    for line, colour in reversed(LINES.items()):
        each = [(n, cells[str(n)]) for n in calls]
        found = [(n, cell["settings"].get(names.get(line, cell["best"]["rms"]))) for n, cell in each]
        points = "L".join(place(n, math.log10(one["rms"])) for n, one in found if one)
        body.append(
            f'<path d="M{points}" fill="none" stroke="{colour}" stroke-width="{2.6 if line == "auto" else 1.6}"/>'
        )
    return body


def _svg(body: list[str], height: float) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {height}" width="{WIDE}"'
    ground = f'<rect width="{WIDE}" height="{height}" fill="#fff"/>'
    return "\n".join([f'{head} font-family="sans-serif" font-size="12" fill="#333">', ground, *body, "</svg>", ""])


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def charts(cpu: dict[str, Any], skrample: dict[str, Any], accuracy: dict[str, Any]) -> dict[str, str]:
    """The charts of the pages, by the name of their file."""
    small = cpu["steps"]["1x4x8x8"]["us_per_step"]
    ratios = [(name.removesuffix("Scheduler"), row["diffusers / torch"]) for name, row in small.items()]
    known = ("FlowMatchEulerDiscrete", "EulerDiscrete", "DDIM", "DPMSolverMultistep", "UniPCMultistep", "DEISMultistep")
    chosen = [(one, small[f"{one}Scheduler"]["diffusers"], small[f"{one}Scheduler"]["torch"]) for one in known]
    beside = skrample["skrample"]["1x4x8x8"]["us_per_step"]
    return {
        "which_sampler.svg": panels(accuracy["cells"]),
        "speed_ratio.svg": dots(
            "Host time of a step: diffusers over multisched, both on torch",
            "times as long, 1 x 4 x 8 x 8, one class a line; right of 1 multisched is faster",
            ratios,
            (1, 2, 5, 10, 20, 50, 100, 200),
        ),
        "speed_step.svg": bars("Host time of a step, 1 x 4 x 8 x 8, torch", "us", chosen, ("diffusers", "multisched")),
        "speed_skrample.svg": bars(
            "Time of a step, 1 x 4 x 8 x 8, NumPy",
            "us",
            [(name, row["skrample"], row["ours"]) for name, row in beside.items()],
            ("skrample", "multisched"),
        ),
    }


def read(name: str) -> dict[str, Any]:
    """The figures of a benchmark."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Write the charts and the tables."""
    for name, text in charts(read("cpu"), read("skrample"), read("accuracy")).items():
        (DOCS / name).write_text(text, encoding="utf-8")
    page = DOCS / "which_sampler.md"
    page.write_text(which_page(page.read_text(encoding="utf-8"), read("accuracy")), encoding="utf-8")


if __name__ == "__main__":
    main()
