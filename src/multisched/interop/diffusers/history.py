"""What earlier calls gave, as the attributes of diffusers' schedulers show it, which some pipelines change."""

from typing import Any

from multisched.interop.diffusers.manners import NEWEST
from multisched.table.plan import Plan
from multisched.table.state import State


def read(scheduler: Any) -> tuple[Any, ...]:
    """The values of earlier calls, the newest last, and the last sample; None where there is none."""
    own = scheduler.__dict__
    return (*(own.get("model_outputs") or own.get("ets") or ()), own.get("last_sample"))


def registers(scheduler: Any, plan: Plan, memory: tuple[Any, ...], shown: tuple[Any, ...]) -> tuple[Any, ...]:
    """The solver's registers, with what callers have changed since the history was `shown`."""
    found = read(scheduler)
    if len(found) == len(shown) and all(a is b for a, b in zip(found, shown, strict=True)):
        return memory
    return tuple(_register(name, kept, found) for name, kept in zip(plan.tableau.registers[1:], memory, strict=True))


def _register(name: str, kept: Any, history: tuple[Any, ...]) -> Any:
    *values, last = history
    back = 1 if name in NEWEST else int(name[-1]) if name[-1].isdigit() else 0
    found = last if name == "anchor" else values[-back] if 0 < back <= len(values) else None
    return kept if found is None else found


def show(scheduler: Any, names: frozenset[str], plan: Plan, after: State[Any]) -> tuple[Any, ...]:
    """Set the attributes of these names to what a step left; the history as `read` finds it then."""
    kept = dict(zip(plan.tableau.registers[1:], after.memory, strict=True))
    newest = [kept[name] for name in NEWEST if name in kept]
    values = newest + [one for name, one in kept.items() if name[-1:].isdigit() and name not in NEWEST]
    if "model_outputs" in names:
        depth = len(scheduler.model_outputs)
        scheduler.model_outputs = ([None] * depth + values[::-1])[-depth:]
    if "ets" in names:
        scheduler.ets = values[::-1]
    if "last_sample" in names:
        scheduler.last_sample = kept.get("anchor")
    if "mid_point_sigma" in names and after.index < len(plan):
        scheduler.mid_point_sigma = plan.rows.sigma[after.index, 0] / plan.rows.alpha[after.index, 0]
    if "lower_order_nums" in names:
        scheduler.lower_order_nums = min(scheduler.lower_order_nums + 1, len(values) + 1)
    return read(scheduler)
