"""The page and the figure of `benchmarks.accuracy`, from its figures alone."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.flows import EXACT, kind_of
from benchmarks.page import table
from benchmarks.settings import CHOICES, COMMON, FEW, OURS, SOLVERS
from benchmarks.timing import geometric_mean

AIMED = ("5", "8", "10", "12", "15", "20")  # calls of the cells that are counted, at guidance 1 and 3
PLAIN = {"vp": ("DPM++ 2M, karras", "UniPC 2, linspace"), "flow": ("DPM++ 2M, shift 1", "UniPC 2, shift 1")}
PLAIN["edm"] = ("DPM++ 2M, karras", "UniPC 2, karras")
COLORS = {"auto": "#c0392b", "best named": "#2c3e50", "DPM++ 2M": "#2980b9", "Euler": "#7f8c8d"}
WIDE, HIGH, LEFT, TOP = 250, 190, 46, 34  # a panel of the figure


def ratio(cell: dict[str, Any], of: str = "rms") -> float:
    """Error of the best named setting over that of "auto"."""
    settings = cell["settings"]
    name = "rms" if of == "common" else of
    return float(settings[cell["best"][of]][name] / settings["auto"][name])


def ratios(cells: dict[str, Any], of: str = "rms") -> dict[str, str]:
    """The same by the number of calls, and its geometric mean over those that are counted."""
    found = {n: ratio(cell, of) for n, cell in cells.items()}
    mean = geometric_mean(found[n] for n in AIMED if n in found)
    return {**{n: f"{value:.2f}" for n, value in found.items()}, "mean of 5 to 20": f"{mean:.2f}"}


def choices(logs: Sequence[tuple[str, float, int, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Geometric means of the errors' ratio of two solvers, over networks, seeds and spacings.

    Args:
        logs: kind, guidance, calls, log error by the name of the setting.
    """
    found: dict[str, dict[str, float]] = {}
    for choice, pair in CHOICES.items():
        columns: dict[str, list[float]] = {}
        for kind, guidance, n, errors in logs:
            spacings = [
                name.partition(", ")[2] for name in errors if name.startswith(f"{pair[1]}, ") and name not in OURS
            ]
            moved = [errors[f"{pair[0]}, {one}"] - errors[f"{pair[1]}, {one}"] for one in spacings]
            moved = [one for one in moved if math.isfinite(one)]
            for column in (f"guidance {guidance:g}", "<= 10 calls" if n <= 10 else "> 10 calls", kind, "all"):
                columns.setdefault(column, []).append(statistics.fmean(moved))
        found[choice] = {name: math.exp(statistics.fmean(values)) for name, values in sorted(columns.items())}
    return found


