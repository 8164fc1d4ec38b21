"""Plans as text for a person."""

from dataclasses import fields
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
    for row, timestep, alpha, sigma, formula in rows_of(plan):
        lines.append(f"{row:4d} {timestep:9.3f} {alpha:9.6f} {sigma:9.6f}  {formula}")
    return "\n".join([*lines, f" end           {plan.alphas[-1]:9.6f} {plan.sigmas[-1]:9.6f}"])


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


def rows_of(plan: Any) -> list[tuple[int, float, float, float, str]]:
    """Per model call: its row, timestep, alpha and sigma, and what it does."""
    levels = zip(plan.timesteps, plan.rows.alpha[:, 0], plan.rows.sigma[:, 0], strict=True)
    return [(row, *level, plan.folded.formula(row)) for row, level in enumerate(levels)]
