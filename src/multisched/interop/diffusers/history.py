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
    *values, last = found
    changed = dict(zip(_order(plan), reversed(values), strict=False)) | {"anchor": last}
    names = plan.tableau.registers[1:]
    return tuple(kept if changed.get(name) is None else changed[name] for name, kept in zip(names, memory, strict=True))


def _order(plan: Plan) -> list[str]:
    """The registers that hold the values of earlier calls, the newest first."""
    return [name for name in plan.tableau.registers[1:] if name in NEWEST or name[-1].isdigit()]


def show(scheduler: Any, names: frozenset[str], plan: Plan, after: State[Any]) -> tuple[Any, ...]:
    """Set the attributes of these names to what a step left; the history as `read` finds it then."""
    kept = dict(zip(plan.tableau.registers[1:], after.memory, strict=True))
    values = [kept[name] for name in _order(plan)]
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