def counted(data: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The cells of networks, guidance 1 and 3, that the aim is about."""
    for key, cells in data["cells"].items():
        name, _, guidance = key.partition("@")
        if name not in EXACT and guidance in ("1", "3"):
            yield from ((key, n, cells[n]) for n in AIMED if n in cells)


def page(data: dict[str, Any]) -> str:
    """The whole page."""
    seeds = ", ".join(map(str, data["seeds"]))
    head = (
        f"Networks and noise of seeds {seeds}, {data['samples']} samples of each. Errors are root mean squares of a "
        "seed's samples, the median over the seeds; medians and worst are over all samples. Best named: the setting "
        'with the smallest error of all usual solvers and spacings, chosen with hindsight for each cell. "auto" knows '
        "the guidance. Its rule was settled on networks of seeds 0 to 5. U-Nets (-conv) and exact models, mixtures of "
        f"Gaussians around digits of the first seed, are run with {len(FEW)} of the {len(SOLVERS)} solvers."
    )
    choices = (
        "Geometric means of the ratio of errors, over networks, seeds and usual spacings; above 1 the second is better."
    )
    parts = [
        "# Accuracy of few calls on trained networks",
        ", ".join(f"{key} {value}" for key, value in data["machine"].items()) + ".",
        head,
        "## Which sampler?",
        which(data),
        "## Best named setting over auto",
        verdict(data, "common", f"{len(COMMON)} common solvers ({', '.join(COMMON)})"),
        table("network@guidance", {key: ratios(cells, "common") for key, cells in data["cells"].items()}),
        verdict(data, "rms", f"all {len(SOLVERS)} solvers ({len(FEW)} on slow models)"),
        table("network@guidance", {key: ratios(cells) for key, cells in data["cells"].items()}),
        "![Errors by the number of calls](accuracy.svg)",
        "## Every cell",
        'Ratios above 1: "auto" is better. The last two: usual solvers on the spacing of "auto".',
        table("cell, calls", dict(_rows(data))),
        "## Choices between options",
        choices,
        table("choice", {one: {k: f"{v:.2f}" for k, v in row.items()} for one, row in data["choices"].items()}),
    ]
    return "\n\n".join(part for part in parts if part)


def which(data: dict[str, Any]) -> str:
    """A short table: errors at 8, 10 and 20 calls."""
    rows: dict[str, dict[str, str]] = {}
    for key, cells in data["cells"].items():
        name, _, guidance = key.partition("@")
        shown = [cells[n] for n in ("8", "10", "20") if n in cells]
        if name in EXACT or not shown:
            continue
        row = {"auto": _errors([cell["settings"]["auto"]["rms"] for cell in shown])}
        for label in PLAIN[kind_of(name)]:
            row["DPM++ 2M" if label.startswith("DPM") else "UniPC"] = _errors(
                [cell["settings"][label]["rms"] for cell in shown]
            )
        row["best named, with hindsight"] = _errors([cell["settings"][cell["best"]["rms"]]["rms"] for cell in shown])
        row["which, at 10 calls"] = cells["10"]["best"]["rms"] if "10" in cells else "-"
        rows[f"{name}, guidance {guidance}"] = row
    return (
        "Errors at 8 / 10 / 20 calls. DPM++ 2M on Karras's spacing, or with shift 1; UniPC on the spacing that "
        "diffusers gives it by default.\n\n" + table("network", rows)
    )


def _errors(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1e}".replace("e-0", "e-") for value in values)


def verdict(data: dict[str, Any], of: str, whom: str) -> str:
    """How often "auto" is at least as good, by how much, and where it is not."""
    found = [(key, n, ratio(cell, of)) for key, n, cell in counted(data)]
    if not found:
        return ""
    behind = [f"{key} {n} calls {value:.2f}" for key, n, value in found if value < 1]
    names: dict[str, list[float]] = {}
    for key, _, value in found:
        names.setdefault(key.partition("@")[0], []).append(value)
    means = ", ".join(f"{name} {geometric_mean(values):.2f}" for name, values in names.items())
    text = (
        f'At guidance 1 and 3, 5 to 20 calls, "auto" is at least as accurate as the best setting of {whom} in '
        f"{len(found) - len(behind)} of {len(found)} cells. Geometric means: {means}."
    )
    return text + (f" Behind in: {'; '.join(behind)}." if behind else "")


def _rows(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    for key, cells in data["cells"].items():
        for n, cell in cells.items():
            settings, best = cell["settings"], cell["best"]
            yield (
                f"{key}, {n}",
                {
                    "auto": f"{settings['auto']['rms']:.2e}",
                    "guidance not known": f"{settings['auto, guidance not known']['rms']:.2e}",
                    "best named": f"{settings[best['rms']]['rms']:.2e}",
                    "which": best["rms"],
                    "ratio": f"{ratio(cell):.2f}",
                    "of medians": f"{ratio(cell, 'median'):.2f}",
                    "of worst": f"{ratio(cell, 'worst'):.2f}",
                    "worst of auto": f"{settings['auto']['worst']:.2e}",
                    "on our spacing": f"{settings[best['on our spacing']]['rms']:.2e}",
                    "which of those": best["on our spacing"].partition(",")[0],
                },
            )


def figure(data: dict[str, Any]) -> str:
    """Errors by the number of calls, both logarithmic, a panel a network and guidance; as SVG."""
    panels = [
        key for key in data["cells"] if key.partition("@")[2] in ("1", "3") and key.partition("@")[0] not in EXACT
    ]
    across = min(4, max(1, len(panels)))
    down = math.ceil(len(panels) / across)
    width, height = across * (WIDE + LEFT + 14), down * (HIGH + TOP + 30) + 26
    body = [_panel(data["cells"][key], key, i % across, i // across) for i, key in enumerate(panels)]
    for i, (name, color) in enumerate(COLORS.items()):
        x, y = LEFT + 150 * i, height - 12
        body.append(f'<path d="M{x} {y - 4}h24" stroke="{color}" stroke-width="2"/>')
        body.append(f'<text x="{x + 30}" y="{y}">{name}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#333">\n<rect width="{width}" height="{height}" fill="#fff"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _panel(cells: dict[str, Any], key: str, column: int, row: int) -> str:
    calls = [int(n) for n in cells]
    lines = {name: [_shown(cells[str(n)], name) for n in calls] for name in COLORS}
    values = [value for line in lines.values() for value in line if value]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    left, top = column * (WIDE + LEFT + 14) + LEFT, row * (HIGH + TOP + 30) + TOP
    first, last = math.log(calls[0]), math.log(max(calls[-1], calls[0] + 1))

    def place(n: float, value: float) -> str:
        x = left + WIDE * (math.log(n) - first) / (last - first)
        return f"{x:.1f} {top + HIGH * (high - math.log10(value)) / (high - low):.1f}"

    parts = [f'<text x="{left}" y="{top - 8}" font-weight="bold">{key.replace("@", ", guidance ")}</text>']
    for power in range(low, high + 1):
        x, y = place(calls[0], 10.0**power).split()
        parts.append(f'<path d="M{x} {y}h{WIDE}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{float(y) + 4:.1f}" text-anchor="end">1e{power}</text>')
    for n in calls:
        x, y = place(n, 10.0**low).split()
        parts.append(f'<text x="{x}" y="{float(y) + 15:.1f}" text-anchor="middle">{n}</text>')
    for name, color in COLORS.items():
        points = "L".join(place(n, value) for n, value in zip(calls, lines[name], strict=True) if value)
        if points:
            parts.append(f'<path d="M{points}" fill="none" stroke="{color}" stroke-width="2"/>')
    return "\n".join(parts)


def _shown(cell: dict[str, Any], line: str) -> float | None:
    """The error that a line of the figure has at a cell."""
    settings = cell["settings"]
    if line == "best named":
        return float(settings[cell["best"]["rms"]]["rms"])
    names = [line] if line == "auto" else [name for name in settings if name.startswith(f"{line}, ")]
    names = [name for name in names if name == "auto" or name.endswith(("karras", "shift 1", "trailing"))]
    return float(settings[names[0]]["rms"]) if names else None
