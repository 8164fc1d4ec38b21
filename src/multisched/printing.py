"""Plans as text for a person."""

from typing import Any


def table_text(plan: Any) -> str:
    """A line for the run, and one for each model call of a `Plan`: where it stands and what it does."""
    calls = f"{len(plan.grid)} steps, {len(plan)} model calls, order {plan.order}"
    lines = [f"{plan.name}: {calls}, {'stochastic' if plan.stochastic else 'deterministic'}"]
    lines.append(" row  timestep     alpha     sigma")
    for row, (alpha, sigma) in enumerate(zip(plan.rows.alpha[:, 0], plan.rows.sigma[:, 0], strict=True)):
        place = f"{plan.timesteps[row]:9.3f} {alpha:9.6f} {sigma:9.6f}"
        lines.append(f"{row:4d} {place}  {plan.folded.formula(row)}")
    return "\n".join([*lines, f" end           {plan.alphas[-1]:9.6f} {plan.sigmas[-1]:9.6f}"])
