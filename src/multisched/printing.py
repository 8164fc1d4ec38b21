"""Plans as text for a person."""

from dataclasses import fields
from html import escape
from typing import Any


def line_text(plan: Any) -> str:
    """A line for the run of a `Plan`."""
    law = f"weak order {plan.weak_order}, stochastic" if plan.weak_order else "stochastic"
    kind = law if plan.stochastic else f"order {plan.order}, deterministic"
    return f"{plan.name}: {len(plan.grid)} steps, {len(plan)} model calls, {kind}"


def repr_text(plan: Any) -> str:
    """The same between angle brackets."""
    return f"<{line_text(plan)}>"


def table_text(plan: Any) -> str:
    """A line for the run, and one for each model call: where it stands and what it does."""
    lines = [line_text(plan), " row  timestep     alpha     sigma"]
    for row, timestep, alpha, sigma, formula in _lines(plan):
        lines.append(f"{row:4d} {timestep:9.3f} {alpha:9.6f} {sigma:9.6f}  {formula}")
    return "\n".join([*lines, f" end           {plan.alphas[-1]:9.6f} {plan.sigmas[-1]:9.6f}"])


def table_html(plan: Any) -> str:
    """The same as a table, for notebooks."""
    head = "".join(f"<th>{name}</th>" for name in ("row", "timestep", "alpha", "sigma", "what it does"))
    rows = [
        f"<tr><td>{row}</td><td>{timestep:.3f}</td><td>{alpha:.6f}</td><td>{sigma:.6f}</td><td>{escape(formula)}</td></tr>"
        for row, timestep, alpha, sigma, formula in _lines(plan)
    ]
    end = f"<tr><td>end</td><td></td><td>{plan.alphas[-1]:.6f}</td><td>{plan.sigmas[-1]:.6f}</td><td></td></tr>"
    caption = f"<caption>{escape(line_text(plan))}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}{end}</tbody></table>"


def options_text(recipe: Any) -> str:
    """A recipe with the options that differ from their defaults."""
    shown = []
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if field.repr and not _same(value, field.default):
            shown.append(f"{field.name}={value!r}")
    return f"{type(recipe).__name__}({', '.join(shown)})"


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def _lines(plan: Any) -> Any:
    levels = zip(plan.timesteps, plan.rows.alpha[:, 0], plan.rows.sigma[:, 0], strict=True)
    return [(row, *level, plan.folded.formula(row)) for row, level in enumerate(levels)]
