"""Plans, recipes and reports as HTML, for notebooks: text and lines in the colour of the page, light or dark."""

from dataclasses import MISSING, Field, fields, is_dataclass
from math import isfinite, log
from typing import Any

from multisched.printing import line_text, options_text, rows_of

WHOLE = 40
"""Rows of a plan that are shown all; of a longer plan the first `HEAD` and the last `TAIL` are."""
HEAD, TAIL = 20, 5
WIDTH, HEIGHT = 260, 54  # of the picture of the levels
PAD = "padding:.1em .7em .1em 0;vertical-align:top"
BOX = 'style="font-size:.9em;max-width:100%;overflow-x:auto"'
TABLE = '<table style="margin:.3em 0;width:auto;border-collapse:collapse">'
WORDS = f'style="text-align:left;font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere;{PAD}"'
LEFT = f'style="text-align:left;{PAD}"'
NUMBER = f'style="text-align:right;font-family:monospace;{PAD}"'


def plan_html(plan: Any) -> str:
    """A line for the run, its levels as a picture, and its table."""
    rows = [
        f"<tr>{_cell(row, NUMBER)}{_cell(f'{timestep:.3f}', NUMBER)}{_cell(f'{alpha:.6f}', NUMBER)}"
        f"{_cell(f'{sigma:.6f}', NUMBER)}{_cell(formula, WORDS)}</tr>"
        for row, timestep, alpha, sigma, formula in rows_of(plan)
    ]
    if len(rows) > WHOLE:
        between = f"<tr>{_cell('...', NUMBER) * 4}{_cell(f'{len(rows) - HEAD - TAIL} rows more', LEFT)}</tr>"
        rows = [*rows[:HEAD], between, *rows[-TAIL:]]
    end = f"<tr>{_cell('end', NUMBER)}{_cell('', NUMBER)}" + "".join(
        _cell(f"{level:.6f}", NUMBER) for level in (plan.alphas[-1], plan.sigmas[-1])
    )
    columns = {"row": NUMBER, "timestep": NUMBER, "alpha": NUMBER, "sigma": NUMBER, "what it does": LEFT}
    head = "".join(f"<th {style}>{name}</th>" for name, style in columns.items())
    table = f"{TABLE}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}{end}{_cell('', LEFT)}</tr></tbody></table>"
    return f"<div {BOX}><div><b>{_escaped(line_text(plan))}</b></div>{_levels(plan)}{table}</div>"


def _levels(plan: Any) -> str:
    """log(alpha / sigma) over the steps, a point for each level; rings stand for levels where it is infinite."""
    lam = [_lam(float(alpha), float(sigma)) for alpha, sigma in zip(plan.alphas, plan.sigmas, strict=True)]
    known = [value for value in lam if isfinite(value)]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    points = []
    for index, value in enumerate(lam):
        x = 8 + (WIDTH - 16) * index / (len(lam) - 1)
        inside = (min(max(value, low), high) - low) / (high - low or 1.0)
        points.append((x, HEIGHT - 10 - (HEIGHT - 20) * inside, isfinite(value)))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, finite in points if finite)
    every = max(1, len(points) // 30)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" stroke="currentColor" fill="{_ink(finite)}"/>'
        for index, (x, y, finite) in enumerate(points)
        if index % every == 0 or not finite or index == len(points) - 1
    )
    said = f"log(alpha / sigma) over the steps, {low:.2f} to {high:.2f}"
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return (
        f'<svg {size} style="vertical-align:middle;margin-right:.7em">'
        f"<title>{said}</title>"
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>{marks}</svg>'
        f"<small>{said}</small>"
    )


def _ink(finite: bool) -> str:
    """Points are filled, rings are not."""
    return "currentColor" if finite else "none"


def _lam(alpha: float, sigma: float) -> float:
    """log(alpha / sigma), infinite at the ends."""
    if sigma <= 0 or alpha <= 0:
        return float("inf") if sigma <= 0 else float("-inf")
    return log(alpha) - log(sigma)


def recipe_html(recipe: Any, parts: Any, settings: tuple[str, ...]) -> str:
    """What a recipe is made of, the options that differ from their defaults, and its quirks; the others on a click."""
    made = {name: part for name, part in parts._asdict().items() if part is not None and is_dataclass(part)}
    rows = "".join(_row(name.replace("_", " "), _short(part)) for name, part in made.items())
    options = [field for field in fields(recipe) if field.name not in settings]
    listed = "".join(_row(one.name, repr(getattr(recipe, one.name)), _changed(recipe, one)) for one in options)
    quirks = "".join(_row(f"quirk {quirk.name}", quirk.says, style=LEFT) for quirk in recipe.quirks)
    all_options = _folded(f"{len(options)} options", listed) if options else ""
    return f"<div {BOX}><div><b>{_escaped(options_text(recipe))}</b></div>{_table(rows + quirks)}{all_options}</div>"


def report_html(report: Any) -> str:
    """Keys used and ignored, and sentences; the keys that were not given on a click."""
    rows = [
        *(_row(key, repr(value), "used") for key, value in report.used.items()),
        *(_row(key, reason, "ignored", LEFT) for key, reason in report.ignored.items()),
        *(_row("", sentence, "reproduced", LEFT) for sentence in report.reproduced),
        *(_row("", sentence, "accepted", LEFT) for sentence in report.accepted),
    ]
    defaulted = "".join(_row(key, repr(value)) for key, value in report.defaulted.items())
    title = f"<div><b>{_escaped(report.class_name)}</b></div>"
    left = _folded(f"{len(report.defaulted)} keys that are not given, with the values taken", defaulted)
    return f"<div {BOX}>{title}{_table(''.join(rows))}{left if defaulted else ''}</div>"


def _short(part: Any) -> str:
    """A part by the options that differ from their defaults; links of a chain are joined."""
    links = getattr(part, "parts", None)
    if isinstance(links, tuple) and links and all(map(is_dataclass, links)):
        return " | ".join(map(_short, links))
    if not isinstance(part, type) and is_dataclass(part):
        changed = (one.name for one in fields(part) if one.repr and _changed(part, one))
        shown = [f"{name}={_short(getattr(part, name))}" for name in changed]
        return f"{type(part).__name__}({', '.join(shown)})"
    return repr(part)


def _changed(value: Any, field: Field[Any]) -> str:
    """The default of an option that has another value; empty where it has the default."""
    default = field.default if field.default_factory is MISSING else field.default_factory()
    if repr(getattr(value, field.name)) == repr(default):
        return ""
    return "no default" if default is MISSING else f"default {default!r}"


def _cell(words: Any, style: str) -> str:
    return f"<td {style}>{_escaped(str(words))}</td>"


def _row(name: str, words: str, note: str = "", style: str = WORDS) -> str:
    last = f"<td {LEFT}><small>{_escaped(note)}</small></td>"
    return f"<tr><th {LEFT}>{_escaped(name)}</th>{_cell(words, style)}{last}</tr>"


def _table(rows: str) -> str:
    return f"{TABLE}<tbody>{rows}</tbody></table>" if rows else ""


def _folded(summary: str, rows: str) -> str:
    return f"<details><summary>{_escaped(summary)}</summary>{_table(rows)}</details>"


def _escaped(text: str) -> str:
    from html import escape  # it brings every name of a character, and most runs show no page

    return escape(text)
